//! What several modules need from the system: private folders, atomic writes, timestamps,
//! identifiers, programs.

use std::io::Write;
use std::path::Path;
use std::time::SystemTime;

/// Creates a directory that only its owner can enter: user-data holds secrets.
pub(crate) fn create_private_dir(directory: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

/// Writes bytes in hexadecimal, two digits each.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |text, byte| text + &format!("{byte:02x}"))
}

/// Writes a file atomically, readable by its owner only: temporary file in the same folder, sync,
/// rename.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut temporary = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
    temporary.write_all(bytes)?;
    temporary.as_file().sync_data()?;
    temporary.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Locks a file for this process, without waiting. Returns false if another one holds the lock.
pub(crate) fn try_lock(file: &std::fs::File) -> std::io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(std::fs::TryLockError::WouldBlock) => Ok(false),
        Err(std::fs::TryLockError::Error(error)) => Err(error),
    }
}

/// The current time as the service writes it: RFC 3339, UTC, whole seconds.
pub(crate) fn timestamp() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

/// A random (version 4) UUID. It only names things, so a constant will do where the system has no
/// randomness.
pub(crate) fn random_uuid() -> String {
    let mut bytes = [0x5a; 16];
    let _ = getrandom::fill(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// The `PATH` of programs that are started here: includes the folders of root's programs, for every
/// user.
#[cfg(feature = "qemu")]
pub(crate) const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A command for an installed program, with a clean environment and no input. Dropping its future ends the program.
#[cfg(feature = "qemu")]
pub(crate) fn tool(program: &Path) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(program);
    command
        .env_clear()
        .env("PATH", SEARCH_PATH)
        .env("LC_ALL", "C")
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true);
    command
}

/// Finds an installed program on the caller's `PATH` or in [`SEARCH_PATH`]. `MKIMG_PROGRAMS`
/// replaces both.
#[cfg(feature = "qemu")]
pub(crate) fn find_program(name: &str) -> Option<std::path::PathBuf> {
    let own = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<std::path::PathBuf> = match std::env::var_os("MKIMG_PROGRAMS") {
        Some(only) => std::env::split_paths(&only).collect(),
        None => std::env::split_paths(&own).chain(std::env::split_paths(SEARCH_PATH)).collect(),
    };
    let paths = folders.into_iter().filter(|folder| folder.is_absolute()).map(|folder| folder.join(name));
    paths.into_iter().find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn only_the_owner_enters_a_private_directory_and_reads_a_file() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("state/inner");
        create_private_dir(&inner).unwrap();
        let file = inner.join("file");
        write_atomically(&file, b"one").unwrap();
        write_atomically(&file, b"two").unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"two");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!([mode(&folder.path().join("state")), mode(&inner), mode(&file)], [0o700, 0o700, 0o600]);
        assert_eq!(std::fs::read_dir(&inner).unwrap().count(), 1, "nothing else is left");
        assert_eq!(hexadecimal(&[0, 0x0a, 0xff]), "000aff");
    }
}
