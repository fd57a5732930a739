//! Kinds of faults from public reports: `$HOME`, files that are overwritten or not read, packages, and options.

use super::unnoticed::all_codes;

fn has(code: &str, text: &str) -> bool {
    all_codes(text).contains(&code)
}

#[test]
fn commands_that_need_home_are_reported() {
    for command in [
        "git config --global user.email a@mail.example",
        "mkdir -p ~/bin",
        "curl -o ~/bin/tool https://downloads.example/a",
        "echo 'export A=1' >> $HOME/.bashrc",
        "cp a \"$HOME/a\"",
        "cp a ${HOME}/a",
        "composer install --no-dev",
        "set -u; ls \"$HOME\"",
        "PREFIX=~/a make install",
    ] {
        assert!(has("MK425", &format!("runcmd:\n  - |\n    {command}\n")), "{command}");
    }
    for command in [
        "export HOME=/root; git config --global a b",
        "git config --system a b",
        "git config user.email a",
        "sudo -u ada git config --global a b",
        "su - ada -c 'git config --global a b'",
        "su - ada -c 'mkdir -p ~/bin'",
        "echo '$HOME/bin'",
        "echo \"\\$HOME\"",
        "echo \"a ~/b\"",
        "mkdir -p /root/bin",
        "ls a~/b",
        "echo $HOMEPAGE",
        "HOME=/root composer install",
    ] {
        assert!(!has("MK425", &format!("runcmd:\n  - |\n    {command}\n")), "{command}");
    }
    // A list has no shell; bash looks `~` up.
    assert!(!has("MK425", "runcmd:\n  - [ls, ~/a]\n"));
    let script = |first: &str, line: &str| {
        format!(
            "write_files:\n  - path: /opt/s\n    permissions: '0755'\n    content: |\n      {first}\n      {line}\nruncmd: [/opt/s]\n"
        )
    };
    assert!(has("MK425", &script("#!/bin/bash", "set -eu; ls $HOME")) && has("MK425", &script("#!/bin/sh", "ls ~/a")));
    assert!(
        !has("MK425", &script("#!/bin/bash", "ls ~/a"))
            && !has("MK425", &script("#!/bin/bash", "HOME=/root; ls $HOME"))
    );
}

#[test]
fn files_that_cloud_init_writes_are_reported() {
    let file =
        |path: &str, rest: &str| format!("write_files:\n  - {{path: {path}, content: \"10.0.0.5 db\\n\"}}\n{rest}\n");
    for (path, rest) in [
        ("/etc/hosts", "manage_etc_hosts: true"),
        ("/etc/hosts", "manage_etc_hosts: template"),
        ("/etc/hostname", ""),
        ("/etc/hostname", "hostname: web"),
        ("//etc/hosts", "manage_etc_hosts: true"),
    ] {
        assert!(has("MK426", &file(path, rest)), "{path} {rest}");
    }
    for (path, rest) in [
        ("/etc/hosts", ""),
        ("/etc/hosts", "manage_etc_hosts: false"),
        ("/etc/hosts", "manage_etc_hosts: localhost"),
        ("/etc/hostname", "preserve_hostname: true"),
        ("/etc/hostname", "hostname: 10.0.0.5 db"),
        ("/etc/hosts.allow", "manage_etc_hosts: true"),
        ("/etc/hostname", "create_hostname_file: false"),
    ] {
        assert!(!has("MK426", &file(path, rest)), "{path} {rest}");
    }
}

#[test]
fn file_names_that_no_program_reads_are_reported() {
    let file = |path: &str| format!("write_files:\n  - {{path: {path}, content: \"a\\n\"}}\n");
    for path in [
        "/etc/apt/sources.list.d/docker",
        "/etc/profile.d/java",
        "/etc/modules-load.d/k8s",
        "/etc/modprobe.d/floppy",
        "/etc/tmpfiles.d/app",
        "/etc/ssh/sshd_config.d/99-hardening",
        "/etc/netplan/60-eth1.yml",
        "/etc/systemd/system/app.service.d/limits",
        "/etc/sysctl.d/99-net",
        "/etc/udev/rules.d/70-a.rule",
        "/etc/cloud/cloud.cfg.d/99-a.yaml",
        "/etc/fail2ban/jail.d/sshd",
    ] {
        assert!(has("MK427", &file(path)), "{path}");
    }
    for path in [
        "/etc/apt/sources.list.d/docker.list",
        "/etc/apt/sources.list.d/docker.sources",
        "/etc/profile.d/java.sh",
        "/etc/modules-load.d/k8s.conf",
        "/etc/netplan/60-eth1.yaml",
        "/etc/systemd/system/app.service.d/limits.conf",
        "/etc/sysctl.d/README",
        "/etc/sysctl.d/a.conf.disabled",
        "/etc/apt/apt.conf.d/99norecommends",
        "/etc/apt/preferences.d/docker",
        "/etc/logrotate.d/app",
        "/etc/sudoers.d/ada",
        "/etc/systemd/system/app.service",
        "/etc/profile.d/${name}",
        "/etc/netplan/a/b",
        "/etc/rsyslog.d/a.conf.bak",
    ] {
        assert!(!has("MK427", &file(path)), "{path}");
    }
}

