//! What `cloud-init schema` does with a document before it comes to the schema, where that is not what cloud-init does on a
//! machine: kinds of user-data that it refuses, comments that it counts as errors. `docs/design/validate.md` has the table.

use super::judge::{Judged, cloud_config};
use super::message::finding;
use super::{Kind, Options, document, header};
use crate::rules;
use diagnostics::source::{Source, Span};
use diagnostics::{Diagnostic, Origin, Severity, Verdict};

/// How cloud-init begins the comment that it leaves for a part that it has ignored.
const IGNORED_PART: &str = "# Cloud-config part ignored SCHEMA_ERROR: ";

/// Gives a document the command's verdict where the command refuses its kind. What was found in it stays, as ours.
pub(super) fn amend(source: &Source, kind: Kind, options: &Options, judged: &mut Judged) {
    let old = options.cloud_init < header::LENIENT;
    let verdict = match kind {
        Kind::CloudConfig | Kind::Unknown | Kind::Gzip => return,
        // Version 22.4 looks for the first words of `#cloud-config`, and goes on to the schema.
        Kind::CloudConfigArchive | Kind::Jsonp if old => cloud_config(source, options, &mut Vec::new()),
        Kind::Mime => Verdict::Invalid,
        _ if old => Verdict::Invalid,
        _ => return,
    };
    judged.verdict = verdict;
    for found in &mut judged.diagnostics {
        found.origin = Origin::Mkimg;
    }
    let version = options.cloud_init;
    let message = match kind {
        Kind::Empty => format!("`cloud-init schema` {version} calls an empty document {}", verdict.name()),
        _ => format!("`cloud-init schema` {version} calls this {} {}", described(kind), verdict.name()),
    };
    let help = "on a machine cloud-init reads it all the same, and what is found in it is shown beside this; where nobody asks the \
                command, a line `# mkimg: allow-file MK008 reason` before the first part allows it";
    let span = document::beginning(source);
    let mut refused = finding(&rules::REFUSED_BY_SCHEMA_COMMAND, String::new(), span, message, Some(help.into()));
    if verdict != Verdict::Invalid {
        refused.severity = Severity::Warning;
    }
    judged.diagnostics.push(refused);
}

fn described(kind: Kind) -> &'static str {
    match kind {
        Kind::Mime => "multi-part document",
        Kind::JinjaTemplate => "template",
        Kind::CloudConfigArchive => "archive",
        Kind::Jsonp => "JSON patch",
        Kind::Include => "list of addresses",
        Kind::Script => "script",
        Kind::Boothook => "boothook",
        Kind::PartHandler => "part handler",
        Kind::Empty | Kind::CloudConfig | Kind::Unknown | Kind::Gzip => "document",
    }
}

/// The comments about ignored parts. They are errors beside other findings of cloud-init's only: the command returns before
/// it looks at them when the schema has nothing to say.
pub(super) fn ignored_parts(source: &Source, options: &Options, diagnostics: &mut Vec<Diagnostic>) {
    // Its end is looked for first: so short a text is found with a few instructions for sixteen bytes.
    let (_, end) = IGNORED_PART.split_at(IGNORED_PART.len() - 20);
    if options.cloud_init < header::LENIENT || !source.text().contains(end) {
        return;
    }
    let counts = diagnostics.iter().any(|found| found.origin == Origin::CloudInit);
    let mut start = 0;
    for line in source.text().split_inclusive(is_line_end) {
        let text = line.trim_end_matches(is_line_end);
        if let Some(said) = text.strip_prefix(IGNORED_PART) {
            let message = format!("cloud-init has ignored a part of the user-data: {}", said.trim());
            let span = Span::new(start, start + text.len());
            let mut found = finding(&rules::IGNORED_PART_NOTICE, String::new(), span, message, None);
            if !counts {
                (found.origin, found.severity) = (Origin::Mkimg, Severity::Warning);
            }
            diagnostics.push(found);
        }
        start += line.len();
    }
}

/// Where Python's `str.splitlines` ends a line.
fn is_line_end(character: char) -> bool {
    matches!(character, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::super::{Version, validate};
    use super::*;

    fn judged(text: &str, version: Version) -> (Verdict, Vec<(&'static str, Origin, Severity)>) {
        let options = Options { cloud_init: version, ..Options::default() };
        let document = validate(&Source::new("t", text), &options).documents.remove(0);
        let found = document.findings.diagnostics.iter();
        (document.verdict, found.map(|found| (found.code, found.origin, found.severity)).collect())
    }

    #[test]
    fn a_multi_part_document_has_the_commands_verdict_and_its_parts_their_own() {
        let text = "Content-Type: multipart/mixed; boundary=x\nMIME-Version: 1.0\n\n--x\nContent-Type: text/cloud-config\n\n#cloud-config\nfoo: 1\n--x--\n";
        let refused = ("MK008", Origin::CloudInit, Severity::Error);
        let found = ("MK101", Origin::Mkimg, Severity::Error);
        assert_eq!(judged(text, Version::LATEST), (Verdict::Invalid, vec![refused, found]));
        assert_eq!(judged(&text.replace("foo: 1", "a: b"), Version::OLDEST), (Verdict::Invalid, vec![refused]));
    }

    #[test]
    fn the_old_command_knows_cloud_configs_only() {
        let refused = ("MK008", Origin::CloudInit, Severity::Error);
        for text in
            ["#!/bin/sh\n", "#include\nhttps://downloads.example/a\n", "## template: jinja\n#cloud-config\n{}\n", ""]
        {
            assert_eq!(judged(text, Version::LATEST).1.iter().find(|found| found.0 == "MK008"), None, "{text}");
            let (verdict, found) = judged(text, Version::OLDEST);
            assert!(verdict == Verdict::Invalid && found.contains(&refused), "{text}: {verdict:?} {found:?}");
        }
        assert_eq!(judged("#cloud-config-archive\n- hello\n", Version::OLDEST).0, Verdict::Invalid);
        // A mapping is a cloud-config to it, whatever it was meant to be.
        assert_eq!(judged("#cloud-config-jsonp\n{\"op\": \"x\"}\n", Version::OLDEST).0, Verdict::Valid);
    }

    #[test]
    fn a_note_of_an_ignored_part_counts_beside_other_findings_only() {
        let note = format!("#cloud-config\n{IGNORED_PART}part 2\n");
        let alone = ("MK009", Origin::Mkimg, Severity::Warning);
        let counted = ("MK009", Origin::CloudInit, Severity::Error);
        assert_eq!(judged(&format!("{note}{{}}\n"), Version::LATEST), (Verdict::Valid, vec![alone]));
        let (verdict, found) = judged(&format!("{note}apt_update: true\n"), Version::LATEST);
        assert!(verdict == Verdict::Invalid && found.contains(&counted), "{found:?}");
        assert_eq!(judged(&format!("{note}{{}}\n"), Version::OLDEST), (Verdict::Valid, vec![]));
    }
}
