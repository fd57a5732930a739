//! Each branch of each check, with a document that it reports and one that it accepts.

use super::unnoticed::all_codes;

/// Whether a document gets a code, among others.
pub(super) fn has(code: &str, document: &str) -> bool {
    all_codes(document).contains(&code)
}

/// Documents without a header: code, document, whether the code is reported.
pub(super) fn check(table: &[(&str, &str, bool)]) {
    for (code, document, found) in table {
        assert_eq!(has(code, document), *found, "{code} {document}: {:?}", all_codes(document));
    }
}

/// Single commands in `runcmd`.
fn check_commands(code: &str, found: bool, commands: &[&str]) {
    for command in commands {
        let document = format!("runcmd:\n  - |\n    {command}\n");
        assert_eq!(has(code, &document), found, "{code} {command}: {:?}", all_codes(&document));
    }
}

#[test]
fn commands_that_wait_for_cloud_init() {
    check_commands(
        "MK360",
        true,
        &[
            "cloud-init status --wait",
            "cloud-init status -w",
            "systemctl is-system-running --wait",
            "a && cloud-init status --wait",
            "if a; then cloud-init status --wait; fi",
            "sudo -u ada cloud-init status --wait",
            "env A=b cloud-init status --wait",
            "nice -n 5 cloud-init status --wait",
            "exec nohup cloud-init status --wait",
            "bash -ec 'a; cloud-init status --wait'",
            "sh -c 'sh -c \"cloud-init status --wait\"'",
            "{ cloud-init status --wait; }",
            "f() { cloud-init status --wait; }",
            "cloud-init status --wait > /dev/null",
            "echo a; cloud-init status --wait | cat",
            "case a in a) cloud-init status --wait;; esac",
            "until a; do cloud-init status --wait; done",
            "! cloud-init status --wait",
            "\"cloud-init\" 'status' --wa\"it\"",
            "/usr/bin/cloud-init status --wait",
        ],
    );
    check_commands(
        "MK360",
        false,
        &[
            "cloud-init status",
            "cloud-init --wait",
            "systemctl is-system-running",
            "systemctl start --wait a",
            "cloud-init status --wait &",
            "(cloud-init status --wait)",
            "timeout 5 cloud-init status --wait",
            "timeout -k 5 -s KILL 9 cloud-init status --wait",
            "echo cloud-init status --wait",
            "# cloud-init status --wait",
            "cat <<EOF\n    cloud-init status --wait\n    EOF",
            "echo 'a\n    cloud-init status --wait'",
            "echo $(cloud-init status --wait)",
            "sh -c \"echo 'cloud-init status --wait'\"",
        ],
    );
}

#[test]
fn commands_that_never_end() {
    check_commands(
        "MK340",
        true,
        &[
            "tail --follow /a", "tail -f /a", "tail -F /a", "journalctl --follow", "sleep infinity", "watch date",
            "python -m http.server 80",
        ],
    );
    check_commands(
        "MK340",
        false,
        &[
            "tail --follow --pid=5 /a", "journalctl -u a", "sleep 5", "watch -q 5 date", "watch --chgexit date",
            "watch", "python3 a.py", "tail -f /a | head", "a || tail -f /a", "while a; do tail -f /a; done",
            "timeout 5 tail -f /a",
        ],
    );
}

