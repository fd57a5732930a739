//! Rules about what comes before what, and about commands that a boot does not survive.

use super::Rule;
use crate::diag::{Origin, Severity};

pub(crate) static PROGRAM_NOT_YET_INSTALLED: Rule = Rule {
    code: "MK350",
    name: "program-not-yet-installed",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "`bootcmd` uses a program that `packages` installs later.",
    reason: "\
`bootcmd` runs at the beginning of every boot, `packages` are installed at the end of the first one. At the first boot\n\
the program is not there. `runcmd` runs after `packages`.",
    bad: "\
#cloud-config\n\
packages: [jq]\n\
bootcmd:\n\
\x20 - jq . /etc/app.json\n",
    good: "\
#cloud-config\n\
packages: [jq]\n\
runcmd:\n\
\x20 - jq . /etc/app.json\n",
    example_limit: None,
};

pub(crate) static FILE_NOT_YET_WRITTEN: Rule = Rule {
    code: "MK351",
    name: "file-not-yet-written",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "`bootcmd` runs or reads a file that `write_files` writes later.",
    reason: "\
At the first boot, `bootcmd` comes before `write_files`, deferred or not: the file is not there yet.",
    bad: "\
#cloud-config\n\
bootcmd:\n\
\x20 - sh /usr/local/sbin/prepare\n\
write_files:\n\
\x20 - path: /usr/local/sbin/prepare\n\
\x20   content: \"#!/bin/sh\\n\"\n",
    good: "\
#cloud-config\n\
runcmd:\n\
\x20 - sh /usr/local/sbin/prepare\n\
write_files:\n\
\x20 - path: /usr/local/sbin/prepare\n\
\x20   content: \"#!/bin/sh\\n\"\n",
    example_limit: None,
};

pub(crate) static INSTALLS_IN_BOOTCMD: Rule = Rule {
    code: "MK352",
    name: "installs-in-bootcmd",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "`bootcmd` installs packages.",
    reason: "\
`bootcmd` runs at every boot, and before cloud-init has written apt's sources and keys: every start of the machine waits\n\
for the mirror, and the first one may not find what it asks for. `packages` installs once, at the right moment.",
    bad: "\
#cloud-config\n\
bootcmd:\n\
\x20 - apt-get install -y curl\n",
    good: "\
#cloud-config\n\
packages: [curl]\n",
    example_limit: None,
};

pub(crate) static OWNER_OF_A_PACKAGE: Rule = Rule {
    code: "MK353",
    name: "owner-of-a-package",
    origin: Origin::Mkimg,
    severity: Severity::Error,
    summary: "A file belongs to a user or group that a package makes later.",
    reason: "\
Files are written before packages are installed. The file cannot be given to an owner that is not there: the module\n\
fails, and the files after this one are not written. Deferred files are written after packages are installed.",
    bad: "\
#cloud-config\n\
packages: [postgresql]\n\
write_files:\n\
\x20 - {path: /etc/pg.conf, owner: 'postgres:postgres'}\n",
    good: "\
#cloud-config\n\
packages: [postgresql]\n\
write_files:\n\
\x20 - {path: /etc/pg.conf, owner: 'postgres:postgres', defer: true}\n",
    example_limit: None,
};

pub(crate) static OWNER_NOBODY_MAKES: Rule = Rule {
    code: "MK354",
    name: "owner-nobody-makes",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A file belongs to a user or group that is not there when it is written.",
    reason: "\
The owner is neither one that base images bring along nor one that the document makes; or it is the user that the\n\
distribution's image makes at its first boot (`ubuntu`, `debian`, `ec2-user` …), after files are written. If it is not there,\n\
the module fails, and the files after this one are not written.",
    bad: "\
#cloud-config\n\
write_files:\n\
\x20 - {path: /etc/app.conf, owner: 'app:app'}\n",
    good: "\
#cloud-config\n\
users: [default, {name: app, system: true}]\n\
write_files:\n\
\x20 - {path: /etc/app.conf, owner: 'app:app', defer: true}\n",
    example_limit: None,
};

pub(crate) static HOME_BEFORE_USER: Rule = Rule {
    code: "MK355",
    name: "home-before-user",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A file is written into the home of a user who is made later.",
    reason: "\
Files are written before users are made. The directory is then root's, and `useradd` leaves a home alone that is there\n\
already: it gets neither its owner nor its usual files. With `defer: true` the file is written when the user is there.",
    bad: "\
#cloud-config\n\
users: [default, {name: ada}]\n\
write_files:\n\
\x20 - {path: /home/ada/.vimrc, content: set number}\n",
    good: "\
#cloud-config\n\
users: [default, {name: ada}]\n\
write_files:\n\
\x20 - {path: /home/ada/.vimrc, content: set number, owner: 'ada:ada', defer: true}\n",
    example_limit: None,
};

