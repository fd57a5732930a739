//! Public SSH keys in cloud-config and in `authorized_keys`.

use crate::{Options, lint_bytes};

const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBgtn50swZyYw+ypjbO4KZ25vtUGIm03YZXYMK1zzYZP";
const RSA: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQCtTPyz0GNI7wgpKGocBl8ZxwfhUn47g8zNBQw5ulrBAR70KeCKaVpvuJZ1g4Ai7XZscj7U3tfjPCjg7Ak4sVqWMhawHYIgUxtymoJIdtCmbdOx+gUqIyGi2IW886StQ650ifxLO4rGae4hRxKMziHg126En7Fc7b8tuw4oN5Zg7w==";
const ECDSA: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBPDYNTafuhLu76rwu4Wo9kzTJ0kKjxSFYU0IAcsR2X/yk4KGXAChmFfAfp0gbLAdejF8DzO3mm0nwSig4DrRvUQ=";

/// The findings about keys: severity, path and message.
fn found(name: &str, text: &str) -> Vec<String> {
    let report = lint_bytes(name, format!("#cloud-config\n{text}").as_bytes(), &Options::default());
    let found = report.documents[0].findings.diagnostics.iter().filter(|found| found.rule.code == "MK398");
    found.map(|found| format!("{} {}: {}", found.severity.name(), found.path, found.message)).collect()
}

/// The findings about one key, as JSON strings, which YAML reads as well.
fn of_key(key: &str) -> Vec<String> {
    found("t.yaml", &format!("ssh_authorized_keys: [{}]\n", serde_json::to_string(key).unwrap()))
}

#[test]
fn keys_that_sshd_cannot_read_are_reported() {
    let cut_in_field = ED25519.strip_suffix("YZP").unwrap().to_owned();
    for (key, expected) in [
        ("ssh-rsa AAAAB3NzaC1yc2E", "incomplete"),
        (&cut_in_field, "incomplete"),
        (&cut_in_field[..cut_in_field.len() - 1], "incomplete"),
        (RSA.strip_suffix("==").unwrap(), "incomplete"),
        (&format!("{} {}", &RSA[..100], &RSA[100..]), "incomplete"),
        (&format!("{ED25519}AAAA"), "something follows the end"),
        (&ED25519.replace("ssh-ed25519", "ssh-rsa"), "of the type `ssh-ed25519`, not `ssh-rsa`"),
        (&ED25519.replace("ssh-ed25519", "ssh-ed22519"), "does not know the key type"),
        (ED25519.split_once(' ').unwrap().1, "has no type"),
        (&ED25519.replace("swZ", "s-Z"), "not base64"),
        ("ssh-ed25519", "the key is missing"),
        ("ssh-rsa AAAAB3Nza... ada@host", "placeholder"),
        ("ssh-rsa <key>", "placeholder"),
        ("ssh-rsa YOUR_PUBLIC_KEY", "contains `_`"),
        ("ssh-rsa hello ada", "incomplete"),
        ("<your public key>", "not a public SSH key"),
        ("your-key-here", "not a public SSH key"),
        ("CHANGEME", "not a public SSH key"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "private key"),
        ("PuTTY-User-Key-File-3: ssh-ed25519", "private key"),
        ("---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\nBBBB", "in this format"),
        ("-----BEGIN PUBLIC KEY-----", "in this format"),
        ("github:ada", "only `ssh_import_id`"),
        ("gh:ada", "only `ssh_import_id`"),
        ("lp:ada", "only `ssh_import_id`"),
        ("https://github.com/ada.keys", "an address"),
        ("~/.ssh/id_ed25519.pub", "a path"),
        ("/home/ada/.ssh/id_rsa.pub", "a path"),
        ("SHA256:uNiVztksCsDhcc0u9e8BrqeE0u0u0n", "fingerprint"),
        (&format!("\"{ED25519} ada\""), "quotes are part"),
        (&format!("'{ED25519}'"), "quotes are part"),
        ("$(cat ~/.ssh/id_rsa.pub)", "no shell"),
    ] {
        let found = of_key(key);
        assert!(found.len() == 1 && found[0].contains(expected), "{key}: {found:?}");
        assert!(found[0].starts_with("warning ssh_authorized_keys.0: "), "{found:?}");
    }
    for key in [
        ED25519,
        RSA,
        ECDSA,
        &format!("{ED25519} Ada's key at home"),
        &format!("  {RSA}\n"),
        &format!("no-pty,command=\"echo \\\"a b\\\"\" {RSA} ada"),
        &format!("from=\"10.0.0.0/8\" {ED25519}"),
        &format!("{ED25519} ada\n\n# of Bob\n{RSA} bob\n"),
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExampleOnly ada",
        "# no key",
        "",
        "ssh-new@example.org AAAAC3NzaC1lZDI1NTE5AAAAIBgtn50swZyY",
    ] {
        assert!(of_key(key).is_empty(), "{key}: {:?}", of_key(key));
    }
}

