//! Mistakes that cause no error: commands that never start, never end, block SSH, or are read as
//! something else.

use crate::{Options, lint_bytes};

pub(super) fn all_codes(text: &str) -> Vec<&'static str> {
    let report = lint_bytes("t.yaml", format!("#cloud-config\n{text}").as_bytes(), &Options::default());
    report.documents[0].findings.diagnostics.iter().map(|found| found.rule.code).collect()
}

#[test]
fn files_without_executable_bits_are_reported() {
    let file = "write_files: [{path: /usr/local/sbin/a, content: \"#!/bin/sh\\n\"}]\n";
    for started in ["[/usr/local/sbin/a]", "['sudo /usr/local/sbin/a -x']", "[[/usr/local/sbin/a, b]]"] {
        assert_eq!(all_codes(&format!("{file}runcmd: {started}\n")), ["MK219"], "{started}");
    }
    for fine in [
        "['sh /usr/local/sbin/a']",
        "['chmod +x /usr/local/sbin/a', /usr/local/sbin/a]",
        "['chmod 755 /usr/local/sbin/*', /usr/local/sbin/a]",
        "['chmod -R +x /usr/local/', /usr/local/sbin/a]",
        "['cd /usr/local/sbin && chmod +x a', /usr/local/sbin/a]",
        "['test -x /usr/local/sbin/a && /usr/local/sbin/a']",
        "['cat /usr/local/sbin/a']",
    ] {
        assert!(all_codes(&format!("{file}runcmd: {fine}\n")).is_empty(), "{fine}");
    }
    let template =
        "write_files: [{path: /srv/a, permissions: '${mode}', content: \"#!/bin/sh\\n\"}]\nruncmd: [/srv/a]\n";
    assert!(all_codes(template).is_empty());
    let twice = "write_files:\n  - {path: /srv/a, content: \"#!/bin/sh\\n\", permissions: '0755'}\n  - {path: /srv/a, content: b, append: true}\nruncmd: [/srv/a]\n";
    assert!(all_codes(twice).is_empty());
}

#[test]
fn units_without_install_sections_are_reported() {
    let unit = |text: &str, command: &str| {
        all_codes(&format!(
            "write_files:\n  - path: /etc/systemd/system/a.service\n    content: \"{text}\"\nruncmd: [\"{command}\"]\n"
        ))
    };
    let without = "[Service]\\nExecStart=/bin/true\\n";
    assert_eq!(unit(without, "systemctl enable a"), ["MK318"]);
    assert_eq!(unit(without, "systemctl daemon-reload && systemctl enable --now a.service"), ["MK318"]);
    for command in ["systemctl start a", "systemctl enable b", "systemctl is-enabled a"] {
        assert!(unit(without, command).is_empty(), "{command}");
    }
    assert!(
        unit("[Service]\\nExecStart=/bin/true\\n[Install]\\nWantedBy=multi-user.target\\n", "systemctl enable a")
            .is_empty()
    );
    assert!(unit("${unit}", "systemctl enable a").is_empty());
    let more = |entry: &str| {
        all_codes(&format!(
            "write_files:\n  - {{path: /etc/systemd/system/a.service, {entry}}}\nruncmd: [systemctl enable a]\n"
        ))
    };
    assert!(more("append: true, content: \"[Service]\\nExecStart=/bin/true\\n\"").is_empty(), "the rest is elsewhere");
    assert!(more("content: \"[Unit]\\nA=b\\n[INSTALL]\\n\"").iter().all(|code| *code != "MK318"));
    // A drop-in may hold the section.
    let with_drop_in = |unit: &str| {
        all_codes(&format!(
            "write_files:\n  - {{path: /etc/systemd/system/a.service, content: \"{without}\"}}\n  - {{path: /etc/systemd/system/{unit}.d/b.conf, content: '[Install]'}}\nruncmd: [systemctl enable a]\n"
        ))
    };
    assert!(with_drop_in("a.service").is_empty());
    assert_eq!(with_drop_in("b.service"), ["MK318"]);
}

