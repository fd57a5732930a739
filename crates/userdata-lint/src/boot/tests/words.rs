//! Each word of each table of the boot checks, and the limits. The lists are those of the programs'
//! manuals and of the distributions; a word that gets lost in a table is missed here.

use super::super::packages::{
    is_base_account, packages_of_account, packages_of_program, packages_of_service, provides,
};
use super::branches::{check, has};
use super::unnoticed::all_codes;

/// A document for each word, in which `WORD` stands for it: whether the code is reported.
fn check_words(code: &str, found: bool, document: &str, words: &str) {
    for word in words.split_whitespace() {
        let document = document.replace("WORD", word);
        assert_eq!(has(code, &document), found, "{code} {word}: {document}{:?}", all_codes(&document));
    }
}

#[test]
fn programs_that_touch_files() {
    let script = "write_files: [{path: /a/b, content: \"#!/bin/sh\\n\"}]\nruncmd: ['WORD /a/b; /a/b']\n";
    check_words("MK219", false, script, "chmod install cp mv ln find xargs curl wget tar unzip git rsync");
    check_words("MK219", true, script, "cat touch chown rm ls");
    let pattern = "write_files: [{path: /a/b, content: \"#!/bin/sh\\n\"}]\nruncmd: ['chmod +x WORD; /a/b']\n";
    check_words("MK219", false, pattern, "/a/* /a/? /a/[b] /a/$B $A/b b /a /a/");
    check_words("MK219", true, pattern, "/c /a/c c");
    let unit = "write_files:\n  - {path: /etc/systemd/system/a.service, content: \"[Service]\\nExecStart=/opt/a\\n\"}\nruncmd: [WORD b]\n";
    check_words(
        "MK315",
        true,
        unit,
        "addgroup adduser apt apt-get chgrp chmod chown date echo groupadd hostnamectl locale-gen loginctl mkdir passwd \
         printf reboot rm service shutdown sleep swapon sysctl systemctl timedatectl touch true ufw update-alternatives \
         update-locale useradd usermod",
    );
    check_words("MK315", false, unit, "curl cp make install /root/a sh python3");
    let key = "write_files:\n  - {path: /etc/systemd/system/a.service, content: \"[Service]\\nExecStart=/opt/a\\n\"}\nWORD: {}\n";
    check_words(
        "MK315",
        false,
        key,
        "apt apt_sources disk_setup mounts rh_subscription vendor_data snap ansible chef puppet salt_minion mcollective \
         lxd autoinstall yum_repos zypper merge_how merge_type",
    );
    check_words("MK315", true, key, "ntp x-a");
    let drop_in = "write_files: [{path: /etc/systemd/system/ssh.service.d/a.conf, content: '[Service]'}]\nruncmd: ['systemctl WORD a; systemctl restart ssh']\n";
    check_words(
        "MK368",
        false,
        drop_in,
        "daemon-reload daemon-reexec enable disable preset reenable mask unmask edit link",
    );
    check_words("MK368", true, drop_in, "start stop reload is-active");
    let program = drop_in.replace("systemctl WORD a", "WORD a");
    check_words("MK368", false, &program, "dpkg snap reboot");
    check_words("MK368", true, &program, "enable ls");
    let service = "write_files: [{path: /etc/systemd/system/WORD.service.d/a.conf, content: '[Service]'}]\nruncmd: [systemctl restart WORD]\n";
    let base = "ssh cron rsyslog systemd-journald systemd-resolved systemd-timesyncd";
    check_words("MK368", true, service, base);
    check_words("MK368", false, &format!("packages: [a]\n{service}"), base);
    check_words("MK368", false, &service.replace("[systemctl", "[echo"), base);
}

