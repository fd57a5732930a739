//! Each branch of each check, with a text that it reports and one that it accepts.

mod ssh_keys;

use crate::{Options, lint_file};
use diagnostics::source::Source;

/// The codes for a file, in the order of its lines. That nothing reads a name is tested elsewhere.
fn codes(path: &str, mode: u32, text: &str) -> Vec<&'static str> {
    let found = lint_file(&Source::new("t", text), path, mode, &Options::default()).findings.diagnostics;
    found.iter().map(|found| found.rule.code).filter(|code| *code != "MK427").collect()
}

/// Texts for one path: the expected code, or "" for none.
fn check(path: &str, mode: u32, table: &[(&str, &str)]) {
    for (code, text) in table {
        let expected: &[&str] = if code.is_empty() { &[] } else { &[code] };
        assert_eq!(codes(path, mode, text), expected, "{path} {mode:o}: {text}");
    }
}

#[test]
fn cron_times() {
    let line = |time: &str| codes("/etc/cron.d/a", 0o644, &format!("{time} root true\n"));
    for good in [
        "* * * * *",
        "0 0 1 1 0",
        "59 23 31 12 7",
        "5-5 * * * *",
        "5-6 * * * *",
        "0-59 0-23 1-31 1-12 0-7",
        "*/5 * * * *",
        "1-10/3 * * * *",
        "1,2,3-4 * * * *",
        "* * * jan-dec sun-sat",
        "* * * JAN Sun",
        "0~59 * * * *",
        "* * * feb,apr,jun,jul,nov tue,fri",
        "@yearly",
        "@annually",
        "@midnight",
        "@monthly",
        "@weekly",
        "@hourly",
        "@daily",
        "@Reboot",
        "@every_minute",
    ] {
        assert_eq!(line(good), [""; 0], "{good}");
    }
    for bad in [
        "60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 0 *", "* * * 13 *", "* * * * 8", "6-5 * * * *",
        "*/0 * * * *", "*/x * * * *", "a * * * *", "jan * * * *", "1,60 * * * *", "1- * * * *", "* * * dec-jan *",
        "@dayly",
    ] {
        assert_eq!(line(bad), ["MK320"], "{bad}");
    }
}

#[test]
fn cron_lines() {
    check(
        "/etc/cron.d/a",
        0o644,
        &[
            ("", "# a comment\n\nSHELL=/bin/sh\n'A' = b\n@daily root true\n"),
            ("MK320", "* * * * * true\n"),
            ("MK320", "* * * * * root\n"),
            ("MK320", "* * * * /bin/true\n"),
            ("MK320", "* * * *\n"),
            ("MK320", "@daily root\n"),
            ("MK320", "* * * * * /bin/true x\n"),
            ("MK320", "* * * * * a=b x\n"),
            ("MK322", "@daily root true"),
            ("MK323", "@daily root date +%F\n"),
            ("", "@daily root date +\\%F\n"),
            ("", "@daily root echo %F\n"),
            ("", "@daily root date 5%F\n"),
        ],
    );
    check("/etc/crontab", 0o644, &[("MK320", "* * * * * root\n"), ("", "@daily root true\n")]);
    check(
        "/var/spool/cron/crontabs/ada",
        0o600,
        &[("", "@daily true\n"), ("MK320", "@daily\n"), ("MK320", "* * * * *\n")],
    );
    check("/srv/cron/a", 0o644, &[("", "anything")]);
}

#[test]
fn cron_file_names() {
    for (path, mode, codes_expected) in [
        ("/etc/cron.d/a-b_C9", 0o644, &[][..]),
        ("/etc/cron.d/a.b", 0o644, &["MK321"]),
        ("/etc/cron.daily/a", 0o755, &[]),
        ("/etc/cron.daily/a", 0o644, &["MK321"]),
        ("/etc/cron.hourly/a.sh", 0o755, &["MK321"]),
        ("/etc/cron.weekly/a b", 0o755, &["MK321"]),
        ("/etc/cron.monthly/.placeholder", 0o644, &[]),
        ("/etc/cron.monthly/x/y.z", 0o644, &[]),
    ] {
        assert_eq!(codes(path, mode, "@daily root true\n"), codes_expected, "{path} {mode:o}");
    }
}

