//! Compares two user-data documents, byte for byte and in a form that a person can read.
//!
//! The contents of files are decoded first, so that a difference is shown in the file on the
//! machine and not in its encoding. Different bytes that decode to the same file are still a
//! difference.

mod parts;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use diagnostics::source::Source;
use similar::TextDiff;

pub use parts::{Part, Parts, parts};

/// One difference between two documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The path or key that differs; of a renamed file, its new path.
    pub name: String,
    pub change: Change,
    /// A unified diff without its header; may be empty.
    pub lines: String,
}

/// In what way a part of a document differs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    Changed,
    Added,
    Removed,
    Renamed {
        /// The path before.
        from: String,
    },
    /// The bytes of the document differ, but not the file on the machine.
    Encoding,
    /// The values are the same: comments, quotes, layout.
    Layout,
    /// The parts are the same, in another order.
    Order,
}

impl Change {
    /// The name in JSON.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Renamed { .. } => "renamed",
            Self::Encoding => "encoding",
            Self::Layout => "layout",
            Self::Order => "order",
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed | Self::Added | Self::Removed => formatter.write_str(self.name()),
            Self::Renamed { from } => write!(formatter, "renamed from {from}"),
            Self::Encoding => formatter.write_str("encoded differently, but the same file on the machine"),
            Self::Layout => formatter.write_str("same values in different bytes: comments, quotes or layout"),
            Self::Order => formatter.write_str("the same files and keys in another order"),
        }
    }
}

/// Compares two documents. Returns nothing if they are equal byte for byte.
#[must_use]
pub fn differences(old: &Source, new: &Source) -> Vec<Difference> {
    if old.text() == new.text() {
        return Vec::new();
    }
    let (old_parts, new_parts) = (parts(old), parts(new));
    let removed: Vec<_> = old_parts.iter().filter(|(name, _)| !new_parts.contains_key(*name)).collect();
    let added: Vec<_> = new_parts.iter().filter(|(name, _)| !old_parts.contains_key(*name)).collect();
    let renames = renames(&removed, &added);
    let mut differences = Vec::new();
    for (name, old_part) in &old_parts {
        if let Some(new_part) = new_parts.get(name) {
            differences.extend(compare_part(name, old_part, new_part));
        } else if let Some(new_name) = renames.get(name.as_str()) {
            let lines = compared(old_part, &new_parts[*new_name]);
            differences.push(Difference {
                name: (*new_name).to_owned(),
                change: Change::Renamed { from: name.clone() },
                lines,
            });
        } else {
            let lines = unified(&old_part.text(), "");
            differences.push(Difference { name: name.clone(), change: Change::Removed, lines });
        }
    }
    let new_names: BTreeSet<&str> = renames.values().copied().collect();
    for (name, part) in new_parts.iter().filter(|(name, _)| !old_parts.contains_key(*name)) {
        if !new_names.contains(name.as_str()) {
            let lines = unified("", &part.text());
            differences.push(Difference { name: name.clone(), change: Change::Added, lines });
        }
    }
    if differences.is_empty() {
        let change = if old_parts.keys().eq(new_parts.keys()) { Change::Layout } else { Change::Order };
        let lines = unified(old.text(), new.text());
        differences.push(Difference { name: "the document".to_owned(), change, lines });
    }
    differences
}

/// With more pairs of removed and added files, renames are not looked for.
const MAX_RENAME_PAIRS: usize = 2_500;
/// Larger files are the same only if they are equal.
const MAX_SIMILAR_BYTES: usize = 64 << 10;
/// As in Git: half of the file is the same.
const MIN_SIMILARITY: f32 = 0.5;

/// Returns the files that were renamed: the old path of each, and the new one. The most similar pairs come first.
fn renames<'p>(removed: &[(&'p String, &Part)], added: &[(&'p String, &Part)]) -> BTreeMap<&'p str, &'p str> {
    let mut pairs = Vec::new();
    if removed.len() * added.len() <= MAX_RENAME_PAIRS {
        for (old_name, old) in removed {
            for (new_name, new) in added {
                let similarity =
                    if old_name.starts_with('/') && new_name.starts_with('/') { similarity(old, new) } else { 0.0 };
                if similarity >= MIN_SIMILARITY {
                    pairs.push((similarity, old_name.as_str(), new_name.as_str()));
                }
            }
        }
    }
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| (a.1, a.2).cmp(&(b.1, b.2))));
    let (mut renames, mut taken) = (BTreeMap::new(), BTreeSet::new());
    for (_, old, new) in pairs {
        if !renames.contains_key(old) && taken.insert(new) {
            renames.insert(old, new);
        }
    }
    renames
}

