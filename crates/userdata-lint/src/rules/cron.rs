//! Rules about tables of cron.

use super::Rule;
use diagnostics::{Origin, Severity};

pub(crate) static MALFORMED_ENTRY: Rule = Rule {
    code: "MK320",
    name: "malformed-cron-entry",
    origin: Origin::Mkimg,
    severity: Severity::Error,
    summary: "A line of a table of cron is not one that cron can read.",
    reason: "\
A line has minute, hour, day of the month, month and day of the week, or a time such as `@daily`, then the command. In /etc/crontab\n\
and /etc/cron.d, the user stands before the command. The cron of Debian and Ubuntu passes over the whole file\n\
when one line is wrong, and says so in the system's log only.",
    bad: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/cron.d/backup\n\
\x20   content: |\n\
\x20     0 3 * * * /usr/bin/backup\n",
    good: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/cron.d/backup\n\
\x20   content: |\n\
\x20     0 3 * * * root /usr/bin/backup\n",
    example_limit: None,
};

pub(crate) static IGNORED_FILE: Rule = Rule {
    code: "MK321",
    name: "ignored-cron-file",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "cron passes over a file because of its name or mode.",
    reason: "\
In /etc/cron.d, /etc/cron.daily and its like, the cron of Debian and Ubuntu takes only files whose names are made of letters, digits, `-`\n\
and `_`: one named `backup.sh` is never run, and nothing says so. What is in /etc/cron.daily and its like must\n\
be executable too.",
    bad: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/cron.daily/backup.sh\n\
\x20   permissions: '0755'\n\
\x20   content: |\n\
\x20     #!/bin/sh\n\
\x20     exec /usr/bin/backup\n",
    good: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/cron.daily/backup\n\
\x20   permissions: '0755'\n\
\x20   content: |\n\
\x20     #!/bin/sh\n\
\x20     exec /usr/bin/backup\n",
    example_limit: None,
};

pub(crate) static NO_LINE_END: Rule = Rule {
    code: "MK322",
    name: "cron-without-line-end",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A table of cron does not end with a line end.",
    reason: "\
The cron of Debian and Ubuntu takes such a file for one that is not written completely, and passes over all of it: \"Missing newline\n\
before EOF\". The block style `|` of YAML keeps the last line end; `|-`, `>-` and quotes do not.",
    bad: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/cron.d/backup\n\
\x20   content: 0 3 * * * root /usr/bin/backup\n",
    good: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/cron.d/backup\n\
\x20   content: |\n\
\x20     0 3 * * * root /usr/bin/backup\n",
    example_limit: None,
};

pub(crate) static BARE_PERCENT: Rule = Rule {
    code: "MK323",
    name: "bare-percent-in-cron",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A command of cron's calls `date` with a bare `%`.",
    reason: "\
cron ends the command at the first `%` without a backslash before it; what follows is its standard input, and every further `%` is a\n\
line end. So `date +%F` becomes `date +`.",
    bad: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/cron.d/backup\n\
\x20   content: |\n\
\x20     0 3 * * * root /usr/bin/backup --name $(date +%F)\n",
    good: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/cron.d/backup\n\
\x20   content: |\n\
\x20     0 3 * * * root /usr/bin/backup --name $(date +\\%F)\n",
    example_limit: None,
};