#[test]
fn programs_that_interpret_their_arguments() {
    let operator = "runcmd: [['WORD', '|', b]]\n";
    check_words(
        "MK363",
        false,
        operator,
        "[ test expr find xargs sh bash dash zsh su ssh dpkg parallel awk rpm let runuser eval /usr/bin/find",
    );
    check_words("MK363", true, operator, "echo ls systemd-run make");
    let variable = "runcmd: [[WORD, a, '$HOME']]\n";
    let expand = "systemd-run envsubst make perl python3 python php awk sed expect docker";
    check_words("MK363", false, variable, expand);
    check_words("MK363", false, &variable.replace("$HOME", "$(a)"), expand);
    check_words("MK363", true, variable, "echo ls");
    let behind = "runcmd: [[WORD, find, '|'], [WORD, awk, '$HOME']]\n";
    check_words("MK363", false, behind, "sudo env nohup timeout");
    check_words("MK363", true, "runcmd: [[a, 'WORD', b]]\n", "&& || | ; > >> < & 2> 2>> &> 2>&1 1>&2 >&2");
    check_words("MK363", true, "runcmd: [[a, 'WORD']]\n", "$AB $A_B $A1 ${AB} $(b) >/a 2>/a &>/a >>/a");
    check_words("MK363", false, "runcmd: [[a, 'WORD']]\n", "$A $ab $1 b) (b) >a ->/a");
}

#[test]
fn programs_of_base_images() {
    check_words(
        "MK350",
        false,
        "packages: [WORD]\nbootcmd: [[WORD, a]]\n",
        "apt awk bash bzip2 ca-certificates cron curl file find gawk gpg grep gzip hostname ip less lsb_release mount nano \
         openssl parted perl python3 rsync screen sed ssh sudo systemctl tar tmux vim wget xz zsh git htop ufw snap passwd \
         login",
    );
    check_words("MK350", true, "packages: [WORD]\nbootcmd: [[WORD, a]]\n", "tree mtr own-tool");
    let file = "bootcmd: [[WORD, /a/b]]\nwrite_files: [{path: /a/b, content: x}]\n";
    check_words("MK351", true, file, "sh bash dash python3 perl source . cat");
    check_words("MK351", false, file, "ls rm test");
    check_words("MK351", false, "bootcmd: [WORD]\nwrite_files: [{path: b, content: x}]\n", "b /c");
    let install = "bootcmd: [[WORD, install, a]]\n";
    check_words("MK352", true, install, "apt-get apt aptitude yum dnf microdnf zypper");
    check_words("MK352", false, install, "pip npm apk");
    check_words("MK352", true, "bootcmd: [[dnf, WORD, a]]\n", "install groupinstall reinstall");
    check_words("MK352", false, "bootcmd: [[dnf, WORD, a]]\n", "info search remove");
    check_words("MK352", true, "bootcmd: [[apt-get, WORD]]\n", "update upgrade dist-upgrade");
    check_words("MK352", true, "bootcmd: [[apt, WORD]]\n", "update upgrade");
    check_words("MK352", false, "bootcmd: [[own-tool, WORD]]\n", "update upgrade");
    check_words("MK352", true, "bootcmd: [[zypper, WORD, a]]\n", "in install");
}