#[test]
fn sudoers_lines() {
    check(
        "/etc/sudoers.d/a",
        0o440,
        &[
            ("", "# c\n#include x\n@includedir /etc/sudoers.d\nDefaults env_reset\n\n"),
            ("", "ada ALL=(ALL:ALL) NOPASSWD: ALL\n%adm ALL = /bin/ls, !/bin/su # c\n#1000 ALL=ALL\n"),
            ("", "ada ALL=(ALL) NOPASSWD:SETENV: /bin/a, SHUTDOWN, sudoedit /etc/x\n"),
            ("", "ada ALL = CWD=/tmp /bin/a\nada ALL = sha256:abc /bin/a\nada ALL = ^/bin/.*$\n"),
            ("", "ada ALL = \\\n  ALL\n"),
            ("", "ada ALL = ALL # c\nada ALL = ALL\t# c\n"),
            ("MK325", "ada ALL = ALL c\n"),
            ("MK325", "#1000 ALL\n"),
            ("", "#one ALL\n# 1000 ALL\n"),
            ("", "Cmnd_Alias A_1 = /bin/a, /bin/b\nUser_Alias A = ada\nRunas_Alias B = root\nHost_Alias C = a.b\n"),
            ("", "\"a = b\" ALL = ALL\n\"a # b\" ALL = ALL\n"),
            ("", "ada ALL = NOEXEC: NOLOG_INPUT: NOMAIL: NOFOLLOW: NOINTERCEPT: /bin/a\n"),
            ("", "ada ALL = sha224:abc /bin/a\nada ALL = sha512:abc /bin/a\n"),
            ("MK325", "User_Alias a = ada\n"),
            ("MK325", "ada ALL = EXECUTE: /bin/a\n"),
            ("", "ada ALL = ALL : other = ALL\n"),
            ("MK325", "ada ALL\n"),
            ("MK325", "ada = ALL\n"),
            ("", "ada,bob = ALL\n"),
            ("MK325", "ada ALL =\n"),
            ("MK325", "ada ALL = (ALL\n"),
            ("MK325", "ada ALL = (ALL)\n"),
            ("MK325", "ada ALL = /bin/a,\n"),
            ("MK325", "ada ALL = /bin/a, , /bin/b\n"),
            ("MK325", "ada ALL = NOPASWD: ALL\n"),
            ("MK325", "ada ALL = nopasswd: ALL\n"),
            ("MK325", "ada ALL = NOPASSWD ALL\n"),
            ("MK325", "ada ALL = ALL /bin/ls\n"),
            ("MK325", "ada ALL = systemctl restart x\n"),
            ("MK325", "Cmnd_Alias A\n"),
            ("MK325", "Cmnd_Alias a = /bin/a\n"),
            ("MK325", "Cmnd_Alias A = \n"),
            ("MK325", "Cmnd_Alias A = /bin/a,\n"),
        ],
    );
}

#[test]
fn sudoers_files() {
    let text = "ada ALL=ALL\n";
    for (path, mode, expected) in [
        ("/etc/sudoers", 0o440, &[][..]),
        ("/etc/sudoers", 0o644, &[]),
        ("/etc/sudoers", 0o646, &["MK327"]),
        ("/etc/sudoers.d/a.b", 0o440, &["MK326"]),
        ("/etc/sudoers.d/a~", 0o440, &["MK326"]),
        ("/etc/sudoers.d/a-b", 0o440, &[]),
        ("/etc/sudoers2", 0o666, &[]),
    ] {
        assert_eq!(codes(path, mode, text), expected, "{path} {mode:o}");
    }
}

