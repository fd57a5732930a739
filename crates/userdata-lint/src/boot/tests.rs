//! Documents with mistakes in the order of the boot, and correct ones.

mod bootcmd;
mod branches;
mod databases;
mod endless;
mod lists;
mod mounts;
mod reports;
mod shells;
mod sshd;
mod stages;
mod units;
mod unnoticed;
mod words;

use crate::{Options, lint_bytes};
use diagnostics::source::Source;

fn codes(text: &str) -> Vec<&'static str> {
    let report = lint_bytes("t.yaml", text.as_bytes(), &Options::default());
    let found = &report.documents[0].findings.diagnostics;
    found.iter().map(|found| found.rule.code).filter(|code| ("MK350".."MK370").contains(code)).collect()
}

fn config(text: &str) -> Vec<&'static str> {
    codes(&format!("#cloud-config\n{text}"))
}

fn places(text: &str) -> Vec<String> {
    let report = lint_bytes("t.yaml", text.as_bytes(), &Options::default());
    let findings = &report.documents[0].findings;
    let slice = |span: Option<diagnostics::source::Span>| findings.source.slice(span.unwrap_or_default()).to_owned();
    findings.diagnostics.iter().map(|found| format!("{} {}", found.path, slice(found.span))).collect()
}

#[test]
fn findings_point_at_the_command() {
    let text = "#cloud-config\nruncmd:\n  - |\n    set -e\n    if true; then\n      sudo cloud-init status --long --wait\n    fi\n";
    assert_eq!(places(text), ["runcmd.0 sudo cloud-init status --long --wait"]);
    assert_eq!(
        places("#cloud-config\nbootcmd:\n  - [ cloud-init, status, --wait ]\n"),
        ["bootcmd.0 [ cloud-init, status, --wait ]"]
    );
}

#[test]
fn waiting_for_cloud_init_is_reported() {
    assert!(
        config("runcmd: ['cloud-init status --wait &', 'timeout 60 cloud-init status --wait', cloud-init status]\n")
            .is_empty()
    );
    assert_eq!(
        config("runcmd: ['[ -e /x ] || cloud-init status -w', 'bash -c \"cloud-init status --wait\"']\n"),
        ["MK360", "MK360"]
    );
    assert_eq!(codes("#!/bin/bash\ncloud-init status --wait\n"), ["MK360"]);
    assert_eq!(codes("#cloud-boothook\n#!/bin/sh\ncloud-init status --wait\n"), ["MK360"]);
    assert!(codes("#!/usr/bin/python3\ncloud-init status --wait\n").is_empty());
    let script = "write_files:\n  - path: /var/lib/cloud/scripts/per-boot/a\n    content: |\n      #!/bin/sh\n      cloud-init status --wait\n";
    assert_eq!(config(script), ["MK360"]);
}

#[test]
fn confirmation_prompts_are_reported() {
    for text in [
        "apt-get install -qq x", "apt install -fy x", "apt-get -o A=b install --yes x", "yes | apt-get install x",
        "apt-get update", "apt-get $OPTIONS install x", "dnf -y install x", "pacman -Sy --noconfirm x", "pacman -Syy",
        "pacman -Ss x", "apt-get install x < /dev/null", "zypper -n in x", "apt-get install -qqy x",
    ] {
        assert!(
            config(&format!("runcmd: [\"{text}\"]\n")).is_empty(),
            "{text}: {:?}",
            config(&format!("runcmd: [\"{text}\"]\n"))
        );
    }
    for text in [
        "apt-get install x",
        "sudo DEBIAN_FRONTEND=noninteractive apt-get -q install x",
        "yum install x",
        "pacman -S x",
        "pacman -Sy x",
        "pacman -Syu",
        "apt-get update && apt-get upgrade",
    ] {
        assert_eq!(config(&format!("runcmd: [\"{text}\"]\n")), ["MK362"], "{text}");
    }
    assert_eq!(config("runcmd: [[apt-get, install, x]]\n"), ["MK362"]);
}

#[test]
fn reboots_are_reported() {
    assert!(
        config("runcmd: ['shutdown -r +5', '(sleep 9; reboot) &', 'echo reboot', 'systemctl restart x', 'reboot &']\n")
            .is_empty()
    );
    assert_eq!(
        config(
            "runcmd: ['[ -f /run/reboot-required ] && reboot', 'shutdown -r now', [systemctl, poweroff], 'init 6']\n"
        ),
        ["MK358"; 4]
    );
    assert!(config("bootcmd: ['cloud-init-per once r reboot', 'test -f /x && reboot']\n").is_empty());
}

