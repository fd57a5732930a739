//! Items whose YAML form changes the command: lists with one word, and joined here-documents.

use super::unnoticed::all_codes;

#[test]
fn programs_with_blanks_are_reported() {
    for item in [
        "[ 'apt-get install -y nginx' ]",
        "[ systemctl restart nginx ]",
        "[ sudo, systemctl restart nginx ]",
        "[ /usr/bin/apt-get update ]",
        "[ /opt/app/setup.sh --force ]",
        "[ 'curl -fsSL https://example.org/x | sh' ]",
        "[ apt-get install, -y, nginx ]",
        "- systemctl restart nginx",
        "[ \"echo a > /b\" ]",
        "- |\n      echo a\n      echo b",
    ] {
        for key in ["runcmd", "bootcmd"] {
            let found = all_codes(&format!("{key}:\n  - {item}\n"));
            assert!(found.contains(&"MK410"), "{item}: {found:?}");
        }
    }
    assert!(all_codes("snap: {commands: [[snap install vlc]]}\n").contains(&"MK410"));
    assert!(!all_codes("snap: {commands: [[snap, install, vlc], snap install vlc]}\n").contains(&"MK410"));
    for item in [
        "[ systemctl, restart, nginx ]", "[ reboot-later ]", "[ sh, -c, 'echo a b' ]", "[ '/opt/My App/run' ]",
        "[ '${command} -x' ]", "[ '{{ command }}' ]", "[ echo, 'a b' ]", "[ sudo, -u, ada, echo, 'a b' ]",
        "systemctl restart nginx", "[ /usr/local/sbin/setup ]",
    ] {
        let found = all_codes(&format!("runcmd:\n  - {item}\n"));
        assert!(!found.contains(&"MK410"), "{item}: {found:?}");
    }
}

/// Without the brackets, each item would be a command of its own.
#[test]
fn the_help_fits_the_number_of_words() {
    let help = |item: &str| {
        let text = format!("#cloud-config\nruncmd:\n  - {item}\n");
        let report = crate::lint_bytes("t.yaml", text.as_bytes(), &crate::Options::default());
        let mut found = report.documents[0].findings.diagnostics.iter().filter(|found| found.rule.code == "MK410");
        found.next().and_then(|found| found.help.clone()).unwrap_or_default()
    };
    assert!(help("[ 'apt-get update' ]").ends_with("or remove the brackets"));
    assert!(help("[ apt-get install, nginx ]").ends_with("or the whole command as one string"));
}

#[test]
fn joined_here_documents_are_reported() {
    for item in [
        "cat > /etc/app.conf <<EOF\n    key=value\n    EOF\n  - echo done",
        "cat <<'EOF' > /etc/motd\n    it's (new)\n    EOF\n  - echo done",
        ">\n    cat > /etc/motd <<EOF\n    hello\n    EOF",
        ">-\n    tee /etc/motd <<-END\n    hello\n    END",
        "\"cat > /etc/motd <<EOF\n    hello\n    EOF\"",
        "'cat > /etc/motd <<EOF\n    hello\n    EOF\n    '",
        "[ sh, -c, 'cat > /etc/motd <<EOF\n    hello\n    EOF' ]",
        "sudo bash -c \"cat > /etc/motd <<EOF\n    hello\n    EOF\"",
        "- bash\n    - -c\n    - >\n      cat > /etc/motd <<EOF\n      hello\n      EOF",
    ] {
        let found = all_codes(&format!("runcmd:\n  - {item}\n"));
        assert_eq!(found, ["MK367"], "{item}");
    }
    for item in [
        "|\n    cat > /etc/motd <<EOF\n    hello\n    EOF",
        "cat > /etc/motd <<EOF\n\n    hello\n\n    EOF\n",
        "\"cat > /etc/motd <<EOF\\nhello\\nEOF\\n\"",
        "echo a\n    b",
        ">\n    echo a &&\n    echo b",
        "sort <<< 'a\n    b'",
        "sort <<< a\n    a",
        "echo $((1<<a))\n    a",
        "|\n    bash -c 'cat > /a <<EOF\n    a\n    EOF'",
        "bash -c 'cat > /a <<EOF\n\n    a\n\n    EOF'",
    ] {
        let found = all_codes(&format!("runcmd:\n  - {item}\n"));
        assert!(!found.contains(&"MK367"), "{item}: {found:?}");
    }
    // Without a line of the delimiter, that line is what is missing.
    assert_eq!(all_codes("runcmd:\n  - cat > /etc/motd <<EOF\n    hello\n"), ["MK302"]);
    let file = |style: &str| {
        all_codes(&format!(
            "write_files:\n  - path: /opt/a\n    permissions: '0755'\n    content: {style}\n      #!/bin/sh\n\n      cat > /b <<EOF\n      c\n      EOF\n"
        ))
    };
    assert_eq!(file(">"), ["MK367"]);
    assert!(file("|").is_empty());
}