#[test]
fn packages_that_apt_does_not_have_are_reported() {
    for text in [
        "packages: [build-essential, python-pip]",
        "apt: {conf: a}\npackages: [python]",
        "runcmd: ['apt-get install -y netcat']",
        "runcmd: ['apt-get update', 'apt-get install -y php7.4-fpm']",
        "packages: [docker-ce, docker-ce-cli, containerd.io]",
        "packages: [kubelet, kubeadm]\nruncmd: ['apt-get update']",
        "packages: [docker, ufw]",
        "packages: [libssl1.1, libssl-dev]",
        "packages: [\"‘curl’\"]",
        "packages: [[python-pip, 1.0]]\nruncmd: ['apt-get update']",
    ] {
        assert!(has("MK428", &format!("{text}\n")), "{text}");
    }
    for text in [
        "packages: [python-pip]",
        "packages: [docker]",
        "packages: [docker]\nruncmd: ['yum update -y']",
        "packages: [build-essential, python3-pip]",
        "packages: [python-is-python3, ufw]",
        "packages: [docker.io, ufw]",
        "apt: {sources: {a: {source: 'ppa:deadsnakes/ppa'}}}\npackages: [python3.8]",
        "packages: [docker-ce]\nruncmd: ['curl -fsSL https://get.docker.com | sh']",
        "write_files: [{path: /etc/apt/sources.list.d/docker.list, content: \"deb https://a b c\\n\"}]\npackages: [docker-ce]",
        "runcmd: ['add-apt-repository -y ppa:ondrej/php', 'apt-get install -y php7.4']",
        "runcmd: ['test -x a || apt-get install -y netcat']",
        "packages: [netcat-openbsd, ufw]",
        "packages: [php-fpm, php8.2-cli, ufw]",
        "packages: [postgresql-16, ufw]",
    ] {
        assert!(!has("MK428", &format!("{text}\n")), "{text}");
    }
}

#[test]
fn packages_that_conflict_are_reported() {
    for text in [
        "packages: [ufw, iptables-persistent]",
        "packages: [docker.io, containerd.io]",
        "apt: {conf: a}\npackages: [chrony, ntpsec]",
        "packages: [docker.io]\nruncmd: ['apt-get install -y docker-ce']",
        "runcmd: ['apt-get install -y postfix exim4']",
    ] {
        assert!(has("MK429", &format!("{text}\n")), "{text}");
    }
    for text in [
        "packages: [ufw, iptables]",
        "packages: [docker.io, containerd]",
        "packages: [ntp, ntpsec]\napt: {conf: a}",
        "packages: [docker.io, docker-compose]",
        "packages: [chrony, ntpsec]\nruncmd: ['dnf -y update']",
        "packages: [mariadb-server, mysql-client, ufw]",
    ] {
        assert!(!has("MK429", &format!("{text}\n")), "{text}");
    }
}

#[test]
fn words_after_a_script_are_reported() {
    for item in [
        "[sh, -c, apt-get, update]",
        "[bash, -c, echo, 'hello > /root/a']",
        "[/bin/sh, -c, ls, /srv]",
        "[dash, -c, reboot, now]",
    ] {
        assert!(has("MK363", &format!("runcmd:\n  - {item}\n")), "{item}");
    }
    for item in [
        "[sh, -c, 'apt-get update']", "[sh, -c, 'ls \"$1\"', x, /srv]", "[bash, -c, ls]", "[env, -c, a, b]",
        "[sh, -c, '$0', ls]", "[python3, -c, a, b]",
    ] {
        assert!(!has("MK363", &format!("runcmd:\n  - {item}\n")), "{item}");
    }
}

#[test]
fn options_that_ask_or_fail_are_reported() {
    for command in [
        "mysql -u root -p Sekret77pw -e 'SELECT 1'",
        "mysqldump -u root -p shop",
        "mysqladmin --password -u root status",
        "mariadb -p",
    ] {
        assert!(has("MK362", &format!("runcmd:\n  - {command}\n")), "{command}");
    }
    for command in [
        "mysql -u root -e 'SELECT 1'",
        "mysql --defaults-file=/root/a -e 'SELECT 1'",
        "mysql -P 3306 -u root",
        "psql -p 5432",
    ] {
        assert!(!has("MK362", &format!("runcmd:\n  - {command}\n")), "{command}");
    }
    assert!(has("MK336", "mounts:\n  - [/dev/sda, /srv, ext4, 'defaults,nobootwait', '0', '2']\n"));
    assert!(!has("MK336", "mounts:\n  - [/dev/sda, /srv, ext4, 'defaults,nofail', '0', '2']\n"));
    assert!(has("MK343", "users:\n  - {name: ada, lock_passwd: false}\n"));
    for user in [
        "{name: ada, lock_passwd: false, hashed_passwd: $6$a$b}",
        "{name: ada, lock_passwd: true}",
        "{name: ada, lock_passwd: false, passwd: $6$a$b}",
    ] {
        assert!(!has("MK343", &format!("users:\n  - {user}\n")), "{user}");
    }
}