#[test]
fn shell_syntax_in_lists_is_reported() {
    for text in [
        "[echo, a, '>', b]", "[ls, '|', wc]", "[a, '&&', b]", "[echo, $HOME]", "[cmd, '2>/dev/null']",
        "[echo, '$(date)']",
    ] {
        assert_eq!(config(&format!("runcmd: [{text}]\n")), ["MK363"], "{text}");
    }
    for text in [
        "[sh, -c, 'a > b']", "[test, a, '>', b]", "[find, /, -exec, rm, '{}', ';']", "[sed, -i, 's/a$/b/', /x]",
        "[echo, '$5']", "[awk, '$1 > 2', /x]", "[envsubst, '$HOME']",
    ] {
        assert!(config(&format!("runcmd: [{text}]\n")).is_empty(), "{text}");
    }
}

#[test]
fn programs_and_files_of_bootcmd_are_checked() {
    assert_eq!(config("packages: [nginx]\nbootcmd: ['systemctl start nginx']\n"), ["MK350"]);
    assert_eq!(config("packages: [foo]\nbootcmd: [foo]\n"), ["MK350"]);
    assert!(config("packages: [curl, nginx]\nbootcmd: ['curl x', 'command -v nginx && nginx -t']\n").is_empty());
    assert!(
        config(
            "bootcmd: ['cloud-init-per once a apt-get update', 'cp /a /b']\nwrite_files: [{path: /b, content: x}]\n"
        )
        .is_empty()
    );
    assert_eq!(
        config(
            "bootcmd: ['. /etc/x.env', [bash, /a//b]]\nwrite_files: [{path: /etc/x.env, content: x}, {path: /a/b, content: x}]\n"
        ),
        ["MK351", "MK351"]
    );
}

#[test]
fn owners_and_homes() {
    let file = |owner: &str, more: &str| format!("write_files: [{{path: /etc/x, owner: '{owner}'{more}}}]\n");
    assert!(
        config(&file("root:adm", "")).is_empty()
            && config(&file("1000:1000", "")).is_empty()
            && config(&file("www-data", "")).is_empty()
    );
    assert_eq!(config(&file("app", "")), ["MK354"]);
    assert_eq!(config(&file("root:app", ", defer: true")), ["MK354"]);
    assert_eq!(config(&file("ubuntu:ubuntu", "")), ["MK354"]);
    assert!(config(&file("ubuntu:ubuntu", ", defer: true")).is_empty());
    assert!(config(&(file("app", "") + "bootcmd: ['useradd app']\n")).is_empty());
    assert!(config(&(file("app", ", defer: true") + "packages: [whatever]\n")).is_empty());
    assert_eq!(config(&(file("mysql", "") + "packages: [mariadb-server]\n")), ["MK353"]);
    assert!(config(&(file("docker", ", defer: true") + "packages: [docker.io]\n")).is_empty());
    assert!(
        config("users: [{name: ada, groups: [web]}]\nwrite_files: [{path: /etc/x, owner: 'ada:web', defer: true}]\n")
            .is_empty()
    );
    assert_eq!(
        config("users: [{name: ada, homedir: /srv/ada}]\nwrite_files: [{path: /srv/ada/x, content: a}]\n"),
        ["MK355"]
    );
    assert!(
        config("users: [{name: ada, no_create_home: true}]\nwrite_files: [{path: /home/ada/x, content: a}]\n")
            .is_empty()
    );
    assert!(config("groups: [{web: [root, sys]}, cloud]\nusers: [{name: ada}]\n").is_empty());
    assert_eq!(config("groups: {web: [ada]}\nusers: [{name: ada}]\n"), ["MK357"]);
}