#[test]
fn commands_that_ask_for_confirmation() {
    check_commands(
        "MK362",
        true,
        &[
            "apt-get reinstall a", "apt upgrade", "apt-get dist-upgrade", "apt full-upgrade", "aptitude safe-upgrade",
            "apt-get build-dep a", "apt-get -q install a", "yum groupinstall a", "dnf update", "dnf distro-sync",
            "microdnf upgrade", "zypper in a", "zypper dup", "zypper up", "zypper update", "zypper install a",
            "yum install a", "dnf upgrade", "apt install a", "pacman -S a", "pacman -Su", "(apt-get install a)",
            "a || apt-get install a",
        ],
    );
    check_commands(
        "MK362",
        false,
        &[
            "apt-get install -y a",
            "apt-get install -qq a",
            "apt-get install -q -q a",
            "apt-get install -s a",
            "apt-get install -d a",
            "apt-get install --yes a",
            "apt-get install --assume-yes a",
            "apt-get install --force-yes a",
            "apt-get install -q=2 a",
            "apt-get install --dry-run a",
            "apt-get install --just-print a",
            "apt-get install --simulate a",
            "apt-get install --print-uris a",
            "apt-get install --download-only a",
            "apt-get remove a",
            "yum install --assumeyes a",
            "dnf info a",
            "zypper install --non-interactive a",
            "zypper in --no-confirm a",
            "zypper search a",
            "pacman -Ss a",
            "pacman -Si a",
            "pacman -Sl a",
            "pacman -Sg a",
            "pacman -Sc --noconfirm",
            "pacman -Sp a",
            "pacman -Sh",
            "pacman -R a",
            "pacman -Sy",
            "apt-get install a < /a",
            "echo y | apt-get install a",
            "apt-get install $a",
            "echo apt-get install a",
        ],
    );
    check(&[
        (
            "MK362",
            "write_files: [{path: /etc/apt/apt.conf.d/a, content: 'APT::Get::Assume-Yes 1;'}]\nruncmd: [apt install a]\n",
            false,
        ),
        ("MK362", "bootcmd: [[apt-get, install, a]]\n", true),
    ]);
}

#[test]
fn commands_that_stop_the_machine() {
    check_commands(
        "MK358",
        true,
        &[
            "reboot", "poweroff", "halt", "reboot -f", "shutdown now", "shutdown -h +0", "systemctl reboot",
            "systemctl poweroff", "systemctl halt", "systemctl kexec", "init 0", "telinit 6", "a && reboot",
        ],
    );
    check_commands(
        "MK358",
        false,
        &[
            "reboot --help", "reboot -w", "halt --wtmp-only", "shutdown +5", "shutdown -c now", "shutdown -k now",
            "systemctl restart a", "init 3", "reboot &", "(sleep 5; reboot) &", "(reboot)",
        ],
    );
    check(&[
        ("MK359", "bootcmd: [reboot]\n", true),
        ("MK359", "bootcmd: ['a && reboot']\n", false),
        ("MK359", "bootcmd: ['reboot &']\n", false),
        ("MK359", "bootcmd: ['cloud-init-per once a reboot']\n", false),
        ("MK358", "bootcmd: [reboot]\n", false),
    ]);
}

#[test]
fn units_that_wait_for_cloud_init() {
    let document = |after: &str, command: &str| {
        format!(
            "write_files:\n  - path: /etc/systemd/system/a.service\n    content: |\n      [Unit]\n      After={after}\n      [Service]\n      ExecStart=/bin/true\n      [Install]\n      WantedBy=a.target\nruncmd: [\"{command}\"]\n"
        )
    };
    for (after, command, found) in [
        ("cloud-final.service", "systemctl start a", true),
        ("network.target cloud-init.target", "systemctl start a.service", true),
        ("cloud-final.service", "systemctl restart a", true),
        ("cloud-final.service", "systemctl enable --now a", true),
        ("cloud-final.service", "systemctl reenable --now a", true),
        ("cloud-final.service", "systemctl start b a", true),
        ("cloud-final.service", "systemctl enable a", false),
        ("cloud-final.service", "systemctl start b", false),
        ("cloud-final.service", "systemctl start --no-block a", false),
        ("cloud-final.service", "systemctl start a &", false),
        ("cloud-final.service", "timeout 5 systemctl start a", false),
        ("cloud-init.service", "systemctl start a", false),
    ] {
        assert_eq!(has("MK361", &document(after, command)), found, "{after} {command}");
    }
    for (folder, found) in
        [("/usr/lib/systemd/system", true), ("/lib/systemd/system", true), ("/run/systemd/system", false)]
    {
        let text = document("cloud-final.service", "systemctl start a").replace("/etc/systemd/system", folder);
        assert_eq!(has("MK361", &text), found, "{folder}");
    }
}

