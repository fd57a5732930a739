use super::*;
use crate::lint_bytes;
use diagnostics::{LintedDocument, Severity, Verdict};

fn lint_text(text: &str) -> LintedDocument {
    lint_bytes("t", text.as_bytes(), &Options::default()).documents.remove(0)
}

/// Findings as `line:column code origin path`.
fn findings(text: &str) -> Vec<String> {
    let document = lint_text(text);
    let source = &document.findings.source;
    let shown = document.findings.diagnostics.iter().map(|found| {
        let place = source.position(found.span.unwrap().start);
        format!("{}:{} {} {} {}", place.line, place.column, found.rule.code, found.origin.name(), found.path)
    });
    shown.collect()
}

fn parts(text: &str) -> Vec<(&'static str, Verdict)> {
    lint_text(text).parts.into_iter().map(|part| (part.kind, part.verdict)).collect()
}

#[test]
fn findings_point_into_the_template() {
    let text = "## template: jinja\n#cloud-config\n{% for name in ['a', 'b'] %}\n{% endfor %}\nhostname: {{ v1.local_hostname }}\nfoo: {{ v1.region }}\nruncmd: [ {{ ds.x.y }}, \"{{ v1.nothing }}\" ]\n";
    assert_eq!(
        findings(text),
        ["6:1 MK101 cloud-init foo", "7:14 MK212 mkimg ", "7:29 MK212 mkimg "],
        "{:?}",
        lint_text(text).findings.diagnostics
    );
    assert_eq!(lint_text(text).verdict, Verdict::Invalid);
    let text = "## template: jinja\n#cloud-config\nruncmd:\n  - {{ 5 }}\n  - echo {% if v1.cloud_name == 'x' %}a{% else %}b{% endif %}\n";
    assert_eq!(findings(text), ["4:8 MK102 cloud-init runcmd.0"]);
}

#[test]
fn guarded_variables_are_not_missing() {
    let text = "## template: jinja\n#cloud-config\n{% if ds.x is defined %}\nfoo: 1\n{% endif %}\nhostname: {{ ds.name | default('n') }}\n";
    assert!(findings(text).is_empty(), "{:?}", findings(text));
    assert_eq!(lint_text(text).verdict, Verdict::Valid);
}

#[test]
fn a_template_that_cannot_be_read_is_invalid() {
    let text = "## template: jinja\n#cloud-config\n{% if %}\nfoo: 1\n";
    assert_eq!(lint_text(text).verdict, Verdict::Invalid);
    assert_eq!(findings(text)[0].split(' ').collect::<Vec<_>>()[..3], ["3:7", "MK007", "cloud-init"]);
    assert_eq!(
        lint_text(
            "## template: jinja\n{% for x in range(100000) %}{% for y in range(100000) %}a{% endfor %}{% endfor %}"
        )
        .verdict,
        Verdict::Skipped
    );
    assert_eq!(lint_text("\n## template: jinja\n#cloud-config\n").verdict, Verdict::Invalid);
    assert_eq!(lint_text("## template: jinja\n").findings.diagnostics.len(), 1);
}

#[test]
fn methods_of_python_are_skipped() {
    let text = "## template: jinja\n#cloud-config\nfinal_message: {{ v1.region.upper() }} {{ 'a b' | wordcount }}\n";
    assert_eq!(lint_text(text).verdict, Verdict::Valid);
    let text = "## template: jinja\n#cloud-config\nfinal_message: {{ v1.region.translate({}) }}\n";
    assert_eq!(lint_text(text).verdict, Verdict::Skipped);
    assert_eq!(lint_text(text).findings.diagnostics[0].rule.code, "MK006");
}