#[test]
fn unit_lines() {
    let rest = "ExecStart=/bin/a\n";
    let service = |text: &str| codes("/etc/systemd/system/a.service", 0o644, &text.replace("$rest", rest));
    for (code, text) in [
        ("", "# c\n; c\n[Unit]\nDescription=a\n\n[Service]\n$rest[Install]\nWantedBy=multi-user.target\n"),
        ("", "[Service]\nExecStart=/bin/a \\\n# c\n  b\n[X-Mine]\nA=b\n"),
        ("", "[Service]\n$restX-Mine=b\n"),
        ("MK310", "[Service]\n$rest[Servce]\nA=b\n"),
        ("MK310", "[Service]\n$rest[Timer]\nOnBootSec=5\n"),
        ("MK311", "[Service]\n$restExecStrat=/bin/a\n"),
        ("MK311", "[Service]\n$restWantedBy=a\n"),
        ("MK312", "[Service]\n$rest[Install\nWantedBy=a\n"),
        ("MK312", "[Service]\n$restnonsense\n"),
        ("MK312", "Description=a\n[Service]\n$rest"),
        ("MK312", "[Service]\n$rest=b\n"),
        ("MK316", "[Service]\n$restType=simpel\n"),
        ("MK316", "[Service]\n$restRestart=yes\n"),
        ("MK316", "[Service]\n$restNoNewPrivileges=maybe\n"),
        ("", "[Service]\n$restNoNewPrivileges=YES\nRestart=\nType=%i\nKillMode=mixed\n"),
        ("MK316", "[Service]\n$restKillMode=all\n"),
        ("MK316", "[Service]\n$restDynamicUser=always\n"),
        ("MK316", "[Service]\n$restNotifyAccess=yes\n"),
        ("", "[Service]\n$restNotifyAccess=all\nProtectClock=on\nLockPersonality=0\nSendSIGKILL=false\n"),
        ("MK316", "[Unit]\nDefaultDependencies=none\n[Service]\n$rest"),
        ("MK314", "[Service]\nExecStart=/bin/a 'b\n"),
        ("MK314", "[Service]\nExecStart=./a\n"),
        ("MK314", "[Service]\nExecStart=$HOME/a\n"),
        ("", "[Service]\nExecStart=-@a b\n"),
        ("", "[Service]\nExecStart=%h/a\n"),
        ("MK317", "[Service]\nExecStart=/bin/a | /bin/b\n"),
        ("MK317", "[Service]\nExecStart=/bin/a && /bin/b\n"),
        ("MK317", "[Service]\nExecStart=/bin/a > /x\n"),
        ("", "[Service]\nExecStart=/bin/a '|' /bin/b\n"),
        ("", "[Service]\nExecStart=/usr/bin/test a > b\n"),
        ("", "[Service]\nExecStart=/bin/a a|b\n"),
    ] {
        let expected: &[&str] = if code.is_empty() { &[] } else { &[code] };
        assert_eq!(service(text), expected, "{text}");
    }
}

#[test]
fn incomplete_units() {
    let table: &[(&str, &str, bool)] = &[
        ("a.service", "[Service]\nType=oneshot\n", true),
        ("a.service", "[Service]\nRemainAfterExit=yes\n", true),
        ("a.service", "[Service]\nRemainAfterExit=yes\nExecStop=/bin/a\n", false),
        ("a.service", "[Service]\nExecStop=/bin/a\n", true),
        ("a.service", "[Service]\nRemainAfterExit=1\nExecStop=/bin/a\nType=simple\n", true),
        ("a.service", "[Unit]\nSuccessAction=reboot\n[Service]\nType=oneshot\n", false),
        ("a.service", "[Service]\nExecStart=/bin/a\nExecStart=/bin/b\n", true),
        ("a.service", "[Service]\nExecStart=/bin/a\nExecStart=\nExecStart=/bin/b\n", false),
        ("a.service", "[Service]\nType=oneshot\nExecStart=/bin/a\nExecStart=/bin/b\n", false),
        ("a.service", "[Service]\nType=oneshot\nRestart=always\nExecStart=/bin/a\n", true),
        ("a.service", "[Service]\nType=oneshot\nRestart=on-success\nExecStart=/bin/a\n", true),
        ("a.service", "[Service]\nType=oneshot\nRestart=on-failure\nExecStart=/bin/a\n", false),
        ("a.service", "[Service]\nType=dbus\nExecStart=/bin/a\n", true),
        ("a.service", "[Service]\nType=dbus\nBusName=a.b\nExecStart=/bin/a\n", false),
        ("a.timer", "[Timer]\nPersistent=yes\n", true),
        ("a.timer", "[Timer]\nOnUnitActiveSec=5\n", false),
        ("a.timer", "[Timer]\nOnCalendar=daily\n", false),
        ("a.timer", "[Timer]\nOnBootSec=5\n", false),
        ("a.path", "[Path]\nUnit=b.service\n", true),
        ("a.path", "[Path]\nPathExists=/a\n", false),
        ("a.path", "[Path]\nDirectoryNotEmpty=/a\n", false),
        ("a.socket", "[Socket]\nAccept=no\n", true),
        ("a.socket", "[Socket]\nListenStream=80\n", false),
        ("a.mount", "[Mount]\nWhere=/a\n", true),
        ("a.mount", "[Mount]\nWhat=/dev/a\nWhere=/a\n", false),
        ("a.swap", "[Swap]\nPriority=1\n", true),
        ("a.swap", "[Swap]\nWhat=/a\n", false),
        ("a.target", "[Unit]\nDescription=a\n", false),
        ("a.slice", "[Slice]\nCPUWeight=5\n", false),
        ("a.service", "", false),
        ("a.service.d/b.conf", "[Service]\nType=oneshot\n", false),
    ];
    for (name, text, found) in table {
        let expected: &[&str] = if *found { &["MK313"] } else { &[] };
        assert_eq!(codes(&format!("/etc/systemd/system/{name}"), 0o644, text), expected, "{name}: {text}");
    }
}

