mod causes;
mod findings;

use super::*;
use diagnostics::{Origin, Severity};

/// Findings of a text as `code path` lines.
fn findings(text: &str) -> Vec<String> {
    let report = lint(&Source::new("t", text), &Options::default());
    let found = report.documents.into_iter().flat_map(|document| document.findings.diagnostics);
    found.map(|found| format!("{} {}", found.rule.code, found.path)).collect()
}

fn of(text: &str) -> Verdict {
    lint(&Source::new("t", text), &Options::default()).documents[0].verdict
}

#[test]
fn an_ordinary_document_is_valid() {
    let text = "#cloud-config\npackages: [nginx, [ufw, '1']]\nruncmd:\n  - [ls, -l]\n  - date\n  - null\nusers:\n  - default\n  - {name: ada, sudo: null}\n";
    assert_eq!(of(text), Verdict::Valid, "{:?}", findings(text));
}

#[test]
fn paths_are_those_of_cloud_init() {
    assert_eq!(findings("#cloud-config\nnetwork: {}\n"), ["MK101 network"]);
    assert_eq!(findings("#cloud-config\nnetwork: {}\nx-a: 1\n"), ["MK101 ", "MK101 "]);
    assert_eq!(findings("#cloud-config\nit's: 1\n"), ["MK101 "]);
    assert_eq!(findings("#cloud-config\nruncmd: [[sleep, 5]]\n"), ["MK102 runcmd.0.1"]);
    assert_eq!(findings("#cloud-config\nruncmd: [5]\n"), ["MK102 runcmd.0"]);
    assert_eq!(findings("#cloud-config\nntp: {enabled: yes, x: 1}\n"), ["MK101 ntp"]);
    assert_eq!(findings("#cloud-config\nusers: [{name: a, uid: '5'}]\n"), ["MK121 users.0.uid"]);
    assert_eq!(findings("#cloud-config\nbootcmd:\n"), ["MK102 bootcmd"]);
}

#[test]
fn a_value_used_through_an_alias_is_shown_at_both_places() {
    let text = "#cloud-config\nfinal_message: &m 5\ntimezone: *m\n";
    let report = lint(&Source::new("t", text), &Options::default());
    let found = &report.documents[0].findings.diagnostics;
    assert_eq!(found.len(), 2);
    assert_eq!(&text[found[1].span.unwrap().start..found[1].span.unwrap().end], "*m");
    assert_eq!(found[1].related.len(), 1);
}

#[test]
fn a_merged_key_is_shown_where_it_is_written() {
    let text = "#cloud-config\nwrite_files:\n  - &a {path: /a, moed: '1'}\n  - {<<: *a, path: /b}\n";
    let report = lint(&Source::new("t", text), &Options::default());
    let found = &report.documents[0].findings.diagnostics;
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().all(|found| text[found.span.unwrap().start..].starts_with("moed")));
    assert!(found.iter().any(|found| found.related.iter().any(|(_, label)| label == "merged in here")), "{found:?}");
}

#[test]
fn gzip_is_decompressed_and_checked() {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(b"#cloud-config\nfoo: 1\n").unwrap();
    let packed = encoder.finish().unwrap();
    let report = lint_bytes("t", &packed, &Options::default());
    assert_eq!(report.documents[0].verdict, Verdict::Invalid);
    let cut = lint_bytes("t", &packed[..12], &Options::default());
    assert_eq!(cut.documents[0].findings.diagnostics[0].rule.code, "MK004");
    // Which providers take the gzip itself.
    for provider in &provider::PROVIDERS {
        let options = Options { providers: vec![provider], ..Options::default() };
        let expected = usize::from(!provider.takes_bytes);
        for bytes in [&packed[..], &packed[..12]] {
            let found = codes_of(bytes, &options);
            assert_eq!(found.iter().filter(|code| **code == "MK224").count(), expected, "{provider} {found:?}");
        }
        assert!(!codes_of(b"#cloud-config\nruncmd: [date]\n", &options).contains(&"MK224"));
    }
    let both = Options { providers: provider::PROVIDERS.iter().collect(), ..Options::default() };
    assert_eq!(codes_of(&packed, &both).iter().filter(|code| **code == "MK224").count(), 4);
}

