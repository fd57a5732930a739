//! Rules about what comes before what: at the first boot, something is used, named or given away before it is there.

use super::Rule;
use diagnostics::{Origin, Severity};

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

pub(crate) static LOCKED_PASSWORD: Rule = Rule {
    code: "MK343",
    name: "locked-password",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A user gets a password that is locked at once.",
    reason: "\
`lock_passwd` is true where it is left out: cloud-init sets the password and then locks it. It opens neither the console nor SSH, and\n\
sudo does not take it. With `lock_passwd: false` it counts; who logs in with SSH keys needs none.",
    bad: "\
#cloud-config\n\
users:\n\
\x20 - default\n\
\x20 - name: ada\n\
\x20   hashed_passwd: $6$vYq0mB1sT$hZ9mQ0r8pKQ1b6mX4Yw3kN7sD2fG5hJ8kL0zX1cV4bN7mQ2wE5rT8yU1iO4pA7s\n",
    good: "\
#cloud-config\n\
users:\n\
\x20 - default\n\
\x20 - name: ada\n\
\x20   lock_passwd: false\n\
\x20   hashed_passwd: $6$vYq0mB1sT$hZ9mQ0r8pKQ1b6mX4Yw3kN7sD2fG5hJ8kL0zX1cV4bN7mQ2wE5rT8yU1iO4pA7s\n",
    example_limit: None,
};

pub(crate) static GROUPS_WITHOUT_COMMAS: Rule = Rule {
    code: "MK344",
    name: "groups-without-commas",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "Names of groups are separated by blanks.",
    reason: "\
cloud-init takes the groups of a user apart at commas. `sudo docker` is the name of one group to it, with a blank inside, which no\n\
system takes: the user is not made.",
    bad: "\
#cloud-config\n\
users:\n\
\x20 - default\n\
\x20 - {name: ada, groups: sudo adm}\n",
    good: "\
#cloud-config\n\
users:\n\
\x20 - default\n\
\x20 - {name: ada, groups: [sudo, adm]}\n",
    example_limit: None,
};