#[test]
fn unit_paths() {
    for (path, found) in [
        ("/etc/systemd/system/a.service", true),
        ("/etc/systemd/user/a.service", true),
        ("/usr/lib/systemd/system/a.service", true),
        ("/usr/local/lib/systemd/system/a.service", true),
        ("/lib/systemd/system/a.service", true),
        ("/run/systemd/system/a.service", true),
        ("/etc/systemd/system/a@.service", true),
        ("/etc/systemd/system/a.service.d/b.conf", true),
        ("/etc/systemd/system/service.d/b.conf", true),
        ("/etc/systemd/system/a.service.d/b.txt", false),
        ("/etc/systemd/system/a.txt", false),
        ("/etc/systemd/system/a", false),
        ("/srv/systemd/system/a.service", false),
        ("/etc/systemd/journald.conf", false),
    ] {
        let found_here = !codes(path, 0o644, "[Service]\nExecStart=/bin/a\nNope=1\n").is_empty();
        assert_eq!(found_here, found, "{path}");
    }
}

#[test]
fn configuration_of_sshd() {
    check(
        "/etc/ssh/sshd_config",
        0o600,
        &[
            ("", "# c\n\nPort 22\npasswordauthentication no\nPermitRootLogin=prohibit-password\nMatch user ada\n"),
            ("", "NothingLikeAnyKeyword yes\n"),
            ("", "UsePAM \"yes\" # c\n"),
            ("MK335", "PasswordAuthentification no\n"),
            ("MK335", "Port\n"),
            ("MK335", "PermitRootLogin maybe\n"),
            ("MK335", "X11Forwarding on\n"),
            ("MK335", "PubkeyAuthentication 1\n"),
            ("MK335", "PermitEmptyPasswords never\n"),
            ("MK335", "UseDNS off\n"),
            ("MK335", "StrictModes on\n"),
        ],
    );
    check("/etc/ssh/sshd_config.d/a.conf", 0o600, &[("MK335", "Port\n")]);
    check("/etc/ssh/sshd_config.d/a.txt", 0o600, &[("", "Port\n")]);
    check("/etc/ssh/ssh_config", 0o600, &[("", "Port\n")]);
}

#[test]
fn tables_of_file_systems() {
    check(
        "/etc/fstab",
        0o644,
        &[
            ("", "# c\n\n/dev/a /b ext4\n/dev/a /b ext4 defaults 0 0\n/dev/a /b ext4 defaults # c\n"),
            ("MK336", "/dev/a /b\n"),
            ("MK336", "/dev/a /b ext4 defaults x 0\n"),
            ("MK336", "/dev/a /b ext4 defaults 0 x\n"),
            ("", "/dev/a /b ext4 defaults 0 0 x\n"),
        ],
    );
    check("/etc/fstab.d", 0o644, &[("", "x\n")]);
}

#[test]
fn kernel_settings() {
    check(
        "/etc/sysctl.d/a.conf",
        0o644,
        &[("", "# c\n; c\n\na.b = 1\n-a.c\n-a.c = 5\n"), ("MK337", "a.b 1\n"), ("MK337", "a.b: 1\n")],
    );
    check("/etc/sysctl.conf", 0o644, &[("MK337", "a.b 1\n")]);
    check("/etc/sysctl.d/a", 0o644, &[("MK337", "a.b = 1\n")]);
    check("/etc/sysctl.d/README.txt", 0o644, &[("", "a.b 1\n")]);
    check("/etc/sysctl.d/a/b", 0o644, &[("", "a.b 1\n")]);
}

#[test]
fn json_and_yaml() {
    check(
        "/a.json",
        0o644,
        &[
            ("", "{\"a\": [1, 2]}\n"),
            ("", "\n"),
            ("", "{\"a\": {{ b }}}\n"),
            ("", "// c\n{\"a\": 1,}\n"),
            ("", "{\"a\": 1}\n{\"b\": 2}\n"),
            ("MK330", "{\"a\": 1,}\n"),
            ("MK330", "{\"a\": 1\n"),
            ("MK330", "{\"a\": 1} x\n"),
        ],
    );
    check(
        "/a.yaml",
        0o644,
        &[
            ("", "a: [1, 2]\n"),
            ("", "a: [1\n---\nb\n"),
            ("", "a: !x [1\n"),
            ("", "!x\na: [1\n"),
            ("", "%YAML 1.2\n---\na: [1\n"),
            ("", "a: \"\\/\"\nb: [1\n"),
            ("", "a: *b\n"),
            ("", "a: ${b}\nc: [\n"),
            ("MK331", "a: [1\n"),
            ("MK331", "---\na: b: c\n"),
        ],
    );
    check("/a.yml", 0o644, &[("MK331", "a: [1\n")]);
    check("/a.txt", 0o644, &[("", "{\"a\": [1\n")]);
    let long = |length: usize| format!("{{\"a\": \"{}\"", "x".repeat(length - 8));
    assert_eq!(codes("/a.json", 0o644, &long(1024 * 1024)), ["MK330"]);
    assert_eq!(codes("/a.json", 0o644, &long(1024 * 1024 + 1)), [""; 0]);
}

