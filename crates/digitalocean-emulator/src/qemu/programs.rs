//! Where the programs are that droplets and base images need: QEMU's, and the system's.

use std::path::PathBuf;

/// Where programs are looked for: also where root's are, whoever runs this.
pub(crate) const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program's path, if it is installed: on the caller's PATH, or where root's programs are. `MKIMG_PROGRAMS` takes the place of both.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let folders: Vec<PathBuf> = match std::env::var_os("MKIMG_PROGRAMS") {
        Some(only) => std::env::split_paths(&only).collect(),
        None => {
            let own = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&own).chain(std::env::split_paths(SEARCH_PATH)).collect()
        }
    };
    folders
        .into_iter()
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}
