//! Rules about documents and templates that become images, made for what DigitalOcean's image check looks at.

use super::Rule;
use diagnostics::{Origin, Severity};

pub(crate) static HAS_PASSWORD: Rule = Rule {
    code: "MK380",
    name: "image-has-password",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A document that becomes an image sets a password.",
    reason: "\
Every machine made from the image would have it. DigitalOcean's image check fails when root, or a user of uid 1000 and\n\
above, has anything but `!`, `!!` or `*` in the place of a password, a locked one (`!$6$…`) included. Rules about images look\n\
at documents that hold mkimg's runner.",
    bad: "\
#cloud-config\n\
package_upgrade: true\n\
runcmd: [ufw limit ssh, ufw --force enable]\n\
password: $6$abcdefgh$ijklmnopqrstuvwx\n\
write_files:\n\
\x20 - {path: /run/mkimg/runner.py, content: pass}\n",
    good: "\
#cloud-config\n\
package_upgrade: true\n\
runcmd: [ufw limit ssh, ufw --force enable]\n\
write_files:\n\
\x20 - {path: /run/mkimg/runner.py, content: pass}\n",
    example_limit: None,
};

pub(crate) static HAS_KEYS: Rule = Rule {
    code: "MK381",
    name: "image-has-keys",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A document that becomes an image brings SSH keys.",
    reason: "\
A key in the image opens every machine that is made from it. The cleanup removes root's keys, and the image check fails\n\
on those that are left.",
    bad: "\
#cloud-config\n\
package_upgrade: true\n\
runcmd: [ufw limit ssh, ufw --force enable]\n\
ssh_authorized_keys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB1]\n\
write_files:\n\
\x20 - {path: /run/mkimg/runner.py, content: pass}\n",
    good: "\
#cloud-config\n\
package_upgrade: true\n\
runcmd: [ufw limit ssh, ufw --force enable]\n\
write_files:\n\
\x20 - {path: /run/mkimg/runner.py, content: pass}\n",
    example_limit: None,
};

pub(crate) static NO_FIREWALL: Rule = Rule {
    code: "MK382",
    name: "image-without-firewall",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A document that becomes an image of Ubuntu enables no firewall.",
    reason: "\
The image check warns when `ufw status` says inactive. Allow SSH first, limited (`ufw limit ssh`), and what the service\n\
needs, then `ufw --force enable`, in a script of the template.",
    bad: "\
#cloud-config\n\
package_upgrade: true\n\
write_files:\n\
\x20 - {path: /run/mkimg/runner.py, content: pass}\n",
    good: "\
#cloud-config\n\
package_upgrade: true\n\
runcmd: [ufw limit ssh, ufw --force enable]\n\
write_files:\n\
\x20 - {path: /run/mkimg/runner.py, content: pass}\n",
    example_limit: None,
};

pub(crate) static NO_UPGRADE: Rule = Rule {
    code: "MK383",
    name: "image-without-upgrade",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A document that becomes an image upgrades nothing.",
    reason: "\
The image check fails when a security update is pending, and a base image that is a few days old has some. Write\n\
`upgrade: true` in the template.",
    bad: "\
#cloud-config\n\
runcmd: [ufw limit ssh, ufw --force enable]\n\
write_files:\n\
\x20 - {path: /run/mkimg/runner.py, content: pass}\n",
    good: "\
#cloud-config\n\
package_upgrade: true\n\
runcmd: [ufw limit ssh, ufw --force enable]\n\
write_files:\n\
\x20 - {path: /run/mkimg/runner.py, content: pass}\n",
    example_limit: None,
};

pub(crate) static HAS_AGENT: Rule = Rule {
    code: "MK384",
    name: "image-has-agent",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A document or template of an image installs DigitalOcean's agent.",
    reason: "\
The image check fails when the directory /opt/digitalocean is there. The agent comes to a droplet when it is made, if its\n\
owner wants it.",
    bad: "\
#cloud-config\n\
package_upgrade: true\n\
runcmd: [ufw limit ssh, ufw --force enable]\n\
packages: [do-agent]\n\
write_files:\n\
\x20 - {path: /run/mkimg/runner.py, content: pass}\n",
    good: "\
#cloud-config\n\
package_upgrade: true\n\
runcmd: [ufw limit ssh, ufw --force enable]\n\
write_files:\n\
\x20 - {path: /run/mkimg/runner.py, content: pass}\n",
    example_limit: None,
};

pub(crate) static HAS_LEFTOVERS: Rule = Rule {
    code: "MK385",
    name: "image-has-leftovers",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A document that becomes an image writes files that belong to one machine.",
    reason: "\
Logs, a shell's history, host keys, the machine's id and temporary files are emptied or removed before the snapshot, and the\n\
image check warns of, or fails on, those that are left.",
    bad: "\
#cloud-config\n\
package_upgrade: true\n\
runcmd: [ufw limit ssh, ufw --force enable]\n\
write_files:\n\
\x20 - {path: /run/mkimg/runner.py, content: pass}\n\
\x20 - {path: /var/log/app.log, content: a}\n",
    good: "\
#cloud-config\n\
package_upgrade: true\n\
runcmd: [ufw limit ssh, ufw --force enable]\n\
write_files:\n\
\x20 - {path: /run/mkimg/runner.py, content: pass}\n\
\x20 - {path: /var/lib/app/state, content: a}\n",
    example_limit: None,
};

pub(crate) static BASE_NOT_SUPPORTED: Rule = Rule {
    code: "MK386",
    name: "image-base-not-supported",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A template starts from a release that DigitalOcean's image check does not know.",
    reason: "\
Version 1.8.1 of the check knows Ubuntu 16.04, 18.04, 20.04, 22.04, 22.10 and 24.04, Debian 9 to 13, and CentOS Stream, Rocky\n\
Linux, AlmaLinux and CloudLinux 8 and 9. On any other it fails, whatever the image holds.",
    bad: "\
droplet: {image: ubuntu-23-10-x64, region: nyc3, size: s-1vcpu-1gb}\n\
upgrade: true\n\
snapshot: {name: a}\n",
    good: "\
droplet: {image: debian-12-x64, region: nyc3, size: s-1vcpu-1gb}\n\
upgrade: true\n\
snapshot: {name: a}\n",
    example_limit: None,
};