#[test]
fn missing_programs_are_reported() {
    assert!(config("runcmd: ['curl -fsSL https://get.docker.com | sh', 'docker run x']\n").is_empty());
    assert!(config("runcmd: ['command -v docker || exit 0', 'docker run x']\n").is_empty());
    assert!(config("snap: {commands: [snap install docker]}\nruncmd: ['docker run x']\n").is_empty());
    assert!(config("runcmd: ['apt-get install -y $PACKAGES', 'docker run x', 'ls']\n").is_empty());
    assert!(
        config("packages: [[docker-ce, '5:27']]\nruncmd: ['docker run x', 'systemctl enable --now docker']\n")
            .is_empty()
    );
    assert!(
        config("write_files: [{path: /usr/local/bin/docker, content: '#!/bin/sh'}]\nruncmd: ['docker run x']\n")
            .is_empty()
    );
    assert_eq!(config("runcmd: ['docker run x', 'docker run y', 'unzip a.zip']\n"), ["MK365", "MK365"]);
    assert_eq!(
        config("runcmd: ['systemctl restart nginx', 'apt-get update', 'apt-get install -y nginx-full']\n"),
        ["MK364"]
    );
}

#[test]
fn templates_and_paths() {
    assert!(config("write_files: [{path: '/a/cost-5$', content: 'docker ps --format {{.Names}}'}]\n").is_empty());
    assert_eq!(
        config("hostname: '{{ ds.meta_data.hostname }}'\nwrite_files: [{path: '/home/${USER}/a', content: b}]\n"),
        ["MK369", "MK366"]
    );
    assert!(config("runcmd:\n  - >\n    cat <<< word\n  - >\n    echo $((1<<4))\n").is_empty());
}

#[test]
fn unusual_documents_cause_no_panic() {
    for text in [
        "runcmd: 5\n",
        "runcmd: [5, null, [], [[x]], {a: b}]\n",
        "bootcmd: ['', ' ', '(((', '\"', \"'\"]\n",
        "users: {a: b}\ngroups: [5, {a: null}]\nchpasswd: {users: [5], list: [5]}\n",
        "write_files: [{path: 5, owner: ':', content: 5}]\npackages: {a: b}\n",
    ] {
        let _ = config(text);
    }
}

fn units(program: &str, rest: &str) -> Vec<&'static str> {
    let text = format!(
        "#cloud-config\nwrite_files:\n- path: /etc/systemd/system/a.service\n  content: |\n    [Service]\n    ExecStart={program} x\n- path: /opt/app/bin/run\n  content: '#!/bin/sh'\n{rest}"
    );
    let report = lint_bytes("t.yaml", text.as_bytes(), &Options::default());
    let found = &report.documents[0].findings.diagnostics;
    found.iter().map(|found| found.rule.code).filter(|code| *code == "MK315").collect()
}

#[test]
fn programs_of_units_are_missed_only_if_nothing_installs_them() {
    assert_eq!(units("/opt/app/bin/rum", ""), ["MK315"]);
    assert_eq!(units("/usr/local/bin/x", "packages: [nginx]\nruncmd: [[systemctl, start, a]]\n"), ["MK315"]);
    for (program, rest) in [
        ("/opt/app/bin/run", ""),
        ("-/opt/app/bin/rum", ""),
        ("/opt/%i/rum", ""),
        ("/usr/bin/anything", ""),
        ("/opt/x", "runcmd: ['make install']\n"),
        ("/opt/x", "runcmd: ['echo x > /opt/x']\n"),
        ("/opt/x", "runcmd: [[5, [a]]]\n"),
        ("/opt/x", "runcmd: 'curl -o /opt/x https://downloads.example'\n"),
        ("/opt/x", "bootcmd: [/root/setup]\n"),
        ("/opt/x", "snap: {commands: [snap install x]}\n"),
        ("/opt/x", "apt: {sources: {a: {source: 'deb https://downloads.example stable main'}}}\npackages: [x]\n"),
    ] {
        assert!(units(program, rest).is_empty(), "{program} {rest}");
    }
}

/// A long script with many commands is checked in linear time. (Otherwise this takes seconds.)
#[test]
fn long_scripts_are_checked_quickly() {
    let report =
        lint_bytes("t", ("#!/bin/sh\n".to_owned() + &"echo x\n".repeat(290_000)).as_bytes(), &Options::default());
    assert_eq!(report.documents[0].verdict, diagnostics::Verdict::Skipped);
}

/// Where a command can stand, and the codes that it gets there.
type Form<'a> = (&'a str, &'a dyn Fn(&str) -> Vec<&'static str>);

