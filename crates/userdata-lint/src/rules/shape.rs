//! Rules about keys and values: what the schema says of a cloud-config.

use super::Rule;
use diagnostics::{Origin, Severity};

pub(crate) static UNKNOWN_KEY: Rule = Rule {
    code: "MK101",
    name: "unknown-key",
    origin: Origin::CloudInit,
    severity: Severity::Error,
    summary: "A key that cloud-init does not know.",
    reason: "\
Unknown keys are ignored when the machine boots: what they were to do does not happen. Often it is a\n\
spelling mistake or a key at the wrong depth. Keys that only hold anchors (`x-common:`) are unknown keys\n\
too. cloud-init's path for it is the key itself when it is the only unknown one at the top level, else the\n\
mapping that holds it.",
    bad: "\
#cloud-config\n\
packges: [nginx]\n",
    good: "\
#cloud-config\n\
packages: [nginx]\n",
    example_limit: None,
};

pub(crate) static WRONG_TYPE: Rule = Rule {
    code: "MK102",
    name: "wrong-type",
    origin: Origin::CloudInit,
    severity: Severity::Error,
    summary: "A value has another type than the one that is needed.",
    reason: "\
YAML decides the type by how a value is written: `0644` and `12:30:45` are integers, `yes` is a boolean,\n\
`2027-01-31` a date, `1.10` the number 1.1. Quotes make a string of any of them. A key without a value is\n\
null.",
    bad: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/motd\n\
\x20   permissions: 0644\n",
    good: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/motd\n\
\x20   permissions: '0644'\n",
    example_limit: None,
};

pub(crate) static MISSING_KEY: Rule = Rule {
    code: "MK103",
    name: "missing-key",
    origin: Origin::CloudInit,
    severity: Severity::Error,
    summary: "A key that is needed is missing.",
    reason: "\
Without it, cloud-init cannot do what the section is for, and leaves it out or fails while the machine\n\
boots.",
    bad: "\
#cloud-config\n\
power_state:\n\
\x20 delay: now\n",
    good: "\
#cloud-config\n\
power_state:\n\
\x20 mode: poweroff\n\
\x20 delay: now\n",
    example_limit: None,
};

pub(crate) static NOT_ALLOWED_VALUE: Rule = Rule {
    code: "MK104",
    name: "not-allowed-value",
    origin: Origin::CloudInit,
    severity: Severity::Error,
    summary: "A value is none of those that are allowed.",
    reason: "\
The words are exact: upper and lower case differ. Note that YAML reads `off`, `on`, `yes` and `no` as\n\
booleans unless they are in quotes.",
    bad: "\
#cloud-config\n\
power_state:\n\
\x20 mode: shutdown\n",
    good: "\
#cloud-config\n\
power_state:\n\
\x20 mode: poweroff\n",
    example_limit: None,
};

pub(crate) static MALFORMED_VALUE: Rule = Rule {
    code: "MK105",
    name: "malformed-value",
    origin: Origin::CloudInit,
    severity: Severity::Error,
    summary: "A text is not written as it must be.",
    reason: "\
Sizes, dates, tags and the like have a form that is checked.",
    bad: "\
#cloud-config\n\
users:\n\
\x20 - name: ada\n\
\x20   expiredate: '2027-02-30'\n",
    good: "\
#cloud-config\n\
users:\n\
\x20 - name: ada\n\
\x20   expiredate: '2027-02-28'\n",
    example_limit: None,
};

pub(crate) static TOO_FEW_ITEMS: Rule = Rule {
    code: "MK106",
    name: "too-few-items",
    origin: Origin::CloudInit,
    severity: Severity::Error,
    summary: "A list has too few items.",
    reason: "\
Most lists must not be empty, and some have a fixed number of fields. To have none, leave out the key.",
    bad: "\
#cloud-config\n\
runcmd: []\n",
    good: "\
#cloud-config\n\
runcmd: [ls]\n",
    example_limit: None,
};

pub(crate) static TOO_MANY_ITEMS: Rule = Rule {
    code: "MK107",
    name: "too-many-items",
    origin: Origin::CloudInit,
    severity: Severity::Error,
    summary: "A list has too many items.",
    reason: "\
The items of such a list are fields with fixed meanings: a mount has the six of `fstab`, a package with a\n\
version has two.",
    bad: "\
#cloud-config\n\
packages:\n\
\x20 - [nginx, 1.22.1-9, stable]\n",
    good: "\
#cloud-config\n\
packages:\n\
\x20 - [nginx, 1.22.1-9]\n",
    example_limit: None,
};

