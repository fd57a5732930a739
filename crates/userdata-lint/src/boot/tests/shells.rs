//! Changes of user that run nothing, and loops and servers that never end.

use super::unnoticed::all_codes;

fn has(code: &str, items: &str) -> bool {
    all_codes(&format!("runcmd:\n{items}\n")).contains(&code)
}

#[test]
fn user_changes_without_commands_are_reported() {
    for item in [
        "su deploy", "su - deploy", "su -l deploy", "sudo su - deploy", "[ su, '-', deploy ]", "sudo -iu deploy",
        "sudo -u deploy -i", "sudo -u deploy bash", "su -s /bin/bash deploy", "sudo --user=deploy -s",
        "runuser -l deploy",
    ] {
        assert!(has("MK414", &format!("  - {item}\n  - git clone https://example.org/a.git")), "{item}");
    }
    assert!(has("MK414", "  - |\n    su - deploy\n    cd /srv/app\n    make"));
    assert!(has("MK414", "  - su deploy && make"));
    let script = "write_files:\n  - path: /var/lib/cloud/scripts/per-instance/a\n    permissions: '0755'\n    content: |\n      #!/bin/bash\n      su - deploy\n      make\n";
    assert!(all_codes(script).contains(&"MK414"));
    for item in [
        "su - deploy -c 'make'",
        "su deploy -c make",
        "su -c make deploy",
        "sudo -u deploy make",
        "sudo -iu deploy make",
        "sudo -u deploy bash -c make",
        "su - deploy <<EOF\n    make\n    EOF",
        "|\n    su - deploy <<'EOF'\n    make\n    EOF",
        "echo make | su deploy",
        "su -",
        "su root",
        "sudo -i",
        "su deploy /opt/a.sh",
        "runuser -u deploy -- make",
        "exec su - deploy",
        "su --command=make deploy",
        "bash",
    ] {
        assert!(!has("MK414", &format!("  - {item}\n  - date")), "{item}");
    }
    assert!(!has("MK414", "  - date\n  - su deploy"), "nothing follows");
}

#[test]
fn loops_that_wait_for_cloud_init_are_reported() {
    let file = "/var/lib/cloud/instance/boot-finished";
    for text in [
        "while [ ! -f FILE ]; do sleep 1; done",
        "until [ -f FILE ]; do sleep 1; done",
        "until test -e FILE; do sleep 1; done",
        "while ! test -f FILE; do echo waiting; sleep 5; done",
        "while ! [ -e FILE ]; do sleep 1; done && date",
        "until ls FILE >/dev/null 2>&1; do sleep 1; done",
        "while true; do [ -f FILE ] && break; sleep 1; done",
        "while :; do if [ -f FILE ]; then break; fi; sleep 1; done",
        "while [ ! -f /run/cloud-init/result.json ]; do sleep 1; done",
        "until cloud-init status | grep -q done; do sleep 1; done",
        "while ! cloud-init status | grep -q 'status: done'; do sleep 1; done",
        "while cloud-init status | grep -q running; do sleep 1; done",
        "bash -c 'while [[ ! -f FILE ]]; do sleep 1; done'",
    ] {
        let text = text.replace("FILE", file);
        assert!(has("MK360", &format!("  - |\n    {text}\n")), "{text}");
        let script = format!("#!/bin/bash\n{text}\n");
        let report = crate::lint_bytes("t", script.as_bytes(), &crate::Options::default());
        let found = &report.documents[0].findings.diagnostics;
        assert!(found.iter().any(|found| found.rule.code == "MK360"), "{text}");
    }
    for text in [
        "(while [ ! -f FILE ]; do sleep 1; done; date) &",
        "while [ ! -f FILE ]; do sleep 1; done &",
        "timeout 60 sh -c 'until [ -f FILE ]; do sleep 1; done'",
        "while [ -f FILE ]; do sleep 1; done",
        "until [ ! -f FILE ]; do sleep 1; done",
        "while [ ! -f FILE ] && [ $i -lt 9 ]; do sleep 1; i=$((i+1)); done",
        "for i in 1 2 3; do [ -f FILE ] && break; sleep 1; done",
        "while [ ! -f FILE ]; do sleep 1; [ $n -gt 5 ] && break; done",
        "while [ ! -f /srv/done ]; do sleep 1; done",
        "until cloud-init status | grep -q running; do sleep 1; done",
        "[ -f FILE ] || date",
        "while [ ! -f FILE ]; do sleep 1; exit 0; done",
        "rm -f FILE",
    ] {
        let text = text.replace("FILE", file);
        assert!(!has("MK360", &format!("  - |\n    {text}\n")), "{text}");
    }
    // A script that a unit runs may wait.
    let other = format!(
        "write_files:\n  - path: /opt/a\n    permissions: '0755'\n    content: |\n      #!/bin/sh\n      while [ ! -f {file} ]; do sleep 1; done\n"
    );
    assert!(!all_codes(&other).contains(&"MK360"));
}