#[test]
fn shell_syntax_in_a_list() {
    for (list, found) in [
        ("[a, '&&', b]", true),
        ("[a, '||', b]", true),
        ("[a, '2>&1']", true),
        ("[a, '1>&2']", true),
        ("[a, '>&2']", true),
        ("[a, '2>>']", true),
        ("[a, '<', b]", true),
        ("[a, '&']", true),
        ("[runuser, a, -c, '|']", false),
        ("[perl, -e, '$(a)']", false),
        ("[awk, '{ print > 5 }', '$HOME']", false),
        ("[a, '>/b']", true),
        ("[a, '>> /b']", true),
        ("[a, '&>/b']", true),
        ("[a, '>b']", false),
        ("[a, '${HOME}']", true),
        ("[a, '$H']", false),
        ("[a, '$home']", false),
        ("[a, '$(b)']", true),
        ("[a, '$(b) c']", false),
        ("[sudo, a, '|', b]", true),
        ("[sudo, find, /, ';']", false),
        ("['|']", false),
        ("[xargs, '|']", false),
        ("[systemd-run, '$HOME']", false),
        ("[python3, '$(a)']", false),
    ] {
        assert_eq!(has("MK363", &format!("runcmd: [{list}]\n")), found, "{list}");
    }
}

#[test]
fn here_documents_in_folded_text() {
    let item = |style: &str, text: &str| format!("runcmd:\n  - {style}\n    {text}\n  - date\n");
    for (style, text, found) in [
        (">", "cat > /a <<EOF\n    x\n    EOF", true),
        (">", "cat > /a <<-'EOF'\n    x\n    EOF", true),
        (">-", "cat > /a << EOF\n    x\n    EOF", true),
        (">", "cat > /a <<EOF\n\n    x\n\n    EOF\n", false),
        (">", "cat <<< EOF", false),
        (">", "echo $((1 << 4))", false),
        ("|", "cat > /a <<EOF\n    x\n    EOF", false),
    ] {
        assert_eq!(has("MK367", &item(style, text)), found, "{style} {text}");
    }
}

#[test]
fn bootcmd_before_files_and_packages() {
    check(&[
        ("MK350", "packages: [nginx]\nbootcmd: [nginx -t]\n", true),
        ("MK350", "packages: [nginx=1.2*]\nbootcmd: [[service, nginx, start]]\n", true),
        ("MK350", "packages: [{apt: [nginx]}]\nbootcmd: [nginx -t]\n", true),
        ("MK350", "packages: [[nginx, 1.2]]\nbootcmd: [nginx -t]\n", true),
        ("MK350", "packages: [apache2]\nbootcmd: [nginx -t]\n", false),
        ("MK350", "packages: [nginx]\nbootcmd: ['a || nginx -t']\n", false),
        ("MK350", "packages: [nginx]\nruncmd: [nginx -t]\n", false),
        ("MK350", "packages: [curl]\nbootcmd: [curl a]\n", false),
        ("MK350", "packages: [htop]\nbootcmd: [htop a]\n", false),
        ("MK350", "packages: [own-tool]\nbootcmd: [own-tool a]\n", true),
        ("MK350", "packages: [nginx]\nbootcmd: [systemctl start nginx.service]\n", true),
        ("MK351", "bootcmd: [perl /a/b]\nwrite_files: [{path: /a/b, content: x}]\n", true),
        ("MK351", "bootcmd: [. /a/b]\nwrite_files: [{path: /a/b, content: x}]\n", true),
        ("MK351", "bootcmd: [sh /a/c]\nwrite_files: [{path: /a/b, content: x}]\n", false),
        ("MK351", "bootcmd: [/a/b]\nwrite_files: [{path: /a/b, content: x}]\n", true),
        ("MK351", "bootcmd: [sh /a/b]\nwrite_files: [{path: /a//b, content: x}]\n", true),
        ("MK351", "bootcmd: [cat /a/b]\nwrite_files: [{path: /a/b, content: x}]\n", true),
        ("MK351", "bootcmd: [ls /a/b]\nwrite_files: [{path: /a/b, content: x}]\n", false),
        ("MK351", "bootcmd: ['[ -e /a/b ] && /a/b']\nwrite_files: [{path: /a/b, content: x}]\n", false),
        ("MK352", "bootcmd: [apt-get install -y a]\n", true),
        ("MK352", "bootcmd: [apt-get update]\n", true),
        ("MK352", "bootcmd: [apt upgrade -y]\n", true),
        ("MK352", "bootcmd: [dnf -y install a]\n", true),
        ("MK352", "bootcmd: [zypper -n in a]\n", true),
        ("MK352", "bootcmd: [apk add a]\n", true),
        ("MK352", "bootcmd: [apt-get clean]\n", false),
        ("MK352", "bootcmd: [cloud-init-per once a apt-get install -y a]\n", false),
        ("MK352", "runcmd: [apt-get install -y a]\n", false),
    ]);
}