#[test]
fn time_and_memory_are_bounded() {
    use std::fmt::Write;

    let mut bomb = String::from("#cloud-config\na0: &a0 [l, l, l, l, l, l, l, l, l]\n");
    for level in 1..40 {
        let before = format!("*a{} ", level - 1);
        let _ = writeln!(bomb, "a{level}: &a{level} [{}]", [before.trim(); 9].join(", "));
    }
    bomb.push_str("runcmd: *a39\nntp: {servers: *a39}\n");
    assert_eq!(of(&bomb), Verdict::Invalid);
    let many = format!("#cloud-config\nruncmd: [{}]\n", "ls, ".repeat(50_000));
    assert_eq!(of(&many), Verdict::Valid);
    let keys: Vec<_> = (0..20_000).map(|key| format!("k{key}: 1")).collect();
    let keys = keys.join("\n");
    assert_eq!(of(&format!("#cloud-config\nsnap: {{assertions: {{a: b}}}}\n{keys}")), Verdict::Invalid);
    let deep = format!("#cloud-config\nruncmd: {}{}\n", "[".repeat(5_000), "]".repeat(5_000));
    assert_eq!(of(&deep), Verdict::Invalid);
}

/// Allowing a secret does not reveal it, neither at its own finding nor at another finding on the
/// same line.
#[test]
fn allowed_secrets_are_redacted() {
    let text = "#cloud-config\n# mkimg: allow password-in-document a machine for an hour\npassword: hunter2hunter2\n";
    let report = lint(&Source::new("t", text), &Options::default());
    let document = &report.documents[0];
    assert_eq!(document.suppressed.len(), 1, "{:?}", document.findings.diagnostics);
    let shown = document.findings.source.shown(Span::new(0, text.len()));
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(!format!("{:?}", document.suppressed).contains("hunter2"), "{:?}", document.suppressed);
}

#[test]
fn the_closest_key_is_named_for_hundreds_of_unknown_ones() {
    let mut text = String::from("#cloud-config\n");
    for number in 0..300 {
        text.push_str(&format!("zzz{number}: 1\n"));
    }
    text.push_str("packges: [a]\n");
    let report = lint(&Source::new("t", text), &Options::default());
    let last = report.documents[0].findings.diagnostics.last().cloned();
    assert_eq!(last.and_then(|found| found.help), Some("did you mean `packages`?".to_string()));
}

#[test]
fn lone_surrogates_are_valid_with_an_error_of_mkimg() {
    let text = "#cloud-config\nruncmd: [\"echo \\ud83d\\ude00\"]\n";
    assert_eq!((of(text), findings(text)), (Verdict::Valid, vec!["MK010 ".to_string()]));
    let text = "#cloud-config\npackges: \"\\ud83d\"\n";
    assert_eq!((of(text), findings(text)), (Verdict::Invalid, vec!["MK101 packges".into(), "MK010 ".into()]));
    assert_eq!(findings("#cloud-config\nruncmd: [\"\\ud83d\", *a]\n"), ["MK002 "]);
}

/// Ten thousand unknown keys: the check of each key must not iterate over all the others. (When
/// `detours` searched all keys for each key, this test took a minute.)
#[test]
fn thousands_of_unknown_keys_are_reported_quickly() {
    let text = (0..10_000).fold("#cloud-config\n".to_string(), |text, number| text + &format!("k{number}: 1\n"));
    assert_eq!(findings(&text).iter().filter(|found| found.starts_with("MK101")).count(), 10_000);
}

