//! `mkimg init [DIR]`: creates a small project that works.
//!
//! Its files are those of `example/`; the fixture is rendered from them, so that it is never stale.

use std::borrow::Cow;
use std::path::{Component, Path, PathBuf};

use super::error::{CannotWrite, ErrorKind, ExpectedError, Failure};
use super::{Global, diff, project};
use crate::render::Target;
use crate::workspace::StagedProject;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The project's directory; created if it does not exist
    #[arg(default_value = ".")]
    directory: PathBuf,
}

/// What `init` must not overwrite.
#[derive(Debug, thiserror::Error)]
#[error("{} already exists", .0.display())]
struct AlreadyExists(PathBuf);

impl ExpectedError for AlreadyExists {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Usage
    }
    fn help(&self) -> Option<Cow<'static, str>> {
        Some("name an empty directory, or one without a project in it: mkimg init DIR".into())
    }
}

/// Help for a failed write, which leaves nothing behind.
pub(super) const NOTHING_WRITTEN: &str = "nothing was written; name a writable directory, on a disk with free space";

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
    // In the new directory, because a repository may have one of its own.
    ("fixtures/.gitattributes", include_str!("example/gitattributes"), !EXECUTABLE),
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
            return Err(AlreadyExists(path).into());
        }
    }
    let cannot_write = CannotWrite::new(NOTHING_WRITTEN);
    let project = StagedProject::new(&root).map_err(&cannot_write)?;
    for (path, content, executable) in FILES {
        project.write(path, content.as_bytes(), *executable).map_err(&cannot_write)?;
    }
    let opened = project::open(&Global::for_project(project.directory()), None)?.at(diff::TIMESTAMP);
    let plan = opened.plan(global, Vec::new(), &crate::model::Lock::default())?;
    let document = project::document(&plan, Target::DIGITALOCEAN)?;
    project.write("fixtures/default/user-data.yaml", document.text.as_bytes(), !EXECUTABLE).map_err(&cannot_write)?;
    let settings = diff::settings(&opened.project.root, &plan, &document)?;
    project.write("fixtures/default/bake.yaml", settings.as_bytes(), !EXECUTABLE).map_err(&cannot_write)?;
    project.commit().map_err(&cannot_write)?;
    // Without `.` at the end.
    let shown: PathBuf = root.components().collect();
    let here = shown == Path::new(".");
    let place = if here { "this directory".to_owned() } else { shown.display().to_string() };
    global.terminal.note(&format!("wrote an example project to {place}; start with templates/image.yaml"));
    let enter = if here { String::new() } else { format!("cd {place} · ") };
    global.terminal.note(&format!("next: {enter}mkimg render · mkimg validate · mkimg diff · mkimg bake --local"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::error::tests::assert_error;

    #[test]
    fn errors_have_a_status_and_a_next_step() {
        assert_error(AlreadyExists("templates".into()), 2, "name an empty directory");
    }
}