#[test]
fn owners_of_files() {
    let file = |owner: &str, rest: &str| format!("write_files: [{{path: /a, content: b, owner: '{owner}'{rest}}}]\n");
    for (code, document, found) in [
        ("MK354", file("app", ""), true),
        ("MK354", file("root:app", ""), true),
        ("MK354", file("app:root", ""), true),
        ("MK354", file("1000:-1", ""), false),
        ("MK354", file("{{ a }}", ""), false),
        ("MK354", file("$a", ""), false),
        ("MK354", file("ubuntu", ""), true),
        ("MK354", file("ubuntu", ", defer: true"), false),
        ("MK354", file("app", "") + "runcmd: [useradd app]\n", true),
        ("MK354", file("app", ", defer: true") + "runcmd: [useradd app]\n", false),
        ("MK354", file("app", "") + "bootcmd: [useradd app]\n", false),
        ("MK354", file("app", ", defer: true") + "puppet: {}\n", false),
        ("MK354", file("app", "") + "puppet: {}\n", true),
        ("MK354", file("app", ", defer: true") + "packages: [b]\n", false),
        ("MK354", file("postgres", ", defer: true") + "packages: [b]\n", true),
        ("MK353", file("postgres", "") + "packages: [postgresql-16]\n", true),
        ("MK353", file("postgres", ", defer: true") + "packages: [postgresql]\n", false),
        ("MK205", file("app", "") + "users: [{name: app}]\n", true),
        ("MK205", file("root:app", "") + "users: [{name: app}]\n", true),
        ("MK205", file("app", "") + "users: [app]\n", true),
        ("MK205", file("app", "") + "user: {name: app}\n", true),
        ("MK205", file("app", "") + "user: app\n", true),
        ("MK205", file("root:web", "") + "groups: [web]\n", true),
        ("MK205", file("root:web", "") + "groups: [{web: [root]}]\n", true),
        ("MK205", file("root:web", "") + "groups: {web: [root]}\n", true),
        ("MK205", file("root:web", "") + "groups: web\n", true),
        ("MK205", file("root:web", "") + "users: [{name: app, groups: [web]}]\n", true),
        ("MK205", file("root:web", "") + "users: [{name: app, primary_group: web}]\n", true),
        ("MK205", file("root:web", "") + "users: [{name: app, primary-group: web}]\n", true),
        ("MK205", file("root:adm", "") + "users: [{name: app, groups: adm}]\n", false),
        ("MK354", file("root:web", ", defer: true") + "users: [{name: app, primary_group: web}]\n", false),
        ("MK205", file("root:web", ", defer: true") + "groups: [web]\n", false),
        ("MK205", file("app", ", defer: true") + "users: [{name: app}]\n", false),
        ("MK205", file("root:root", "") + "users: [{name: root}]\ngroups: [root]\n", false),
        ("MK205", file("default", "") + "users: [default]\n", false),
    ] {
        assert_eq!(has(code, &document), found, "{code} {document}: {:?}", all_codes(&document));
    }
}