#[test]
fn parts_of_archives_are_checked() {
    let text = "#cloud-config-archive\n- |\n  #cloud-config\n  packages: nginx\n- type: text/cloud-config\n  content: |\n    é: 1\n    runcmd: [[ls, 5]]\n- content: \"#!/bin/sh\\ndate\"\n- {content: 'foo: 1'}\n- 5\n";
    let found = findings(text);
    assert_eq!(
        found,
        [
            "4:13 MK102 mkimg packages", "7:5 MK101 mkimg é", "8:19 MK102 mkimg runcmd.0.1", "10:14 MK101 mkimg foo",
            "11:3 MK213 mkimg 4"
        ]
    );
    assert_eq!(lint_text(text).verdict, Verdict::Skipped);
    assert_eq!(
        parts(text),
        [
            ("cloud-config", Verdict::Invalid),
            ("cloud-config", Verdict::Invalid),
            ("script", Verdict::Skipped),
            ("cloud-config", Verdict::Invalid)
        ]
    );
}

#[test]
fn parts_of_multi_part_documents_are_checked() {
    let text = "Content-Type: multipart/mixed;\n boundary=\"=b=\"\nMIME-Version: 1.0\n\npreamble\n--=b=\nContent-Type: text/cloud-config; charset=\"utf-8\"\n\npackages: [nginx]\nfoo: 1\n--=b=\nContent-Type: text/x-shellscript\n\n#!/bin/sh\ndate\n--=b=\nContent-Type: text/plain\nContent-Transfer-Encoding: base64\n\nI2Nsb3VkLWNvbmZpZwpiYXI6IDEK\n--=b=\nContent-Type: text/html\n\nx\n--=b=--\nepilogue\n";
    assert_eq!(
        findings(text),
        ["1:1 MK008 mkimg ", "10:1 MK101 mkimg foo", "20:1 MK101 mkimg bar", "22:1 MK215 mkimg "]
    );
    let crlf = text.replace('\n', "\r\n");
    assert_eq!(findings(&crlf)[..2], ["1:1 MK008 mkimg ", "10:1 MK101 mkimg foo"], "{:?}", findings(&crlf));
    let open = text.replace("--=b=--\nepilogue\n", "");
    let last = lint_text(&open).findings.diagnostics.pop().unwrap();
    assert_eq!((last.rule.code, last.severity), ("MK214", Severity::Info));
    assert_eq!(findings("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\nx\n")[0], "1:1 MK214 mkimg ");
}

/// Forms of parts that cloud-init accepts, and faults in each; the code, or "" for none.
#[test]
fn forms_of_parts() {
    let mime = |parameter: &str, headers: &str, body: &str| {
        format!(
            "MIME-Version: 1.0\nContent-Type: multipart/mixed; {parameter}\n\n--b\nContent-Type: text/cloud-config\n{headers}\n{body}\n--b--\n"
        )
    };
    for (code, text) in [
        ("", mime("boundary=b", "", "hostname: a")),
        ("", mime("Boundary=\"b\"", "", "hostname: a")),
        ("", mime("charset=utf-8; BOUNDARY=b", "", "hostname: a")),
        ("MK214", mime("border=b", "", "hostname: a")),
        ("MK214", mime("boundary=", "", "hostname: a")),
        ("", mime("boundary=b", "Content-Transfer-Encoding: base64\n", "aG9zdG5hbWU6IGEK")),
        ("", mime("boundary=b", "Content-Transfer-Encoding: quoted-printable\n", "hostname: =61")),
        ("MK101", mime("boundary=b", "Content-Transfer-Encoding: BASE64\n", "Zm9vOiAxCg==")),
        ("", "#cloud-config-archive\n- {type: null, content: 'hostname: a'}\n".into()),
        ("", "#cloud-config-archive\n- {type: text/x-shellscript, content: \"#!/bin/sh\"}\n".into()),
        ("MK213", "#cloud-config-archive\n- {type: shell, content: a}\n".into()),
        ("MK213", "#cloud-config-archive\n- {type: text/cloud-config}\n".into()),
        ("MK213", "#cloud-config-archive\n- {content: [a]}\n".into()),
        ("MK213", "#cloud-config-archive\na: b\n".into()),
        ("", "#cloud-config-archive\n- {content: !!binary aGk=}\n".into()),
        ("", "#cloud-config-jsonp\n[{\"op\": \"copy\", \"from\": \"/a\", \"path\": \"/b\"}, {\"op\": \"remove\", \"path\": \"/a\"}]".into()),
        ("MK216", "#cloud-config-jsonp\n[{\"op\": \"copy\", \"path\": \"/b\"}]".into()),
        ("MK216", "#cloud-config-jsonp\n[{\"op\": \"move\", \"path\": \"/b\"}]".into()),
        ("MK216", "#cloud-config-jsonp\n[{\"op\": \"add\", \"path\": \"/b\"}]".into()),
        ("MK216", "#cloud-config-jsonp\n[{\"op\": \"remove\", \"path\": \"b\"}]".into()),
        ("MK216", "#cloud-config-jsonp\n[{\"op\": \"drop\", \"path\": \"/b\"}]".into()),
        ("", "#include\nhttps://a.example\nhttp://a.example\nftp://a.example\nfile:///a\n/a\n# a comment\n".into()),
        ("MK217", "#include\ngopher://a.example\n".into()),
        ("MK217", "#include\nhttps://\n".into()),
        ("MK217", "#include\na b\n".into()),
        ("MK217", "#include\n\n".into()),
        ("", "#part-handler\ndef list_types(): pass\ndef handle_part(a, b, c, d): pass\n".into()),
        ("", "#part-handler\nfrom a import list_types, handle_part\n".into()),
        ("MK218", "#part-handler\ndef list_types(): pass\n".into()),
    ] {
        let document = lint_text(&text);
        // The command `cloud-init schema` refuses every document with parts.
        let codes = document.findings.diagnostics.iter().map(|found| found.rule.code).filter(|code| *code != "MK008");
        let codes: Vec<&str> = codes.collect();
        assert_eq!(codes.first().copied().unwrap_or_default(), code, "{text}: {codes:?}");
    }
}

