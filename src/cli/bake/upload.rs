//! What a bake uploads to its build droplet: the files that have no room in the document.
//!
//! Their contents are copied into the bake's directory first, one after the other. So `mkimg resume`
//! sends the same bytes, whatever has become of the project.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::Path;

use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::cli::error::{Failure, FileError};
use crate::model::{Content, hexadecimal};
use crate::render::UploadedFile;
use crate::workspace::{FilePath, open_regular};

/// Copies the contents of files to `target`. Returns the index, one line of JSON, that
/// `docs/design/first-boot.md` defines.
pub(super) fn copy(root: &Path, files: &[UploadedFile], mut target: &File, name: &Path) -> Result<String, Failure> {
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
    Ok(json!(index).to_string() + "\n")
}