#[test]
fn homes_and_users() {
    check(&[
        ("MK355", "users: [{name: ada}]\nwrite_files: [{path: /home/ada/x, content: a}]\n", true),
        ("MK355", "users: [{name: ada, homedir: /srv/ada/}]\nwrite_files: [{path: /srv/ada/x, content: a}]\n", true),
        ("MK355", "users: [{name: ada}]\nwrite_files: [{path: /home/adam/x, content: a}]\n", false),
        ("MK355", "users: [{name: ada}]\nwrite_files: [{path: /home/ada/x, content: a, defer: true}]\n", false),
        ("MK355", "users: [{name: ada, system: true}]\nwrite_files: [{path: /home/ada/x, content: a}]\n", false),
        (
            "MK355",
            "users: [{name: ada, no-create-home: true}]\nwrite_files: [{path: /home/ada/x, content: a}]\n",
            false,
        ),
        ("MK355", "users: [{name: ada}]\nwrite_files: [{path: /home/ada/x, content: a, owner: ada}]\n", false),
        ("MK355", "users: [{name: root, homedir: /r}]\nwrite_files: [{path: /r/x, content: a}]\n", false),
        ("MK356", "users: [{name: ada}]\nchpasswd: {users: [{name: bob, type: RANDOM}]}\n", true),
        ("MK356", "users: [{name: ada}]\nchpasswd: {list: ['bob:R']}\n", true),
        ("MK356", "users: [{name: ada}]\nchpasswd: {users: [{name: ada, type: RANDOM}]}\n", false),
        ("MK356", "users: [{name: ada}]\nchpasswd: {list: ['root:R', 'ubuntu:R', '$a:R']}\n", false),
        ("MK356", "chpasswd: {list: ['bob:R']}\n", false),
        ("MK357", "groups: [{web: [ada]}]\nusers: [{name: ada}]\n", true),
        ("MK357", "groups: [{web: 'root, ada'}]\nusers: [ada]\n", true),
        ("MK357", "groups: [{web: [bob]}]\nusers: [{name: ada}]\n", false),
        ("MK357", "groups: [web]\nusers: [{name: ada}]\n", false),
        ("MK343", "users: [{name: a, hashed_passwd: $6$a$b}]\n", true),
        ("MK343", "users: [{name: a, plain_text_passwd: hunter2x}]\n", true),
        ("MK343", "users: [{name: a, plain-text-passwd: hunter2x}]\n", true),
        ("MK343", "users: [{name: a, hashed-passwd: $6$a$b}]\n", true),
        ("MK343", "users: [{name: a, plain_text_passwd: ''}]\n", false),
        ("MK343", "users: [{name: a, passwd: '!'}]\n", false),
        ("MK343", "users: [{name: a, passwd: $6$a$b, lock-passwd: false}]\n", false),
        ("MK343", "users: [{name: a, passwd: $6$a$b}]\npassword: x\n", false),
        ("MK343", "users: [{name: a, passwd: $6$a$b}]\nruncmd: [chpasswd -e < /a]\n", false),
        ("MK343", "users: [{name: a, passwd: $6$a$b}]\nruncmd: [usermod -U a]\n", false),
        ("MK344", "users: [{name: a, groups: 'b c'}]\n", true),
        ("MK344", "users: [{name: a, groups: \"b,c\\td\"}]\n", true),
        ("MK344", "users: [{name: a, groups: 'b, c'}]\n", false),
        ("MK344", "users: [{name: a, groups: '<b c>'}]\n", false),
    ]);
}

