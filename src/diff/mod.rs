//! Compares two user-data documents, byte for byte and in a form that a person can read.
//!
//! The contents of files are decoded first, so that a difference is shown in the file on the
//! machine and not in its encoding. Different bytes that decode to the same file are still a
//! difference.

mod parts;

use diagnostics::source::Source;
use similar::TextDiff;

pub use parts::{Part, Parts, parts};

/// One difference between two documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The path or key that differs.
    pub name: String,
    /// The kind of difference: `changed`, `only in …`.
    pub summary: String,
    /// A unified diff without its header; may be empty.
    pub lines: String,
}

/// Compares two documents. Returns nothing if they are equal byte for byte.
#[must_use]
pub fn differences(old: &Source, new: &Source) -> Vec<Difference> {
    if old.text() == new.text() {
        return Vec::new();
    }
    let (old_parts, new_parts) = (parts(old), parts(new));
    let mut differences = Vec::new();
    for (name, old_part) in &old_parts {
        match new_parts.get(name) {
            Some(new_part) => differences.extend(compare_part(name, old_part, new_part)),
            None => differences.push(only_in(name, old_part, old.name(), true)),
        }
    }
    for (name, part) in new_parts.iter().filter(|(name, _)| !old_parts.contains_key(*name)) {
        differences.push(only_in(name, part, new.name(), false));
    }
    if differences.is_empty() {
        let same_parts = old_parts.keys().eq(new_parts.keys());
        differences.push(Difference {
            name: "the document".to_owned(),
            summary: if same_parts {
                "same values in different bytes: comments, quotes or layout".to_owned()
            } else {
                "the same files and keys in another order".to_owned()
            },
            lines: unified(old.text(), new.text()),
        });
    }
    differences
}

fn compare_part(name: &str, old: &Part, new: &Part) -> Option<Difference> {
    if old == new {
        return None;
    }
    let mut lines = unified(&old.attributes, &new.attributes);
    let mut summary = "changed";
    if old.bytes != new.bytes {
        let content = unified(&old.content, &new.content);
        // JSON that differs in its layout only.
        if content.is_empty() {
            lines.push_str("  (the bytes differ, but not after indentation)\n");
        }
        lines.push_str(&content);
    } else if lines.is_empty() {
        summary = "encoded differently, but the same file on the machine";
    }
    Some(Difference { name: name.to_owned(), summary: summary.to_owned(), lines })
}

fn only_in(name: &str, part: &Part, side: &str, removed: bool) -> Difference {
    let text = format!("{}{}", part.attributes, part.content);
    let lines = if removed { unified(&text, "") } else { unified("", &text) };
    Difference { name: name.to_owned(), summary: format!("only in {side}"), lines }
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
        assert_eq!((found[0].name.as_str(), found[0].summary.as_str()), ("/etc/x", "changed"));
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
        assert_eq!(found[0].summary, "encoded differently, but the same file on the machine");
        let found = compare(PLAIN, &PLAIN.replace("'0644'", "\"0644\""));
        assert_eq!(found[0].summary, "same values in different bytes: comments, quotes or layout");
    }

    #[test]
    fn a_mode_and_a_missing_file_are_differences() {
        let found = compare(PLAIN, &PLAIN.replace("0644", "0600"));
        assert_eq!(found[0].lines, "@@ -1 +1 @@\n-permissions: \"0644\"\n+permissions: \"0600\"\n");
        let found = compare(PLAIN, "#cloud-config\nwrite_files: []\n");
        assert_eq!(found[0].summary, "only in old");
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
                vec![("/a (2)", "only in old", "@@ -1 +0,0 @@\n-y\n")],
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
                    (one.name.as_str(), one.summary.as_str(), one.lines.replace("\\ No newline at end of file\n", ""))
                })
                .collect();
            assert_eq!(shown.len(), expected.len(), "{old}{new}: {shown:?}");
            for ((name, summary, lines), (in_name, in_summary, in_lines)) in shown.iter().zip(&expected) {
                assert_eq!((*name, *summary), (*in_name, *in_summary), "{old}{new}");
                assert!(lines.starts_with(in_lines), "{old}{new}: {lines}");
            }
        }
    }
}
