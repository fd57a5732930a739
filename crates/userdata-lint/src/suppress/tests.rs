use super::*;
use crate::{LintedDocument, lint, lint_rendered};
use diagnostics::{Report, Verdict};

fn lint_text(text: &str) -> LintedDocument {
    let Report { mut documents } = lint(&Source::new("t", text), &Options::default());
    assert_eq!(documents.len(), 1);
    documents.remove(0)
}

/// The codes that are found, and those that are allowed.
fn codes(text: &str) -> (Vec<&'static str>, Vec<&'static str>) {
    let document = lint_text(text);
    let found = document.findings.diagnostics.iter().map(|found| found.rule.code).collect();
    (found, document.suppressed.iter().map(|allowed| allowed.diagnostic.rule.code).collect())
}

const TWICE: &str = "#cloud-config\nruncmd: [ls]\n";

#[test]
fn a_comment_allows_a_finding_on_its_line_below_it_and_in_the_file() {
    for text in [
        format!("{TWICE}runcmd: [date] # mkimg: allow MK201 a test\n"),
        format!("{TWICE}# mkimg: allow duplicate-key a test\nruncmd: [date]\n"),
        format!("#cloud-config\n# mkimg: allow-file mk201 a test\n{}runcmd: [date]\n", &TWICE[14..]),
    ] {
        assert_eq!(codes(&text), (vec![], vec!["MK201"]), "{text}");
        let allowed = &lint_text(&text).suppressed[0];
        assert_eq!(allowed.reason, "a test");
        let place = allowed.allowed_at.unwrap_or_default();
        assert!(text[place.start..place.end].starts_with("mkimg: allow"), "{place:?}");
    }
    let elsewhere = format!("{TWICE}hostname: a # mkimg: allow MK201 a test\nruncmd: [date]\n");
    assert_eq!(codes(&elsewhere), (vec!["MK230", "MK201"], vec![]));
}

#[test]
fn deprecations_can_be_allowed_and_the_verdict_stays() {
    let text = "#cloud-config\nusers:\n  # mkimg: allow deprecated-key old machines\n  - name: a\n    ssh-authorized-keys: ['# k']\n";
    let document = lint_text(text);
    assert_eq!(document.findings.diagnostics, []);
    assert_eq!((document.verdict, document.suppressed.len()), (Verdict::Deprecated, 1));
}

#[test]
fn errors_of_cloud_init_cannot_be_allowed() {
    let text = "#cloud-config\npackges: [a] # mkimg: allow MK101 a test\n";
    assert_eq!(codes(text), (vec!["MK101", "MK233"], vec![]));
    assert_eq!(lint_text(text).verdict, Verdict::Invalid);
    // Not in a part either.
    let archive =
        "#cloud-config-archive\n- content: |\n    #cloud-config\n    packges: [a] # mkimg: allow MK101 a test\n";
    assert_eq!(codes(archive), (vec!["MK101", "MK233"], vec![]));
    assert_eq!(codes("#cloud-config\na: 1 # mkimg: allow MK230 x\n").0, ["MK101", "MK233"]);
}

#[test]
fn malformed_comments_are_reported() {
    let found = |comment: &str| codes(&format!("{TWICE}runcmd: [date] # mkimg: {comment}\n")).0;
    assert_eq!(found("allow MK201"), ["MK201", "MK231"]);
    assert_eq!(found("allow MK999 x"), ["MK201", "MK232"]);
    assert_eq!(found("disable MK201 x"), ["MK201", "MK234"]);
    assert_eq!(found("allow MK201, MK202 x"), ["MK230"]);
    let help = lint_text(&format!("{TWICE}runcmd: [date] # mkimg: allow duplicate-kye x\n")).findings.diagnostics;
    assert!(help.iter().any(|found| found.help.as_deref() == Some("did you mean `duplicate-key`?")), "{help:?}");
}

#[test]
fn unused_suppressions_need_a_complete_check() {
    assert_eq!(codes("#cloud-config\n# mkimg: allow MK201 x\na: [\n").0, ["MK002"]);
    let options = Options { limit: None, providers: Vec::new(), ..Options::default() };
    let text = "#cloud-config\n# mkimg: allow-file MK202 large for some providers\nruncmd: [ls]\n";
    let report = lint(&Source::new("t", text), &options);
    assert_eq!(report.documents[0].findings.diagnostics, []);
    assert_eq!(codes(text).0, ["MK230"]);
}

#[test]
fn the_size_of_a_document_can_be_allowed_for_the_whole_file_only() {
    let long = "x".repeat(70_000);
    let text =
        |form: &str| format!("#cloud-config\n# mkimg: {form} MK202 not for DigitalOcean\nfinal_message: {long}\n");
    assert_eq!(codes(&text("allow-file")), (vec![], vec!["MK202"]));
    assert_eq!(codes(&text("allow")).0, ["MK202", "MK230"]);
}

