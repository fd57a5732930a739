//! Rules about systemd's units.

use super::Rule;
use diagnostics::{Origin, Severity};

/// A document that writes one unit, line by line.
macro_rules! unit {
    ($name:literal: $($line:literal)+) => {
        concat!(
            "#cloud-config\nwrite_files:\n  - path: /etc/systemd/system/",
            $name,
            "\n    content: |\n",
            $("      ", $line, "\n"),+
        )
    };
}

pub(crate) static UNKNOWN_SECTION: Rule = Rule {
    code: "MK310",
    name: "unknown-unit-section",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A unit has a section that systemd does not read.",
    reason: "\
systemd passes over the section and everything in it, with a line in the journal. A service has `[Unit]`, `[Service]` and\n\
`[Install]`, a timer `[Timer]` in place of `[Service]`, and so on; upper and lower case differ. Sections that begin\n\
with `X-` are for other programs.",
    bad: unit!("app.service": "[Service]" "ExecStart=/usr/bin/app" "[install]" "WantedBy=multi-user.target"),
    good: unit!("app.service": "[Service]" "ExecStart=/usr/bin/app" "[Install]" "WantedBy=multi-user.target"),
    example_limit: None,
};

pub(crate) static UNKNOWN_SETTING: Rule = Rule {
    code: "MK311",
    name: "unknown-unit-setting",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A unit has a setting that systemd does not know in its section.",
    reason: "\
systemd passes over it with a line in the journal: what it was to do does not happen. Often it is a spelling mistake, or a\n\
setting of another section: `After=` belongs in `[Unit]`, `Restart=` in `[Service]`. The names are those of\n\
systemd up to 258. Settings that begin with `X-` are for other programs.",
    bad: unit!("app.service": "[Service]" "ExecStart=/usr/bin/app" "After=network-online.target"),
    good: unit!("app.service": "[Unit]" "After=network-online.target" "[Service]" "ExecStart=/usr/bin/app"),
    example_limit: None,
};

pub(crate) static MALFORMED_LINE: Rule = Rule {
    code: "MK312",
    name: "malformed-unit-line",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A line of a unit is neither a section's header nor a setting.",
    reason: "\
A unit has lines `[Section]` and `Name=value`, below a section; comments begin with `#` or `;`. systemd passes over other\n\
lines, and does not load a unit with a header that does not end with `]`.",
    bad: unit!("app.service": "[Service]" "ExecStart=/usr/bin/app" "Restart: always"),
    good: unit!("app.service": "[Service]" "ExecStart=/usr/bin/app" "Restart=always"),
    example_limit: None,
};

pub(crate) static INCOMPLETE_UNIT: Rule = Rule {
    code: "MK313",
    name: "incomplete-unit",
    origin: Origin::Mkimg,
    severity: Severity::Error,
    summary: "A unit lacks what systemd does not load it without.",
    reason: "\
A service needs `ExecStart=` (only one, unless it is `Type=oneshot`; one without it needs `ExecStop=` and `RemainAfterExit=yes`), a\n\
timer some `On…=`, a socket some `Listen…=`, a path unit something to watch, a mount `What=`. systemd says \"bad unit\n\
file setting\" and starts nothing. Drop-ins need not be complete.",
    bad: unit!("backup.timer": "[Timer]" "Persistent=true"),
    good: unit!("backup.timer": "[Timer]" "OnCalendar=daily" "Persistent=true"),
    example_limit: None,
};

pub(crate) static BAD_COMMAND: Rule = Rule {
    code: "MK314",
    name: "bad-unit-command",
    origin: Origin::Mkimg,
    severity: Severity::Error,
    summary: "A unit's command is one that systemd refuses.",
    reason: "\
The program is a full path, or a name without any slash. systemd puts no variables into it, and reads quotes: an apostrophe\n\
opens one. A unit with another command is not loaded.",
    bad: unit!("app.service": "[Service]" "ExecStart=${APP_HOME}/bin/app"),
    good: unit!("app.service": "[Service]" "ExecStart=/usr/bin/app ${APP_OPTIONS}"),
    example_limit: None,
};