/// What may have brought a program that no command installs.
#[test]
fn commands_that_may_install_anything() {
    let before = "packages: [npm, cargo, golang, composer, unzip, ansible]\nruncmd: [[WORD, a], docker run a]\n";
    check_words(
        "MK365",
        false,
        before,
        "snap npm cargo go composer pip pip3 pipx gem dpkg tar unzip brew flatpak nix-env apk pacman zypper yum dnf rpm \
         install cp mv ln ansible-playbook source . export PATH eval /opt/a ./a /usr/local/bin/a",
    );
    check_words("MK365", true, before, "echo chmod mkdir systemctl /usr/bin/a /bin/a /usr/sbin/a /sbin/a bash dash sh");
    let piped = "runcmd: ['cat a | WORD', docker run a]\n";
    check_words("MK365", false, piped, "sh bash dash python3 tar dpkg");
    check_words("MK365", true, piped, "grep wc");
    check_words("MK365", false, "runcmd: [WORD a.sh, docker run a]\n", "sh bash dash");
    check_words("MK365", true, "runcmd: [WORD a.sh, docker run a]\n", "cat grep");
    check_words("MK365", false, "runcmd: [sh WORD, docker run a]\n", "/a a.sh b/a");
    check_words("MK365", false, "runcmd: [curl WORD b c, docker run a]\n", "-o -O --output -fsSLO -LO -Lo");
    check_words("MK365", true, "runcmd: [curl WORD, docker run a]\n", "https://a.example/foo -s -fsS");
    check_words("MK365", true, "runcmd: [own-tool WORD b, docker run a]\n", "-o -O");
    let tested = "runcmd: ['WORD docker || true', docker run a]\n";
    check_words("MK365", false, tested, "command which type hash test [");
    check_words("MK365", true, tested, "echo ls");
    check_words("MK365", true, &tested.replace("docker ||", "nginx ||"), "command which type hash test");
    check_words("MK365", true, "runcmd: [[systemctl, WORD, nginx]]\n", "start restart reload enable");
    check_words("MK365", false, "runcmd: [[systemctl, WORD, nginx]]\n", "stop status disable mask");
    check_words("MK365", false, "runcmd: [[own-tool, WORD, nginx]]\n", "start enable");
    check_words("MK365", true, "runcmd: [apt-get install -y WORD, docker run a]\n", "curl nginx");
    check_words(
        "MK365",
        false,
        "WORD: {}\nruncmd: [docker run a]\n",
        "snap ansible chef puppet salt_minion mcollective",
    );
    check_words(
        "MK365",
        false,
        "WORD: {}\nruncmd: [docker run a]\n",
        "lxd autoinstall yum_repos zypper merge_how merge_type",
    );
}

/// The tables of packages, as the archives of Debian and Ubuntu and the publishers' archives have them.
#[test]
fn packages_of_programs_services_and_accounts() {
    for (lookup, table) in [
        (
            packages_of_program as fn(&str) -> Option<&'static [&'static str]>,
            "a2dismod:apache2 a2enmod:apache2 a2ensite:apache2 ansible:ansible-core ansible:ansible \
             ansible-playbook:ansible ansible-playbook:ansible-core apache2ctl:apache2 aws:awscli caddy:caddy cargo:cargo \
             cargo:rustup certbot:certbot composer:composer docker:docker.io docker:docker-ce docker:docker-ce-cli \
             docker-compose:docker-compose fail2ban-client:fail2ban ffmpeg:ffmpeg g++:g++ g++:build-essential gcc:gcc-12 \
             gcc:build-essential go:golang-go go:golang-1.22 haproxy:haproxy helm:helm iperf3:iperf3 java:default-jre \
             java:default-jdk-headless java:openjdk-17-jre jq:jq kubeadm:kubeadm kubectl:kubectl make:make \
             make:build-essential mariadb:mariadb-server mariadb:mariadb-client mongosh:mongodb-mongosh mongosh:mongodb-org \
             mysql:mysql-server-8.0 mysql:mysql-client mysql:mariadb-server mysql:mariadb-client \
             mysql:default-mysql-client nginx:nginx-light nmap:nmap node:nodejs npm:npm npm:nodejs npx:npm npx:nodejs \
             php:php8.2-cli podman:podman psql:postgresql-client-16 rabbitmqctl:rabbitmq-server redis-cli:redis \
             redis-cli:redis-server redis-cli:redis-tools rustc:rustc rustc:rustup supervisorctl:supervisor \
             terraform:terraform unzip:unzip wg:wireguard wg:wireguard-tools wg-quick:wireguard wg-quick:wireguard-tools \
             yarn:yarn yarn:yarnpkg",
        ),
        (
            packages_of_service,
            "apache2:apache2 caddy:caddy docker:docker.io docker:docker-ce docker.service:docker-ce fail2ban:fail2ban \
             haproxy:haproxy mariadb:mariadb-server mysql:mysql-server mysql:default-mysql-server nginx:nginx \
             nginx.service:nginx postgresql:postgresql-16 rabbitmq-server:rabbitmq-server redis-server:redis \
             redis-server:redis-server supervisor:supervisor",
        ),
        (
            packages_of_account,
            "caddy:caddy consul:consul docker:docker.io docker:docker-ce elasticsearch:elasticsearch grafana:grafana \
             haproxy:haproxy influxdb:influxdb2 jenkins:jenkins mongodb:mongodb-org mongodb:mongodb-org-server \
             mosquitto:mosquitto mysql:mysql-server mysql:mariadb-server mysql:default-mysql-server nomad:nomad \
             postfix:postfix postgres:postgresql-16 prometheus:prometheus rabbitmq:rabbitmq-server redis:redis \
             redis:redis-server tomcat:tomcat9 tomcat:tomcat10 unbound:unbound vault:vault",
        ),
    ] {
        for pair in table.split_whitespace() {
            let (name, package) = pair.split_once(':').unwrap();
            assert!(lookup(name).is_some_and(|packages| provides(package, packages)), "{pair}");
        }
    }
    for package in ["nginx/stable", "nginx:amd64", "nginx=1", "nginx-core", "nginx1"] {
        assert!(provides(package, &["nginx"]), "{package}");
    }
}

