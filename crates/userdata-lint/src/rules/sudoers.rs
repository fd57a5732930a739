//! Rules about sudoers.

use super::Rule;
use diagnostics::{Origin, Severity};

pub(crate) static MALFORMED: Rule = Rule {
    code: "MK325",
    name: "malformed-sudoers",
    origin: Origin::Mkimg,
    severity: Severity::Error,
    summary: "A rule of sudo's is one that sudo cannot read.",
    reason: "\
Looked at are /etc/sudoers, /etc/sudoers.d and `sudo` of `users`. A rule is `user host=(who) commands`: tags such as\n\
`NOPASSWD:` have a colon, commands are `ALL` or full paths, with commas between them. sudo passes over the wrong line, or, before\n\
version 1.9.3, refuses to work at all.",
    bad: "\
#cloud-config\n\
users:\n\
\x20 - name: ada\n\
\x20   sudo: ALL=(ALL) NOPASSWD ALL\n",
    good: "\
#cloud-config\n\
users:\n\
\x20 - name: ada\n\
\x20   sudo: ALL=(ALL) NOPASSWD:ALL\n",
    example_limit: None,
};

pub(crate) static IGNORED_FILE: Rule = Rule {
    code: "MK326",
    name: "ignored-sudoers-file",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "sudo passes over a file of /etc/sudoers.d because of its name.",
    reason: "\
sudo takes files whose names hold a `.` or end with `~` for backups of packages and editors, and reads none of them.",
    bad: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/sudoers.d/ada.conf\n\
\x20   permissions: '0440'\n\
\x20   content: |\n\
\x20     ada ALL=(ALL) NOPASSWD:ALL\n",
    good: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/sudoers.d/ada\n\
\x20   permissions: '0440'\n\
\x20   content: |\n\
\x20     ada ALL=(ALL) NOPASSWD:ALL\n",
    example_limit: None,
};

pub(crate) static WRITABLE: Rule = Rule {
    code: "MK327",
    name: "writable-sudoers",
    origin: Origin::Mkimg,
    severity: Severity::Error,
    summary: "A file of sudo's may be written by everybody.",
    reason: "\
sudo refuses such a file; if it is /etc/sudoers itself, nobody can become root. Its mode is 0440 by custom; any mode without write\n\
for others works.",
    bad: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/sudoers.d/ada\n\
\x20   permissions: '0666'\n\
\x20   content: |\n\
\x20     ada ALL=(ALL) NOPASSWD:ALL\n",
    good: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/sudoers.d/ada\n\
\x20   permissions: '0440'\n\
\x20   content: |\n\
\x20     ada ALL=(ALL) NOPASSWD:ALL\n",
    example_limit: None,
};
