//! What a bake uploads to its build droplet: the files that have no room in the document.
//!
//! Their contents are copied into the bake's directory first, one after the other. So `mkimg resume`
//! sends the same bytes, whatever has become of the project.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::cli::error::{Failure, FileError};
use crate::model::{Content, hexadecimal};
use crate::render::UploadedFile;
use crate::workspace::{FilePath, open_regular};

/// Copies the contents of files to `target`. Returns the index, one line of JSON, that
/// `docs/design/first-boot.md` defines.
pub(super) fn copy(root: &Path, files: &[UploadedFile], target: &File, name: &Path) -> Result<String, Failure> {
    Ok(json!(copy_each(root, files, target, name)?).to_string() + "\n")
}

/// Returns the index of the files without copying them.
pub(crate) fn upload_index(root: &Path, files: &[UploadedFile]) -> Result<Vec<Value>, Failure> {
    copy_each(root, files, io::sink(), Path::new(""))
}

fn copy_each(root: &Path, files: &[UploadedFile], mut target: impl Write, name: &Path) -> Result<Vec<Value>, Failure> {
    let mut index = Vec::new();
    let mut buffer = vec![0; 256 << 10];
    for file in files {
        let path = FilePath::inside(root, &file.source);
        let unreadable = |reason: String| FileError::unreadable(path.as_path(), &reason);
        let mut source: Box<dyn Read + '_> = match &file.content {
            Content::Loaded(bytes) => Box::new(bytes.as_slice()),
            Content::OnDisk { .. } => Box::new(open_regular(&path).map_err(|error| unreadable(error.to_string()))?.0),
        };
        let mut sum = Sha256::new();
        let mut size = 0;
        loop {
            let read = match source.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(unreadable(error.to_string()).into()),
            };
            sum.update(&buffer[..read]);
            size += read as u64;
            target.write_all(&buffer[..read]).map_err(|error| FileError::new("write", name, &error))?;
        }
        index.push(json!({
            "path": file.path,
            "mode": file.mode.to_string(),
            "owner": file.owner.to_string(),
            "size": size,
            "sha256": hexadecimal(&sum.finalize()),
        }));
    }
    Ok(index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Mode, Owner};

    #[test]
    fn the_index_has_each_file_as_it_is_to_be_on_the_machine() {
        let project = tempfile::tempdir().unwrap();
        std::fs::write(project.path().join("tool"), "on disk").unwrap();
        let file = |path: &str, source: &str, mode, content| UploadedFile {
            path: path.to_owned(),
            source: source.to_owned(),
            owner: Owner { user: "app".to_owned(), group: "web".to_owned() },
            mode: Mode(mode),
            content,
        };
        let files = [
            file("/opt/a", "a", 0o644, Content::Loaded(b"loaded".to_vec())),
            file("/opt/tool", "tool", 0o755, Content::OnDisk { bytes: 7 }),
        ];
        let copied = tempfile::NamedTempFile::new().unwrap();
        let index = copy(project.path(), &files, copied.as_file(), copied.path()).unwrap();
        assert_eq!(std::fs::read_to_string(copied.path()).unwrap(), "loadedon disk");
        let entry = |path, mode, content: &str| json!({"path": path, "mode": mode, "owner": "app:web", "size": content.len(), "sha256": hexadecimal(&Sha256::digest(content))});
        let expected = json!([entry("/opt/a", "0644", "loaded"), entry("/opt/tool", "0755", "on disk")]);
        assert_eq!(index, format!("{expected}\n"));
        assert_eq!(json!(upload_index(project.path(), &files).unwrap()), expected);

        let missing = [file("/opt/b", "nowhere", 0o644, Content::OnDisk { bytes: 7 })];
        assert!(upload_index(project.path(), &missing).is_err());
    }
}
