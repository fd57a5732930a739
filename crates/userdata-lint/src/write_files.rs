//! The entries of `write_files`: what they write, and checks that the tables in `modules/` cannot
//! express.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};

use crate::decode::decode;
use crate::places::finding;
use crate::rules::{self, Rule};
use crate::{boot, content, value};
use diagnostics::source::{Source, Span};
use diagnostics::{Diagnostic, quoted};
use yaml11::{Node, Scalar, Tree};

/// Limit of all unpacked contents of a document together.
const MAX_UNPACKED_BYTES: u64 = 64 * 1024 * 1024;

/// How many files that are written twice are reported.
const MAX_DUPLICATES: usize = 1_000;

/// The folders whose scripts run at the end of the boot that writes them.
pub(crate) const SCRIPT_FOLDERS: &[&str] =
    &["/var/lib/cloud/scripts/per-instance/", "/var/lib/cloud/scripts/per-boot/", "/var/lib/cloud/scripts/per-once/"];

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
pub(crate) fn read_entries<'t>(tree: &'t Tree, root: Node<'t>) -> Vec<FileEntry<'t>> {
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

/// Checks all entries.
pub(crate) fn check(document: &CloudConfig<'_>, out: &mut Vec<Diagnostic>) {
    let late = boot::new_accounts(document);
    let mut seen: HashMap<&str, &FileEntry<'_>> = HashMap::new();
    let mut twice = 0;
    for entry in document.files() {
        let mode = check_mode(document, entry, out);
        check_owner(document, entry, &late, out);
        check_content(document, entry, mode, out);
        let Some((path, place)) = entry.path else { continue };
        check_destination(entry, path, place, out);
        match seen.get(&*entry.destination) {
            Some(first) if !entry.appends && !first.appends && twice < MAX_DUPLICATES => {
                twice += 1;
                let message = format!("{} is written twice", quoted(path));
                let help = Some("keep one of the two entries, or add `append: true` to the later one".into());
                let mut found = entry.finding(&rules::DUPLICATE_DESTINATION, "path", place.used_at(), message, help);
                found.related.extend(first.path.map(|(_, place)| (place.used_at(), "first here".to_string())));
                out.push(found);
                seen.insert(&entry.destination, entry);
            }
            Some(_) => {}
            None => {
                seen.insert(&entry.destination, entry);
            }
        }
    }
}

impl FileEntry<'_> {
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

/// The mode that an entry requests; `None` if [`mode`] reports a problem with it.
pub(crate) fn file_mode(document: &CloudConfig<'_>, entry: &FileEntry<'_>) -> Option<u32> {
    let mut faults = Vec::new();
    let mode = check_mode(document, entry, &mut faults);
    let written = value::get(document.tree, entry.node, "permissions").and_then(Node::as_str);
    (faults.is_empty() && !written.is_some_and(is_replaced_later)).then_some(mode)
}

/// The mode that cloud-init would give the file.
fn check_mode(document: &CloudConfig<'_>, entry: &FileEntry<'_>, out: &mut Vec<Diagnostic>) -> u32 {
    const DEFAULT: u32 = 0o644;
    let Some(node) = value::get(document.tree, entry.node, "permissions") else { return DEFAULT };
    match node.scalar() {
        Some(Scalar::Int(digits)) => {
            let Ok(mode) = digits.parse::<u32>() else { return DEFAULT };
            let written = value::written(document.source, node);
            if written == digits && mode != 0 {
                let message =
                    format!("the mode {} is read as a decimal number: it is {mode:04o} in octal", quoted(written));
                let help = Some(format!("write octal digits in quotes: `'{written:0>4}'`"));
                out.push(entry.finding(&rules::DECIMAL_MODE, "permissions", node.used_at(), message, help));
            }
            mode
        }
        Some(Scalar::Str(text)) if is_replaced_later(text) => DEFAULT,
        Some(Scalar::Str(text)) => {
            // Python's `int(text, 8)`.
            let digits = text.trim().replace('_', "");
            let digits = digits.strip_prefix("0o").or_else(|| digits.strip_prefix("0O")).unwrap_or(&digits);
            u32::from_str_radix(digits, 8).ok().filter(|mode| *mode <= 0o7777).unwrap_or_else(|| {
                let message = format!("expected a mode of octal digits up to 7777, found {}", quoted(text));
                let help = Some("write it like `'0644'`; otherwise cloud-init uses its default".into());
                out.push(entry.finding(&rules::INVALID_MODE, "permissions", node.used_at(), message, help));
                DEFAULT
            })
        }
        _ => DEFAULT,
    }
}

fn check_owner(
    document: &CloudConfig<'_>,
    entry: &FileEntry<'_>,
    late: &BTreeMap<&str, Span>,
    out: &mut Vec<Diagnostic>,
) {
    if entry.deferred {
        return;
    }
    let Some(node) = value::get(document.tree, entry.node, "owner") else { return };
    let Some(owner) = node.as_str() else { return };
    let mut names = owner.splitn(2, ':');
    let Some((name, place)) = names.find_map(|name| late.get_key_value(name)) else { return };
    let message = format!("{} does not exist yet when this file is written", quoted(name));
    let help = Some("add `defer: true`: the file is then written after users and groups are created".into());
    let mut found = entry.finding(&rules::OWNER_CREATED_LATER, "owner", node.used_at(), message, help);
    found.related.push((*place, "created here, later".into()));
    out.push(found);
}

fn check_destination(entry: &FileEntry<'_>, path: &str, place: Node<'_>, out: &mut Vec<Diagnostic>) {
    if !path.starts_with('/') {
        let message = format!("expected an absolute path, found {}", quoted(path));
        let rest = diagnostics::escape_control(path.trim_start_matches(['~', '.', '/']));
        let help = Some(match path.strip_prefix('~') {
            // The user is not known: `~` may mean root's home or that of another user.
            Some(below) if below.starts_with('/') => {
                format!("`~` is not expanded: write the full path, `/root/{rest}` or `/home/NAME/{rest}`")
            }
            _ => format!("write the full path: `/{rest}`"),
        });
        out.push(entry.finding(&rules::RELATIVE_DESTINATION, "path", place.used_at(), message, help));
    }
    if entry.is_run_at_boot() {
        let message = "this script runs at the end of the boot that writes it, also on the build machine".to_string();
        let help = Some("write it to another directory, and move it when the image is finished".into());
        out.push(entry.finding(&rules::RUNS_DURING_BAKE, "path", place.used_at(), message, help));
    }
}

/// Checks the content: its encoding, and the decoded file.
fn check_content(document: &CloudConfig<'_>, entry: &FileEntry<'_>, mode: u32, out: &mut Vec<Diagnostic>) {
    let Some(content) = &entry.content else { return };
    let node = content.node;
    if node.as_str().is_some_and(is_replaced_later) {
        return;
    }
    if let Err(problem) = &content.bytes {
        let message = format!("the content is not {}: {problem}", quoted(content.encoding));
        let help = Some("encode it again, or correct `encoding`".into());
        out.push(entry.finding(&rules::UNDECODABLE_CONTENT, "content", node.used_at(), message, help));
        return;
    }
    let encoded = !content.is_plain();
    let Some(text) = content.text() else { return };
    let first = text.split('\n').next().unwrap_or_default();
    let span = node.used_at();
    if first.starts_with("#!") && first.ends_with('\r') {
        let message = "the script has Windows line ends: its interpreter is not found".to_string();
        let help = Some("save the script with Unix line ends".into());
        out.push(entry.finding(&rules::CRLF_SCRIPT, "content", span, message, help));
    }
    // A file that is appended to another one need not begin like a script.
    if (mode & 0o111 != 0 || entry.is_run_at_boot())
        && !entry.appends
        && !first.starts_with("#!")
        && !text.trim().is_empty()
    {
        let message = "an executable text file without `#!` in its first line cannot be executed".to_string();
        let help = Some(
            "add `#!/bin/sh` or another interpreter as the first line, or remove the executable permission".into(),
        );
        out.push(entry.finding(&rules::MISSING_INTERPRETER, "content", span, message, help));
    }
    let inside = content::Content { text, path: &entry.destination, mode, appends: entry.appends };
    let place = format!("write_files.{}.content", entry.index);
    content::report_in_scalar(document.source, node, encoded, &place, text, content::check(&inside), out);
}

/// Whether another program (Terraform, Helm, ERB) will replace this text before cloud-init reads
/// it.
fn is_replaced_later(text: &str) -> bool {
    let text = text.trim();
    ["${", "%{", "{{", "<%"].iter().any(|mark| text.starts_with(mark)) && text.ends_with(['}', '>'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, lint_bytes};

    /// Each branch of each check: the code, the keys of an entry for `/a`, and whether the code is reported.
    #[test]
    fn read_entries() {
        for (code, entry, is_found) in [
            ("MK203", "permissions: 644", true),
            ("MK203", "permissions: 0644", false),
            ("MK203", "permissions: 0o644", false),
            ("MK203", "permissions: 0", false),
            ("MK203", "permissions: '644'", false),
            ("MK204", "permissions: '0888'", true),
            ("MK204", "permissions: 'rw'", true),
            ("MK204", "permissions: '7777'", false),
            ("MK204", "permissions: '10000'", true),
            ("MK204", "permissions: '0o755'", false),
            ("MK204", "permissions: '${mode}'", false),
            ("MK207", "encoding: b64, content: 'a*'", true),
            ("MK207", "encoding: b64, content: 'aGk='", false),
            ("MK207", "encoding: b64, content: 'aGk'", true),
            ("MK207", "encoding: gzip, content: 'a'", true),
            ("MK207", "encoding: b64, content: '${a}'", false),
            ("MK208", "permissions: '0755', content: 'echo'", true),
            ("MK208", "permissions: '0755', content: '#!/bin/sh'", false),
            ("MK208", "permissions: '0644', content: 'echo'", false),
            ("MK208", "permissions: '0755', append: true, content: 'echo'", false),
            ("MK208", "permissions: '0755', content: ' '", false),
            ("MK208", "content: a}, {path: /var/lib/cloud/scripts/per-once/b, content: echo", true),
            ("MK204", "permissions: '<%= mode %>'", false),
            ("MK204", "permissions: '%{mode}'", false),
            ("MK204", "permissions: '<mode'", true),
            ("MK209", "content: \"#!/bin/sh\\r\\n\"", true),
            ("MK209", "content: \"a\\r\\n\"", false),
            ("MK206", "content: a}, {path: //a/., content: b", true),
            ("MK206", "content: a}, {path: /a, content: b, append: true", false),
            ("MK206", "content: a}, {path: /b, content: b", false),
            ("MK206", "append: true, content: a}, {path: /a, content: b", false),
            ("MK210", "content: a}, {path: /var/lib/cloud/scripts/per-boot/b, content: '#!/bin/sh'", true),
            ("MK210", "content: a}, {path: /var/lib/cloud/b, content: '#!/bin/sh'", false),
            ("MK211", "content: a}, {path: b, content: c", true),
            ("MK211", "content: a}, {path: ~/b, content: c", true),
            ("MK210", "content: a}, {path: /var/lib/cloud/scripts/per-once/b, content: '#!/bin/sh'", true),
            ("MK210", "content: a}, {path: /var/lib/cloud/scripts/per-instance/b, content: '#!/bin/sh'", true),
            ("MK210", "content: a}, {path: /var/lib/cloud/scripts/vendor/b, content: '#!/bin/sh'", false),
            ("MK208", "permissions: '0001', content: echo", true),
            ("MK208", "permissions: '0010', content: echo", true),
            ("MK208", "permissions: '0100', content: echo", true),
            ("MK208", "permissions: '0755', content: \"a\\0b\"", false),
            ("MK204", "permissions: ' 0755 '", false),
            ("MK204", "permissions: '0_755'", false),
            ("MK204", "permissions: '0O755'", false),
            ("MK204", "permissions: ' ${mode} '", false),
            ("MK204", "permissions: '${mode} x'", true),
        ] {
            let text = format!("#cloud-config\nwrite_files: [{{path: /a, {entry}}}]\n");
            let report = lint_bytes("t.yaml", text.as_bytes(), &Options::default());
            let found = report.documents[0].findings.diagnostics.iter().any(|found| found.rule.code == code);
            assert_eq!(found, is_found, "{code} {entry}");
        }
    }

    #[test]
    fn paths_are_normalized() {
        for (path, expected) in
            [("/a/b", "/a/b"), ("//a/./b/", "/a/b"), ("/", "/"), ("a//b", "a/b"), ("/a/../b", "/a/../b")]
        {
            assert_eq!(normalize_path(path), expected, "{path}");
        }
    }
}