pub(crate) static PROGRAM_NOT_THERE: Rule = Rule {
    code: "MK315",
    name: "unit-without-program",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A unit starts a program that nothing in the document puts there.",
    reason: "\
Distributions put nothing below /usr/local, /opt and /srv: a program there comes from `write_files`, from a command, or was in the\n\
image before. Where neither a file nor a command of the document can be it, the service fails with status 203/EXEC. This is said only of\n\
documents whose every command is known to install nothing; a `-` before the path says that a failure does not matter.",
    bad: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/systemd/system/app.service\n\
\x20   content: |\n\
\x20     [Service]\n\
\x20     ExecStart=/usr/local/bin/ap\n\
\x20     [Install]\n\
\x20     WantedBy=multi-user.target\n\
\x20 - path: /usr/local/bin/app\n\
\x20   permissions: '0755'\n\
\x20   content: |\n\
\x20     #!/bin/sh\n\
\x20     exec sleep infinity\n\
runcmd:\n\
\x20 - systemctl enable --now app.service\n",
    good: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/systemd/system/app.service\n\
\x20   content: |\n\
\x20     [Service]\n\
\x20     ExecStart=/usr/local/bin/app\n\
\x20     [Install]\n\
\x20     WantedBy=multi-user.target\n\
\x20 - path: /usr/local/bin/app\n\
\x20   permissions: '0755'\n\
\x20   content: |\n\
\x20     #!/bin/sh\n\
\x20     exec sleep infinity\n\
runcmd:\n\
\x20 - systemctl enable --now app.service\n",
    example_limit: None,
};

pub(crate) static UNKNOWN_VALUE: Rule = Rule {
    code: "MK316",
    name: "unknown-unit-value",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A setting of a unit has a value that systemd does not know.",
    reason: "\
Looked at are settings whose values are words: `Type=`, `Restart=`, `KillMode=`, and those that are yes or no. systemd passes over\n\
the line, and what it does when the setting is left out happens: a service without `Restart=` stays down.",
    bad: unit!("app.service": "[Service]" "ExecStart=/usr/bin/app" "Restart=on-fail"),
    good: unit!("app.service": "[Service]" "ExecStart=/usr/bin/app" "Restart=on-failure"),
    example_limit: None,
};

pub(crate) static SHELL_SYNTAX: Rule = Rule {
    code: "MK317",
    name: "shell-syntax-in-unit",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A unit's command has a word that only a shell understands.",
    reason: "\
systemd starts programs itself, without a shell: `&&`, `|` and `>` are arguments of the program. Start it through\n\
`/bin/sh -c '…'`, or use what systemd has: several `ExecStartPre=`, `StandardOutput=append:/var/log/app.log`.",
    bad: unit!("app.service": "[Service]" "ExecStart=/usr/bin/app >> /var/log/app.log"),
    good: unit!("app.service": "[Service]" "ExecStart=/usr/bin/app" "StandardOutput=append:/var/log/app.log"),
    example_limit: None,
};

pub(crate) static NOTHING_STARTS_IT: Rule = Rule {
    code: "MK318",
    name: "enabled-without-install",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A unit is enabled that does not say what is to start it.",
    reason: "\
`systemctl enable` makes the links that `[Install]` asks for. Without that section it makes none: with `--now` the unit starts at once,\n\
and after the next boot it is missing.",
    bad: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/systemd/system/app.service\n\
\x20   content: |\n\
\x20     [Service]\n\
\x20     ExecStart=/usr/bin/python3 -m app\n\
runcmd:\n\
\x20 - systemctl enable --now app\n",
    good: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/systemd/system/app.service\n\
\x20   content: |\n\
\x20     [Service]\n\
\x20     ExecStart=/usr/bin/python3 -m app\n\
\x20     [Install]\n\
\x20     WantedBy=multi-user.target\n\
runcmd:\n\
\x20 - systemctl enable --now app\n",
    example_limit: None,
};
