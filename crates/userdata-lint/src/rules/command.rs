//! Rules about what the command `cloud-init schema` says beyond the schema itself.

use super::Rule;
use diagnostics::{Origin, Severity};

pub(crate) static REFUSED_KIND: Rule = Rule {
    code: "MK008",
    name: "refused-by-the-command",
    origin: Origin::CloudInit,
    severity: Severity::Error,
    summary: "`cloud-init schema` calls a kind of user-data invalid that cloud-init reads.",
    reason: "\
On a machine, cloud-init takes a multi-part document apart and reads its parts. Its command `cloud-init schema` does\n\
not: it looks for a header that begins with `#`, finds none, and calls the whole invalid. (Version 22.4 does so with\n\
everything but a cloud-config.) The verdict is the command's, therefore, and with it the exit status 1: what builds on the command\n\
would stop here too. The parts are judged by themselves. A `#cloud-config-archive` holds the same parts and is not refused by\n\
versions from 25.1 on. Who never asks the command allows this: `# mkimg: allow-file MK008 reason` on a line before the first\n\
part, where readers of MIME pass over it.",
    bad: "\
Content-Type: multipart/mixed; boundary=\"x\"\n\
MIME-Version: 1.0\n\
\n\
--x\n\
Content-Type: text/cloud-config\n\
\n\
#cloud-config\n\
packages: [nginx]\n\
--x--\n",
    good: "\
#cloud-config-archive\n\
- |\n\
\x20 #cloud-config\n\
\x20 packages: [nginx]\n",
    example_limit: None,
};

pub(crate) static PART_WAS_IGNORED: Rule = Rule {
    code: "MK009",
    name: "part-was-ignored",
    origin: Origin::CloudInit,
    severity: Severity::Error,
    summary: "A line says that cloud-init has ignored a part of the user-data.",
    reason: "\
Where cloud-init joins several cloud-configs on a machine (`/var/lib/cloud/instance/cloud-config.txt`) it leaves a comment for\n\
each part that it could not read. `cloud-init schema` gives such a comment as an error of the document, but only\n\
beside another error or a deprecation: of a document that is right otherwise it says nothing, and this is a warning. Correct the part\n\
that the comment names.",
    bad: "\
#cloud-config\n\
# Cloud-config part ignored SCHEMA_ERROR: part-002: not valid YAML\n\
package_upgrade: sometimes\n",
    good: "\
#cloud-config\n\
package_upgrade: true\n",
    example_limit: None,
};