#[test]
fn scripts_by_their_shell() {
    for (code, first, rest) in [
        ("MK300", "#!/bin/sh", "if a; then\n"),
        ("MK300", "#!/bin/bash", "if a; then\n"),
        ("MK300", "#!/usr/bin/env bash", "if a; then\n"),
        ("MK300", "#!/usr/bin/env -S A=b bash -e", "if a; then\n"),
        ("", "#!/usr/bin/python3", "if a; then\n"),
        ("", "", "if a; then\n"),
        ("MK301", "#!/bin/sh", "a=(b)\n"),
        ("MK300", "#!/bin/dash", "a=(b)\n"),
        ("", "#!/bin/bash", "a=(b)\n"),
        ("MK302", "#!/bin/sh", "cat <<EOF\n EOF\n"),
        ("MK302", "#!/bin/sh", "cat <<EOF\nx\n"),
        ("", "#!/bin/sh", "cat <<EOF\nEOF\n"),
        ("", "#!/bin/sh", "cat <<-EOF\n\tEOF\n"),
        ("", "#!/bin/sh", ". /a\n[ a ]\n"),
        ("", "#!/bin/sh", "source() { . \"$1\"; }\nsource /a\n"),
        ("", "#!/bin/sh", "[ -z \"$BASH_VERSION\" ] && exit 1\na=(b)\n"),
        ("", "#!/bin/sh", "[ -z \"$BASH_VERSION\" ] && exec bash \"$0\"\na=(b)\n"),
        ("", "#!/bin/sh", "[ -z \"$BASH_VERSION\" ] && return;\na=(b)\n"),
        ("MK301", "#!/bin/sh", "# [ -z \"$BASH_VERSION\" ] && exit 1\na=(b)\n"),
        ("MK301", "#!/bin/sh", "  # [ -z \"$BASH_VERSION\" ] && exit 1\na=(b)\n"),
        ("MK301", "#!/bin/sh", "[ -z \"$BASH_VERSION\" ] && echo\na=(b)\n"),
        ("MK301", "#!/bin/sh", "[ -z \"$A\" ] && exit 1\na=(b)\n"),
        ("MK301", "#!/bin/sh", "source /a\n"),
        ("MK301", "#!/bin/sh", "if [[ -f /a ]]; then\n  b\nfi\n"),
        ("MK301", "#!/usr/bin/env sh", "[[ -f /a ]] && [[ -f /b ]]\nsource /a\n"),
        ("MK301", "#!/bin/dash", "source /a\n"),
        ("MK301", "#!/bin/sh", "[ \"$1\" == a ] && b\n"),
        ("MK301", "#!/bin/sh", "if test \"$1\" == a; then b; fi\n"),
        ("MK301", "#!/bin/sh", "[ ! \"$1\" == a ]\n"),
        ("MK301", "#!/bin/sh", "set -o pipefail\n"),
        ("MK301", "#!/bin/sh -e", "set -euo pipefail\n"),
        ("MK301", "#!/bin/sh", "set -u -o pipefail\n"),
        ("MK301", "#!/bin/sh", "set -o posix\n"),
        ("", "#!/bin/bash", "source /a\n[[ a ]]\n[ a == b ]\nset -euo pipefail\n"),
        ("", "#!/bin/ash", "source /a\n"),
        ("", "#!/bin/sh", "[ \"$1\" = == ] || [ a = b ]\necho a == b\n"),
        ("", "#!/bin/sh", "sudo [ a == b ]\nawk '$1 == 2'\n"),
        ("", "#!/bin/sh", "set -eu\nset -o errexit -o nounset\nset +o xtrace\nset -- -o pipefail\n"),
        ("", "#!/bin/sh", "if (set -o pipefail) 2>/dev/null; then set -o pipefail; fi\n"),
        ("", "#!/bin/sh", "# source /a\necho '[[ a ]]' source\ncat <<EOF\nsource /a\nEOF\n"),
        ("", "#!/bin/sh", "[ -n \"$BASH_VERSION\" ] || exit 1\nsource /a\n"),
        ("", "#!/bin/sh", "dnf install -y a\nsource /a\n"),
        ("", "#!/bin/sh\r", "source /a\r\n"),
    ] {
        let expected: &[&str] = if code.is_empty() { &[] } else { &[code] };
        assert_eq!(codes("/a", 0o755, &format!("{first}\n{rest}")), expected, "{first} {rest}");
    }
    check("/etc/profile.d/a.sh", 0o644, &[("MK300", "if a; then\n"), ("MK301", "a=(b)\n")]);
    check("/etc/profile.d/a", 0o644, &[("", "if a; then\n")]);
    // bash reads it as well.
    check("/etc/profile.d/b.sh", 0o644, &[("", "[[ -f /a ]] && source /a\n")]);
    // Windows line ends are reported separately.
    check("/a", 0o755, &[("", "#!/bin/sh\r\nif a; then\r\n")]);
}