pub(crate) static UNKNOWN_USER: Rule = Rule {
    code: "MK356",
    name: "password-of-unknown-user",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A password is set for a user that the document does not make.",
    reason: "\
The document lists `users`, and the name is not among them, nor is it one that base images bring along. `chpasswd`\n\
refuses the whole list when one name is unknown.",
    bad: "\
#cloud-config\n\
users: [default, {name: ada}]\n\
chpasswd:\n\
\x20 users:\n\
\x20   - {name: eva, type: RANDOM}\n",
    good: "\
#cloud-config\n\
users: [default, {name: ada}]\n\
chpasswd:\n\
\x20 users:\n\
\x20   - {name: ada, type: RANDOM}\n",
    example_limit: None,
};

pub(crate) static MEMBER_NOT_YET_THERE: Rule = Rule {
    code: "MK357",
    name: "member-not-yet-there",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A group gets a member who is made only after it.",
    reason: "\
cloud-init makes groups before users, and passes over members who do not exist, with a line in its log. Users name\n\
their groups themselves.",
    bad: "\
#cloud-config\n\
groups:\n\
\x20 - admins: [ada]\n\
users: [default, {name: ada}]\n",
    good: "\
#cloud-config\n\
groups: [admins]\n\
users: [default, {name: ada, groups: [admins]}]\n",
    example_limit: None,
};

pub(crate) static REBOOTS_BY_COMMAND: Rule = Rule {
    code: "MK358",
    name: "reboots-by-command",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A command of `runcmd` takes the machine down.",
    reason: "\
`runcmd` is not the last thing that cloud-init does. A reboot in it cuts off the commands after it, `phone_home`,\n\
`final_message` and the mark that the boot is finished. `power_state` acts when all is done; its `condition` can be a command.",
    bad: "\
#cloud-config\n\
runcmd:\n\
\x20 - touch /etc/done\n\
\x20 - reboot\n",
    good: "\
#cloud-config\n\
runcmd:\n\
\x20 - touch /etc/done\n\
power_state: {mode: reboot}\n",
    example_limit: None,
};

pub(crate) static REBOOT_LOOP: Rule = Rule {
    code: "MK359",
    name: "reboot-loop",
    origin: Origin::Mkimg,
    severity: Severity::Error,
    summary: "`bootcmd` takes the machine down at every boot.",
    reason: "\
`bootcmd` runs at the beginning of every boot, not only of the first one: the machine never comes up.",
    bad: "\
#cloud-config\n\
bootcmd:\n\
\x20 - reboot\n",
    good: "\
#cloud-config\n\
power_state: {mode: reboot}\n",
    example_limit: None,
};

pub(crate) static WAITS_FOR_ITSELF: Rule = Rule {
    code: "MK360",
    name: "waits-for-itself",
    origin: Origin::Mkimg,
    severity: Severity::Error,
    summary: "A command waits for cloud-init, which waits for the command.",
    reason: "\
cloud-init is finished when `runcmd` and the scripts are. `cloud-init status --wait` in one of them never returns, nor does\n\
`systemctl is-system-running --wait`. What has to come after cloud-init belongs in a unit with\n\
`After=cloud-final.service` that is started with `--no-block`.",
    bad: "\
#cloud-config\n\
runcmd:\n\
\x20 - cloud-init status --wait\n\
\x20 - touch /etc/done\n",
    good: "\
#cloud-config\n\
runcmd:\n\
\x20 - touch /etc/done\n",
    example_limit: None,
};

pub(crate) static START_WAITS_FOR_CLOUD_INIT: Rule = Rule {
    code: "MK361",
    name: "start-waits-for-cloud-init",
    origin: Origin::Mkimg,
    severity: Severity::Error,
    summary: "A unit is started that waits for cloud-init to end.",
    reason: "\
`systemctl start` returns when the unit has started; a unit with `After=cloud-final.service` or `After=cloud-init.target` starts\n\
when cloud-init has ended, which waits for the command. With `--no-block` the start is only asked for.",
    bad: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/systemd/system/app.service\n\
\x20   content: |\n\
\x20     [Unit]\n\
\x20     After=cloud-final.service\n\
\x20     [Service]\n\
\x20     ExecStart=/bin/true\n\
runcmd:\n\
\x20 - systemctl start app\n",
    good: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/systemd/system/app.service\n\
\x20   content: |\n\
\x20     [Unit]\n\
\x20     After=cloud-final.service\n\
\x20     [Service]\n\
\x20     ExecStart=/bin/true\n\
runcmd:\n\
\x20 - systemctl start --no-block app\n",
    example_limit: None,
};

pub(crate) static ASKS_A_QUESTION: Rule = Rule {
    code: "MK362",
    name: "asks-a-question",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A package manager would ask whether to go on, and nobody answers.",
    reason: "\
At boot there is no terminal: `apt-get install` without `-y` reads nothing, gives up, and the packages are not installed.\n\
`DEBIAN_FRONTEND=noninteractive` silences the questions of packages, not this one.",
    bad: "\
#cloud-config\n\
runcmd:\n\
\x20 - apt-get install curl\n",
    good: "\
#cloud-config\n\
runcmd:\n\
\x20 - DEBIAN_FRONTEND=noninteractive apt-get install -y curl\n",
    example_limit: None,
};