pub(crate) static REPEATED_ITEM: Rule = Rule {
    code: "MK108",
    name: "repeated-item",
    origin: Origin::CloudInit,
    severity: Severity::Error,
    summary: "An item stands twice in a list that must not repeat itself.",
    reason: "\
The second one has no meaning. Numbers count by value: `1` and `1.0` are the same item.",
    bad: "\
#cloud-config\n\
ntp:\n\
\x20 servers: [ntp1.example, ntp1.example]\n",
    good: "\
#cloud-config\n\
ntp:\n\
\x20 servers: [ntp1.example, ntp2.example]\n",
    example_limit: None,
};

pub(crate) static EMPTY_MAPPING: Rule = Rule {
    code: "MK109",
    name: "empty-mapping",
    origin: Origin::CloudInit,
    severity: Severity::Error,
    summary: "A section without any key.",
    reason: "\
A section that says nothing must be left out.",
    bad: "\
#cloud-config\n\
snap: {}\n",
    good: "\
#cloud-config\n\
snap:\n\
\x20 commands: [snap install hello]\n",
    example_limit: None,
};

pub(crate) static OUT_OF_RANGE: Rule = Rule {
    code: "MK110",
    name: "out-of-range",
    origin: Origin::CloudInit,
    severity: Severity::Error,
    summary: "A number is too small.",
    reason: "\
Delays, timeouts and the like have a least value.",
    bad: "\
#cloud-config\n\
power_state:\n\
\x20 mode: reboot\n\
\x20 delay: -1\n",
    good: "\
#cloud-config\n\
power_state:\n\
\x20 mode: reboot\n\
\x20 delay: 1\n",
    example_limit: None,
};

pub(crate) static AMBIGUOUS_VALUE: Rule = Rule {
    code: "MK111",
    name: "ambiguous-value",
    origin: Origin::CloudInit,
    severity: Severity::Error,
    summary: "A value fits two forms of which exactly one may fit.",
    reason: "\
A user has either `name` or `snapuser`, a pull of Ansible either `playbook_name` or `playbook_names`. With\n\
both, cloud-init cannot tell which is meant.",
    bad: "\
#cloud-config\n\
users:\n\
\x20 - name: ada\n\
\x20   snapuser: ada@mail.example\n",
    good: "\
#cloud-config\n\
users:\n\
\x20 - name: ada\n",
    example_limit: None,
};

pub(crate) static NO_FORM_FITS: Rule = Rule {
    code: "MK112",
    name: "no-form-fits",
    origin: Origin::CloudInit,
    severity: Severity::Error,
    summary: "A value fits none of the forms that are allowed.",
    reason: "\
Where several forms are allowed, cloud-init reports this besides the error of the form that comes closest.\n\
Put that one right, and this goes too.",
    bad: "\
#cloud-config\n\
chpasswd:\n\
\x20 users:\n\
\x20   - name: ada\n\
\x20     type: text\n",
    good: "\
#cloud-config\n\
chpasswd:\n\
\x20 users:\n\
\x20   - name: ada\n\
\x20     type: RANDOM\n",
    example_limit: None,
};

pub(crate) static CONFLICTING_KEYS: Rule = Rule {
    code: "MK113",
    name: "conflicting-keys",
    origin: Origin::CloudInit,
    severity: Severity::Error,
    summary: "Two names of one setting are both there.",
    reason: "\
The older name, with hyphens, and the newer one, with underscores, set the same thing. Keep the newer one.",
    bad: "\
#cloud-config\n\
rh_subscription:\n\
\x20 activation_key: a\n\
\x20 activation-key: b\n",
    good: "\
#cloud-config\n\
rh_subscription:\n\
\x20 activation_key: a\n",
    example_limit: None,
};

pub(crate) static DEPRECATED_KEY: Rule = Rule {
    code: "MK120",
    name: "deprecated-key",
    origin: Origin::CloudInit,
    severity: Severity::Deprecated,
    summary: "A key that is going away.",
    reason: "\
It works still; a later version will not know it. The verdict is `deprecated`, not `invalid`.",
    bad: "\
#cloud-config\n\
apt_upgrade: true\n",
    good: "\
#cloud-config\n\
package_upgrade: true\n",
    example_limit: None,
};

pub(crate) static DEPRECATED_VALUE: Rule = Rule {
    code: "MK121",
    name: "deprecated-value",
    origin: Origin::CloudInit,
    severity: Severity::Deprecated,
    summary: "A value, or a type of value, that is going away.",
    reason: "\
It works still; a later version will refuse it. The verdict is `deprecated`, not `invalid`.",
    bad: "\
#cloud-config\n\
users:\n\
\x20 - name: ada\n\
\x20   uid: '1000'\n",
    good: "\
#cloud-config\n\
users:\n\
\x20 - name: ada\n\
\x20   uid: 1000\n",
    example_limit: None,
};
