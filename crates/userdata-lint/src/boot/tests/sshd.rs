//! Settings of sshd against `ssh_pwauth`, and its port against the firewall.

use super::{Options, lint_bytes};

fn found(code: &str, text: &str) -> Vec<String> {
    let report = lint_bytes("t", format!("#cloud-config\n{text}").as_bytes(), &Options::default());
    let found = report.documents[0].findings.diagnostics.iter().filter(|found| found.rule.code == code);
    found.map(|found| format!("{}: {}", found.path, found.message)).collect()
}

fn file(path: &str, content: &str) -> String {
    format!("write_files:\n- path: {path}\n  content: |\n    {}\n", content.replace('\n', "\n    "))
}

#[test]
fn settings_that_ssh_pwauth_overrides_are_reported() {
    let no = "PasswordAuthentication no";
    for text in [
        file("/etc/ssh/sshd_config.d/99-hardening.conf", no) + "ssh_pwauth: true\n",
        file("/etc/ssh/sshd_config.d/60-a.conf", "# a\nPermitRootLogin no\npasswordauthentication no # b") + "ssh_pwauth: 'yes'\n",
        file("/etc/ssh/sshd_config.d/99-a.conf", "PasswordAuthentication yes") + "ssh_pwauth: false\n",
        file("/etc/ssh/sshd_config", "Include /etc/ssh/sshd_config.d/*.conf\nPasswordAuthentication no") + "ssh_pwauth: true\n",
        file("/etc/ssh/sshd_config", no) + "  append: true\nssh_pwauth: true\n",
        "ssh_pwauth: true\nruncmd: ['sed -i \"s/^#\\?PasswordAuthentication.*/PasswordAuthentication no/\" /etc/ssh/sshd_config']\n"
            .replace("\\?", ".")
            .replace('\'', "")
            .replace("[sed", "\n  - sed")
            .replace("config]", "config"),
    ] {
        assert_eq!(found("MK400", &text).len(), 1, "{text}: {:?}", found("MK400", &text));
    }
    for text in [
        file("/etc/ssh/sshd_config.d/99-hardening.conf", no),
        file("/etc/ssh/sshd_config.d/99-hardening.conf", no) + "ssh_pwauth: false\n",
        file("/etc/ssh/sshd_config.d/99-hardening.conf", no) + "ssh_pwauth: unchanged\n",
        file("/etc/ssh/sshd_config.d/01-hardening.conf", no) + "ssh_pwauth: true\n",
        file("/etc/ssh/sshd_config.d/99-hardening", no) + "ssh_pwauth: true\n",
        file("/etc/ssh/sshd_config.d/99-a.conf", "Match User ada\n  PasswordAuthentication no") + "ssh_pwauth: true\n",
        file("/etc/ssh/sshd_config.d/99-a.conf", "#PasswordAuthentication no\nPermitRootLogin no")
            + "ssh_pwauth: true\n",
        file("/etc/ssh/sshd_config.d/99-a.conf", no)
            + "ssh_pwauth: true\nruncmd: [rm /etc/ssh/sshd_config.d/50-cloud-init.conf]\n",
        file("/etc/ssh/sshd_config", "PasswordAuthentication no\nInclude /etc/ssh/sshd_config.d/*.conf")
            + "ssh_pwauth: true\n",
        file("/etc/ssh/sshd_config", no) + "ssh_pwauth: true\n",
    ] {
        assert_eq!(found("MK400", &text), [""; 0], "{text}");
    }
}