#[test]
fn each_type_of_a_part_has_its_kind() {
    for (name, kind) in [
        ("text/cloud-config", "cloud-config"),
        ("text/cloud-config-archive", "cloud-config-archive"),
        ("text/cloud-config-jsonp", "jsonp"),
        ("text/jinja2", "jinja-template"),
        ("text/x-include-url", "include"),
        ("text/x-include-once-url", "include"),
        ("text/cloud-boothook", "boothook"),
        ("text/part-handler", "part-handler"),
        ("text/x-shellscript", "script"),
        ("text/x-shellscript-per-boot", "script"),
        ("text/x-shellscript-per-instance", "script"),
        ("text/x-shellscript-per-once", "script"),
    ] {
        let text = format!(
            "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: {name}\n\nx\n--b--\n"
        );
        assert_eq!(parts(&text).first().map(|part| part.0), Some(kind), "{name}");
    }
}

#[test]
fn base64_is_rejected_and_checked() {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode("#cloud-config\nfoo: 1\n");
    assert_eq!(findings(&text), ["1:1 MK001 cloud-init ", "1:1 MK101 mkimg foo"]);
    assert_eq!(lint_text(&text).verdict, Verdict::Invalid);
    assert!(lint_text(&text).findings.diagnostics[0].help.as_ref().unwrap().contains("decode it first"));
}

#[test]
fn patches_includes_boothooks_and_part_handlers() {
    assert_eq!(findings("#cloud-config-jsonp\n[{\"op\": \"ad\"}, {\"op\": \"move\", \"path\": \"x\"}]\n").len(), 3);
    assert_eq!(findings("#cloud-config-jsonp\n[\n{\"op\": ]\n"), ["3:8 MK216 mkimg "]);
    assert_eq!(findings("#include-once https://a.example/x\n# no\n  ftps:/x\n"), ["3:3 MK217 mkimg "]);
    assert_eq!(findings("#include\n").len(), 1);
    assert_eq!(findings("#cloud-boothook\necho\n"), ["2:1 MK208 mkimg "], "see the rule's code");
    assert!(findings("#cloud-boothook\n#!/bin/sh\necho\n").is_empty());
    assert_eq!(findings("#part-handler\n").len(), 2);
}