#[test]
fn endless_commands_are_reported() {
    for command in [
        "tail -f /var/log/syslog", "tail -n5 -F /x", "journalctl -fu ssh", "sleep infinity", "python3 -m http.server",
        "watch -n1 date",
    ] {
        assert_eq!(all_codes(&format!("runcmd: [{command}]\n")), ["MK340"], "{command}");
    }
    for command in [
        "tail -f /x &",
        "timeout 60 tail -f /x",
        "tail -f /x | grep -q done",
        "tail -n 5 /x",
        "sleep 5",
        "(tail -f /x) &",
        "watch -g date",
        "python3 -m venv /srv",
        "tail -f --pid=1 /x",
        "if a; then sleep infinity; fi",
        "nohup python3 -m http.server >/dev/null &",
    ] {
        assert!(all_codes(&format!("runcmd: ['{command}']\n")).is_empty(), "{command}");
    }
    assert!(all_codes("runcmd: ['systemd-run sleep infinity']\n").is_empty());
}

#[test]
fn firewalls_without_ssh_are_reported() {
    let rules = |rules: &str| all_codes(&format!("packages: [ufw]\nruncmd:\n{rules}  - ufw --force enable\n"));
    assert_eq!(rules(""), ["MK341"]);
    assert_eq!(
        rules("  - ufw allow 80,443/tcp\n  - ufw allow 'Nginx Full'\n  - [ufw, default, deny, incoming]\n"),
        ["MK341"]
    );
    for fine in [
        "  - ufw allow ssh\n",
        "  - [ufw, allow, OpenSSH]\n",
        "  - ufw limit 22/tcp\n",
        "  - ufw allow from 10.0.0.0/8\n",
        "  - ufw allow in on tailscale0\n",
        "  - ufw default allow incoming\n",
        "  - for p in 22 80; do ufw allow $p; done\n",
        "  - sed -i 's/^#Port 22/Port 2222/' /etc/ssh/sshd_config\n  - ufw allow 2222/tcp\n",
        "  - ufw allow 20:25/tcp\n",
        "  - echo Port 2200 >> /etc/ssh/sshd_config\n  - ufw allow 2200\n",
    ] {
        assert!(rules(fine).is_empty(), "{fine}");
    }
    assert!(all_codes("packages: [ufw]\nruncmd:\n  - '[ -e /x ] && ufw enable'\n  - ufw status\n").is_empty());
}

#[test]
fn arguments_in_here_documents_are_reported() {
    let document = |begin: &str, body: &str| {
        all_codes(&format!("runcmd:\n  - |\n    cat > /usr/local/bin/a {begin}\n    #!/bin/sh\n    {body}\n    EOF\n"))
    };
    for body in ["echo $1", "exec b \"$@\"", "[ $# -gt 0 ]"] {
        assert_eq!(document("<<EOF", body), ["MK342"], "{body}");
        assert!(document("<<'EOF'", body).is_empty() && document("<< \"EOF\"", body).is_empty(), "{body}");
    }
    assert!(document("<<EOF", "echo \\$1").is_empty() && document("<<EOF", "echo $HOME $(date)").is_empty());
    // Not a script, but for example an awk program.
    assert!(all_codes("runcmd:\n  - |\n    cat > /x <<EOF\n    a $1\n    EOF\n").is_empty());
    let inner =
        "runcmd:\n  - |\n    cat > /x <<'OUTER'\n    cat > /y <<EOF\n    #!/bin/sh\n    echo $1\n    EOF\n    OUTER\n";
    assert!(all_codes(inner).is_empty());
    let function = "runcmd:\n  - |\n    a() { cat <<EOF\n    #!/bin/sh\n    echo $1\n    EOF\n    }\n    a b > /x\n";
    assert!(all_codes(function).is_empty());
}

