//! Rules about systemd's units.

use super::Rule;
use crate::diag::{Origin, Severity};

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
    bad: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/systemd/system/app.service\n\
\x20   content: |\n\
\x20     [Service]\n\
\x20     ExecStart=/usr/bin/app\n\
\x20     [install]\n\
\x20     WantedBy=multi-user.target\n",
    good: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/systemd/system/app.service\n\
\x20   content: |\n\
\x20     [Service]\n\
\x20     ExecStart=/usr/bin/app\n\
\x20     [Install]\n\
\x20     WantedBy=multi-user.target\n",
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
    bad: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/systemd/system/app.service\n\
\x20   content: |\n\
\x20     [Service]\n\
\x20     ExecStart=/usr/bin/app\n\
\x20     After=network-online.target\n",
    good: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/systemd/system/app.service\n\
\x20   content: |\n\
\x20     [Unit]\n\
\x20     After=network-online.target\n\
\x20     [Service]\n\
\x20     ExecStart=/usr/bin/app\n",
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
    bad: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/systemd/system/app.service\n\
\x20   content: |\n\
\x20     [Service]\n\
\x20     ExecStart=/usr/bin/app\n\
\x20     Restart: always\n",
    good: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/systemd/system/app.service\n\
\x20   content: |\n\
\x20     [Service]\n\
\x20     ExecStart=/usr/bin/app\n\
\x20     Restart=always\n",
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
    bad: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/systemd/system/backup.timer\n\
\x20   content: |\n\
\x20     [Timer]\n\
\x20     Persistent=true\n",
    good: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/systemd/system/backup.timer\n\
\x20   content: |\n\
\x20     [Timer]\n\
\x20     OnCalendar=daily\n\
\x20     Persistent=true\n",
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
    bad: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/systemd/system/app.service\n\
\x20   content: |\n\
\x20     [Service]\n\
\x20     ExecStart=${APP_HOME}/bin/app\n",
    good: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/systemd/system/app.service\n\
\x20   content: |\n\
\x20     [Service]\n\
\x20     ExecStart=/usr/bin/app ${APP_OPTIONS}\n",
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
    bad: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/systemd/system/app.service\n\
\x20   content: |\n\
\x20     [Service]\n\
\x20     ExecStart=/usr/bin/app\n\
\x20     Restart=on-fail\n",
    good: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/systemd/system/app.service\n\
\x20   content: |\n\
\x20     [Service]\n\
\x20     ExecStart=/usr/bin/app\n\
\x20     Restart=on-failure\n",
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
    bad: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/systemd/system/app.service\n\
\x20   content: |\n\
\x20     [Service]\n\
\x20     ExecStart=/usr/bin/app >> /var/log/app.log\n",
    good: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/systemd/system/app.service\n\
\x20   content: |\n\
\x20     [Service]\n\
\x20     ExecStart=/usr/bin/app\n\
\x20     StandardOutput=append:/var/log/app.log\n",
    example_limit: None,
};
