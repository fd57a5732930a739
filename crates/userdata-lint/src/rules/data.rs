//! Rules about configuration files of programs.

use super::Rule;
use diagnostics::{Origin, Severity};

pub(crate) static BROKEN_JSON: Rule = Rule {
    code: "MK330",
    name: "broken-json",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A file whose name ends with `.json` is no JSON.",
    reason: "\
The program that reads it stops, or goes on without it. Often a comma is missing or one too many. Files with comments, with\n\
marks of templates such as `{{` or `${`, with several documents, and of more than 1 MiB are not looked at.",
    bad: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/docker/daemon.json\n\
\x20   content: |\n\
\x20     {\n\
\x20       \"live-restore\": true,\n\
\x20     }\n",
    good: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/docker/daemon.json\n\
\x20   content: |\n\
\x20     {\n\
\x20       \"live-restore\": true\n\
\x20     }\n",
    example_limit: None,
};

pub(crate) static BROKEN_YAML: Rule = Rule {
    code: "MK331",
    name: "broken-yaml",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A file whose name ends with `.yaml` or `.yml` is no YAML.",
    reason: "\
The program that reads it, netplan for one, stops, or goes on without it. Files with tags of their own, with marks of templates\n\
such as `{{` or `${`, with several documents, and of more than 1 MiB are not looked at.",
    bad: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/netplan/60-private.yaml\n\
\x20   content: |\n\
\x20     network:\n\
\x20       version: 2\n\
\x20      ethernets:\n\
\x20         eth1: {dhcp4: true}\n",
    good: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/netplan/60-private.yaml\n\
\x20   content: |\n\
\x20     network:\n\
\x20       version: 2\n\
\x20       ethernets:\n\
\x20         eth1: {dhcp4: true}\n",
    example_limit: None,
};

pub(crate) static BAD_SSHD_SETTING: Rule = Rule {
    code: "MK335",
    name: "bad-sshd-setting",
    origin: Origin::Mkimg,
    severity: Severity::Error,
    summary: "A line of sshd's configuration is one that sshd refuses.",
    reason: "\
sshd does not start with a keyword that it does not know, or with a value that it cannot read: nobody gets into the machine any more.\n\
Looked at are /etc/ssh/sshd_config and /etc/ssh/sshd_config.d. A keyword that is like none that OpenSSH has is let\n\
pass: distributions have some of their own.",
    bad: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/ssh/sshd_config.d/10-hardening.conf\n\
\x20   content: |\n\
\x20     PasswordAuthentification no\n",
    good: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/ssh/sshd_config.d/10-hardening.conf\n\
\x20   content: |\n\
\x20     PasswordAuthentication no\n",
    example_limit: None,
};

pub(crate) static MALFORMED_FSTAB: Rule = Rule {
    code: "MK336",
    name: "malformed-fstab",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A line of /etc/fstab is one that mount cannot read.",
    reason: "\
A line has what to mount, where, the type, options with commas and without blanks, and two numbers. A wrong line is passed over; what\n\
needs the mount fails later.",
    bad: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/fstab\n\
\x20   append: true\n\
\x20   content: |\n\
\x20     /dev/sda /mnt/data ext4 defaults, nofail 0 2\n",
    good: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/fstab\n\
\x20   append: true\n\
\x20   content: |\n\
\x20     /dev/sda /mnt/data ext4 defaults,nofail 0 2\n",
    example_limit: None,
};

pub(crate) static MALFORMED_SYSCTL: Rule = Rule {
    code: "MK337",
    name: "malformed-sysctl",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A kernel setting is not written as `name = value`, or in a file that nothing reads.",
    reason: "\
systemd-sysctl and `sysctl --system` pass over such a line, and read only files of /etc/sysctl.d whose names end with `.conf`.",
    bad: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/sysctl.d/60-limits.conf\n\
\x20   content: |\n\
\x20     net.core.somaxconn 4096\n",
    good: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/sysctl.d/60-limits.conf\n\
\x20   content: |\n\
\x20     net.core.somaxconn = 4096\n",
    example_limit: None,
};