#[test]
fn databases_in_the_foreground_are_reported() {
    for item in [
        "/usr/local/bin/cockroach start-single-node --insecure",
        "cockroach start --insecure --join=10.0.0.1",
        "[ cockroach, start-single-node, --insecure ]",
        "sudo -u cockroach cockroach start --store=/srv/a --join=a",
        "cockroach start-single-node --background=false --insecure",
        "docker run --name a cockroachdb/cockroach:v24.1.6 start-single-node --insecure",
    ] {
        assert!(has("MK340", &format!("  - {item}\n  - date")), "{item}");
    }
    for item in [
        "cockroach start-single-node --insecure --background",
        "cockroach start --insecure --background=true",
        "cockroach start --insecure &",
        "nohup cockroach start --insecure > /var/log/a.log 2>&1 &",
        "systemd-run cockroach start-single-node --insecure",
        "cockroach init --insecure",
        "cockroach start --help",
        "docker run -d --name a cockroachdb/cockroach:v24.1.6 start-single-node --insecure",
        "docker run --rm cockroachdb/cockroach:v24.1.6 version",
        "timeout 20 cockroach start-single-node --insecure",
    ] {
        assert!(!has("MK340", &format!("  - {item}\n  - date")), "{item}");
    }
}

#[test]
fn rejected_sed_expressions_are_reported() {
    for item in [
        "sed -i 's/^a=.*/a=/srv/www/' /etc/a",
        "sed -i \"s/^a=.*/a=/srv/www/\" /etc/a",
        "[ sed, -i, 's/^a=.*/a=/srv/www/', /etc/a ]",
        "sudo sed -i.bak -e 's/a/b/' -e 's/c/d/e/f/' /etc/a",
        "sed -ne 's/a/b/c/p' /etc/a",
        "sed --in-place --expression='s/a/b' /etc/a",
        "cat /etc/a | sed 's/a/b' > /etc/b",
        "sed -i '/etc/foo/d' /etc/a",
        "sed -Ei 's/(a|b)/c/d/' /etc/a",
    ] {
        assert!(has("MK418", &format!("  - >-\n    {item}\n").replace("  - >-\n    [", "  - [")), "{item}");
    }
    for item in [
        "sed -i 's|^a=.*|a=/srv/www|' /etc/a",
        "sed -i 's/^a=.*/a=\\/srv\\/www/' /etc/a",
        "sed -i \"s/a/$URL/\" /etc/a",
        "sed -i \"s/a/$(cat /b)/c/\" /etc/a",
        "sed -i 's/a/b/' /etc/a /etc/b",
        "sed -n -f /opt/a.sed /etc/a/b",
        "sed -i -e '/x/a\\' -e 'text/a/b' /etc/a",
        "sed -i 's/{{ a }}/b/c/' /etc/a",
        "sed -i '/^Port/d' /etc/a",
        "sed --version",
    ] {
        assert!(!has("MK418", &format!("  - |\n    {item}\n")), "{item}");
    }
}

#[test]
fn misspelled_tee_is_reported() {
    for item in [
        "echo x | tree -a /etc/a",
        "echo x | sudo tree -a /etc/a",
        "printf x | te /etc/a",
        "curl -s https://example.org/key | sudo teee /etc/apt/a.asc > /dev/null",
        "cat /a | ttee -a /etc/b",
    ] {
        assert!(has("MK419", &format!("  - {item}\n")), "{item}");
    }
    for item in [
        "echo x | tee -a /etc/a",
        "tree -a /etc",
        "find / | tree --fromfile /etc/a",
        "echo x | tr a b",
        "cat /a | tree --fromfile /a",
        "echo x | tree",
        "|\n    te() { cat > $1; }\n    echo x | te /etc/a",
        "echo x | sort -o /etc/a",
    ] {
        assert!(!has("MK419", &format!("  - {item}\n")), "{item}");
    }
}