#[test]
fn keys_are_checked_in_every_place() {
    for (text, path) in [
        ("users: [default, {name: ada, ssh_authorized_keys: [github:ada]}]\n", "users.1.ssh_authorized_keys.0"),
        ("users: [{name: ada, ssh-authorized-keys: [a, b]}]\n", "users.0.ssh-authorized-keys.0"),
        ("user: {name: ada, ssh_authorized_keys: ssh-rsa AAAA}\n", "user.ssh_authorized_keys"),
        ("ssh_authorized_keys:\n  - |\n    ssh-rsa AAAA\n", "ssh_authorized_keys.0"),
        (
            "write_files:\n- path: /root/.ssh/authorized_keys\n  content: |\n    ssh-rsa AAAAB3NzaC1yc2E ada\n",
            "write_files.0.content",
        ),
        (&format!("users: [{{name: ada, ssh_import_id: ['{ED25519}']}}]\n"), "users.0.ssh_import_id.0"),
        ("ssh_import_id: [https://github.com/ada]\n", "ssh_import_id.0"),
    ] {
        let found = found("t.yaml", text);
        assert!(found.iter().any(|found| found.contains(&format!("{path}: "))), "{text}: {found:?}");
    }
    for text in [
        "ssh_import_id: ['gh:ada', lp:bob, carol]\n",
        "ssh_authorized_keys: [5, null]\nusers: [5, {ssh_authorized_keys: {a: b}}]\n",
        "write_files: [{path: /root/.ssh/config, content: Host a}]\n",
    ] {
        assert!(found("t.yaml", text).is_empty(), "{text}: {:?}", found("t.yaml", text));
    }
    let template =
        "## template: jinja\n#cloud-config\nssh_authorized_keys: ['{{ v1.public_ssh_keys[0] }}', '{{ ds.key }}']\n";
    let report = lint_bytes("t", template.as_bytes(), &Options::default());
    let found = &report.documents[0].findings.diagnostics;
    assert!(found.iter().all(|found| found.rule.code == "MK212"), "{found:?}");
}

/// A file with a variable is filled in by another program; one that is checked on its own is not checked twice.
#[test]
fn files_with_keys_are_checked_once() {
    let path = "/root/.ssh/authorized_keys";
    let codes = |text: &str| {
        let document = crate::lint_file(&diagnostics::source::Source::new("a", text), path, 0o600, &Options::default());
        document.findings.diagnostics.iter().map(|found| found.rule.code).collect::<Vec<_>>()
    };
    assert_eq!(codes("ssh-rsa AAAAB3NzaC1yc2E\n"), ["MK398"]);
    assert!(codes("${ssh_key}\n").is_empty(), "{:?}", codes("${ssh_key}\n"));
    let text = format!("#cloud-config\nwrite_files: [{{path: {path}, content: ssh-rsa AAAAB3NzaC1yc2E}}]\n");
    for (separate_files, count) in [(vec![], 1), (vec![path.to_owned()], 0)] {
        let options = Options { separate_files, ..Options::default() };
        let (document, _) = crate::lint_rendered(&diagnostics::source::Source::new("t.yaml", text.as_str()), &options);
        let found = document.findings.diagnostics.iter().filter(|found| found.rule.code == "MK398").count();
        assert_eq!(found, count);
    }
}

#[test]
fn variables_are_information_unless_the_document_is_a_template() {
    for key in ["${ssh_key}", "$SSH_KEY", "{{ ssh_key }}", "@SSH_KEY@", "__KEY__", "%KEY%"] {
        let found = of_key(key);
        assert!(found.len() == 1 && found[0].starts_with("info "), "{key}: {found:?}");
    }
    let keys = "ssh_authorized_keys: ['${ssh_key}']\n";
    assert_eq!(found("t.yaml", &format!("{keys}runcmd: ['echo ${{HOME}}']\n")).len(), 1);
    for (name, text) in [
        ("user-data.tftpl", keys.to_owned()),
        ("user-data.yaml.j2", keys.to_owned()),
        ("t.yaml", format!("{keys}hostname: ${{name}}\n")),
        ("t.yaml", format!("{keys}write_files: [{{path: /a, content: '${{script}}'}}]\n")),
        ("t.yaml", format!("{keys}runcmd: ['%{{ if a }}ls%{{ endif }}']\n")),
        ("t.yaml", "ssh_authorized_keys: ['${file(\"~/.ssh/id.pub\")}']\n".to_owned()),
        ("t.yaml", "users: [{name: '${user}', ssh_authorized_keys: ['${ssh_key}']}]\n".to_owned()),
    ] {
        assert!(found(name, &text).is_empty(), "{name} {text}: {:?}", found(name, &text));
    }
}