/// Accounts that exist without a package of the document: base-passwd, systemd, cloud-init's and
/// the base images' packages, and the setup package of Red Hat.
#[test]
fn accounts_of_base_images() {
    for name in "root daemon bin sys sync games man lp mail news uucp proxy www-data backup list irc gnats _apt nobody adm \
        tty disk kmem dialout fax voice cdrom floppy tape sudo audio dip operator src shadow utmp video sasl plugdev staff \
        users nogroup input kvm render sgx systemd-journal systemd-network systemd-resolve systemd-timesync messagebus \
        polkitd syslog uuidd tcpdump tss landscape pollinate lxd usbmux sshd ssh _ssh crontab netdev _chrony chrony ntp \
        avahi dnsmasq statd rpc wheel dbus ftp halt shutdown"
        .split_whitespace()
    {
        assert!(is_base_account(name), "{name}");
    }
    assert!(!is_base_account("ubuntu") && !is_base_account("app") && !is_base_account(""));
    let defaults =
        "admin almalinux alpine arch azureuser centos cloud-user debian ec2-user fedora opc opensuse rocky ubuntu";
    check_words("MK356", false, "users: [{name: ada}]\nchpasswd: {list: ['WORD:R']}\n", defaults);
    check_words("MK354", false, "write_files: [{path: /a, content: b, owner: WORD, defer: true}]\n", defaults);
    check_words("MK354", true, "write_files: [{path: /a, content: b, owner: WORD}]\n", defaults);
    let managed = "write_files: [{path: /a, content: b, owner: app, defer: true}]\nWORD: {}\n";
    check_words("MK354", false, managed, "ansible chef puppet salt_minion snap apt landscape");
    check_words("MK354", true, managed, "ntp lxd x-a");
}

