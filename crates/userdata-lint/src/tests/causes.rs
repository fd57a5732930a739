//! One cause, one finding.

use crate::{Options, Verdict, lint_bytes};

/// Line, code and path of each finding.
fn found(text: &str) -> Vec<String> {
    let document = lint_bytes("t", format!("#cloud-config\n{text}"), &Options::default()).documents.remove(0);
    let source = &document.findings.source;
    let findings = document.findings.diagnostics.iter().map(|found| {
        let line = found.span.map_or(0, |span| source.position(span.start).line);
        format!("{line} {} {}", found.rule.code, found.path)
    });
    let out: Vec<_> = findings.collect();
    let is_error = document.findings.diagnostics.iter().any(|found| found.severity == diagnostics::Severity::Error);
    assert!(document.verdict == Verdict::Invalid || !is_error || text.contains("/etc/"), "{text}");
    out
}

#[test]
fn the_cause_of_an_error_is_its_only_finding() {
    for (text, expected) in [
        // Entries with two forms.
        ("chpasswd:\n  users:\n  - {name: a, password: $6$a$b, type: crypted}\n", "4 MK104 chpasswd.users.0"),
        ("chpasswd:\n  users:\n  - {name: a, password: b, type: plain}\n", "4 MK104 chpasswd.users.0"),
        ("chpasswd:\n  users:\n  - {name: a, type: RANDOM, password: R}\n", "4 MK101 chpasswd.users.0"),
        ("chpasswd:\n  users:\n  - {name: a, type: text}\n", "4 MK103 chpasswd.users.0"),
        ("chpasswd:\n  users:\n  - {name: a}\n", "4 MK103 chpasswd.users.0"),
        ("chpasswd:\n  users:\n  - {name: a, type: RANDOM, expire: true}\n", "4 MK101 chpasswd.users.0"),
        ("chpasswd:\n  users:\n  - {name: 7, type: RANDOM}\n", "4 MK102 chpasswd.users.0"),
        ("yum_repos:\n  a: {name: b}\n", "3 MK112 yum_repos.a"),
        ("users: [5]\n", "2 MK102 users.0"),
        ("disk_setup: {/dev/sdb: {layout: [[33, {}]]}}\n", "2 MK102 disk_setup./dev/sdb.layout.0.1"),
        ("users:\n- {name: a, snapuser: a@mail.example}\n", "3 MK111 users.0"),
        // A colon too many.
        ("users:\n- default:\n  shell: /bin/bash\n", "3 MK101 users.0"),
        ("users:\n- shell: /bin/bash\n", "3 MK103 users.0"),
        // No template.
        ("phone_home: {url: \"{{ v1.region }}\"}\n", "2 MK105 phone_home.url"),
        ("package_update: \"{{ v1.region }}\"\n", "2 MK102 package_update"),
        ("write_files:\n- {path: \"{{ v1.region }}\", content: a}\n", "3 MK369 write_files.0.path"),
        // An entry that is never written.
        ("write_files:\n- {owner: 'azureuser:azureuser', content: a}\n", "3 MK103 write_files.0"),
        (
            "write_files:\n- path: /etc/sudoers.d/a\n  permissions: '0666'\n  content: |\n    ada ALL=(ALL) ALL\n",
            "6 MK327 write_files.0.content",
        ),
    ] {
        assert_eq!(found(text), [expected], "{text}");
    }
}

#[test]
fn other_causes_stay() {
    for (text, expected) in [
        (
            "hostname: \"{{ v1.local_hostname }}\"\nphone_home: {url: \"{{ v1.region }}\"}\n",
            vec!["2 MK369 hostname", "3 MK105 phone_home.url"],
        ),
        ("users:\n- {default: , homee: /a}\n- {name: b, shel: c}\n", vec!["3 MK101 users.0", "4 MK101 users.1"]),
        (
            "write_files:\n- {path: /srv/a, permissions: '0666', content: a}\n",
            vec!["3 MK376 write_files.0.permissions"],
        ),
        ("write_files:\n- {path: /srv/a, owner: 'azureuser', content: a}\n", vec!["3 MK354 write_files.0.owner"]),
    ] {
        assert_eq!(found(text), expected, "{text}");
    }
}

#[test]
fn the_help_of_a_value_names_the_missing_header() {
    let report = lint_bytes("t", "#cloud-config\nphone_home: {url: \"{{ v1.region }}\"}\n", &Options::default());
    let help = report.documents[0].findings.diagnostics[0].help.clone().unwrap_or_default();
    assert!(help.contains("## template: jinja"), "{help}");
}

#[test]
fn values_that_only_the_machine_knows_are_not_nothing() {
    let found = |text: &str| {
        let document = lint_bytes("t", format!("## template: jinja\n#cloud-config\n{text}"), &Options::default())
            .documents
            .remove(0);
        (document.verdict, document.findings.diagnostics.iter().map(|found| found.rule.code).collect::<Vec<_>>())
    };
    for text in [
        "ssh_authorized_keys:\n  {{ ds.meta_data.public_keys | join('\\n') }}\n",
        "packages: {{ ds.meta_data.packages | join(', ') }}\n",
        "runcmd:\n{{ ds.meta_data.commands | join('\\n') }}\n",
    ] {
        assert_eq!(found(text).0, Verdict::Valid, "{text}: {:?}", found(text));
    }
    assert_eq!(found("ssh_authorized_keys:\nhostname: '{{ v1.region }}'\n").0, Verdict::Invalid);
    // A comment that does not end.
    let open = "write_files:\n- path: /srv/a\n  content: |\n    echo \"${#nodes[@]} {{ v1.region }}\"\n";
    let document =
        lint_bytes("t", format!("## template: jinja\n#cloud-config\n{open}"), &Options::default()).documents.remove(0);
    let place = document.findings.diagnostics[0].span.map(|span| document.findings.source.position(span.start).line);
    assert_eq!((document.findings.diagnostics[0].rule.code, place), ("MK007", Some(6)));
}

#[test]
fn a_continued_crontab_entry_is_one_finding() {
    let entry = "write_files:\n- path: /etc/cron.d/renew\n  content: |\n    0 3 * * * root certbot renew \\\n      --pre-hook a \\\n      --post-hook b\n";
    assert_eq!(found(entry), ["5 MK320 write_files.0.content"]);
    let comment =
        "write_files:\n- path: /etc/cron.d/renew\n  content: |\n    # a \\\n    0 3 * * * root certbot renew\n";
    assert!(found(comment).is_empty());
}

#[test]
fn data_needs_no_interpreter() {
    for name in ["a.yaml", "a.yml", "a.json", "a.conf", "a.ini", "docker-compose.yml", "a.env", "a.service"] {
        let text = format!("write_files:\n- {{path: /srv/{name}, permissions: '0755', content: 'a: 1'}}\n");
        assert!(
            !found(&text).iter().any(|found| found.contains("MK207") || found.contains("MK208")),
            "{text} {:?}",
            found(&text)
        );
    }
    for name in ["a", "a.sh", "a.py", "run"] {
        let text = format!("write_files:\n- {{path: /srv/{name}, permissions: '0755', content: 'a: 1'}}\n");
        assert!(
            found(&text).iter().any(|found| found.contains("MK207") || found.contains("MK208")),
            "{text} {:?}",
            found(&text)
        );
    }
}
