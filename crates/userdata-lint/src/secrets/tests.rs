//! Which texts are secrets, where they are found, and that no output repeats them.

use crate::{Options, lint_bytes};
use diagnostics::{Format, Severity};

/// The findings about secrets as `code path line:column`.
fn found(text: &str) -> Vec<String> {
    let report = lint_bytes("t.yaml", text.as_bytes(), &Options::default());
    let document = &report.documents[0];
    let source = &document.findings.source;
    let ours = document.findings.diagnostics.iter().filter(|found| super::CODES.contains(&found.rule.code));
    ours.map(|found| {
        let place = source.position(found.span.unwrap_or_default().start);
        format!("{} {} {}:{}", found.rule.code, found.path, place.line, place.column)
    })
    .collect()
}

fn in_command(command: &str) -> Vec<String> {
    found(&format!("#cloud-config\nruncmd:\n  - |\n    {command}\n"))
}

const HEX: &str = "5b1f0c2a7d94e683b1c0f97a24d85e6310cf2b9874ad53e6f019c7b28d4a65e1";
const LETTERS: &str = "q7Rk2VxZp0LmN4sTb8WcY1dFgH6jK3uEoIaQ5rSvXy9zABCDEFGHIJKLMNOP";

#[test]
fn tokens_are_recognized_by_format() {
    let tokens = [
        format!("dop_v1_{HEX}"),
        format!("ghp_{}", &LETTERS[..36]),
        format!("github_pat_{}_{}", &LETTERS[..22], &LETTERS[..59]),
        format!("glpat-{}", &LETTERS[..20]),
        format!("xoxb-123456789012-{}", &LETTERS[..24]),
        format!("sk_live_{}", &LETTERS[..24]),
        format!("AIza{}", &LETTERS[..35]),
        format!("npm_{}", &LETTERS[..36]),
        format!("doo_v1_{HEX}"),
        format!("dor_v1_{HEX}"),
        format!("gho_{}", &LETTERS[..36]),
        format!("ghu_{}", &LETTERS[..36]),
        format!("ghs_{}", &LETTERS[..36]),
        format!("ghr_{}", &LETTERS[..36]),
        format!("gldt-{}", &LETTERS[..20]),
        format!("glrt-{}", &LETTERS[..20]),
        format!("glptt-{}", &LETTERS[..40]),
        format!("xoxp-123456789012-{}", &LETTERS[..24]),
        format!("xapp-1-A0123456789-{}", &LETTERS[..40]),
        format!("rk_live_{}", &LETTERS[..24]),
        format!("rubygems_{}", &HEX[..48]),
        format!("dckr_pat_{}", &LETTERS[..27]),
        format!("GOCSPX-{}", &LETTERS[..28]),
        format!("sk-proj-{LETTERS}"),
        format!("sk-svcacct-{LETTERS}"),
        format!("hvb.{}", &LETTERS[..30]),
        format!("q7Rk2VxZp0LmN4.atlasv1.{LETTERS}{}", &LETTERS[..6]),
        format!("SG.{}.{}", &LETTERS[..22], &LETTERS[..43]),
        format!("glsa_{}_5b1f0c2a", &LETTERS[..32]),
        format!("shpat_{}", &HEX[..32]),
        format!("https://hooks.slack.com/services/T0123456/B0123456/{}", &LETTERS[..24]),
        format!("SharedAccessKey={}=", &LETTERS[..43]),
        format!("AWS_SECRET_ACCESS_KEY={}", &LETTERS[..40]),
        format!("pypi-AgEIcHlwaS5vcmcC{LETTERS}"),
        format!("hf_{}", &LETTERS[..34]),
        format!("sk-ant-api03-{LETTERS}"),
        format!("sk-{}", &LETTERS[..48]),
        format!("tskey-auth-{}", &LETTERS[..30]),
        format!("hvs.{}", &LETTERS[..30]),
        format!("AccountKey={}{}==", &LETTERS[..50], &LETTERS[..36]),
        format!("AKIAQ7RK2VXZP0LMN4ST {}", &LETTERS[..40]),
        format!("aws_secret_access_key = {}", &LETTERS[..40]),
    ];
    for token in tokens {
        let found = in_command(&format!("use {token}"));
        assert_eq!(found.len(), 1, "{token}: {found:?}");
        assert!(found[0].starts_with("MK371 runcmd.0 4:"), "{token}: {found:?}");
    }
    for key in ["PrivateKey = ", "PrivateKey=", "PresharedKey = "] {
        let found = in_command(&format!("{key}{}=", &LETTERS[..43]));
        assert!(found.len() == 1, "{key}: {found:?}");
    }
    assert_eq!(in_command("PuTTY-User-Key-File-3: ssh-ed25519").len(), 1);
    let age = format!("AGE-SECRET-KEY-1{}", &LETTERS[..58].to_uppercase());
    assert!(in_command(&age)[0].starts_with("MK370"));
}