#[test]
fn a_mapping_with_an_unknown_key_is_not_also_of_the_wrong_type() {
    assert_eq!(findings("#cloud-config\nusers: [{name: a, home: /a}]\n"), ["MK101 users.0"]);
    assert!(findings("#cloud-config\nusers: [5]\n").contains(&"MK102 users.0".to_string()));
}

#[test]
fn each_pair_of_a_list_of_pairs_has_its_path() {
    assert_eq!(findings("#cloud-config\nruncmd: [!!omap [a: 1, b: 2]]\n"), ["MK102 runcmd.0.0", "MK102 runcmd.0.1"]);
}

#[test]
fn reports_of_unknown_keys_are_limited() {
    let text: String =
        std::iter::once("#cloud-config\n".to_owned()).chain((0..20_003).map(|n| format!("k{n}: 1\n"))).collect();
    let report = lint(
        &Source::new("many.yaml", text.as_str()),
        &Options { limit: None, providers: Vec::new(), ..Options::default() },
    );
    let unknown: Vec<_> =
        report.documents[0].findings.diagnostics.iter().filter(|found| found.rule.code == "MK101").collect();
    assert_eq!(unknown.len(), 20_000);
    let last = unknown.last().unwrap();
    assert!(last.message.ends_with("; 3 more unknown keys follow"), "{}", last.message);
}

/// The help of the first finding.
fn help(text: &str) -> String {
    let report = lint(&Source::new("t", text), &Options::default());
    report.documents[0].findings.diagnostics[0].help.clone().unwrap_or_default()
}

#[test]
fn suggestions_match_the_mistake() {
    for (text, expected) in [
        ("#cloud-config\nusers: [{name: a, chpasswd: {expire: false}}]\n", "`chpasswd` is a top-level key"),
        ("#cloud-config\nsudo: ALL=(ALL) NOPASSWD:ALL\n", "a key of a user"),
        ("#cloud-config\ncoreos: {units: []}\n", "Flatcar"),
        ("#cloud-config\nhostname: {{ name }}\n", "begins with `{{`"),
        ("#cloud-config\nruncmd:\n  - {{ name }}-a\n", "begins with `{{`"),
        ("#cloud-config\n%{~ if update ~}\npackage_update: true\n", "check the rendered document"),
        ("#cloud-config\nwrite_files:\n  - content: |\n    [db]\n    a\n    path: /a\n", "deeper than its key"),
        (
            "#cloud-config\nwrite_files:\n  - path: /a\n    content: |\n    #!/bin/sh\n    echo hi\n",
            "deeper than its key",
        ),
        ("#cloud-config\nssh_import_id: [*]\n", "begins with `*`"),
        ("## template:jinja\n#cloud-config\n", "with a space before `jinja`"),
        (
            "#cloud-config\nwrite_files:\n  - owner: root:root\n  - path: /a\n    content: x\n",
            "the next item has `path`; remove its `- `",
        ),
        ("#cloud-config\nwrite_files:\n  - owner: root:root\n  - {path: /a, owner: root:root}\n", "add `path:`"),
        ("#cloud-config\ninstance-id: i-1\n", "a key of meta-data"),
        ("#cloud-config\nruncmd: [\"a <(b)\"]\n", "`[bash, -c, '…']`"),
    ] {
        assert!(help(text).contains(expected), "{text}: {}", help(text));
    }
}

#[test]
fn placeholders_of_other_programs_are_not_checked() {
    for content in ["${base64_config}", "${indent(6, file(\"a.sh\"))}", "{{ .Values.script }}", "<%= script %>"] {
        for more in ["encoding: b64", "permissions: '0755'"] {
            let text = format!(
                "#cloud-config\nwrite_files:\n  - path: /etc/sysctl.d/a.conf\n    {more}\n    content: '{content}'\n"
            );
            assert!(findings(&text).is_empty(), "{text}: {:?}", findings(&text));
        }
    }
    assert_eq!(findings("#cloud-config\nwrite_files: [{path: /a, encoding: b64, content: $a}]\n").len(), 1);
}

