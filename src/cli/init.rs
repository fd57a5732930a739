//! `mkimg init [DIR]`: a small project that works.
//!
//! Its files are those of `example/`; the fixture is rendered from them, so that it cannot be stale.

use std::path::{Path, PathBuf};

use super::{Failure, Global, project};
use crate::render::DOCUMENT_LIMIT;
use crate::workspace::write_atomically;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where; made if it is missing
    #[arg(default_value = ".")]
    directory: PathBuf,
}

const EXECUTABLE: bool = true;

/// Path in the project, content, whether it is executable.
const FILES: &[(&str, &str, bool)] = &[
    ("templates/image.yaml", include_str!("example/image.yaml"), !EXECUTABLE),
    ("files/etc/hello.conf", include_str!("example/hello.conf"), !EXECUTABLE),
    ("files/var/lib/cloud/scripts/per-instance/001_onboot", include_str!("example/001_onboot"), EXECUTABLE),
    ("scripts/01-hello.sh", include_str!("example/01-hello.sh"), EXECUTABLE),
    ("scripts/02-firewall.sh", include_str!("example/02-firewall.sh"), EXECUTABLE),
    ("scripts/90-cleanup.sh", include_str!("example/90-cleanup.sh"), EXECUTABLE),
    ("scripts/99-check.sh", include_str!("example/99-check.sh"), EXECUTABLE),
    (
        "fixtures/default/variables.yaml",
        "# Values of variables in this case; none differ from the template's.\n{}\n",
        !EXECUTABLE,
    ),
];

pub(super) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let root = global.path(&args.directory);
    for name in ["templates", "files", "scripts", "fixtures", "mkimg.lock"] {
        if root.join(name).symlink_metadata().is_ok() {
            return Err(Failure::usage(format!("{} exists already", root.join(name).display()))
                .with_help("name an empty directory, or one without a project in it"));
        }
    }
    for (path, content, executable) in FILES {
        let path = root.join(path);
        write(&path, content.as_bytes(), *executable)?;
    }
    let opened = project::open(&Global::of_project(&root), None)?;
    let plan = opened.plan(global, Vec::new(), &crate::model::Lock::default())?;
    let document = project::document(&plan, Some(DOCUMENT_LIMIT))?;
    write(&root.join("fixtures/default/user-data.yaml"), document.text.as_bytes(), !EXECUTABLE)?;
    // `.` at the end says nothing.
    let shown: std::path::PathBuf = root.components().collect();
    global.terminal.note(&format!("a project is in {}", shown.display()));
    global
        .terminal
        .note("look at templates/image.yaml, then: mkimg render · mkimg validate · mkimg diff · mkimg bake --local");
    Ok(())
}

fn write(path: &Path, content: &[u8], executable: bool) -> Result<(), Failure> {
    let failed = |error: String| Failure::usage(error).with_help("name a directory that you may write to");
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)
            .map_err(|error| failed(format!("cannot make the directory {}: {error}", parent.display())))?;
    }
    write_atomically(path, content).map_err(|error| {
        let reason = std::error::Error::source(&error).map_or_else(String::new, |reason| format!(": {reason}"));
        failed(format!("{error}{reason}"))
    })?;
    #[cfg(unix)]
    if executable {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
            .map_err(|error| failed(format!("cannot make {} executable: {error}", path.display())))?;
    }
    #[cfg(not(unix))]
    let _ = executable;
    Ok(())
}