/// cloud-init removes the header, if there is one, and converts Windows line ends.
#[test]
fn boothooks_with_a_type_need_no_header() {
    let archive = "#cloud-config-archive\n- type: text/cloud-boothook\n  content: |\n    #!/bin/sh\n    echo\n";
    assert!(findings(archive).is_empty(), "{:?}", findings(archive));
    assert_eq!(findings(&archive.replace("#!/bin/sh", "date")), ["4:5 MK208 mkimg "]);
    let multi_part = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/cloud-boothook\n\n#!/bin/bash\nif true; then\necho\nfi\n--b--\n";
    assert_eq!(findings(multi_part), ["1:1 MK008 mkimg "]);
    assert_eq!(findings(&multi_part.replace("fi\n", "")), ["1:1 MK008 mkimg ", "8:1 MK300 mkimg "]);
}

#[test]
fn scripts_with_windows_line_ends_are_converted() {
    let script = "#!/bin/bash\r\nif true; then\r\n  cat <<EOF\r\nx\r\nEOF\r\nfi\r\n";
    assert_eq!(findings(script), ["1:1 MK006 mkimg "]);
    assert!(findings(&format!("#cloud-boothook\r\n{script}")).is_empty());
    let broken = script.replace("fi\r\n", "done\r\n");
    assert_eq!(findings(&broken), ["1:1 MK006 mkimg ", "6:1 MK300 mkimg "]);
}

#[test]
fn missing_empty_lines_in_parts_are_reported() {
    let text = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/cloud-config\npackages:\n- nginx\n--b--\n";
    assert_eq!(findings(text), ["1:1 MK008 mkimg ", "6:1 MK214 mkimg ", "7:1 MK003 mkimg "]);
    assert_eq!(findings(&text.replace("packages:", "\npackages:")), ["1:1 MK008 mkimg "]);
}

/// Another part may provide what one part lacks.
#[test]
fn parts_may_depend_on_each_other() {
    let config = "write_files:\n  - {path: /opt/a, owner: ada, defer: true, content: x}\n  - {path: /etc/systemd/system/a.service, content: \"[Service]\\nExecStart=/opt/b\\n\"}\nruncmd: [systemctl start nginx]\n";
    let part = |text: &str| format!("--b\nContent-Type: text/cloud-config\n\n{text}");
    let multi_part =
        |parts: &str| format!("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n{parts}--b--\n");
    let codes = |text: &str| {
        findings(text).iter().map(|found| found.split(' ').nth(1).unwrap().to_string()).collect::<Vec<_>>()
    };
    let all = ["MK354", "MK315", "MK365"];
    assert_eq!(codes(&format!("#cloud-config\n{config}")), all);
    assert_eq!(codes(&multi_part(&part(config)))[1..], all);
    assert_eq!(codes(&multi_part(&(part("users: [{name: ada}]\npackages: [nginx]\n") + &part(config)))), ["MK008"]);
    let merged = format!("#cloud-config\nmerge_how: list(append)+dict(recurse_list)\n{config}");
    assert!(codes(&merged).is_empty(), "{:?}", codes(&merged));
}

#[test]
fn facts_of_the_machine_are_not_missing() {
    let text =
        "## template: jinja\n#cloud-config\nfinal_message: '{{ merged_system_cfg._doc }} {{ sys_info.dist[0] }}'\n";
    assert!(findings(text).is_empty(), "{:?}", findings(text));
}

#[test]
fn nesting_of_parts_is_limited() {
    let mut text = String::from("#cloud-config\nfoo: 1\n");
    for _ in 0..12 {
        text = format!("#cloud-config-archive\n- |\n  {}", text.replace('\n', "\n  "));
    }
    assert_eq!(lint_text(&text).verdict, Verdict::Skipped);
    assert_eq!(lint_text(&text).findings.diagnostics.last().unwrap().rule.code, "MK006");
}