#[test]
fn programs_and_their_packages() {
    check(&[
        ("MK365", "runcmd: [docker run a]\n", true),
        ("MK365", "runcmd: [service nginx start]\n", true),
        ("MK365", "runcmd: [systemctl reload nginx.service]\n", true),
        ("MK365", "runcmd: [systemctl status nginx]\n", false),
        ("MK365", "packages: [docker.io]\nruncmd: [docker run a]\n", false),
        ("MK365", "packages: [docker]\nruncmd: [docker run a]\n", true),
        ("MK365", "runcmd: [apt-get install -y docker.io, docker run a]\n", false),
        ("MK365", "runcmd: [apt-get install -y ./a.deb, docker run a]\n", false),
        ("MK365", "runcmd: [apt-get install -y 'docker*', docker run a]\n", false),
        ("MK365", "runcmd: ['a && docker run a']\n", false),
        ("MK365", "runcmd: ['which docker', docker run a]\n", false),
        ("MK365", "runcmd: ['[ -x /usr/bin/docker ]', docker run a]\n", false),
        ("MK365", "runcmd: [curl -o a b, docker run a]\n", false),
        ("MK365", "runcmd: [curl b, docker run a]\n", true),
        ("MK365", "runcmd: ['curl b | bash', docker run a]\n", false),
        ("MK365", "runcmd: [/opt/a, docker run a]\n", false),
        ("MK365", "runcmd: [/usr/bin/a, docker run a]\n", true),
        ("MK365", "runcmd: [sh a.sh, docker run a]\n", false),
        ("MK365", "runcmd: [dpkg -i a, docker run a]\n", false),
        ("MK365", "ansible: {}\nruncmd: [docker run a]\n", false),
        ("MK365", "snap: {}\nruncmd: [docker run a]\n", false),
        ("MK365", "yum_repos: {}\nruncmd: [docker run a]\n", false),
        ("MK365", "apt: {}\nruncmd: [docker run a]\n", true),
        ("MK365", "runcmd: [wget -O a b, docker run a]\n", false),
        ("MK365", "runcmd: [curl -LO b, docker run a]\n", false),
        ("MK365", "runcmd: [pip3 install a, docker run a]\n", false),
        ("MK365", "packages: [composer]\nruncmd: [composer install, docker run a]\n", false),
        ("MK365", "runcmd: [cp a b, docker run a]\n", false),
        ("MK365", "runcmd: [sh -c true, docker run a]\n", true),
        ("MK365", "runcmd: [/sbin/a, /bin/b, /usr/sbin/c, docker run a]\n", true),
        ("MK365", "runcmd: ['command -v docker', docker run a]\n", false),
        ("MK365", "runcmd: ['type docker', docker run a]\n", false),
        ("MK365", "write_files: [{path: /usr/local/bin/docker, content: a}]\nruncmd: [docker run a]\n", false),
        ("MK365", "packages: [build-essential]\nruncmd: [gcc a]\n", false),
        ("MK365", "runcmd: [gcc a]\n", true),
        ("MK365", "packages: [openjdk-21-jre-headless]\nruncmd: [java -jar a]\n", false),
        ("MK365", "packages: [mariadb-server]\nruncmd: [mysql -e a]\n", false),
        ("MK365", "packages: [apache2]\nruncmd: [a2enmod rewrite]\n", false),
        ("MK365", "runcmd: [a2enmod rewrite]\n", true),
        ("MK365", "packages: [nodejs]\nruncmd: [npx a]\n", false),
        ("MK365", "runcmd: [npx a]\n", true),
        ("MK365", "packages: [npm]\nruncmd: [npx a]\n", false),
        ("MK365", "merge_how: []\nruncmd: [docker run a]\n", false),
        ("MK364", "runcmd: [docker run a, apt-get install -y docker-ce]\n", true),
        ("MK364", "runcmd: [apt-get install -y docker-ce, docker run a]\n", false),
    ]);
}

#[test]
fn drop_ins_and_units() {
    let drop_in = |unit: &str, command: &str| {
        format!(
            "write_files: [{{path: /etc/systemd/system/{unit}.d/a.conf, content: '[Service]'}}]\nruncmd: ['{command}']\n"
        )
    };
    for (unit, command, found) in [
        ("ssh.service", "systemctl restart ssh", true),
        ("cron.service", "systemctl try-restart cron.service", true),
        ("rsyslog.service", "systemctl reload-or-restart rsyslog", true),
        ("systemd-journald.service", "systemctl restart systemd-journald", true),
        ("systemd-resolved.service", "systemctl restart systemd-resolved", true),
        ("ssh.service", "systemctl daemon-reexec; systemctl restart ssh", false),
        ("ssh.service", "systemctl unmask a; systemctl restart ssh", false),
        ("ssh.service", "dpkg -i a; systemctl restart ssh", false),
        ("ssh.service", "systemctl restart cron", false),
        ("ssh.service", "systemctl reload ssh", false),
        ("nginx.service", "systemctl restart nginx", false),
        ("ssh.service", "systemctl daemon-reload && systemctl restart ssh", false),
        ("ssh.service", "apt-get install -y a && systemctl restart ssh", false),
    ] {
        assert_eq!(has("MK368", &drop_in(unit, command)), found, "{unit} {command}");
    }
    check(&[
        ("MK366", "write_files: [{path: '/a/$B', content: c}]\n", true),
        ("MK366", "write_files: [{path: '/a/${b}', content: c}]\n", true),
        ("MK366", "write_files: [{path: '/a/~/b', content: c}]\n", true),
        ("MK366", "write_files: [{path: '/a/$b', content: c}]\n", false),
        ("MK369", "hostname: '{{ v1.region }}'\n", true),
        ("MK369", "hostname: \"{{ ds['meta_data'].a }}\"\n", true),
        ("MK369", "hostname: '{{ a }}'\n", false),
        ("MK369", "# {{ v1.region }}\nhostname: a\n", false),
    ]);
}