/// As in the profile script of a terminal: dash leaves the script before the part that only bash
/// can parse.
#[test]
fn code_after_a_bash_guard_may_use_bash() {
    let codes = |text: &str| {
        let source = Source::new("a.sh", text);
        let found = lint_file(&source, "/etc/profile.d/a.sh", 0o644, &Options::default()).findings.diagnostics;
        found.iter().map(|found| found.rule.code).collect::<Vec<_>>()
    };
    let array = "precmd_functions+=(a)\n";
    assert_eq!(codes(array), ["MK301"]);
    assert_eq!(codes(&format!("# Needs BASH_VERSION, or it must return.\n{array}")), ["MK301"]);
    for guard in [
        "[ -n \"${BASH_VERSION:-}\" -o -n \"${ZSH_VERSION:-}\" ] || return 0\n",
        "if [ -z \"$BASH_VERSION\" ]; then return; fi\n",
        "test -n \"$BASH_VERSION\" || exec bash \"$0\"\n",
    ] {
        assert!(codes(&format!("{guard}{array}")).is_empty(), "{guard}");
        assert_eq!(codes(&format!("{array}{guard}")), ["MK301"], "{guard}");
        assert_eq!(codes(&format!("{guard}if true; then\n")), ["MK300"], "{guard}");
    }
}

/// dash parses these commands, but does not find them at run time.
#[test]
fn bash_commands_in_runcmd_are_reported() {
    let document = |command: &str| format!("#cloud-config\nruncmd:\n  - |\n    {command}\n");
    for command in ["source /etc/os-release", "if [[ -f /a ]]; then date; fi", "date && source /a"] {
        assert_eq!(findings(&document(command)), ["MK301 runcmd.0"], "{command}");
    }
    for command in [
        ". /etc/os-release",
        "echo source [[ a",
        "bash -c 'source /a'",
        "[ -z \"$BASH_VERSION\" ] || source /a",
        "dnf -y upgrade && source /a",
        "cat <<'EOF' >/a\n    source /b\n    EOF",
    ] {
        assert!(findings(&document(command)).is_empty(), "{command}: {:?}", findings(&document(command)));
    }
    assert!(findings("#cloud-config\nruncmd: [[bash, -c, 'source /a; [[ a == b ]]']]\n").is_empty());
}

fn helps(text: &str) -> Vec<String> {
    let report = lint_bytes("t.yaml", format!("#cloud-config\n{text}").as_bytes(), &Options::default());
    let found = report.documents.into_iter().flat_map(|document| document.findings.diagnostics);
    found.filter_map(|found| found.help).collect()
}

#[test]
fn a_command_with_a_colon_is_not_a_list() {
    for command in ["echo \"a: b\" > /c", "TOKEN=$(curl -H 'X-ttl: 60' http://a.example)"] {
        let helps = helps(&format!("runcmd:\n  - {command}\n"));
        assert!(helps[0].contains("quote the whole text"), "{helps:?}");
    }
    assert!(helps("runcmd:\n  - {a: b}\n")[0].contains("`- `"));
}

#[test]
fn prefixes_of_names_are_suggested() {
    assert_eq!(helps("users: [{name: a, home: /srv/a}]\n"), ["did you mean `homedir`?"]);
    assert_eq!(helps("debconf_selections: {a: b}\n"), ["it is a key of `apt`: write it below `apt:`"]);
    assert!(helps("repo_update: true\n")[0].contains("Amazon Linux"));
    assert!(helps("write_files: [{path: ~/a, content: b}]\n")[0].contains("`/root/a`"));
}

#[test]
fn joined_items_are_reported() {
    assert_eq!(findings("#cloud-config\nruncmd:\n- ls\n - pwd\n"), ["MK220 runcmd.0"]);
    assert_eq!(findings("#cloud-config\npackages:\n- a\n- b\n  - c\n\n  - d\n"), ["MK220 packages.1"]);
    for fine in ["- ls\n  -l\n", "- |\n  a\n  - b\n", "- 'a\n  - b'\n", "- - ls\n  - a\n", "- a - b\n"] {
        assert!(findings(&format!("#cloud-config\nruncmd:\n{fine}")).is_empty(), "{fine}");
    }
}