/// Parts of a part are parts of the document, at their own place.
#[test]
fn parts_inside_parts_are_listed_at_their_place() {
    let text = "#cloud-config-archive\n- type: text/cloud-config\n  content: 'hostname: a'\n- type: text/cloud-config-archive\n  content: |\n    #cloud-config-archive\n    - type: text/cloud-config\n      content: 'hostname: b'\n";
    let document = lint_text(text);
    let source = &document.findings.source;
    let shown: Vec<String> = document
        .parts
        .iter()
        .map(|part| {
            let place = source.position(part.span.start);
            format!("{} {} {}:{}", part.kind, part.verdict.name(), place.line, place.column)
        })
        .collect();
    assert_eq!(shown, ["cloud-config valid 3:12", "cloud-config-archive skipped 5:12", "cloud-config valid 8:16"]);
}

/// An archive or a MIME document has no verdict, so nothing about it is cloud-init's own finding.
#[test]
fn what_is_found_in_an_archive_is_a_finding_of_mkimg() {
    let broken = findings("#cloud-config-archive\n- [\n");
    assert!(broken[0].contains(" MK002 mkimg"), "{broken:?}");
    let inside = findings("#cloud-config-archive\n- type: text/cloud-config\n  content: 'nope: 1'\n");
    assert!(inside[0].contains(" MK101 mkimg"), "{inside:?}");
    for text in ["#cloud-config-archive\n- [\n", "#cloud-config-archive\n- 'nope: 1'\n"] {
        assert_eq!(lint_text(text).verdict, Verdict::Skipped, "{text}");
    }
}

/// Archives of cloud-configs, and multi-part documents: what replaces what.
#[test]
fn parts_that_replace_lists_are_reported() {
    let replaced = |text: &str| -> Vec<String> {
        let found = lint_text(text).findings.diagnostics;
        let found = found.into_iter().filter(|found| found.rule.code == "MK222");
        found.map(|found| found.message).collect()
    };
    let archive = |parts: &[&str]| {
        let content = |text: &&str| format!("- content: |\n    {}\n", text.trim().replace('\n', "\n    "));
        format!("#cloud-config-archive\n{}", parts.iter().map(content).collect::<String>())
    };
    let mime = |parts: &[&str]| {
        let part = |text: &&str| format!("--b\nContent-Type: text/{text}\n");
        let parts: String = parts.iter().map(part).collect();
        format!("Content-Type: multipart/mixed; boundary=b\nMIME-Version: 1.0\n\n{parts}--b--\n")
    };
    let a = "#cloud-config\nruncmd: [a]";
    let b = "#cloud-config\nruncmd: [b]";
    let appending = "#cloud-config\nruncmd: [b]\nmerge_how: 'list(append)+dict(recurse_array)+str()'";
    for (text, expected) in [
        (archive(&[a, b]), "in part 2: `runcmd` replaces the one of part 1, which has no effect"),
        (archive(&[a, "#!/bin/sh\ndate", b]), "in part 3: `runcmd` replaces the one of part 1, which has no effect"),
        // The merge settings of the later part count.
        (archive(&[appending, a]), "in part 2: `runcmd` replaces the one of part 1, which has no effect"),
        (
            archive(&["#cloud-config\nusers: [default, {name: ada}]", "#cloud-config\nusers: [default, {name: bob}]"]),
            "in part 2: `users` replaces the one of part 1, which has no effect",
        ),
        (
            archive(&[
                "#cloud-config\napt: {sources: {a: {source: 'ppa:a/a'}}}",
                "#cloud-config\napt: {sources: {b: {source: 'ppa:b/b'}}}",
            ]),
            "in part 2: `apt` replaces the one of part 1, which has no effect",
        ),
        (
            archive(&["#cloud-config\npackages: [a, b]", "## template: jinja\n#cloud-config\npackages: [b]"]),
            "in part 2: `packages` replaces the one of part 1, which has no effect",
        ),
        (
            mime(&["cloud-config\n\npackages: [a]", "plain\n\n#cloud-config\npackages: [b]"]),
            "in part 2: `packages` replaces the one of part 1, which has no effect",
        ),
        (
            mime(&["cloud-config\nMerge-Type: list(append)\n\npackages: [a]", "cloud-config\n\npackages: [b]"]),
            "in part 2: `packages` replaces the one of part 1, which has no effect",
        ),
    ] {
        assert_eq!(replaced(&text), [expected], "{text}");
    }
    for text in [
        archive(&[a, appending]),
        archive(&[a, "#cloud-config\npackages: [b]"]),
        archive(&[a, a]),
        archive(&[a, "#cloud-config\nruncmd: [a, b]"]),
        archive(&[a, "#cloud-config\nruncmd: []"]),
        archive(&["#cloud-config\nhostname: a", "#cloud-config\nhostname: b"]),
        archive(&["#cloud-config\nusers: [{name: a, uid: 5}]", "#cloud-config\nusers: [{name: a}, {name: b}]"]),
        archive(&["#cloud-config\npower_state: {mode: reboot, delay: 5}", "#cloud-config\npower_state: {mode: halt}"]),
        archive(&[a, "#cloud-config\nruncmd: [b]\nlaunch-index: 2"]),
        format!("#cloud-config-archive\n- content: '{a}'\n- {{content: 'runcmd: [b]', Merge-Type: list(append)}}\n"),
        mime(&["cloud-config\n\nruncmd: [a]", "cloud-config\nX-Merge-Type: list(append)\n\nruncmd: [b]"]),
        mime(&["cloud-config\nLaunch-Index: 0\n\nruncmd: [a]", "cloud-config\nLaunch-Index: 1\n\nruncmd: [b]"]),
        mime(&["cloud-config\n\nruncmd: [a]", "x-shellscript\n\n#!/bin/sh\nruncmd: [b]"]),
    ] {
        assert!(replaced(&text).is_empty(), "{text}: {:?}", replaced(&text));
    }
    let allowed = archive(&[a, "#cloud-config\n# mkimg: allow MK222 the first part is a default\nruncmd: [b]"]);
    assert!(replaced(&allowed).is_empty(), "{:?}", lint_text(&allowed).findings.diagnostics);
}

