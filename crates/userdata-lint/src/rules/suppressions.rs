//! Rules about suppressions: comments `# mkimg: allow CODE reason`, and `allow:` in a template.

use super::Rule;
use diagnostics::{Origin, Severity};

/// Those that cannot be allowed themselves.
pub(crate) static ALL: &[&Rule] = &[
    &UNUSED_SUPPRESSION,
    &SUPPRESSION_WITHOUT_REASON,
    &SUPPRESSION_OF_UNKNOWN_RULE,
    &SUPPRESSION_OF_ERROR,
    &MALFORMED_SUPPRESSION,
];

pub(crate) static UNUSED_SUPPRESSION: Rule = Rule {
    code: "MK230",
    name: "unused-suppression",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "Something is allowed that does not occur.",
    reason: "\
A comment `# mkimg: allow …` that allows nothing hides the next fault of its kind. Remove it, or move it: it is for the\n\
line on which it stands; on a line of its own, for the key or item below it; with `allow-file`, for the whole document.\n\
Nothing is said of it where a document is not judged to its end, of a provider's limit when none is asked for, and of\n\
deprecations when another version of cloud-init than the latest is asked for.",
    bad: "\
#cloud-config\n\
# mkimg: allow duplicate-key the second one is for a test\n\
runcmd: [ls]\n",
    good: "\
#cloud-config\n\
runcmd: [ls]\n\
# mkimg: allow duplicate-key the second one is for a test\n\
runcmd: [date]\n",
    example_limit: None,
};

pub(crate) static SUPPRESSION_WITHOUT_REASON: Rule = Rule {
    code: "MK231",
    name: "suppression-without-reason",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "Something is allowed without a reason.",
    reason: "\
Whoever reads the document next must be able to tell whether the reason still holds. Without one, the comment allows\n\
nothing.",
    bad: "\
#cloud-config\n\
runcmd: [ls]\n\
runcmd: [date] # mkimg: allow MK201\n",
    good: "\
#cloud-config\n\
runcmd: [ls]\n\
runcmd: [date] # mkimg: allow MK201 the second one is for a test\n",
    example_limit: None,
};

pub(crate) static SUPPRESSION_OF_UNKNOWN_RULE: Rule = Rule {
    code: "MK232",
    name: "suppression-of-unknown-rule",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "What is allowed is no rule.",
    reason: "\
A rule is named by its code (MK201) or its name (duplicate-key). Several are separated by commas. `mkimg rules` lists\n\
all of them.",
    bad: "\
#cloud-config\n\
runcmd: [ls]\n\
runcmd: [date] # mkimg: allow duplicated-key the second one is for a test\n",
    good: "\
#cloud-config\n\
runcmd: [ls]\n\
runcmd: [date] # mkimg: allow duplicate-key the second one is for a test\n",
    example_limit: None,
};

pub(crate) static SUPPRESSION_OF_ERROR: Rule = Rule {
    code: "MK233",
    name: "suppression-of-error",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "An error of cloud-init's own cannot be allowed.",
    reason: "\
The verdict is what cloud-init would say, and the machine would boot without what the document wanted, whatever its\n\
comments say. What only mkimg finds can be allowed, and so can cloud-init's deprecations; not the findings about\n\
suppressions themselves.",
    bad: "\
#cloud-config\n\
# mkimg: allow unknown-key it will be known one day\n\
packges: [nginx]\n",
    good: "\
#cloud-config\n\
packages: [nginx]\n",
    example_limit: None,
};

pub(crate) static MALFORMED_SUPPRESSION: Rule = Rule {
    code: "MK234",
    name: "malformed-suppression",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A comment looks as if it allowed something, and does not.",
    reason: "\
It is written `# mkimg: allow CODE reason`, or `# mkimg: allow-file CODE reason` for the whole document. Several codes\n\
are separated by commas. At most 1,000 such comments of one document are read.",
    bad: "\
#cloud-config\n\
runcmd: [ls]\n\
runcmd: [date] # mkimg: ignore MK201 the second one is for a test\n",
    good: "\
#cloud-config\n\
runcmd: [ls]\n\
runcmd: [date] # mkimg: allow MK201 the second one is for a test\n",
    example_limit: None,
};
