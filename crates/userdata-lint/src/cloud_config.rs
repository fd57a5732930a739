//! A parsed cloud-config and the files that it writes, decoded: what all checks read.

use std::borrow::Cow;
use std::cell::OnceCell;

use crate::decode::decode;
use crate::places::finding;
use crate::rules::Rule;
use crate::value;
use diagnostics::Diagnostic;
use diagnostics::source::{Source, Span};
use yaml11::{Node, Scalar, Tree};

/// Limit of all unpacked contents of a document together.
const MAX_UNPACKED_BYTES: u64 = 64 * 1024 * 1024;

/// The folders whose scripts run at the end of the boot that writes them.
pub(crate) const SCRIPT_FOLDERS: &[&str] =
    &["/var/lib/cloud/scripts/per-instance/", "/var/lib/cloud/scripts/per-boot/", "/var/lib/cloud/scripts/per-once/"];

/// The directory of an image's scripts on the machine.
const IMAGE_SCRIPTS: &str = "/run/mkimg/scripts/";

/// A parsed cloud-config, for the checks.
pub(crate) struct CloudConfig<'t> {
    pub source: &'t Source,
    pub tree: &'t Tree,
    pub root: Node<'t>,
    files: OnceCell<Vec<FileEntry<'t>>>,
}

impl<'t> CloudConfig<'t> {
    pub(crate) fn new(source: &'t Source, tree: &'t Tree, root: Node<'t>) -> Self {
        Self { source, tree, root, files: OnceCell::new() }
    }

    /// The entries of `write_files`, with decoded contents.
    pub(crate) fn files(&self) -> &[FileEntry<'t>] {
        self.files.get_or_init(|| read_entries(self.tree, self.root))
    }

    /// The value of a top-level key.
    pub(crate) fn get(&self, key: &str) -> Option<Node<'t>> {
        value::get(self.tree, self.root, key)
    }
}

/// One entry of `write_files`.
#[derive(Debug)]
pub(crate) struct FileEntry<'t> {
    pub index: usize,
    pub node: Node<'t>,
    /// The path as written.
    pub path: Option<(&'t str, Node<'t>)>,
    /// The path after [`normalize_path`]; empty if there is none.
    pub destination: Cow<'t, str>,
    pub deferred: bool,
    pub appends: bool,
    pub content: Option<FileContent<'t>>,
}

/// The content of an entry.
#[derive(Debug)]
pub(crate) struct FileContent<'t> {
    pub node: Node<'t>,
    /// The value of `encoding`.
    pub encoding: &'t str,
    /// The bytes of the file, borrowed if the document contains them unencoded; or why they cannot
    /// be decoded.
    pub bytes: Result<Cow<'t, [u8]>, String>,
}

impl<'t> FileContent<'t> {
    /// The content, if it is text.
    pub(crate) fn text(&self) -> Option<&str> {
        let bytes = self.bytes.as_ref().ok()?;
        std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
    }

    /// Whether the document contains the content unencoded.
    pub(crate) fn is_plain(&self) -> bool {
        matches!((&self.bytes, self.node.scalar()), (Ok(Cow::Borrowed(_)), Some(Scalar::Str(_))))
    }

    fn read(tree: &'t Tree, entry: Node<'t>, budget: &mut u64) -> Option<Self> {
        let node = value::get(tree, entry, "content")?;
        let written: &'t [u8] = match node.scalar() {
            Some(Scalar::Str(text)) => text.as_bytes(),
            Some(Scalar::Binary(bytes)) => bytes,
            _ => return None,
        };
        let encoding = value::get(tree, entry, "encoding").and_then(Node::as_str).unwrap_or_default();
        let bytes = decode(encoding, written, *budget);
        if let Ok(Cow::Owned(bytes)) = &bytes {
            *budget = budget.saturating_sub(bytes.len() as u64);
        }
        Some(Self { node, encoding, bytes })
    }
}

/// The entries that are mappings, decoded.
fn read_entries<'t>(tree: &'t Tree, root: Node<'t>) -> Vec<FileEntry<'t>> {
    let Some(items) = value::get(tree, root, "write_files").and_then(Node::items) else { return Vec::new() };
    let is_true = |node: Option<Node<'_>>| matches!(node.and_then(Node::scalar), Some(Scalar::Bool(true)));
    let mut budget = MAX_UNPACKED_BYTES;
    let items = items.enumerate().filter(|(_, node)| node.entries().is_some());
    items
        .map(|(index, node)| {
            let get = |key: &str| value::get(tree, node, key);
            let path = get("path").and_then(|path| Some((path.as_str()?, path)));
            let destination = path.map(|(path, _)| normalize_path(path)).unwrap_or_default();
            let content = FileContent::read(tree, node, &mut budget);
            let (deferred, appends) = (is_true(get("defer")), is_true(get("append")));
            FileEntry { index, node, path, destination, deferred, appends, content }
        })
        .collect()
}

impl FileEntry<'_> {
    /// Whether the file is a script that runs while the machine is set up.
    pub(crate) fn is_run_as_script(&self) -> bool {
        is_script_path(&self.destination)
    }

    /// Whether cloud-init runs the file at the end of the boot that writes it.
    pub(crate) fn is_run_at_boot(&self) -> bool {
        SCRIPT_FOLDERS.iter().any(|folder| self.destination.starts_with(folder))
    }

    pub(crate) fn finding(
        &self,
        rule: &'static Rule,
        key: &str,
        span: Span,
        message: String,
        help: Option<String>,
    ) -> Diagnostic {
        finding(rule, format!("write_files.{}.{key}", self.index), span, message, help)
    }
}

/// Whether a file at this path is a script of cloud-init or of an image, which runs while the machine is set up.
pub(crate) fn is_script_path(path: &str) -> bool {
    path.starts_with(IMAGE_SCRIPTS) || SCRIPT_FOLDERS.iter().any(|folder| path.starts_with(folder))
}

/// Normalizes a path: removes repeated slashes and `.` steps.
pub(crate) fn normalize_path(path: &str) -> Cow<'_, str> {
    let below = path.strip_prefix('/').unwrap_or(path);
    let is_kept = |step: &&str| !step.is_empty() && *step != ".";
    // Nearly every path is normal already and is not copied.
    if below.is_empty() || below.split('/').all(|step| is_kept(&step)) {
        return Cow::Borrowed(path);
    }
    let steps: Vec<_> = below.split('/').filter(is_kept).collect();
    Cow::Owned(format!("{}{}", if path.starts_with('/') { "/" } else { "" }, steps.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normalized() {
        for (path, expected) in
            [("/a/b", "/a/b"), ("//a/./b/", "/a/b"), ("/", "/"), ("a//b", "a/b"), ("/a/../b", "/a/../b")]
        {
            assert_eq!(normalize_path(path), expected, "{path}");
        }
    }
}