#[test]
fn texts_that_resemble_tokens_are_accepted() {
    for text in [
        format!("git checkout ghp_{}", &LETTERS[..20]),
        format!("sha {HEX}"),
        format!("dop_v1_{}", "0".repeat(64)),
        format!("xdop_v1_{HEX}"),
        "AKIAIOSFODNN7EXAMPLE".into(),
        format!("npm_config_cache_{LETTERS}"),
        "sk-learn and hf_hub_download, SG.example".into(),
        "curl https://user:${PASSWORD}@host/ http://user:pass@host http://[[user][:pass]@]host[:port]/ ssh://git@host:22/x".into(),
        "export DB_PASSWORD=$(cat /run/secret) PGPASSWORD=\"$PASSWORD\" RESTIC_PASSWORD_FILE=/etc/x".into(),
        "echo \"root:$PASSWORD\" | chpasswd; echo 'a:$6$b$c' | chpasswd -e".into(),
        "API_TOKEN=changeme MYSQL_ROOT_PASSWORD=<password> A_TOKEN=short".into(),
        "echo 'root:abJnggxhB/yWI' | chpasswd -e".into(),
        "-----BEGIN PRIVATE KEY----- your key here -----END PRIVATE KEY-----".into(),
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\n    MHcCAQEEIJ4QmTVhV0s7zYkLq2dRbWnUoXc1pEaGf8ut3gIKHhNo\n    -----END ENCRYPTED PRIVATE KEY-----".into(),
        "-----BEGIN PUBLIC KEY-----\n    MHcCAQEEIJ4QmTVhV0s7zYkLq2dRbWnUoXc1pEaGf8ut3gIKHhNo\n    -----END PUBLIC KEY-----".into(),
        "-----BEGIN RSA PRIVATE KEY-----\n    Proc-Type: 4,ENCRYPTED\n    MHcCAQEEIJ4QmTVhV0s7zYkLq2dRbWnUoXc1pEaGf8ut3gIKHhNo\n    -----END RSA PRIVATE KEY-----".into(),
        "-----BEGIN PRIVATE KEY-----\n    <MHcCAQEEIJ4QmTVhV0s7zYkLq2dRbWnUoXc1pEaGf8ut3gIKHhNo>\n    -----END PRIVATE KEY-----".into(),
        "tool x--password=hunter2x; A_PASSWORD=change_me B_PASSWORD=dummy C_PASSWORD=your_password".into(),
        "echo 'root:hunter2' | ./my-tool chpasswd; echo 'root:abJnggxhB/yWI' | chpasswd --encrypted".into(),
        "read -p 'PASSWORD: ' x; echo PASSWORD: see /root/password".into(),
    ] {
        assert!(in_command(&text).is_empty(), "{text}: {:?}", in_command(&text));
    }
}

#[test]
fn passwords_in_texts() {
    for text in [
        "curl https://ada:hunter2@host.example/x",
        "PGPASSWORD=hunter2 psql",
        "docker run -e MYSQL_ROOT_PASSWORD='hunter2' mysql",
        "echo 'root:hunter2' | chpasswd",
        "echo \"root:hunter2\" | sudo /usr/sbin/chpasswd",
        "printf 'root:hunter2\\n' | chpasswd",
        "export K3S_TOKEN=f1ghterPl4ne9876",
        "tool --password=hunter2",
        "POSTGRES_PASSWORD: hunter2",
        "MYSQL_PWD=hunter2 mysql",
        "export APP_SECRET=f1ghterPl4ne9876",
        "export APP_SECRET_KEY=f1ghterPl4ne9876",
        "export APP_API_KEY=f1ghterPl4ne9876",
        "curl -H 'x: eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P'",
    ] {
        assert_eq!(in_command(text).len(), 1, "{text}: {:?}", in_command(text));
        assert!(in_command(text)[0].starts_with("MK372 runcmd.0 4:"), "{text}");
    }
}

#[test]
fn passwords_under_keys() {
    assert_eq!(found("#cloud-config\npassword: hunter2\n"), ["MK372 password 2:11"]);
    let text = "#cloud-config\nchpasswd:\n  list: |\n    root:hunter2\n    ada:RANDOM\n    bob:$1$abcdefgh$ijklmnop\n    eve:$6$abcdefgh$ijklmnop\n";
    assert_eq!(found(text), ["MK372 chpasswd.list 4:10", "MK373 chpasswd.list 6:9"]);
    let text = "#cloud-config\nchpasswd:\n  list: [\"root:hunter2\"]\n  users:\n    - {name: a, password: hunter2}\n    - {name: b, password: hunter3, type: text}\nusers:\n  - {name: a, plain_text_passwd: hunter4, hashed_passwd: '*'}\n";
    assert_eq!(
        found(text),
        [
            "MK372 chpasswd.list.0 3:16",
            "MK374 chpasswd.users.0.password 5:27",
            "MK372 chpasswd.users.1.password 6:27",
            "MK372 users.0.plain_text_passwd 8:34"
        ]
    );
    assert!(found("#cloud-config\npassword: \"{{ password }}\"\nchpasswd: {list: [\"a:R\"]}\n").is_empty());
}

