//! `mkimg diff [TEMPLATE]`, `mkimg diff A B` and `mkimg diff --git REV [REV]`.

mod cases;
mod review;
mod revisions;
mod settings;

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use diagnostics::source::Source;

use super::Global;
use super::error::{ErrorKind, ExitStatus, ExpectedError, Failure};
use super::show;
use crate::diff::differences;
pub(super) use cases::TIMESTAMP;
pub(super) use settings::settings;

use review::{Compared, Review, ReviewFormat};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// An image template, or two documents to compare; one of them may be `-` for standard input
    #[arg(num_args = 0..=2, value_name = "TEMPLATE | A B")]
    paths: Vec<PathBuf>,
    /// Compare what two revisions of the Git repository render, or one and the files on disk; write TEMPLATE before it
    #[arg(long, num_args = 1..=2, value_name = "REV", conflicts_with_all = ["update", "locked", "lock"])]
    git: Vec<String>,
    /// Rewrite the fixtures with what is rendered now
    #[arg(long)]
    update: bool,
    /// Fail if mkimg.lock does not pin an artifact
    #[arg(long)]
    locked: bool,
    /// The lock to read instead of the project's
    #[arg(long, value_name = "FILE", hide = true)]
    lock: Option<PathBuf>,
    /// Output format of the differences
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = ReviewFormat::Human)]
    format: ReviewFormat,
}

#[derive(Debug, thiserror::Error)]
enum DiffError {
    #[error("--update rewrites fixtures, and two documents were given")]
    UpdateOfDocuments { old: PathBuf, new: PathBuf },
    #[error("--git compares revisions of one project, and two documents were given")]
    RevisionsOfDocuments,
    #[error("only one of the two documents can be standard input")]
    StandardInputTwice,
}

impl ExpectedError for DiffError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Usage
    }
    fn help(&self) -> Option<Cow<'static, str>> {
        Some(match self {
            Self::UpdateOfDocuments { old, new } => {
                format!("to copy one over the other: cp {} {}", new.display(), old.display()).into()
            }
            Self::RevisionsOfDocuments => "name a template, or none".into(),
            Self::StandardInputTwice => "name the other one".into(),
        })
    }
}

pub(super) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    match args.paths.as_slice() {
        [_, _] if !args.git.is_empty() => Err(DiffError::RevisionsOfDocuments.into()),
        [old, new] if args.update => Err(DiffError::UpdateOfDocuments { old: old.clone(), new: new.clone() }.into()),
        [old, new] if old == Path::new("-") && new == Path::new("-") => Err(DiffError::StandardInputTwice.into()),
        [old, new] => {
            let help = "name two user-data documents";
            let (old, new) = (show::read(global, old, help)?, show::read(global, new, help)?);
            let mut review = Review::default();
            let compared = Compared { file: Some(new.name().to_owned()), ..Compared::of(&old, &new) };
            review.add(&compared, differences(&old, &new));
            print(args, global, &review)?;
            finish(&review)
        }
        paths => {
            let template = paths.first().map(PathBuf::as_path);
            match args.git.as_slice() {
                [] => cases::run(args, global, template),
                [old, newer @ ..] => revisions::run(args, global, template, old, newer.first().map(String::as_str)),
            }
        }
    }
}

impl Compared {
    fn of(old: &Source, new: &Source) -> Self {
        Self { old: old.name().to_owned(), new: new.name().to_owned(), file: None }
    }
}

/// Prints what was found, and a line that sums it up.
fn print(args: &Args, global: &Global, review: &Review) -> Result<(), Failure> {
    match args.format {
        ReviewFormat::Human => global.terminal.print_styled(&review.human())?,
        ReviewFormat::Json => global.terminal.print_json(review.json())?,
        ReviewFormat::Markdown => global.terminal.print(review.markdown())?,
        // Its lines are commands of the workflow.
        ReviewFormat::Github => global.terminal.print_raw(review.github().as_bytes())?,
    }
    if !review.is_empty() {
        global.terminal.note(&review.summary());
    }
    Ok(())
}

fn finish(review: &Review) -> Result<(), Failure> {
    if review.is_empty() { Ok(()) } else { Err(Failure::Reported(ExitStatus::Finding)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::error::tests::assert_error;

    #[test]
    fn errors_have_a_status_and_a_next_step() {
        let path = |name: &str| PathBuf::from(name);
        assert_error(
            DiffError::UpdateOfDocuments { old: path("a"), new: path("b") },
            2,
            "to copy one over the other: cp b a",
        );
        assert_error(DiffError::RevisionsOfDocuments, 2, "name a template, or none");
        assert_error(DiffError::StandardInputTwice, 2, "name the other one");
    }
}