#[test]
fn keys_that_are_not_armored_are_reported() {
    let key = |lines: &str| {
        let lines = lines.replace('\n', "\n        ");
        format!(
            "apt:\n  sources:\n    a:\n      source: deb [signed-by=$KEY_FILE] https://a.example/ $RELEASE main\n      key: |\n        {lines}\n"
        )
    };
    for bad in [
        "----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQINBGY\n-----END PGP PUBLIC KEY BLOCK-----",
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQINBGY+ (insert contents of public.key)\n-----END PGP PUBLIC KEY BLOCK-----",
        "-----BEGIN PGP PUBLIC KEY BLOCK\n\nmQINBGY\n-----END PGP PUBLIC KEY BLOCK-----",
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQIN...\n-----END PGP PUBLIC KEY BLOCK-----",
    ] {
        assert!(has("MK399", &key(bad)), "{bad}");
    }
    for good in [
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQINBGY+\n=abcd\n-----END PGP PUBLIC KEY BLOCK-----",
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\nVersion: GnuPG v1\nComment: a b\n\nmQINBGY+/a\n-----END PGP PUBLIC KEY BLOCK-----",
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n${key}\n-----END PGP PUBLIC KEY BLOCK-----",
        "{{ key }}\nsecond",
    ] {
        assert!(!has("MK399", &key(good)), "{good}");
    }
}

#[test]
fn passwords_in_options_are_reported() {
    for command in [
        "curl -u ada:Sekret77pw https://a.example/",
        "curl -fsSL --user ada:Sekret77pw https://a.example/",
        "curl -uada:Sekret77pw https://a.example/",
        "curl https://a.example/ -o /srv/a -u \"ada:Sekret77pw\"",
        "curl --user=ada:Sekret77pw https://a.example/",
        "wget --http-password=Sekret77pw https://a.example/",
        "mysql -u root -pSekret77pw -e 'SELECT 1'",
        "sshpass -p Sekret77pw ssh a@b",
        "docker login -u ada -p Sekret77pw registry.example",
        "mysql -e \"CREATE USER a IDENTIFIED BY 'Sekret77pw'\"",
        "psql -c \"CREATE USER a WITH PASSWORD 'Sekret77pw'\"",
    ] {
        assert!(has("MK372", &format!("runcmd:\n  - |\n    {command}\n")), "{command}");
    }
    assert!(has("MK372", "runcmd:\n  - [curl, -u, 'ada:Sekret77pw', 'https://a.example/']\n"));
    assert!(has("MK372", "rh_subscription: {username: ada, password: Sekret77pw}\n"));
    for command in [
        "curl -u ada:$PASSWORD https://a.example/",
        "curl -u \"ada:${PASSWORD}\" https://a.example/",
        "curl -u ada https://a.example/",
        "curl --user ada: https://a.example/",
        "curl https://a.example/ | docker run -i -u 1000:1000 a",
        "curl -u user:password https://a.example/",
        "curl -u <user>:<password> https://a.example/",
        "# curl -u ada:Sekret77pw https://a.example/",
        "mysql -u root -P3306",
        "mysql -u root -p$PASSWORD",
        "sshpass -p \"$PASSWORD\" ssh a@b",
        "sshpass -f /root/p ssh a@b",
        "docker login -u ada --password-stdin registry.example",
        "docker run -p 8080:80 a",
        "mysql -e \"CREATE USER a IDENTIFIED BY '$PASSWORD'\"",
        "curl -H 'a: b' -X POST https://a.example/ ; psql -U a:b",
    ] {
        assert!(!has("MK372", &format!("runcmd:\n  - |\n    {command}\n")), "{command}");
    }
}

#[test]
fn names_that_no_machine_has_are_reported() {
    for text in ["timezone: America/New York", "timezone: UTC+2", "timezone: GMT-5", "users: [{name: Ada Lovelace}]"] {
        assert!(has("MK105", &format!("{text}\n")), "{text}");
    }
    for text in [
        "timezone: America/New_York",
        "timezone: UTC",
        "timezone: Etc/GMT+2",
        "timezone: GMT+0",
        "timezone: ${zone}",
        "users: [{name: ada, gecos: Ada Lovelace}]",
    ] {
        assert!(!has("MK105", &format!("{text}\n")), "{text}");
    }
}