#[test]
fn encoded_contents_and_all_kinds_are_searched() {
    use base64::Engine;
    use std::io::Write;
    let secret = format!("a\ntoken dop_v1_{HEX}\n");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(secret.as_bytes()).unwrap();
    let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    for (encoding, content) in [("b64", encode(secret.as_bytes())), ("gz+b64", encode(&gzip.finish().unwrap()))] {
        let text =
            format!("#cloud-config\nwrite_files:\n  - path: /a\n    encoding: {encoding}\n    content: {content}\n");
        assert_eq!(found(&text), ["MK371 write_files.0.content 5:14"], "{encoding}");
        let report = lint_bytes("t.yaml", text.as_bytes(), &Options::default());
        let human = report.render(Format::Human, false);
        assert!(human.contains("line 2 of the content") && !human.contains(&content[8..]), "{human}");
    }
    assert_eq!(found(&format!("#!/bin/sh\n{secret}")), ["MK371  3:7"]);
    assert_eq!(found(&format!("#cloud-boothook\n#!/bin/sh\n{secret}")), ["MK371  4:7"]);
    assert_eq!(found("#include\nhttps://ada:hunter2@host.example/x\n"), ["MK372  2:13"]);
    assert_eq!(found(&format!("#cloud-config-archive\n- |\n  #!/bin/sh\n  use dop_v1_{HEX}\n")), ["MK371  4:7"]);
    let jinja = format!("## template: jinja\n#cloud-config\nruncmd:\n  - use dop_v1_{HEX}\n");
    assert_eq!(found(&jinja), ["MK371 runcmd.0 4:9"]);
    assert_eq!(found(&format!("#cloud-config\n# dop_v1_{HEX}\nruncmd: [ls\n")).len(), 1, "in broken YAML, in comments");
}

/// In any format, whatever else is reported on the line.
#[test]
fn no_output_repeats_a_secret() {
    let key = "MHcCAQEEIJ4QmTVhV0s7zYkLq2dRbWnUoXc1pEaGf8ut3gIKHhNoAoGCCqGSM49AwEHoUQDQgAE";
    let text = format!(
        "#cloud-config\nhostnam: dop_v1_{HEX}\nruncmd: {{a: dop_v1_{HEX}}}\npackages: \"https://a:hunter2hunter2@b.example\"\nusers:\n  - {{name: ada, plain_text_passwd: wachtwoord9, uid: x}}\nchpasswd: {{list: \"root:wachtwoord8\"}}\nbootcmd:\n  - |\n    -----BEGIN RSA PRIVATE KEY-----\n    {key}\n    -----END RSA PRIVATE KEY-----\nssh_pwauth: dop_v1_{HEX}\n"
    );
    let report = lint_bytes("t.yaml", text.as_bytes(), &Options::default());
    assert!(report.documents[0].findings.diagnostics.len() > 8);
    for format in [Format::Human, Format::Json, Format::Github, Format::Sarif] {
        let shown = report.render(format, false);
        // SARIF has the rules' pages with their examples before the results.
        let shown = shown.split_once("\"results\"").map_or(shown.as_str(), |(_, results)| results);
        for secret in [&HEX[4..12], "hunter2", "wachtwoord", &key[..10], &HEX[HEX.len() - 8..]] {
            assert!(!shown.contains(secret), "{format:?} shows {secret}: {shown}");
        }
    }
}

/// The passwords are also parts of keys, program names and messages.
#[test]
fn short_passwords_are_not_redacted_in_words() {
    let text = "#cloud-config\nusers: [{name: ada, plain_text_passwd: users, uid: x, shel: 1}]\nchpasswd:\n  expire: 1\n  users: [{name: root, password: pass, type: text}]\n";
    assert_eq!(found(text), ["MK372 users.0.plain_text_passwd 2:40", "MK372 chpasswd.users.0.password 5:34"]);
    let report = lint_bytes("t.yaml", text.as_bytes(), &Options::default());
    let paths: Vec<_> = report.documents[0].findings.diagnostics.iter().map(|found| found.path.as_str()).collect();
    assert!(paths.contains(&"chpasswd.expire") && paths.contains(&"users.0"), "{paths:?}");
    let human = report.render(Format::Human, false);
    assert!(human.contains("mkpasswd -m") && !human.contains("password: pass"), "{human}");
}