#[test]
fn examples_of_rules_have_the_documented_findings() {
    // Examples of image templates are tested with the whole command.
    for rule in crate::rules::REGISTRY.iter().filter(|rule| !rule.about_templates) {
        let options = Options { limit: rule.example_limit, ..Options::default() };
        let codes = |text: &[u8]| {
            let report = lint_bytes("example.yaml", text, &options);
            let found = report.documents.into_iter().flat_map(|document| document.findings.diagnostics);
            found.map(|found| found.rule.code).collect::<Vec<_>>()
        };
        for (index, bad) in rule.bad.iter().enumerate() {
            assert!(codes(bad).contains(&rule.code), "{}: bad example {index} gives {:?}", rule.code, codes(bad));
        }
        for (index, good) in rule.good.iter().enumerate() {
            let mut found = codes(good);
            // `cloud-init schema` refuses every multi-part document.
            found.retain(|code| *code != crate::rules::REFUSED_BY_SCHEMA_COMMAND.code);
            assert!(found.is_empty(), "{}: good example {index} gives {found:?}", rule.code);
        }
    }
}

fn verdict_and_codes(text: &str, version: Version) -> (Verdict, Vec<(&'static str, Origin, Severity)>) {
    let options = Options { cloud_init: version, ..Options::default() };
    let document = lint(&Source::new("t", text), &options).documents.remove(0);
    let found = document.findings.diagnostics.iter();
    (document.verdict, found.map(|found| (found.rule.code, found.origin, found.severity)).collect())
}

#[test]
fn a_multi_part_document_is_as_good_as_its_parts() {
    let document = |parts: &[(&str, &str)]| {
        let part = |(kind, text): &(&str, &str)| format!("--x\nContent-Type: {kind}\n\n{text}\n");
        let parts: String = parts.iter().map(part).collect();
        format!("Content-Type: multipart/mixed; boundary=x\nMIME-Version: 1.0\n\n{parts}--x--\n")
    };
    let (config, script) = ("text/cloud-config", "text/x-shellscript");
    let refused = ("MK008", Origin::Mkimg, Severity::Info);
    for good in [
        document(&[(config, "#cloud-config\npackages: [nginx]")]),
        document(&[(config, "#cloud-config\npackages: [nginx]"), (script, "#!/bin/sh\necho one")]),
        document(&[("text/jinja2", "## template: jinja\n#cloud-config\nhostname: \"{{ v1.instance_id }}\"")]),
        document(&[
            (script, "#!/bin/bash\nset -o pipefail"),
            ("text/cloud-boothook", "#cloud-boothook\n#!/bin/sh\nls"),
        ]),
        document(&[("text/x-include-url", "#include\nhttps://downloads.example/a")]),
        document(&[(config, "#cloud-config\npackages: [nginx]")]).replace('\n', "\r\n"),
    ] {
        for version in [Version::LATEST, Version::OLDEST] {
            assert_eq!(verdict_and_codes(&good, version), (Verdict::Skipped, vec![refused]), "{good}");
        }
    }
    for (bad, code) in [
        (document(&[(config, "#cloud-config\nfoo: 1")]), "MK101"),
        (document(&[(config, "#cloud-config\npackages: nginx"), (script, "#!/bin/sh\nls")]), "MK102"),
        (document(&[(script, "#!/bin/sh\nif true; then\nls")]), "MK300"),
        (document(&[(config, "#cloud-config\nruncmd: [ls")]), "MK002"),
        (document(&[]), "MK214"),
    ] {
        let found = (code, Origin::Mkimg, Severity::Error);
        let (verdict, mut all) = verdict_and_codes(&bad, Version::LATEST);
        all.retain(|one| *one != refused);
        assert!(verdict == Verdict::Skipped && all == [found], "{bad}: {verdict:?} {all:?}");
    }
    let document = lint(&Source::new("t", document(&[(config, "#cloud-config\nfoo: 1")])), &Options::default());
    assert_eq!(document.documents[0].parts[0].verdict, Verdict::Invalid);
}

#[test]
fn the_command_of_22_4_accepts_cloud_configs_only() {
    let refused = ("MK008", Origin::CloudInit, Severity::Error);
    for text in
        ["#!/bin/sh\n", "#include\nhttps://downloads.example/a\n", "## template: jinja\n#cloud-config\n{}\n", ""]
    {
        assert_eq!(verdict_and_codes(text, Version::LATEST).1.iter().find(|found| found.0 == "MK008"), None, "{text}");
        let (verdict, found) = verdict_and_codes(text, Version::OLDEST);
        assert!(verdict == Verdict::Invalid && found.contains(&refused), "{text}: {verdict:?} {found:?}");
    }
    assert_eq!(verdict_and_codes("#cloud-config-archive\n- hello\n", Version::OLDEST).0, Verdict::Invalid);
    // The command checks any mapping as a cloud-config.
    assert_eq!(verdict_and_codes("#cloud-config-jsonp\n{\"op\": \"x\"}\n", Version::OLDEST).0, Verdict::Valid);
}

#[test]
fn ignored_parts_are_errors_only_beside_other_findings() {
    let note = "#cloud-config\n# Cloud-config part ignored SCHEMA_ERROR: part 2\n";
    let alone = ("MK009", Origin::Mkimg, Severity::Warning);
    let counted = ("MK009", Origin::CloudInit, Severity::Error);
    assert_eq!(verdict_and_codes(&format!("{note}{{}}\n"), Version::LATEST), (Verdict::Valid, vec![alone]));
    let (verdict, found) = verdict_and_codes(&format!("{note}apt_update: true\n"), Version::LATEST);
    assert!(verdict == Verdict::Invalid && found.contains(&counted), "{found:?}");
    assert_eq!(verdict_and_codes(&format!("{note}{{}}\n"), Version::OLDEST), (Verdict::Valid, vec![]));
}

/// The codes that a document gets without a provider's limit.
fn codes_of(bytes: &[u8], options: &Options) -> Vec<&'static str> {
    let found = lint_bytes("t", bytes, options).documents.remove(0).findings.diagnostics;
    found.into_iter().map(|found| found.rule.code).collect()
}