#[test]
fn lists_of_modules_are_compared_with_the_other_parts() {
    let list = "- content: |\n    #cloud-config\n    cloud_final_modules:\n      - [scripts-user, always]\n";
    let found = |more: &str| -> Vec<String> {
        let found = lint_text(&format!("#cloud-config-archive\n{list}{more}")).findings.diagnostics;
        let found = found.into_iter().filter(|found| found.rule.code == "MK221");
        found.map(|found| found.message).collect()
    };
    for (more, key) in [
        ("- content: 'packages: [nginx]'\n", "packages"),
        ("- content: 'power_state: {mode: reboot}'\n", "power_state"),
        ("- content: 'write_files: [{path: /a, defer: true}]'\n", "write_files"),
    ] {
        let expected =
            format!("in part 1: the list replaces the whole final stage, so `{key}` of part 2 has no effect");
        assert_eq!(found(more), [expected], "{more}");
    }
    for more in [
        "",
        "- content: '#!/bin/sh'\n",
        "- content: 'runcmd: [ls]'\n",
        "- content: 'users: [{name: ada}]'\n",
        "- content: 'packages: []'\n",
        "- content: '{packages: [nginx], merge_how: list(append)}'\n",
        "- content: '{packages: [nginx], cloud_final_modules: [package-update-upgrade-install]}'\n",
    ] {
        assert_eq!(found(more), [""; 0], "{more}");
    }
}