#[test]
fn locked_passwords_are_reported() {
    let hash = "$6$vYq0mB1sT$hZ9mQ0r8pKQ1b6mX4Yw3kN7sD2fG5hJ8kL0zX1cV4bN7mQ2wE5rT8yU1iO4pA7s";
    let user = |more: &str| all_codes(&format!("users:\n  - default\n  - {{name: a, passwd: {hash}{more}}}\n"));
    assert_eq!(user(""), ["MK343"]);
    assert!(user(", lock_passwd: false").is_empty() && user(", lock_passwd: true").is_empty());
    assert!(all_codes("users: [default, {name: a, passwd: '*'}]\n").is_empty());
    let unlocked = format!("users: [default, {{name: a, passwd: {hash}}}]\nruncmd: [passwd -u a]\n");
    assert!(all_codes(&unlocked).is_empty());
    let expire = format!("chpasswd: {{expire: false}}\nusers: [default, {{name: a, passwd: {hash}}}]\n");
    assert_eq!(all_codes(&expire), ["MK343"]);
    let another =
        format!("chpasswd: {{users: [{{name: a, type: RANDOM}}]}}\nusers: [default, {{name: a, passwd: {hash}}}]\n");
    assert!(all_codes(&another).is_empty());
}

#[test]
fn missing_signing_keys_are_reported() {
    let source = |more: &str, rest: &str| {
        all_codes(&format!(
            "apt:\n  sources:\n    a:\n      source: deb [arch=amd64 signed-by=/etc/apt/keyrings/a.gpg] https://a.example stable main\n{more}{rest}"
        ))
    };
    assert_eq!(source("", ""), ["MK396"]);
    assert_eq!(source("      keyid: 9DC858229FC7DD38854AE2D88D81803C0EBFCD88\n", ""), ["MK396"]);
    assert!(source("", "bootcmd: [cp /opt/key /etc/apt/keyrings/a.gpg]\n").is_empty());
    assert!(source("", "write_files: [{path: /etc/apt/keyrings/a.gpg, content: x}]\n").is_empty());
}

#[test]
fn groups_are_separated_by_commas() {
    let groups = |groups: &str| all_codes(&format!("users: [default, {{name: a, groups: {groups}}}]\n"));
    assert_eq!(groups("sudo adm"), ["MK344"]);
    assert_eq!(groups("'sudo, adm users'"), ["MK344"]);
    assert!(
        groups("'sudo, adm,users'").is_empty()
            && groups("[sudo, adm]").is_empty()
            && groups("'${groups} x'").is_empty()
    );
}

#[test]
fn keys_of_apt_sources_are_keys() {
    let of_source = |text: &str| {
        let text = format!(
            "#cloud-config\napt:\n  sources:\n    a:\n      source: 'deb https://a.example x main'\n      {text}\n"
        );
        let found = crate::lint_bytes("t", text.as_bytes(), &crate::Options::default()).documents.remove(0);
        let found = found.findings.diagnostics.into_iter().filter(|found| found.rule.code == "MK399");
        found.map(|found| found.path).collect::<Vec<_>>()
    };
    for text in [
        "key: https://a.example/gpg",
        "key: HTTP://a.example/key.asc",
        "key: |\n        https://a.example/gpg",
        "key: /etc/apt/keyrings/a.asc",
        "key: file:///root/a.asc",
        "key: 9DC858229FC7DD38854AE2D88D81803C0EBFCD88",
        "key: '9DC8 5822 9FC7 DD38 854A  E2D8 8D81 803C 0EBF CD88'",
    ] {
        assert_eq!(of_source(text), ["apt.sources.a.key"], "{text}");
    }
    for text in ["keyid: https://a.example/gpg", "keyid: |\n        -----BEGIN PGP PUBLIC KEY BLOCK-----\n        a"] {
        assert_eq!(of_source(text), ["apt.sources.a.keyid"], "{text}");
    }
    for text in [
        "key: |\n        -----BEGIN PGP PUBLIC KEY BLOCK-----\n\n        a\n        -----END PGP PUBLIC KEY BLOCK-----",
        "keyid: 9DC858229FC7DD38854AE2D88D81803C0EBFCD88",
        "keyid: 8D81803C0EBFCD88\n      keyserver: https://keys.openpgp.org",
        "keyid: 0x8D81803C0EBFCD88",
        "key: ${docker_key}",
        "key: '<the key>'",
        "key: ''",
    ] {
        assert!(of_source(text).is_empty(), "{text}: {:?}", of_source(text));
    }
}