/// MK319 is reported only where nothing else can have put the program there.
#[test]
fn programs_of_units() {
    let unit = |program: &str, rest: &str| {
        format!(
            "write_files:\n  - {{path: /etc/systemd/system/a.service, content: \"[Service]\\nExecStart={program}\\n\"}}\n{rest}"
        )
    };
    for (program, rest, found) in [
        ("/usr/local/bin/a", "", true),
        ("/opt/a/b -c", "", true),
        ("/srv/a", "", true),
        ("-/srv/a", "", false),
        ("/usr/bin/a", "", false),
        ("/opt/%i", "", false),
        ("/opt/a", "  - {path: /opt/a, content: b}\n", false),
        ("/opt/a", "  - {path: /opt/b, content: b}\n", true),
        ("/opt/a", "  - {path: /var/lib/cloud/scripts/per-once/b, content: b}\n", false),
        ("/opt/a", "packages: [nginx]\n", true),
        ("/opt/a", "packages: [./a.deb]\n", false),
        ("/opt/a", "runcmd: [systemctl start a, swapon /b]\n", true),
        ("/opt/a", "runcmd: [locale-gen, echo b > /opt/a]\n", false),
        ("/opt/a", "runcmd: [curl b]\n", false),
        ("/opt/a", "bootcmd: [make]\n", false),
        ("/opt/a", "runcmd: [5]\n", false),
        ("/opt/a", "mounts: [[a, /opt]]\n", false),
        ("/opt/a", "apt: {}\n", false),
        ("/opt/a", "puppet: {}\n", false),
    ] {
        assert_eq!(has("MK315", &unit(program, rest)), found, "{program} {rest}");
    }
}

#[test]
fn files_that_are_started() {
    let file = |mode: &str, command: &str| {
        format!("write_files: [{{path: /a/b, content: \"#!/bin/sh\\n\"{mode}}}]\nruncmd: ['{command}']\n")
    };
    for (mode, command, found) in [
        ("", "/a/b", true),
        (", permissions: \"0644\"", "/a/b", true),
        (", permissions: \"0100\"", "/a/b", false),
        (", permissions: \"0010\"", "/a/b", false),
        (", permissions: \"0001\"", "/a/b", false),
        ("", "x && /a/b", false),
        ("", "sh /a/b", false),
        ("", "chmod +x /a/b; /a/b", false),
        ("", "chmod +x /a/c; /a/b", true),
        ("", "rsync /x /a/b; /a/b", false),
        ("", "install -m 755 /x /a/b; /a/b", false),
        ("", "touch /a/b; /a/b", true),
        ("", "cp /x /a/b; /a/b", false),
    ] {
        assert_eq!(has("MK219", &file(mode, command)), found, "{mode} {command}");
    }
}

