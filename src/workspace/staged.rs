//! New projects: all files, or none.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::directory::{Directory, Entry, WalkError};
use super::files::{FilePath, Readers, TEMPORARY_PREFIX, TEMPORARY_SUFFIX, WriteError, write_for};

/// Moved last: a directory without templates is not a project.
const TEMPLATES: &str = "templates";

/// The files of a new project. They are written to a temporary directory on the same file system,
/// and [`StagedProject::commit`] moves them to their place. Dropping it removes them.
#[derive(Debug)]
pub struct StagedProject {
    /// Where the project will be.
    root: PathBuf,
    /// Where it is now.
    staged: PathBuf,
    /// Contains `staged`.
    _temporary: tempfile::TempDir,
}

impl StagedProject {
    /// Starts a project, whose directory need not exist.
    ///
    /// # Errors
    ///
    /// Fails if no directory can be created there.
    pub fn new(root: &Path) -> Result<Self, WriteError> {
        let failed = |error: io::Error| WriteError::new(root, error.into());
        let exists = |path: &&Path| path.as_os_str().is_empty() || path.symlink_metadata().is_ok();
        let parent = root.ancestors().find(exists).unwrap_or(Path::new(""));
        let mut builder = tempfile::Builder::new();
        builder.prefix(TEMPORARY_PREFIX).suffix(TEMPORARY_SUFFIX);
        let temporary = builder.tempdir_in(parent.join(".")).map_err(failed)?;
        // The temporary directory is private; the project gets the usual mode.
        let staged = temporary.path().join("project");
        fs::create_dir(&staged).map_err(failed)?;
        Ok(Self { root: root.to_path_buf(), staged, _temporary: temporary })
    }

    /// Where the project is until it is moved.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.staged
    }

    /// Writes a file, and creates its directories.
    ///
    /// # Errors
    ///
    /// Fails if the disk is full, for example. The error names the final path.
    pub fn write(&self, path: &str, bytes: &[u8], executable: bool) -> Result<(), WriteError> {
        let place = self.root.join(path);
        let directory = self.staged.join(path);
        let created = fs::create_dir_all(directory.parent().unwrap_or(&self.staged));
        created.map_err(|error| WriteError::new(&place, error.into()))?;
        let readers = if executable { Readers::UsualExecutable } else { Readers::Usual };
        write_for(readers, &FilePath::inside(&self.staged, path), bytes).map_err(|error| error.at(&place))
    }

    /// Moves the project to its place. Directories that exist there are merged with the new ones;
    /// nothing is replaced.
    ///
    /// # Errors
    ///
    /// Fails if something exists already, or a move is not possible. What was moved is moved back.
    pub fn commit(self) -> Result<(), WriteError> {
        let failed = |error: WalkError| WriteError::new(&self.root, error);
        if self.root.symlink_metadata().is_err() && !self.root.as_os_str().is_empty() {
            let moved = fs::create_dir_all(self.root.parent().unwrap_or(Path::new("")))
                .and_then(|()| fs::rename(&self.staged, &self.root));
            return moved.map_err(|error| failed(error.into()));
        }
        let mut moved = Vec::new();
        let result = self.merge(Path::new(""), &mut moved);
        if result.is_err() {
            for path in moved.iter().rev() {
                // Nothing else can be done if this fails, too.
                let _ = move_file(&self.root, &self.staged, path);
            }
        }
        result.map_err(failed)
    }

    /// Moves everything in one directory, with as few moves as possible.
    fn merge(&self, inside: &Path, moved: &mut Vec<PathBuf>) -> Result<(), WalkError> {
        let entries = fs::read_dir(self.staged.join(inside))?;
        let mut names: Vec<OsString> = entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>()?;
        names.sort_by_key(|name| (inside.as_os_str().is_empty() && name == TEMPLATES, name.clone()));
        for name in names {
            let path = inside.join(&name);
            let (directory, name) = Directory::open_parent(&self.root, &path)?;
            let new = self.staged.join(&path);
            match directory.entry(name)? {
                Entry::Missing => {
                    move_file(&self.staged, &self.root, &path)?;
                    moved.push(path);
                }
                Entry::Directory if new.is_dir() => self.merge(&path, moved)?,
                Entry::Link => return Err(WalkError::Link(path)),
                _ => return Err(io::Error::other(format!("{} exists already", path.display())).into()),
            }
        }
        Ok(())
    }
}

/// Moves a file or directory to the same path in another directory.
fn move_file(from: &Path, to: &Path, path: &Path) -> Result<(), WalkError> {
    let (from, name) = Directory::open_parent(from, path)?;
    let (to, _) = Directory::open_parent(to, path)?;
    from.rename(name, &to, name)?;
    Ok(to.sync()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn projects_appear_completely_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("a/b");
        let project = StagedProject::new(&root).unwrap();
        project.write("templates/x.yaml", b"1", false).unwrap();
        project.write("scripts/x.sh", b"2", true).unwrap();
        drop(project);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);

        let project = StagedProject::new(&root).unwrap();
        project.write("templates/x.yaml", b"1", false).unwrap();
        assert!(!root.exists());
        project.commit().unwrap();
        assert_eq!(fs::read(root.join("templates/x.yaml")).unwrap(), b"1");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn projects_are_merged_with_what_exists() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::create_dir_all(root.join("files/etc")).unwrap();
        fs::write(root.join("files/etc/mine"), "mine").unwrap();
        let write = || {
            let project = StagedProject::new(root).unwrap();
            for path in ["files/etc/new", "files/opt/new", "templates/x.yaml"] {
                project.write(path, b"1", false).unwrap();
            }
            project
        };
        // A failure at the end moves everything back.
        fs::write(root.join("templates"), "a file").unwrap();
        let message = write().commit().unwrap_err().to_string();
        assert_eq!(message, format!("cannot write {}: templates exists already", root.display()));
        assert!(!root.join("files/etc/new").exists() && !root.join("files/opt").exists());
        fs::remove_file(root.join("templates")).unwrap();
        write().commit().unwrap();
        assert!(root.join("files/etc/new").exists() && root.join("files/opt/new").exists());
        assert_eq!(fs::read(root.join("files/etc/mine")).unwrap(), b"mine");
        assert_eq!(fs::read_dir(root).unwrap().count(), 2);
    }

    #[cfg(unix)]
    #[test]
    fn projects_do_not_leave_their_directory_through_links() {
        let (directory, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(outside.path(), directory.path().join("files")).unwrap();
        let project = StagedProject::new(directory.path()).unwrap();
        project.write("files/etc/new", b"1", false).unwrap();
        let message = project.commit().unwrap_err().to_string();
        assert!(
            message.ends_with("files is a symbolic link, and links inside a project are not followed"),
            "{message}"
        );
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}