#[test]
fn rare_forms() {
    let file = |owner: &str| format!("write_files: [{{path: /home/ada/x, content: a, owner: '{owner}'}}]\n");
    let unit = |after: &str, command: &str| {
        format!(
            "write_files:\n  - path: /etc/systemd/system/a.service\n    content: |\n      [Unit]\n      {after}\n      [Service]\n      ExecStart=/bin/true\nruncmd: [{command}]\n"
        )
    };
    let late = "After=cloud-final.service";
    let here = |text: &str| format!("runcmd:\n  - |\n    {}\n", text.replace('\n', "\n    "));
    let source = |text: &str| format!("apt: {{sources: {{a: {{source: 'deb [{text}] https://a.example b c'}}}}}}\n");
    let key = "signed-by=/etc/apt/keyrings/a.gpg";
    for (code, document, found) in [
        ("MK355", "users: [{name: ada}]\n".to_owned() + &file("root:ada"), false),
        ("MK355", "users: [{name: ada}]\n".to_owned() + &file("root"), true),
        ("MK361", unit(late, "systemctl start a"), true),
        ("MK361", unit(&format!("  {late}"), "systemctl start a"), true),
        ("MK361", unit(late, "systemctl disable --now a"), false),
        ("MK361", unit(late, "initctl start a"), false),
        ("MK318", unit("A=b", "systemctl enable a"), true),
        ("MK318", unit("A=b", "initctl enable a"), false),
        ("MK342", here("cat > /a <<EOF\n  #!/bin/sh\necho $1\nEOF"), true),
        ("MK342", here("cat > /a <<EOF\n\t#!/bin/sh\necho $1\nEOF"), true),
        ("MK342", here("cat > /a <<EOF\n#!/bin/sh\necho $*\nEOF"), true),
        ("MK342", here("cat > /a <<EOF\n#!/bin/sh\necho $0\nEOF"), false),
        ("MK342", here("function a { cat > /a <<EOF\n#!/bin/sh\necho $1\nEOF\n}"), false),
        ("MK342", here("set -- b\ncat > /a <<EOF\n#!/bin/sh\necho $1\nEOF"), false),
        ("MK367", here("cat > /a <<EOF\nx"), false),
        ("MK396", source(&format!("{key} arch=amd64")), true),
        ("MK396", source(&format!("{key},/etc/apt/keyrings/b.gpg")), true),
        ("MK396", source("signed-by=/etc/apt/keyrings/$A.gpg"), false),
        ("MK396", source("signed-by=/etc/apt/keyrings/{{ a }}.gpg"), false),
        ("MK396", source(key) + "write_files: [{path: /etc/apt//keyrings/a.gpg, content: b}]\n", false),
        ("MK396", source(key) + "write_files: [{path: /etc/apt//keyrings/b.gpg, content: b}]\n", true),
        ("MK366", "write_files: [{path: 'a/$B', content: c}]\n".into(), false),
        ("MK369", "# {{ v1.a }}\nhostname: '{{ v1.b }}'\n".into(), true),
        ("MK369", format!("hostname: '{{{{ v1.{}}}}}'\n", "b".repeat(192)), true),
        ("MK369", format!("hostname: '{{{{ v1.{}}}}}'\n", "b".repeat(193)), false),
        ("MK369", "# {{ v1.a }}\n".repeat(299) + "hostname: '{{ v1.b }}'\n", true),
        ("MK369", "# {{ v1.a }}\n".repeat(300) + "hostname: '{{ v1.b }}'\n", false),
        ("MK362", "runcmd: [[apt-get, install, 5]]\n".into(), true),
        ("MK315", unit("A=b", "'true'").replace("/bin/true", "/opt/$A"), false),
        ("MK315", unit("A=b", "'true'").replace("/bin/true", "/opt/a") + "bootcmd: [[5, [a]]]\n", false),
    ] {
        assert_eq!(has(code, &document), found, "{code} {document}{:?}", all_codes(&document));
    }
    check(&[
        ("MK205", "write_files: [{path: /a, owner: 'root:ops'}]\ngroups: 'web, ops'\n", true),
        ("MK205", "write_files: [{path: /a, owner: 'root:ops'}]\nusers: [{name: a, groups: 'web, ops'}]\n", true),
        ("MK205", "write_files: [{path: /a, owner: 'root:ops'}]\nusers: [{name: a, groups: {ops: null}}]\n", true),
        ("MK205", "write_files: [{path: /a, owner: 'root:op'}]\ngroups: 'web, ops'\n", false),
        ("MK354", "write_files: [{path: /a, owner: ':root'}]\n", false),
        ("MK356", "users: [{name: ada}]\nchpasswd: {list: ['{{ a }}:R', '$a:R']}\n", false),
        ("MK357", "groups: [{web: [root]}]\nusers: [{name: root}]\n", false),
        ("MK343", "users: [{name: a, passwd: $6$a$b}]\nruncmd: [passwd a]\n", false),
        ("MK343", "users: [{name: a, passwd: $6$a$b}]\nruncmd: [echo a]\n", true),
        ("MK343", "users: [{name: a, passwd: $6$a$b}]\nchpasswd: {list: ['a:R']}\n", false),
        ("MK344", "users: [{name: a, groups: '$b c'}]\n", false),
        ("MK344", "users: [{name: a, groups: '{{ b }} c'}]\n", false),
        (
            "MK219",
            "write_files: [{path: /a, content: \"#!/bin/sh\\n\"}, {path: /b, permissions: '0755'}]\nruncmd: [/a]\n",
            true,
        ),
        ("MK365", "merge_type: a\nruncmd: [docker run a]\n", false),
        (
            "MK362",
            "write_files: [{path: /var/lib/cloud/scripts/per-boot/a, content: \"#!/bin/sh\\napt install a\\n# Assume-Yes\\n\"}]\n",
            false,
        ),
        ("MK341", "write_files: [{path: /etc/a, content: b}]\nruncmd: [ufw enable]\n", true),
        ("MK341", "write_files: [{path: /a, content: Port 2222}]\nruncmd: [ufw enable]\n", false),
        ("MK341", "write_files: [{path: /a, content: '# Port 2222'}]\nruncmd: [ufw enable]\n", false),
        ("MK341", "write_files: [{path: /a, content: Portal 2222}]\nruncmd: [ufw enable]\n", true),
        ("MK341", "runcmd: ['echo allow ssh', ufw enable]\n", true),
        ("MK341", "runcmd: [[ufw, allow, in, '80'], ufw enable]\n", false),
        ("MK341", "runcmd: [[ufw, allow, \"in\", '80'], ufw enable]\n", false),
        ("MK341", "runcmd: [[ufw, allow, 'in', '80'], ufw enable]\n", false),
    ]);
    let rule = "runcmd:\n  - ufw allow WORD\n  - ufw enable\n";
    check_words("MK341", false, rule, "22 ssh SSH $a {{a}} %a% <a> a:b incoming");
    check_words("MK341", true, rule, "80 443/tcp http");
    check_words("MK341", false, "runcmd: ['ufw allow WORD a', ufw enable]\n", "in on from any");
    for (command, found) in [
        ("apt-get install --no-install-recommends a", true),
        ("pacman -Sc", true),
        ("pacman -Sh a", false),
        ("zypper up", true),
        ("yum install a -y", false),
    ] {
        assert_eq!(has("MK362", &format!("runcmd: [{command}]\n")), found, "{command}");
    }
    for (command, found) in
        [("tail /var/log/f", false), ("python3 a http.server", false), ("journalctl -f", true), ("journalctl f", false)]
    {
        assert_eq!(has("MK340", &format!("runcmd: [{command}]\n")), found, "{command}");
    }
}