pub(crate) static OPERATOR_IN_LIST: Rule = Rule {
    code: "MK363",
    name: "operator-in-list",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A command as a list holds what only a shell would understand.",
    reason: "\
A list is run as it stands, word by word: `>`, `|`, `&&`, `$NAME` reach the program as arguments. `[echo, a, '>', /etc/b]`\n\
prints `a > /etc/b`. A command that needs a shell is written as one string.",
    bad: "\
#cloud-config\n\
runcmd:\n\
\x20 - [echo, hello, '>', /etc/greeting]\n",
    good: "\
#cloud-config\n\
runcmd:\n\
\x20 - echo hello > /etc/greeting\n",
    example_limit: None,
};

pub(crate) static USED_BEFORE_INSTALLED: Rule = Rule {
    code: "MK364",
    name: "used-before-installed",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "`runcmd` uses a program before it installs it.",
    reason: "\
The commands of `runcmd` run one after the other. The program comes with a package that a later one installs.",
    bad: "\
#cloud-config\n\
runcmd:\n\
\x20 - nginx -t\n\
\x20 - apt-get install -y nginx\n",
    good: "\
#cloud-config\n\
runcmd:\n\
\x20 - apt-get install -y nginx\n\
\x20 - nginx -t\n",
    example_limit: None,
};

pub(crate) static PROGRAM_NOBODY_INSTALLS: Rule = Rule {
    code: "MK365",
    name: "program-nobody-installs",
    origin: Origin::Mkimg,
    severity: Severity::Info,
    summary: "`runcmd` uses a program that nothing installs and no base image has.",
    reason: "\
The base images of Debian and Ubuntu do not have the program, and nothing in the document brings it. That is right where\n\
another image is started from. Nothing is said after a command that may install anything (a download that is run, an archive).",
    bad: "\
#cloud-config\n\
runcmd:\n\
\x20 - docker pull nginx\n",
    good: "\
#cloud-config\n\
packages: [docker.io]\n\
runcmd:\n\
\x20 - docker pull nginx\n",
    example_limit: None,
};

pub(crate) static VARIABLE_IN_PATH: Rule = Rule {
    code: "MK366",
    name: "variable-in-path",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A path holds a variable that nothing expands.",
    reason: "\
cloud-init takes a path as it stands: `/home/$USER/x` is a file in a directory whose name begins with a dollar sign.",
    bad: "\
#cloud-config\n\
write_files:\n\
\x20 - {path: /home/$USER/notes, content: a}\n",
    good: "\
#cloud-config\n\
write_files:\n\
\x20 - {path: /srv/notes, content: a}\n",
    example_limit: None,
};

pub(crate) static HEREDOC_IN_FOLDED_TEXT: Rule = Rule {
    code: "MK367",
    name: "heredoc-in-folded-text",
    origin: Origin::Mkimg,
    severity: Severity::Error,
    summary: "A here-document stands in folded text, and never ends.",
    reason: "\
Folded text (`>`) joins its lines. The line that should end the here-document is joined too, and the shell takes all\n\
commands after it for its content. Literal text (`|`) keeps its lines.",
    bad: "\
#cloud-config\n\
runcmd:\n\
\x20 - >\n\
\x20   cat > /etc/motd <<EOF\n\
\x20   hello\n\
\x20   EOF\n\
\x20 - date\n",
    good: "\
#cloud-config\n\
runcmd:\n\
\x20 - |\n\
\x20   cat > /etc/motd <<EOF\n\
\x20   hello\n\
\x20   EOF\n\
\x20 - date\n",
    example_limit: None,
};

pub(crate) static UNIT_NOT_RELOADED: Rule = Rule {
    code: "MK368",
    name: "unit-not-reloaded",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A service is restarted without its changed unit.",
    reason: "\
systemd read the unit when the machine started. A drop-in that is written later counts after `systemctl daemon-reload`;\n\
`restart` alone starts the service as it was.",
    bad: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/systemd/system/ssh.service.d/nice.conf\n\
\x20   content: |\n\
\x20     [Service]\n\
\x20     Nice=-5\n\
runcmd:\n\
\x20 - systemctl restart ssh\n",
    good: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/systemd/system/ssh.service.d/nice.conf\n\
\x20   content: |\n\
\x20     [Service]\n\
\x20     Nice=-5\n\
runcmd:\n\
\x20 - systemctl daemon-reload\n\
\x20 - systemctl restart ssh\n",
    example_limit: None,
};

pub(crate) static TEMPLATE_WITHOUT_HEADER: Rule = Rule {
    code: "MK369",
    name: "template-without-header",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "The document uses cloud-init's variables and is no template.",
    reason: "\
`{{ v1.region }}` is expanded in documents whose first line is `## template: jinja`. In any other it stays as it stands.",
    bad: "\
#cloud-config\n\
runcmd:\n\
\x20 - echo {{ v1.region }}\n",
    good: "\
## template: jinja\n\
#cloud-config\n\
runcmd:\n\
\x20 - echo {{ v1.region }}\n",
    example_limit: None,
};