#[test]
fn downloads_and_keys() {
    check_commands(
        "MK393",
        true,
        &[
            "curl a | sh", "wget -O - a | bash", "curl a | sudo bash -s", "sh -c \"$(curl -fsSL a)\"",
            "bash -c \"$(wget a)\"", "(curl a) | sh", "curl a | zsh", "curl a | dash", "curl a |\n    zsh",
        ],
    );
    check_commands(
        "MK393",
        false,
        &[
            "curl a > b; sh b", "curl a | tee b", "cat a | sh", "curl a || sh b", "curl a; echo | sh",
            "echo \"$(curl a)\"",
        ],
    );
    check_commands("MK394", true, &["apt-key add a", "curl a | apt-key add -", "apt-key adv --recv-keys a"]);
    check_commands("MK394", false, &["apt-key list", "echo apt-key add"]);
    let script = |path: &str, text: &str| {
        format!("write_files:\n  - path: {path}\n    content: |\n      #!/bin/sh\n      {text}\n")
    };
    assert!(has("MK393", &script("/run/mkimg/scripts/a", "curl a | sh")));
    assert!(!has("MK393", &script("/usr/local/bin/a", "curl a | sh")));
    assert!(has("MK360", &script("/var/lib/cloud/scripts/per-once/a", "cloud-init status --wait")));
    assert!(!has("MK360", &script("/usr/local/bin/a", "cloud-init status --wait")));
    let source = |text: &str| format!("apt: {{sources: {{a: {{source: 'deb [{text}] https://a.example b c'}}}}}}\n");
    assert!(has("MK396", &source("signed-by=/etc/apt/keyrings/a.gpg")));
    assert!(!has("MK396", &source("signed-by=/usr/share/keyrings/a.gpg")));
    assert!(!has("MK396", &source("signed-by=$KEY_FILE")));
    assert!(!has("MK396", &(source("signed-by=/etc/apt/keyrings/a.gpg") + "runcmd: [a /etc/apt/keyrings/a.gpg]\n")));
}

#[test]
fn firewalls() {
    check_commands(
        "MK341",
        true,
        &["ufw enable", "ufw --force enable", "ufw allow 80; ufw enable", "ufw deny ssh; ufw enable"],
    );
    check_commands(
        "MK341",
        false,
        &[
            "ufw allow 22; ufw enable", "ufw limit ssh; ufw enable", "a && ufw enable", "ufw disable",
            "ufw allow in on eth1; ufw enable",
        ],
    );
    check(&[
        ("MK341", "write_files: [{path: /etc/ufw/user.rules, content: a}]\nruncmd: [ufw enable]\n", false),
        ("MK341", "bootcmd: [ufw enable]\n", false),
        (
            "MK341",
            "write_files: [{path: /a, encoding: b64, content: dWZ3IGFsbG93IHNzaAo=}]\nruncmd: [ufw enable]\n",
            false,
        ),
    ]);
}

#[test]
fn bash_syntax_in_sh() {
    let found = |key: &str, text: &str| has("MK301", &format!("{key}: [\"{text}\"]\n"));
    for text in ["a=(b)", "[[ a ]]", "source /a", "cat <<< b", "f() { [[ a ]]; }"] {
        assert!(found("runcmd", text) && found("bootcmd", text), "{text}");
    }
    for text in
        ["[ a ]", ". /a", "bash -c '[[ a ]]'", "[ -n $BASH_VERSION ] && source /a", "dnf -y install a && source /b"]
    {
        assert!(!found("runcmd", text), "{text}");
    }
    check(&[
        ("MK301", "runcmd: [[bash, -c, 'a=(b)']]\n", false),
        ("MK301", "runcmd: [[sh, -c, 'a=(b)']]\n", true),
        ("MK300", "runcmd: [[bash, -c, 'if a']]\n", true),
        ("MK300", "runcmd: [[bash, 'if a']]\n", false),
        ("MK300", "runcmd: ['if a; then', b, fi]\n", false),
        ("MK300", "runcmd: ['if a; then', b]\n", true),
        ("MK302", "runcmd:\n  - |\n    cat <<EOF\n      EOF\n", true),
    ]);
}

/// Limits at n - 1, n and n + 1.
#[test]
fn numbers_of_items_are_limited() {
    let items = |before: usize| format!("runcmd:\n{}  - reboot\n", "  - 'true'\n".repeat(before));
    for (before, found) in [(4_998, true), (4_999, true), (5_000, false)] {
        assert_eq!(has("MK358", &items(before)), found, "{before}");
    }
    let lines = |before: usize| format!("runcmd:\n  - |\n{}    reboot\n", "    true\n".repeat(before));
    for (before, found) in [(1_998, true), (1_999, true), (2_000, false)] {
        assert_eq!(has("MK358", &lines(before)), found, "{before}");
    }
}