/// Returns how similar two files are: from 0 to 1, which means equal. An empty file is similar to none.
fn similarity(old: &Part, new: &Part) -> f32 {
    if old.bytes.is_empty() || new.bytes.is_empty() {
        0.0
    } else if old.bytes == new.bytes {
        1.0
    } else if old.bytes.len().max(new.bytes.len()) > MAX_SIMILAR_BYTES {
        0.0
    } else {
        TextDiff::from_lines(&old.content, &new.content).ratio()
    }
}

fn compare_part(name: &str, old: &Part, new: &Part) -> Option<Difference> {
    if old == new {
        return None;
    }
    let lines = compared(old, new);
    let change = if lines.is_empty() { Change::Encoding } else { Change::Changed };
    Some(Difference { name: name.to_owned(), change, lines })
}

fn compared(old: &Part, new: &Part) -> String {
    let mut lines = unified(&old.attributes, &new.attributes);
    if old.bytes != new.bytes {
        let content = unified(&old.content, &new.content);
        // JSON that differs in its layout only.
        if content.is_empty() {
            lines.push_str("  (the bytes differ, but not after indentation)\n");
        }
        lines.push_str(&content);
    }
    lines
}

fn unified(old: &str, new: &str) -> String {
    if old == new {
        return String::new();
    }
    TextDiff::from_lines(old, new).unified_diff().context_radius(3).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(old: &str, new: &str) -> Vec<Difference> {
        differences(&Source::new("old", old), &Source::new("new", new))
    }

    const PLAIN: &str =
        "#cloud-config\nwrite_files:\n- path: /etc/x\n  permissions: '0644'\n  content: |\n    a\n    b\n";

    #[test]
    fn equal_documents_do_not_differ() {
        assert_eq!(compare(PLAIN, PLAIN), []);
    }

    #[test]
    fn a_changed_line_is_shown_under_its_path() {
        let found = compare(PLAIN, &PLAIN.replace("    b", "    c"));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].name.as_str(), &found[0].change), ("/etc/x", &Change::Changed));
        assert_eq!(found[0].lines, "@@ -1,2 +1,2 @@\n a\n-b\n+c\n");
    }

    #[test]
    fn payloads_are_decoded_first() {
        let old = "#cloud-config\nwrite_files:\n- {path: /etc/x, encoding: b64, content: YQpiCg==}\n";
        let new = "#cloud-config\nwrite_files:\n- {path: /etc/x, encoding: b64, content: YQpjCg==}\n";
        assert_eq!(compare(old, new)[0].lines, "@@ -1,2 +1,2 @@\n a\n-b\n+c\n");
    }

    #[test]
    fn bytes_that_decode_to_the_same_still_differ() {
        let new = "#cloud-config\nwrite_files:\n- path: /etc/x\n  permissions: '0644'\n  encoding: b64\n  content: YQpiCg==\n";
        let found = compare(PLAIN, new);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].change, Change::Encoding);
        let found = compare(PLAIN, &PLAIN.replace("'0644'", "\"0644\""));
        assert_eq!(found[0].change, Change::Layout);
    }

    #[test]
    fn a_mode_and_a_missing_file_are_differences() {
        let found = compare(PLAIN, &PLAIN.replace("0644", "0600"));
        assert_eq!(found[0].lines, "@@ -1 +1 @@\n-permissions: \"0644\"\n+permissions: \"0600\"\n");
        let found = compare(PLAIN, "#cloud-config\nwrite_files: []\n");
        assert_eq!(found[0].change, Change::Removed);
    }

    #[test]
    fn sets_and_pairs_are_compared() {
        let set = "#cloud-config\nx: !!set {a, b}\n";
        assert_eq!(compare(set, &set.replace('b', "c"))[0].lines, "@@ -1,2 +1,2 @@\n - \"a\"\n-- \"b\"\n+- \"c\"\n");
        let pairs = "#cloud-config\nx: !!omap [a: 1, b: 2]\n";
        assert_eq!(compare(pairs, &pairs.replace('2', "3"))[0].lines, "@@ -1,2 +1,2 @@\n a: 1\n-b: 2\n+b: 3\n");
    }

    #[test]
    fn any_text_can_be_compared() {
        assert_eq!(compare("#!/bin/sh\na\n", "#!/bin/sh\nb\n").len(), 1);
        assert_eq!(compare("", "a: [").len(), 1);
        assert_eq!(compare("- a", "b: 1").len(), 2);
    }

    #[test]
    fn renamed_files_are_followed() {
        let files = |files: &[(&str, &str)]| {
            let files = files.iter().map(|(path, content)| format!("- {{path: {path}, content: {content:?}}}\n"));
            format!("#cloud-config\nwrite_files:\n{}", files.collect::<String>())
        };
        let text = "a\nb\nc\nd\n";
        let similar = "a\nb\nc\nx\n";
        let shown = |old: &[(&str, &str)], new: &[(&str, &str)]| -> Vec<String> {
            let found = compare(&files(old), &files(new));
            found.iter().map(|one| format!("{}: {}", one.name, one.change)).collect()
        };
        assert_eq!(shown(&[("/a", text)], &[("/b", text)]), ["/b: renamed from /a"]);
        assert_eq!(
            compare(&files(&[("/a", text)]), &files(&[("/b", similar)]))[0].lines,
            "@@ -1,4 +1,4 @@\n a\n b\n c\n-d\n+x\n"
        );
        // The equal file rather than a similar one; each only once.
        assert_eq!(
            shown(&[("/a", text), ("/b", similar)], &[("/c", similar), ("/d", text)]),
            ["/d: renamed from /a", "/c: renamed from /b"]
        );
        assert_eq!(shown(&[("/a", text)], &[("/b", text), ("/c", text)]), ["/b: renamed from /a", "/c: added"]);
        for (old, new) in [("", ""), ("a\nb\nc\n", "x\ny\nc\n")] {
            assert_eq!(shown(&[("/a", old)], &[("/b", new)]), ["/a: removed", "/b: added"]);
        }
        // Only files are followed, not keys.
        let keys = compare("#cloud-config\nruncmd: [ls]\n", "#cloud-config\nbootcmd: [ls]\n");
        assert_eq!(keys.iter().map(|one| &one.change).collect::<Vec<_>>(), [&Change::Removed, &Change::Added]);
    }

    /// A part of the old document, the same part of the new one, and the difference that is reported.
    #[test]
    fn each_kind_of_difference_is_said() {
        let file = |rest: &str| format!("#cloud-config\nwrite_files:\n- {{path: /etc/x.json, {rest}}}\n");
        let other_order = "#cloud-config\nb: 1\na: 1\n";
        for (old, new, expected) in [
            (
                file("content: '{\"a\":1}'"),
                file("content: '{ \"a\": 1 }'"),
                vec![("/etc/x.json", "changed", "  (the bytes differ, but not after indentation)\n")],
            ),
            (
                file("content: a, defer: true"),
                file("content: a"),
                vec![("/etc/x.json", "changed", "@@ -1 +0,0 @@\n-defer: true\n")],
            ),
            (
                file("content: a, encoding: b64"),
                file("content: YQ==, encoding: b64"),
                vec![("/etc/x.json", "changed", "@@ -1 +0,0 @@\n-encoding: b64 (it cannot be decoded)\n")],
            ),
            (
                "#cloud-config\na: 1\nb: 1\n".to_owned(),
                other_order.to_owned(),
                vec![(
                    "the document",
                    "the same files and keys in another order",
                    "@@ -1,3 +1,3 @@\n #cloud-config\n+b: 1\n a: 1\n-b: 1\n",
                )],
            ),
            (
                "#cloud-config\nbootcmd: [ls]\n".to_owned(),
                "#cloud-config\nbootcmd: [[ls, -l]]\n".to_owned(),
                vec![("bootcmd", "changed", "@@ -1 +1,3 @@\n-- \"ls\"\n+-\n+  - \"ls\"\n+  - \"-l\"\n")],
            ),
            (
                "#cloud-config\nwrite_files: [{path: /a, content: x}, {path: /a, content: y}]\n".to_owned(),
                "#cloud-config\nwrite_files: [{path: /a, content: x}]\n".to_owned(),
                vec![("/a (2)", "removed", "@@ -1 +0,0 @@\n-y\n")],
            ),
            (
                "#cloud-config\n".to_owned() + "'a b': 1\n",
                "#cloud-config\n".to_owned() + "'a b': 2\n",
                vec![("a b", "changed", "@@ -1 +1 @@\n-1\n+2\n")],
            ),
        ] {
            let found = compare(&old, &new);
            let shown: Vec<_> = found
                .iter()
                .map(|one| {
                    (one.name.as_str(), one.change.to_string(), one.lines.replace("\\ No newline at end of file\n", ""))
                })
                .collect();
            assert_eq!(shown.len(), expected.len(), "{old}{new}: {shown:?}");
            for ((name, summary, lines), (in_name, in_summary, in_lines)) in shown.iter().zip(&expected) {
                assert_eq!((*name, summary.as_str()), (*in_name, *in_summary), "{old}{new}");
                assert!(lines.starts_with(in_lines), "{old}{new}: {lines}");
            }
        }
    }
}