/// Limits at n and n + 1, and findings that are reported once.
#[test]
fn limits_and_repetitions() {
    let count = |code: &str, document: &str| all_codes(document).into_iter().filter(|one| *one == code).count();
    let owners = |files: usize| {
        let entry = |index| format!("  - {{path: /a{index}, content: b, owner: app{index}}}\n");
        format!("write_files:\n{}", (0..files).map(entry).collect::<String>())
    };
    let twice = |files: usize| format!("write_files:\n{}", "  - {path: /a, content: b}\n".repeat(files));
    let items = |item: &str, times: usize| format!("runcmd:\n{}  - reboot\n", item.repeat(times));
    let lines = |times: usize| format!("  - |\n{}", "    true\n".repeat(times));
    for (code, document, expected) in [
        ("MK354", owners(300), 300),
        ("MK354", owners(301), 300),
        ("MK206", twice(1_001), 1_000),
        ("MK206", twice(1_002), 1_000),
        ("MK358", items(&lines(1_000), 5), 1),
        ("MK358", items(&(lines(1_000) + &lines(1)), 5), 0),
        ("MK350", "packages: [nginx]\nbootcmd: [nginx -t, nginx -t]\n".into(), 1),
        ("MK350", "packages: [nginx]\nbootcmd: [nginx -t, nginx -s]\n".into(), 2),
        ("MK365", "runcmd: [docker a, docker b]\n".into(), 1),
        ("MK219", "write_files: [{path: /a, content: \"#!/bin/sh\\n\"}]\nruncmd: [/a, /a -x]\n".into(), 1),
    ] {
        assert_eq!(count(code, &document), expected, "{code} {}", &document[..document.len().min(200)]);
    }
}