#[test]
fn long_scripts_are_not_parsed() {
    let script = |length: usize| {
        let text = "#!/bin/sh\n(";
        format!("{text}{}", "\n".repeat(length - text.len()))
    };
    assert_eq!(codes("/a", 0o755, &script(1024 * 1024)), ["MK300"]);
    assert_eq!(codes("/a", 0o755, &script(1024 * 1024 + 1)), [""; 0]);
}

#[test]
fn findings_of_one_file_are_limited() {
    for (lines, expected) in [(99, 99), (100, 100), (101, 100)] {
        assert_eq!(codes("/etc/crontab", 0o644, &"x\n".repeat(lines)).len(), expected, "{lines}");
    }
}

/// Each setting with fixed values, as systemd's manual has them.
#[test]
fn values_of_unit_settings() {
    let flags = "1 yes y true t on 0 no n false f off YES";
    for (file, section, names, values) in [
        ("a.service", "Service", "Type", "simple exec forking oneshot dbus notify notify-reload idle"),
        ("a.service", "Service", "Restart", "no on-success on-failure on-abnormal on-watchdog on-abort always"),
        ("a.service", "Service", "RestartMode", "normal direct debug"),
        ("a.service", "Service", "NotifyAccess", "none main exec all"),
        ("a.socket", "Socket", "KillMode", "control-group process mixed none"),
        ("a.service", "Service", "RemainAfterExit GuessMainPID", flags),
        (
            "a.service",
            "Service",
            "NoNewPrivileges DynamicUser ProtectKernelModules ProtectKernelTunables ProtectKernelLogs ProtectClock \
             LockPersonality RestrictRealtime RestrictSUIDSGID SendSIGHUP SendSIGKILL CPUAccounting MemoryAccounting \
             TasksAccounting",
            flags,
        ),
        ("a.service", "Unit", "DefaultDependencies StopWhenUnneeded RefuseManualStart RefuseManualStop", flags),
        ("a.timer", "Timer", "Persistent WakeSystem", flags),
        ("a.socket", "Socket", "Accept", flags),
    ] {
        let has = |name: &str, value: &str| {
            let text = format!("[{section}]\n{name} = {value}\n");
            codes(&format!("/etc/systemd/system/{file}"), 0o644, &text).contains(&"MK316")
        };
        for name in names.split_whitespace() {
            assert!(has(name, "nope"), "{name}");
            for value in values.split(' ') {
                assert!(!has(name, value), "{name}={value}");
            }
        }
    }
}

/// Forms of one setting: the code, and the line in a service.
#[test]
fn forms_of_unit_settings() {
    for (code, line) in [
        ("", "ExecStart=@/bin/a b"),
        ("", "ExecStart=-/bin/a"),
        ("", "ExecStart=:/bin/a"),
        ("", "ExecStart=+/bin/a"),
        ("", "ExecStart=!/bin/a"),
        ("", "ExecStart=!!/bin/a"),
        ("", "ExecStart=|/bin/a"),
        ("", "  ExecStart = /bin/a"),
        ("", "ExecStart=/bin/a \\\n; b\n  c"),
        ("", "ExecStart=/usr/bin/[ a > b"),
        ("", "ExecStart=/usr/bin/expr a > b"),
        ("", "ExecStart=/usr/bin/find a > b"),
        ("MK317", "ExecStart=/usr/bin/cat a > b"),
        ("", "RemainAfterExit=1\nExecStop=/bin/a"),
        ("", "RemainAfterExit=y\nExecStop=/bin/a"),
        ("", "RemainAfterExit=true\nExecStop=/bin/a"),
        ("", "RemainAfterExit=T\nExecStop=/bin/a"),
        ("", "RemainAfterExit=on\nExecStop=/bin/a"),
        ("MK313", "RemainAfterExit=off\nExecStop=/bin/a"),
        ("MK311", "[Unit]\nExecStart=/bin/a\n[Service]\nExecStart=/bin/a"),
    ] {
        let expected: &[&str] = if code.is_empty() { &[] } else { &[code] };
        assert_eq!(codes("/etc/systemd/system/a.service", 0o644, &format!("[Service]\n{line}\n")), expected, "{line}");
    }
}