/// The type of a part decides whether cloud-init renders it.
#[test]
fn templates_in_parts_of_another_type_are_reported() {
    let jinja = "## template: jinja\n#cloud-config\nfinal_message: \"{{ v1.region }}\"\n";
    let part = |kind: &str, text: &str| {
        let kind = if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\n") };
        format!(
            "Content-Type: multipart/mixed; boundary=b\nMIME-Version: 1.0\n\n--b\nMIME-Version: 1.0\n{kind}\n{text}\n--b--\n"
        )
    };
    let archive = |kind: &str, text: &str| {
        format!("#cloud-config-archive\n- type: {kind}\n  content: |\n    {}\n", text.trim().replace('\n', "\n    "))
    };
    let boothook = "## template: jinja\n#cloud-boothook\n#!/bin/sh\necho {{ v1.region }}\n";
    for (text, place) in [
        (part("text/cloud-config", jinja), "6:1"),
        (part("TEXT/Cloud-Config; charset=\"us-ascii\"", jinja), "6:1"),
        (part("text/cloud-boothook", boothook), "6:1"),
        (part("text/cloud-config", &jinja.replace("{{ v1.region }}", "{% if a %}b{% endif %}")), "6:1"),
        (archive("text/cloud-config", jinja), "2:9"),
        (archive("text/cloud-boothook", boothook), "2:9"),
    ] {
        let found = findings(&text);
        assert!(found.iter().any(|found| found.starts_with(&format!("{place} MK225 "))), "{text}: {found:?}");
        assert!(!found.iter().any(|found| found.contains("MK369")), "{text}: {found:?}");
    }
    for text in [
        part("text/jinja2", jinja),
        part("text/plain", jinja),
        part("", jinja),
        part("text/cloud-config", "#cloud-config\nfinal_message: a\n"),
        part("text/cloud-config", "## template: jinja\n#cloud-config\nfinal_message: a\n"),
        archive("text/jinja2", jinja),
        format!("#cloud-config-archive\n- |\n  {}\n", jinja.trim().replace('\n', "\n  ")),
    ] {
        assert!(!findings(&text).iter().any(|found| found.contains("MK225")), "{text}: {:?}", findings(&text));
    }
}

#[test]
fn a_script_begins_with_its_interpreter() {
    let part = |text: &str| {
        format!(
            "Content-Type: multipart/mixed; boundary=b\nMIME-Version: 1.0\n\n--b\nContent-Type: text/x-shellscript\n\n{text}\n--b--\n"
        )
    };
    let has = |text: &str| findings(text).iter().any(|found| found.contains("MK424"));
    for bad in
        ["\n#!/bin/bash\nls\n", "  #!/bin/sh\nls\n", "\r\n#!/bin/sh\r\nls\r\n", "\t#!/usr/bin/env python3\nprint(1)\n"]
    {
        assert!(has(bad), "{bad:?} {:?}", findings(bad));
        assert!(has(&part(bad)), "{bad:?} {:?}", findings(&part(bad)));
    }
    assert!(has(&part("apt-get update\n")));
    assert!(has("#cloud-config-archive\n- content: \"\\n#!/bin/sh\\nls\\n\"\n"));
    assert!(has("## template: jinja\n\n#!/bin/sh\necho {{ v1.region }}\n"));
    for good in ["#!/bin/bash\nls\n", "#!/bin/sh\r\nls\r\n", "#!/usr/bin/perl\nprint 1;\n", "#! /bin/sh\nls\n"] {
        assert!(!has(good) && !has(&part(good)), "{good:?} {:?}", findings(good));
    }
    assert!(!has("\n#cloud-config\nruncmd: [ls]\n"));
    assert!(!has("## template: jinja\n#!/bin/sh\necho {{ v1.region }}\n"));
    assert!(!has("#cloud-config-archive\n- |\n  #!/bin/sh\n  ls\n"));
}

#[test]
fn a_missing_last_line_is_information() {
    let document = |end: &str| {
        format!(
            "Content-Type: multipart/mixed; boundary=\"//\"\nMIME-Version: 1.0\n\n--//\nContent-Type: text/cloud-config\n\n#cloud-config\nruncmd: [ls]\n{end}"
        )
    };
    for complete in ["--//--\n", "--//--", "--//\n", "--//\n\n"] {
        let found = findings(&document(complete));
        assert_eq!(found, ["1:1 MK008 mkimg "], "{complete:?}");
    }
    let report = lint_bytes("t", document(""), &Options::default());
    let severities = report.documents[0].findings.diagnostics.iter().map(|found| found.severity);
    assert!(severities.into_iter().all(|severity| severity == Severity::Info));
}