#[test]
fn host_keys_are_a_warning() {
    let text = "#cloud-config\nssh_keys:\n  ecdsa_private: |\n    -----BEGIN EC PRIVATE KEY-----\n    MHcCAQEEIJ4QmTVhV0s7zYkLq2dRbWnUoXc1pEaGf8ut3gIKHhNoAoGCCqGSM49AwEHoUQDQgAE\n    -----END EC PRIVATE KEY-----\n";
    let report = lint_bytes("t.yaml", text.as_bytes(), &Options::default());
    let finding = &report.documents[0].findings.diagnostics[0];
    assert_eq!(
        (finding.rule.code, finding.severity, finding.path.as_str()),
        ("MK370", Severity::Warning, "ssh_keys.ecdsa_private")
    );
}

/// Text that resembles secrets, repeated in one long line.
#[test]
fn repeated_texts_are_searched_quickly() {
    let piece = "chpasswd A_TOKEN= xoxb-xoxb- ://a -----BEGIN PRIVATE KEY----- eyJ sk- PASSWORD='";
    let text = format!("#cloud-config\nruncmd:\n  - |\n    {}\n", piece.repeat(4_000));
    assert!(found(&text).len() <= 200);
}

/// The code of a command's only finding, or "".
fn code_in_command(command: &str) -> String {
    let found = in_command(command);
    assert!(found.len() < 2, "{command}: {found:?}");
    found.first().map_or_else(String::new, |found| found[..5].to_owned())
}

#[test]
fn passwords_in_addresses() {
    for (address, expected) in [
        ("redis://:hunter2@db.example/0", "MK372"),
        ("postgres://ada:hunter2@db.example", "MK372"),
        ("https://ada@host.example/", ""),
        ("https://host.example:80/a@b", ""),
        ("redis://:$PASSWORD@db.example", ""),
        ("redis://:password@db.example", ""),
        ("redis://:<password>@db.example", ""),
    ] {
        assert_eq!(code_in_command(&format!("use {address}")), expected, "{address}");
    }
    // All of the password is marked, and so redacted.
    assert_eq!(in_command("use https://ada:hunter2:part2@host.example"), ["MK372 runcmd.0 4:21"]);
}

/// Limits at n - 1, n and n + 1.
#[test]
fn secrets_have_the_length_of_their_kind() {
    let hex = format!("{HEX}{HEX}");
    let letters = LETTERS.repeat(6);
    for (prefix, body, lengths) in [
        ("dop_v1_", &hex, [(63, false), (64, true), (65, false)].as_slice()),
        ("ghp_", &letters, &[(35, false), (36, true), (37, true), (254, true), (255, true), (256, false)]),
        ("glpat-", &letters, &[(19, false), (20, true), (21, true)]),
        ("AGE-SECRET-KEY-1", &letters.to_uppercase(), &[(57, false), (58, true), (59, false)]),
        ("K3S_TOKEN=", &hex, &[(15, false), (16, true), (17, true)]),
        ("PGPASSWORD=", &hex, &[(3, false), (4, true), (5, true)]),
        ("aws_secret_access_key=", &letters, &[(39, false), (40, true), (41, false)]),
    ] {
        for (length, is_found) in lengths {
            let found = in_command(&format!("use {prefix}{}", &body[..*length]));
            assert_eq!(!found.is_empty(), *is_found, "{prefix} {length}: {found:?}");
        }
    }
}

#[test]
fn modes_of_files() {
    let key = "-----BEGIN EC PRIVATE KEY-----\n      MHcCAQEEIJ4QmTVhV0s7zYkLq2dRbWnUoXc1pEaGf8ut3gIKHhNoAoGCCqGSM49AwEHoUQDQgAE\n      -----END EC PRIVATE KEY-----";
    let code = |mode: &str, content: &str| {
        let text = format!(
            "#cloud-config\nwrite_files:\n  - path: /a\n    permissions: '{mode}'\n    content: |\n      {content}\n"
        );
        let report = lint_bytes("t.yaml", text.as_bytes(), &Options::default());
        let found = report.documents[0].findings.diagnostics.iter().map(|found| found.rule.code);
        found.filter(|code| ("MK375".."MK378").contains(code)).collect::<Vec<_>>()
    };
    for (mode, content, expected) in [
        ("0644", "x", &[][..]),
        ("0664", "x", &[]),
        ("0646", "x", &["MK376"]),
        ("4755", "x", &[]),
        ("4775", "x", &["MK377"]),
        ("2757", "x", &["MK377"]),
        ("1777", "x", &["MK376"]),
        ("0600", key, &[]),
        ("0640", key, &[]),
        ("0644", key, &["MK375"]),
        ("0604", key, &["MK375"]),
        ("0700", key, &["MK375"]),
        ("0610", key, &["MK375"]),
        ("0660", key, &[]),
    ] {
        assert_eq!(code(mode, content), expected, "{mode} {content}");
    }
}