#[test]
fn firewalls_that_open_another_port_than_that_of_ssh_are_reported() {
    let moved = || file("/etc/ssh/sshd_config.d/10-port.conf", "Port 2222");
    for text in [
        moved() + "runcmd: [ufw allow OpenSSH, ufw --force enable]\n",
        moved()
            + "runcmd:\n  - ufw default allow outgoing\n  - ufw limit 22/tcp\n  - ufw allow 80/tcp\n  - [ufw, --force, enable]\n",
        moved() + "runcmd:\n  - |\n    ufw default deny incoming\n    ufw allow ssh\n    yes | ufw enable\n",
        file("/etc/ssh/sshd_config", "ListenAddress 0.0.0.0:2222") + "runcmd: [ufw allow ssh, ufw enable]\n",
        moved() + "runcmd: [firewall-cmd --permanent --add-service=ssh, firewall-cmd --reload]\n",
        moved() + "# SSH is on 2222.\nfinal_message: ssh -p 2222\nruncmd: [ufw allow OpenSSH, ufw enable]\n",
        moved() + "runcmd: [iptables -A INPUT -p tcp --dport 22 -j ACCEPT, iptables -P INPUT DROP]\n",
        "runcmd:\n- sed -i 's/#Port 22/Port 2222/' /etc/ssh/sshd_config\n- ufw allow OpenSSH\n- ufw enable\n"
            .to_owned(),
        "runcmd:\n- echo \"Port 2222\" >> /etc/ssh/sshd_config\n- ufw allow 22\n- ufw enable\n".to_owned(),
    ] {
        assert_eq!(found("MK401", &text).len(), 1, "{text}: {:?}", found("MK401", &text));
    }
    for text in [
        moved() + "runcmd: [ufw allow OpenSSH, ufw allow 2222/tcp, ufw --force enable]\n",
        moved() + "runcmd: [ufw allow OpenSSH, 'ufw allow 2000:3000/tcp', ufw --force enable]\n",
        moved() + "runcmd: [ufw allow OpenSSH, ufw allow from 10.0.0.0/8, ufw --force enable]\n",
        moved() + "runcmd: [ufw allow OpenSSH, 'for p in 80 2222; do ufw allow $p; done', ufw --force enable]\n",
        moved() + "runcmd: [ufw allow OpenSSH]\n",
        moved() + "runcmd:\n  - ufw default allow incoming\n  - ufw allow OpenSSH\n  - ufw enable\n",
        moved() + "- path: /etc/ufw/applications.d/a\n  content: |\n    [A]\n    ports=2222/tcp\nruncmd: [ufw allow A, ufw allow OpenSSH, ufw enable]\n",
        moved() + "runcmd: [ufw allow 80, ufw allow 2222, ufw enable]\n",
        file("/etc/ssh/sshd_config.d/10-port.conf", "Port 22\nPort 2222") + "runcmd: [ufw allow OpenSSH, ufw enable]\n",
        file("/etc/ssh/sshd_config.d/10-port.conf", "#Port 2222") + "runcmd: [ufw allow OpenSSH, ufw enable]\n",
        file("/etc/ssh/sshd_config.d/10-port.conf", "Port ${port}") + "runcmd: [ufw allow OpenSSH, ufw enable]\n",
        moved() + "runcmd: [firewall-cmd --permanent --add-service=ssh, firewall-cmd --permanent --add-port=2222/tcp]\n",
        moved() + "runcmd: [iptables -A INPUT -p tcp --dport 22 -j ACCEPT]\n",
        "runcmd: [sed -i 's/#Port 22/Port 2222/' /etc/ssh/sshd_config, ufw allow 2222, ufw allow ssh, ufw --force enable]\n".to_owned(),
    ] {
        assert_eq!(found("MK401", &text), [""; 0], "{text}");
    }
}

#[test]
fn rules_of_nftables_are_compared_with_the_port_of_ssh() {
    let with = |rules: &str| {
        let rules = format!(
            "table inet f {{\n  chain i {{\n    type filter hook input priority 0; policy drop;\n    iif lo accept\n    {rules}\n  }}\n}}"
        );
        let entry = format!("- path: /etc/nftables.conf\n  content: |\n    {}\n", rules.replace('\n', "\n    "));
        file("/etc/ssh/sshd_config.d/port.conf", "Port 2200") + &entry
    };
    for rules in
        ["tcp dport 22 accept", "tcp dport { 22, 80 } accept", "tcp dport ssh accept\n    tcp dport 443 accept"]
    {
        assert_eq!(found("MK401", &with(rules)).len(), 1, "{rules}: {:?}", found("MK401", &with(rules)));
    }
    for rules in [
        "tcp dport { 22, 2200 } accept",
        "tcp dport 22 accept\n    tcp dport 2000-3000 accept",
        "tcp dport 22 accept\n    ip saddr 10.0.0.0/8 accept",
        "tcp dport $ports accept\n    tcp dport 22 accept",
        "tcp dport @ports accept\n    tcp dport 22 accept",
        "tcp dport 80 accept",
    ] {
        assert_eq!(found("MK401", &with(rules)), [""; 0], "{rules}");
    }
}