/// Forms of lines that the other tables do not have.
#[test]
fn forms_of_lines() {
    for (path, code, text) in [
        ("/etc/cron.d/a", "", "\t* * * * *\troot\ttrue\n"),
        ("/etc/cron.d/a", "", " \"A\" = b\n"),
        ("/etc/cron.d/a", "MK320", "A B = c\n"),
        ("/etc/cron.d/a", "MK320", "= c\n"),
        ("/etc/cron.d/a", "MK320", "'' = c\n"),
        ("/etc/ssh/sshd_config", "", "Port=22\nPort\t22\nUsePAM yes#c\nUsePAM\tyes\tc\n"),
        ("/etc/ssh/sshd_config", "MK335", "  PasswordAuthentication maybe\n"),
        ("/etc/ssh/sshd_config", "MK335", "KbdInteractiveAuthentication maybe\n"),
        ("/etc/ssh/sshd_config", "MK335", "ChallengeResponseAuthentication maybe\n"),
        ("/etc/ssh/sshd_config", "MK335", "PubkeyAuthentication maybe\n"),
        ("/etc/ssh/sshd_config", "MK335", "UsePAM maybe\n"),
        ("/etc/ssh/sshd_config", "", "PermitRootLogin without-password\nPermitRootLogin forced-commands-only\n"),
        ("/etc/ssh/sshd_config", "", "UsePAM true\nUsePAM false\nUsePAM NO\n"),
        ("/a.json", "", "{\"a\": <%= b %>}\n"),
        ("/a.json", "", "{% if a %}\n{\"a\": 1}\n{% endif %}\n"),
        ("/a.json", "", "/* a */\n{\"a\": 1,}\n"),
        ("/a.json", "", "# a\n{\"a\": 1,}\n"),
        ("/etc/sudoers.d/a", "", "  ada ALL = ALL  \n"),
        ("/etc/sudoers.d/a", "", "ada ALL = (root) NOPASSWD : ALL\n"),
        ("/etc/sudoers.d/a", "", "ada ALL = sha384:abc /bin/a\nada ALL = sha256:abc /bin/a\n"),
        ("/etc/sudoers.d/a", "", "Cmd_Alias A = /bin/a\n"),
        ("/etc/sudoers.d/a", "", "ada ALL = A_1, !A, list\n"),
    ] {
        let mode = if path.starts_with("/etc/sudoers") { 0o440 } else { 0o644 };
        let expected: &[&str] = if code.is_empty() { &[] } else { &[code] };
        assert_eq!(codes(path, mode, text), expected, "{path}: {text}");
    }
}

