//! Rules about shell scripts inside documents.

use super::Rule;
use diagnostics::{Origin, Severity};

pub(crate) static BROKEN_SCRIPT: Rule = Rule {
    code: "MK300",
    name: "broken-shell-script",
    origin: Origin::Mkimg,
    severity: Severity::Error,
    summary: "A shell script does not parse.",
    reason: "\
The shell stops at the place where it notices, when everything above has been done already: half of the script has run.\n\
Looked at are scripts that begin with `#!` and `sh`, `bash` or `dash`, those in /etc/profile.d, user-data scripts, and the commands\n\
of `runcmd` and `bootcmd`, of which cloud-init makes one script: a construct may begin in one item and end in another.\n\
Not looked at: scripts of more than 1 MiB, constructs nested more than 100 deep, text between backquotes and in here-documents,\n\
and scripts for other interpreters.",
    bad: "\
#cloud-config\n\
runcmd:\n\
\x20 - if [ -f /etc/app.conf ]; then echo found\n",
    good: "\
#cloud-config\n\
runcmd:\n\
\x20 - if [ -f /etc/app.conf ]; then echo found; fi\n",
    example_limit: None,
};

pub(crate) static BASH_IN_SH: Rule = Rule {
    code: "MK301",
    name: "bash-syntax-in-sh",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A script for `sh` holds what only bash can read.",
    reason: "\
On Debian and Ubuntu `sh` is dash: it knows no arrays, no `<(…)`, no `<<<`, and stops there. On Fedora and its relatives\n\
`sh` is bash, and the script works. The commands of `runcmd` and `bootcmd` are for `sh` too: write\n\
`[bash, -c, '…']` where bash is needed. In these, `source` and `[[` are named as well: dash goes on after it has looked for them\n\
in vain, and an `if [[ … ]]` is never true.",
    bad: "\
#cloud-config\n\
runcmd:\n\
\x20 - names=(ada grace)\n",
    good: "\
#cloud-config\n\
runcmd:\n\
\x20 - [bash, -c, 'names=(ada grace)']\n",
    example_limit: None,
};

pub(crate) static UNFINISHED_HEREDOC: Rule = Rule {
    code: "MK302",
    name: "unfinished-here-document",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A here-document goes on to the end of the script.",
    reason: "\
The shell takes everything up to a line that holds only the delimiter. Blanks before or after it make another line of it (with\n\
`<<-`, tabs before it may stand): then the rest of the script becomes text, and is never run.",
    bad: "\
#cloud-config\n\
runcmd:\n\
\x20 - |\n\
\x20   cat > /etc/motd <<EOF\n\
\x20   hello\n\
\x20     EOF\n\
\x20   systemctl restart app\n",
    good: "\
#cloud-config\n\
runcmd:\n\
\x20 - |\n\
\x20   cat > /etc/motd <<EOF\n\
\x20   hello\n\
\x20   EOF\n\
\x20   systemctl restart app\n",
    example_limit: None,
};