#[test]
fn limits_hold_at_their_bounds() {
    use std::io::Write;

    let unlimited = Options { providers: Vec::new(), ..Options::default() };
    let padded = |size: usize| {
        let head = "#cloud-config\nfinal_message: done\n# ";
        format!("{head}{}", "x".repeat(size - head.len())).into_bytes()
    };
    let gzip = |bytes: &[u8]| {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    };
    for (size, expected) in
        [(MAX_DOCUMENT_BYTES - 1, None), (MAX_DOCUMENT_BYTES, None), (MAX_DOCUMENT_BYTES + 1, Some("MK004"))]
    {
        let expected: Vec<_> = expected.into_iter().collect();
        assert_eq!(codes_of(&padded(size), &unlimited), expected, "{size}");
        assert_eq!(codes_of(&gzip(&padded(size)), &unlimited), expected, "{size}, compressed");
    }
    for (provider, limit) in [("digitalocean", 65_536), ("hetzner", 32_768), ("ec2", 16_384), ("azure", 65_535)] {
        let named: provider::ProviderArgument = provider.parse().unwrap();
        let options = Options { providers: vec![named.0], ..Options::default() };
        for (size, expected) in [(limit - 1, 0), (limit, 0), (limit + 1, 1)] {
            let over = codes_of(&padded(size), &options).iter().filter(|code| **code == "MK202").count();
            assert_eq!(over, expected, "{provider}: {size}");
        }
    }
    let options = Options { limit: Some(100), ..unlimited.clone() };
    for (size, expected) in [(99, 0), (100, 0), (101, 1)] {
        assert_eq!(codes_of(&padded(size), &options).len(), expected, "{size}");
    }
    // Parts of one document, and parts in parts.
    for (count, expected) in [(999, 0), (1_000, 0), (1_001, 1)] {
        let archive = format!("#cloud-config-archive\n{}", "- \"#cloud-config\\n{}\"\n".repeat(count));
        let unchecked = codes_of(archive.as_bytes(), &unlimited).iter().filter(|code| **code == "MK006").count();
        assert_eq!(unchecked, expected, "{count} parts");
    }
    for (depth, expected) in [(3, 0), (4, 0), (5, 1)] {
        let archive = (0..depth).fold("#cloud-config\n{}\n".to_owned(), |inner, _| {
            format!("#cloud-config-archive\n- {}\n", serde_json::to_string(&inner).unwrap())
        });
        let unchecked = codes_of(archive.as_bytes(), &unlimited).iter().filter(|code| **code == "MK006").count();
        assert_eq!(unchecked, expected, "{depth} deep");
    }
    for (count, expected) in [(999, 0), (1_000, 0), (1_001, 1)] {
        let comments = format!("#cloud-config\n{}{{}}\n", "# mkimg: allow MK201 x\n".repeat(count));
        let malformed = codes_of(comments.as_bytes(), &unlimited).iter().filter(|code| **code == "MK234").count();
        assert_eq!(malformed, expected, "{count} comments");
    }
}