/// What a unit says about others: names, and the order of what it needs.
#[test]
fn units_that_a_unit_names() {
    let unit = |lines: &str| format!("{lines}\n[Service]\nExecStart=/bin/a\n");
    let path = "/etc/systemd/system/a.service";
    for (code, lines) in [
        ("MK338", "[Install]\nWantedBy=mutli-user.target"),
        ("MK338", "[Install]\nWantedBy=multi-user"),
        ("MK338", "[Install]\nRequiredBy=multi_user.target"),
        ("MK338", "[Unit]\nAfter=network"),
        ("MK338", "[Unit]\nAfter=a.service network-onlin.target"),
        ("MK338", "[Unit]\nWants=postgresql"),
        ("MK319", "[Unit]\nRequires=postgresql.service\nAfter=network.target"),
        ("MK319", "[Unit]\nBindsTo=docker.service"),
        ("MK319", "[Unit]\nRequires=a.service b.service\nAfter=a.service"),
        ("MK319", "[Unit]\nAfter=network-online.target\n[Install]\nWantedBy=multi-user.target"),
        ("", "[Unit]\nAfter=network-online.target"),
        ("", "[Install]\nWantedBy=multi-user.target graphical.target"),
        ("", "[Install]\nWantedBy=myapp.target\nAlso=a.socket"),
        ("", "[Install]\nWantedBy=getty@tty1.service %i.target"),
        ("", "[Unit]\nRequires=postgresql.service\nAfter=postgresql.service"),
        ("", "[Unit]\nRequires=postgresql.service\nBefore=postgresql.service"),
        ("", "[Unit]\nRequires=a.socket var-lib.mount sysinit.target -.mount %i.service"),
        ("", "[Unit]\nWants=network-online.target\nAfter=network-online.target"),
        ("", "[Unit]\nRequires=network-online.target\nAfter=network-online.target"),
        ("", "[Unit]\nWants=postgresql.service"),
        ("", "[Unit]\nAfter=network.target postgresql.service\nAfter=\n"),
    ] {
        check(path, 0o644, &[(code, &unit(lines))]);
    }
    // A drop-in may add to an order that is elsewhere. A timer is not started before what it needs.
    let text = "[Unit]\nRequires=postgresql.service\n";
    check("/etc/systemd/system/a.service.d/b.conf", 0o644, &[("", text)]);
    check("/etc/systemd/system/a.timer", 0o644, &[("", &format!("{text}[Timer]\nOnBootSec=5min\n"))]);
    let place = |text: &str| {
        let found = lint_file(&Source::new("t", text), path, 0o644, &Options::default()).findings.diagnostics;
        found.iter().map(|one| text[one.span.unwrap().start..one.span.unwrap().end].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(place(&unit("[Unit]\nAfter=a.service network-onlin.target b.service")), ["network-onlin.target"]);
    assert_eq!(place(&unit("[Unit]\nAfter=a.service \\\n  network-onlin.target")), ["a.service \\"]);
}

#[test]
fn times_of_units() {
    let timer = |setting: &str| format!("[Timer]\n{setting}\nOnBootSec=1min\n");
    let service = |setting: &str| format!("[Service]\nExecStart=/bin/a\n{setting}\n");
    for (code, setting) in [
        ("MK316", "OnCalendar=daily at 5"),
        ("MK316", "OnCalendar=0 5 * * *"),
        ("MK316", "OnCalendar=Mondy 05:00"),
        ("MK316", "OnUnitActiveSec=5 minuts"),
        ("MK316", "RandomizedDelaySec=an hour"),
        ("", "OnCalendar=Mon..Fri *-*-* 05:00"),
        ("", "OnCalendar=*-*-* 0/6:00:00 UTC"),
        ("", "OnCalendar="),
        ("", "OnCalendar=%i"),
        ("", "OnUnitActiveSec=1h 30min"),
    ] {
        check("/etc/systemd/system/a.timer", 0o644, &[(code, &timer(setting))]);
    }
    for (code, setting) in [
        ("MK316", "RestartSec=5 secs"),
        ("MK316", "TimeoutStartSec=forever"),
        ("", "RestartSec=5"),
        ("", "TimeoutStartSec=infinity"),
        ("", "RestartSec=100ms"),
    ] {
        check("/etc/systemd/system/a.service", 0o644, &[(code, &service(setting))]);
    }
}

#[test]
fn types_of_services() {
    for (code, kind, command) in [
        ("MK339", "forking", "/usr/local/bin/cockroach start-single-node --insecure"),
        ("MK339", "forking", "/usr/bin/java -jar /opt/a.jar"),
        ("MK339", "forking", "/usr/bin/node /srv/a.js"),
        ("MK339", "forking", "-/usr/bin/mongod --config /etc/mongod.conf"),
        ("MK339", "simple", "/usr/bin/mongod --fork --config /etc/mongod.conf"),
        ("MK339", "notify", "/usr/local/bin/cockroach start --background --join=a"),
        ("MK339", "exec", "/usr/bin/gunicorn -D app:app"),
        ("", "forking", "/usr/local/bin/cockroach start-single-node --background"),
        ("", "forking", "/usr/bin/mongod --fork"),
        ("", "forking", "/usr/sbin/nginx"),
        ("", "forking", "/opt/start-node.sh"),
        ("", "simple", "/usr/bin/java -jar /opt/a.jar"),
        ("", "notify", "/usr/local/bin/cockroach start --join=a"),
        ("", "oneshot", "/usr/local/bin/cockroach init --background"),
    ] {
        let text = format!("[Service]\nType={kind}\nExecStart={command}\n");
        check("/etc/systemd/system/a.service", 0o644, &[(code, &text)]);
    }
    check("/etc/systemd/system/a.service", 0o644, &[("MK339", "[Service]\nExecStart=/usr/bin/mongod --fork\n")]);
}