/// The rules about commands, wherever the script stands.
#[test]
fn commands_are_checked_in_every_script() {
    const BAD: &[(&str, &str)] = &[
        ("MK362", "apt-get install nginx"),
        ("MK360", "cloud-init status --wait"),
        ("MK358", "reboot"),
        ("MK340", "tail -f /var/log/syslog"),
        ("MK393", "curl https://a.example | sh"),
        ("MK301", "source /etc/os-release"),
        ("MK301", "set -o pipefail"),
    ];
    const GOOD: &[&str] = &[
        "apt-get install -y nginx",
        "systemctl restart ssh",
        "timeout 5 tail -f /var/log/syslog",
        "echo reboot",
        ". /etc/os-release",
    ];
    let all = |report: crate::LintedDocument| -> Vec<_> {
        let codes = report.findings.diagnostics.iter().map(|found| found.rule.code);
        codes.filter(|code| *code != "MK006" && *code != "MK210").collect()
    };
    let options = Options::default();
    let whole = |text: String| all(lint_bytes("t", text.as_bytes(), &options).documents.remove(0));
    let file = |path: &str, text: &str| all(crate::lint_file(&Source::new("a", text), path, 0o755, &options));
    let written = |path: &str, text: &str, runcmd: &str| {
        let entry = format!("- path: {path}\n  permissions: '0755'\n  content: |\n    #!/bin/sh\n    {text}\n");
        whole(format!("#cloud-config\nwrite_files:\n{entry}{runcmd}"))
    };
    let forms: &[Form<'_>] = &[
        ("runcmd", &|text| whole(format!("#cloud-config\nruncmd:\n  - {text}\n"))),
        ("a user-data script", &|text| whole(format!("#!/bin/sh\n{text}\n"))),
        ("a script of an image", &|text| file("/run/mkimg/scripts/00-a.sh", &format!("#!/bin/sh\n{text}\n"))),
        ("a file", &|text| file("/var/lib/cloud/scripts/per-boot/a", &format!("#!/bin/sh\n{text}\n"))),
        ("write_files", &|text| written("/var/lib/cloud/scripts/per-once/a", text, "")),
        ("a rendered image", &|text| written("/run/mkimg/scripts/00-a.sh", text, "")),
        ("a file of runcmd", &|text| written("/root/a", text, "runcmd: [/root/a]\n")),
        ("a file of a shell", &|text| written("/root/a", text, "runcmd: ['sh -e /root//a']\n")),
    ];
    for (form, check) in forms {
        for (code, text) in BAD {
            assert_eq!(check(text), [*code], "{form}: {text}");
        }
        for text in GOOD {
            assert_eq!(check(text), [""; 0], "{form}: {text}");
        }
    }
    // Nothing tells when, or whether, these run.
    for (path, runcmd) in [
        ("/root/a", ""),
        ("/root/a", "runcmd: [/root/b]\n"),
        ("/root/a", "runcmd: ['/root/a &']\n"),
        ("/root/a", "runcmd: ['if b; then /root/a; fi']\n"),
        ("/root/a", "runcmd: [chown root /root/a]\n"),
    ] {
        assert_eq!(written(path, "reboot", runcmd), [""; 0], "{path} {runcmd}");
    }
    assert_eq!(file("/usr/local/bin/a", "#!/bin/sh\nreboot\n"), [""; 0]);
    assert_eq!(file("/run/mkimg/scripts/00-a.py", "#!/usr/bin/python3\nreboot\n"), [""; 0]);
    let assuming = Options { assumes_yes: true, ..options.clone() };
    let script = Source::new("a", "#!/bin/sh\napt-get install nginx\n");
    assert_eq!(all(crate::lint_file(&script, "/run/mkimg/scripts/a", 0o755, &assuming)), [""; 0]);
    let script =
        "#!/bin/sh\necho 'APT::Get::Assume-Yes \"true\";' > /etc/apt/apt.conf.d/90yes\napt-get install nginx\n";
    assert_eq!(whole(script.to_owned()), [""; 0]);
    assert_eq!(file("/run/mkimg/scripts/00-a.sh", script), [""; 0]);
    assert_eq!(file("/run/mkimg/scripts/00-a.sh", &script.replace("Assume-Yes", "Assume-No")), ["MK362"]);
    // What is told of the file is not told of the document as well.
    let separate = Options { separate_files: vec!["/run/mkimg/".into()], ..options.clone() };
    let text = "#cloud-config\nwrite_files:\n- path: /run/mkimg/scripts/a\n  content: |\n    #!/bin/sh\n    reboot\n";
    let (document, _) = crate::lint_rendered(&Source::new("t", text), &separate);
    assert_eq!(all(document), [""; 0]);
}
