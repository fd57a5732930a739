//! `mkimg show [FILE|-]`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use diagnostics::source::Source;

use super::Global;
use super::error::{Failure, FileError};
use crate::diff::{Part, parts};
use crate::workspace::{FilePath, read_document};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The document; `-` is standard input
    #[arg(value_name = "FILE", default_value = "-")]
    document: PathBuf,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let source = read(global, &args.document, "name a user-data document")?;
    global.terminal.print(shown(&source))
}

/// Reads a user-data document; `-` is standard input.
pub(super) fn read(global: &Global, path: &Path, help: &'static str) -> Result<Source, Failure> {
    let file = (path != Path::new("-")).then(|| FilePath::typed(global.path(path)));
    let text = read_document(file.as_ref()).map_err(|reason| FileError::unreadable(path, &reason).with_help(help))?;
    Ok(Source::new(path.display().to_string(), text))
}

/// Writes a document as a person reads it: its keys in order, then its files by path, whether they
/// are readable in the document or in its bundle.
fn shown(source: &Source) -> String {
    let parts = parts(source);
    let (mut files, keys): (Vec<_>, Vec<_>) = parts.iter().partition(|(name, _)| name.starts_with('/'));
    files.sort_by_key(|(path, _)| path.as_str());
    let mut text = String::new();
    for (name, Part { attributes, content, .. }) in keys.into_iter().chain(files) {
        let attributes: Vec<&str> = attributes.lines().collect();
        let attributes = if attributes.is_empty() { String::new() } else { format!(" ({})", attributes.join(", ")) };
        let end = if content.is_empty() || content.ends_with('\n') { "" } else { "\n(no line break at the end)\n" };
        let _ = writeln!(text, "=== {name}{attributes}\n{content}{end}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_in_order_and_files_by_path() {
        let text = "#cloud-config\nruncmd: [[a, b c]]\npackages: [x]\nwrite_files:\n- {path: /b, permissions: '0600', content: b}\n\
                    - {path: /a, owner: 'root:root', encoding: b64, content: YQo=}\n- {path: /0, content: c}\n";
        let expected = "=== runcmd\n-\n  - \"a\"\n  - \"b c\"\n\n=== packages\n- \"x\"\n\n=== /0\nc\n(no line break at the end)\n\n=== /a (owner: \"root:root\")\na\n\n\
                        === /b (permissions: \"0600\")\nb\n(no line break at the end)\n\n";
        assert_eq!(shown(&Source::new("x", text)), expected);
    }
}