#[test]
fn comments_in_parts_and_templates_are_applied_once() {
    let part = "#cloud-config\n    runcmd: [ls]\n    runcmd: [date] # mkimg: allow MK201 a test\n";
    let archive = format!("#cloud-config-archive\n- content: |\n    {part}- content: |\n    #cloud-config\n    a: 1\n");
    assert_eq!(codes(&archive), (vec!["MK101"], vec!["MK201"]));
    let above = "#cloud-config-archive\n# mkimg: allow MK201 a test\n- content: |\n    #cloud-config\n    runcmd: [ls]\n    runcmd: [ls]\n";
    assert_eq!(codes(above), (vec![], vec!["MK201"]));
    let template =
        "## template: jinja\n#cloud-config\nruncmd: [ls]\n# mkimg: allow MK201 a test\nruncmd: [{{ v1.region }}]\n";
    assert_eq!(codes(template), (vec![], vec!["MK201"]));
    // In base64, the comment is only visible to the part itself.
    let packed = "Content-Type: multipart/mixed; boundary=\"b\"\nMIME-Version: 1.0\n\n--b\nContent-Type: text/cloud-config\n\
                  Content-Transfer-Encoding: base64\n\nI2Nsb3VkLWNvbmZpZwpydW5jbWQ6IFtsc10KcnVuY21kOiBbbHNdICMgbWtpbWc6IGFsbG93IE1LMjAxIHRlc3QK\n--b--\n";
    assert_eq!(codes(packed), (vec!["MK008"], vec!["MK201"]));
    // A comment before the first part can allow what is found about the whole document.
    let preamble = packed.replacen("\n\n--b", "\n\n# mkimg: allow-file MK008 nobody asks the command\n--b", 1);
    assert_eq!(codes(&preamble), (vec![], vec!["MK008", "MK201"]));
    assert_eq!(lint_text(&preamble).verdict, diagnostics::Verdict::Skipped);
}

#[test]
fn findings_in_scripts_can_be_allowed_inside_and_above() {
    let entry = "path: /usr/local/bin/x\n    permissions: '0755'\n    content: |\n      echo\n";
    let plain = format!("#cloud-config\nwrite_files:\n  - {entry}");
    assert_eq!(codes(&plain), (vec!["MK208"], vec![]));
    let above = plain.replace("  - path", "  # mkimg: allow MK208 read by a program\n  - path");
    assert_eq!(codes(&above), (vec![], vec!["MK208"]));
    let inside = plain.replace("echo", "echo # mkimg: allow MK208 read by a program");
    assert_eq!(codes(&inside), (vec![], vec!["MK208"]));
}

#[test]
fn the_allow_list_of_a_template_is_applied() {
    let text = "#cloud-config\nwrite_files:\n  - {path: /a, permissions: 644, content: x}\n  - {path: /b, content: x}\n  - {path: /b, content: y}\n";
    let text = text.replace("644", "'0644'");
    let all = codes(&text).0;
    assert_eq!(all, ["MK206"], "one finding to work with");
    let allow = |rule: &str, path: Option<&str>| {
        let allowance = Allowance { rule: rule.into(), path: path.map(str::to_owned), reason: "a test".into() };
        let options = Options { allow: vec![allowance], ..Options::default() };
        let (document, faults) = lint_rendered(&Source::new("t", text.as_str()), &options);
        let faults: Vec<_> = faults.into_iter().map(|fault| (fault.rule.code, fault.path, fault.span)).collect();
        (document.findings.diagnostics.len(), document.suppressed.len(), faults)
    };
    for path in [None, Some("/b"), Some("write_files"), Some("write_files.2")] {
        assert_eq!(allow("MK206", path), (0, 1, vec![]), "{path:?}");
    }
    for path in ["/a", "/c", "write_files.1", "write", "users"] {
        assert_eq!(allow("MK206", Some(path)), (1, 0, vec![("MK230", "allow.0".into(), None)]), "{path}");
    }
    assert_eq!(allow("MK999", None), (1, 0, vec![("MK232", "allow.0".into(), None)]));
    assert_eq!(allow("unknown-key", None), (1, 0, vec![("MK233", "allow.0".into(), None)]));
    // A script that is checked on its own.
    for (path, is_allowed) in [(None, true), (Some("/a"), true), (Some("/b"), false), (Some("write_files.0"), false)] {
        let allowance = Allowance { rule: "MK300".into(), path: path.map(str::to_owned), reason: "a test".into() };
        let options = Options { allow: vec![allowance], ..Options::default() };
        let document = crate::lint_file(&Source::new("s.sh", "#!/bin/sh\nif a\n"), "/a", 0o755, &options);
        assert_eq!(document.findings.diagnostics.is_empty(), is_allowed, "{path:?}");
        assert_eq!(document.suppressed.len(), usize::from(is_allowed), "{path:?}");
    }
}

/// A document for several versions may allow what only one of them reports.
#[test]
fn a_comment_for_another_version_is_not_called_unused() {
    let text =
        "#cloud-config\nrh_subscription:\n  activation-key: a # mkimg: allow deprecated-key for older machines\n";
    assert_eq!(lint_text(text).suppressed.len(), 1);
    let options = Options { cloud_init: Version::OLDEST, ..Options::default() };
    let report = lint(&Source::new("t", text), &options);
    assert_eq!(report.documents[0].findings.diagnostics, []);
}

#[test]
fn former_names_of_rules_are_accepted() {
    let with_former_names = rules::REGISTRY.iter().filter(|rule| !rule.former_names.is_empty());
    for name in with_former_names.flat_map(|rule| rule.former_names) {
        let (found, _) = codes(&format!("#cloud-config\n# mkimg: allow {name} a test\nruncmd: [ls]\n"));
        assert!(!found.contains(&"MK232"), "{name}: {found:?}");
    }
    let text = "#cloud-config\n# mkimg: allow half-a-character a test\nruncmd: [\"\\ud83d\"]\n";
    assert_eq!(codes(text), (vec![], vec!["MK010"]));
}
