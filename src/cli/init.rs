//! `mkimg init [DIR]`: a small project that works.
//!
//! Its files are those of `example/`; the fixture is rendered from them, so that it cannot be stale.

use std::path::{Component, Path, PathBuf};

use super::{Failure, Global, project};
use crate::render::DOCUMENT_LIMIT;
use crate::workspace::{NewFiles, WriteError};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where to create it; made if it is missing
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
        let path: PathBuf = root.join(name).components().filter(|part| *part != Component::CurDir).collect();
        if path.symlink_metadata().is_ok() {
            return Err(Failure::usage(format!("{} exists already", path.display()))
                .with_help("name an empty directory, or one without a project in it: mkimg init DIR"));
        }
    }
    let mut files = NewFiles::default();
    for (path, content, executable) in FILES {
        files.write(&root.join(path), content.as_bytes(), *executable).map_err(failed)?;
    }
    let opened = project::open(&Global::of_project(&root), None)?;
    let plan = opened.plan(global, Vec::new(), &crate::model::Lock::default())?;
    let document = project::document(&plan, Some(DOCUMENT_LIMIT))?;
    let fixture = root.join("fixtures/default/user-data.yaml");
    files.write(&fixture, document.text.as_bytes(), !EXECUTABLE).map_err(failed)?;
    files.keep();
    // `.` at the end says nothing.
    let shown: PathBuf = root.components().collect();
    let here = shown == Path::new(".");
    let place = if here { "this directory".to_owned() } else { shown.display().to_string() };
    global.terminal.note(&format!("wrote an example project to {place}: begin with templates/image.yaml"));
    let enter = if here { String::new() } else { format!("cd {place} · ") };
    global.terminal.note(&format!("next: {enter}mkimg render · mkimg validate · mkimg diff · mkimg bake --local"));
    Ok(())
}

fn failed(error: WriteError) -> Failure {
    Failure::usage(error).with_help("nothing was written; name a directory that you may write to, on a disk with room")
}