/// What changed between the versions, one line for each kind of change.
#[test]
fn each_version_has_its_own_verdict() {
    use Verdict::{Deprecated, Invalid, Skipped, Valid};

    for (text, verdicts) in [
        ("#cloud-config\nfinal_message: done\n", [Valid, Valid, Valid]),
        // The header may follow blank lines, and in capitals.
        ("\n#cloud-config\nfinal_message: done\n", [Invalid, Valid, Valid]),
        ("#Cloud-Config\nfinal_message: done\n", [Invalid, Valid, Valid]),
        // Unknown keys at the top level.
        ("#cloud-config\npackges: [a]\n", [Valid, Invalid, Invalid]),
        // Keys that came later.
        ("#cloud-config\nrpi: {interfaces: {spi: true}}\n", [Valid, Invalid, Valid]),
        // Deprecations that came later.
        ("#cloud-config\nubuntu_advantage: {token: a}\n", [Valid, Deprecated, Deprecated]),
        ("#cloud-config\napt_update: true\n", [Deprecated, Deprecated, Deprecated]),
        // Kinds that the command does not know.
        ("#!/bin/sh\n", [Invalid, Skipped, Skipped]),
        ("", [Invalid, Skipped, Skipped]),
    ] {
        let versions = [(22, 4), (25, 1), (26, 2)].map(|(year, number)| Version::new(year, number));
        let found = versions.map(|version| verdict_and_codes(text, version).0);
        assert_eq!(found, verdicts, "{text:?}");
    }
}

/// A document for several providers must fit the strictest one, and the limit that was asked for.
#[test]
fn the_smallest_limit_counts() {
    let provider = |name: &str| crate::provider::PROVIDERS.iter().find(|provider| provider.name == name).unwrap();
    let limit = |names: &[&str], limit| {
        let providers = names.iter().map(|name| provider(name)).collect();
        Options { limit, providers, ..Options::default() }.max_bytes()
    };
    let ec2 = provider("ec2").max_bytes();
    assert!(ec2 < provider("digitalocean").max_bytes());
    assert_eq!(limit(&["digitalocean", "ec2"], None), Some(ec2));
    assert_eq!(limit(&["ec2", "digitalocean"], Some(100_000)), Some(ec2));
    assert_eq!(limit(&["digitalocean", "ec2"], Some(100)), Some(100));
    assert_eq!((limit(&[], Some(7)), limit(&[], None)), (Some(7), None));
}
