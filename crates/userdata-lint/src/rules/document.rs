//! Rules about the document as a whole.

use super::Rule;
use diagnostics::{Origin, Severity};

pub(crate) static MISSING_HEADER: Rule = Rule {
    code: "MK001",
    name: "missing-header",
    origin: Origin::CloudInit,
    severity: Severity::Error,
    summary: "The document does not begin with a header that cloud-init knows.",
    reason: "\
cloud-init decides by the first line what a document is, and ignores one that it does not know: the machine\n\
boots without any of it. Blank lines may come first, nothing else: no byte order mark, no `---`, no other\n\
comment. There is no blank between `#` and `cloud-config`.",
    bad: "\
# cloud-config\n\
packages: [nginx]\n",
    good: "\
#cloud-config\n\
packages: [nginx]\n",
    example_limit: None,
};

pub(crate) static INVALID_YAML: Rule = Rule {
    code: "MK002",
    name: "invalid-yaml",
    origin: Origin::CloudInit,
    severity: Severity::Error,
    summary: "The document is not YAML as cloud-init reads it.",
    reason: "\
cloud-init reads YAML 1.1 with PyYAML's safe loader. A document that it cannot read has no effect at all.\n\
The place is where the reader noticed: of an unclosed bracket or quote, where it was opened.",
    bad: "\
#cloud-config\n\
packages: [nginx\n\
runcmd: [ls]\n",
    good: "\
#cloud-config\n\
packages: [nginx]\n\
runcmd: [ls]\n",
    example_limit: None,
};

pub(crate) static HALF_A_CHARACTER: Rule = Rule {
    code: "MK010",
    name: "half-a-character",
    origin: Origin::Mkimg,
    severity: Severity::Error,
    summary: "A text holds half of a surrogate pair, which cannot be written to a file.",
    reason: "\
JSON may write a character beyond U+FFFF as two escapes, `\\ud83d\\ude00`. To YAML they are two halves: `cloud-init schema` calls the\n\
document valid, and on the machine the module that writes the text fails (UnicodeEncodeError: surrogates not allowed). Python's\n\
`json.dumps` writes such pairs unless it is told `ensure_ascii=False`.",
    bad: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/motd\n\
\x20   content: \"\\ud83d\\ude00\"\n",
    good: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/motd\n\
\x20   content: \"\\U0001f600\"\n",
    example_limit: None,
};

pub(crate) static NOT_A_MAPPING: Rule = Rule {
    code: "MK003",
    name: "not-a-mapping",
    origin: Origin::CloudInit,
    severity: Severity::Error,
    summary: "The document is no mapping of keys to values.",
    reason: "\
A cloud-config is a mapping whose keys name modules: `packages:`, `write_files:`. A list, a text, or nothing\n\
after the header is refused.",
    bad: "\
#cloud-config\n\
- nginx\n",
    good: "\
#cloud-config\n\
packages:\n\
\x20 - nginx\n",
    example_limit: None,
};

pub(crate) static UNREADABLE: Rule = Rule {
    code: "MK004",
    name: "unreadable-bytes",
    origin: Origin::CloudInit,
    severity: Severity::Error,
    summary: "The document holds bytes that are no text.",
    reason: "\
cloud-init reads UTF-8 text, or such text packed with gzip. Latin-1, UTF-16 and damaged gzip streams make it\n\
fail before it looks at anything. In the example the last letter is the one byte of Latin-1. Save the file as\n\
UTF-8, or write such characters as escapes in double quotes. Of more than 32 MiB (33,554,432 bytes) nothing is read.",
    bad: "\
#cloud-config\n\
final_message: café\n",
    good: "\
#cloud-config\n\
final_message: \"caf\\u00e9\"\n",
    example_limit: None,
};

pub(crate) static TOO_COMPLEX: Rule = Rule {
    code: "MK005",
    name: "too-complex",
    origin: Origin::CloudInit,
    severity: Severity::Error,
    summary: "Aliases make the document so large that it is not judged.",
    reason: "\
A few lines of aliases to aliases can stand for billions of values. cloud-init would try to look at all of\n\
them. mkimg stops after a few million steps and says so.",
    bad: "\
#cloud-config\n\
bootcmd: [&numbers [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, \
1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]]\n\
runcmd: [*numbers, \
*numbers, *numbers, *numbers, *numbers, *numbers, *numbers, *numbers, *numbers, *numbers, *numbers, \
*numbers, *numbers, *numbers, *numbers, *numbers, *numbers, *numbers, *numbers, *numbers, *numbers, \
*numbers, *numbers, *numbers, *numbers, *numbers, *numbers, *numbers, *numbers, *numbers, *numbers, \
*numbers, *numbers, *numbers, *numbers, *numbers, *numbers, *numbers, *numbers, *numbers, *numbers, \
*numbers, *numbers, *numbers, *numbers]\n",
    good: "\
#cloud-config\n\
runcmd: [[ls]]\n",
    example_limit: None,
};

pub(crate) static NOT_JUDGED: Rule = Rule {
    code: "MK006",
    name: "not-judged",
    origin: Origin::Mkimg,
    severity: Severity::Info,
    summary: "A document is not judged.",
    reason: "\
cloud-init judges cloud-configs only. Of a script, only the first line is looked at; an empty document, and a\n\
template that uses what only the machine has, are passed over. Their verdict is `skipped`.",
    bad: "\
#!/bin/sh\n\
echo hello\n",
    good: "\
#cloud-config\n\
runcmd:\n\
\x20 - echo hello\n",
    example_limit: None,
};

pub(crate) static DUPLICATE_KEY: Rule = Rule {
    code: "MK201",
    name: "duplicate-key",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A key stands twice in one mapping.",
    reason: "\
YAML forbids it, PyYAML does not: the last value wins and the others are lost without a word. A second\n\
`runcmd:` further down silently replaces the first one.",
    bad: "\
#cloud-config\n\
runcmd: [ls]\n\
hostname: a\n\
runcmd: [date]\n",
    good: "\
#cloud-config\n\
runcmd: [ls, date]\n\
hostname: a\n",
    example_limit: None,
};

pub(crate) static OVER_LIMIT: Rule = Rule {
    code: "MK202",
    name: "over-provider-limit",
    origin: Origin::Mkimg,
    severity: Severity::Error,
    summary: "The document is larger than the provider takes.",
    reason: "\
Each provider takes so much user-data and no more: DigitalOcean 64 KiB (65,536 bytes of UTF-8), Hetzner 32 KiB, Amazon EC2\n\
16 KiB, Google Cloud 256 KiB, Azure 65,535 bytes, OpenStack 65,535 bytes of base64. `--provider` says which are meant\n\
(DigitalOcean, when it is not given), `--limit N` gives another figure. Packing large contents with gzip helps\n\
(`encoding: gz+b64`); so does downloading them at boot, with a checksum. In the examples the limit is 60 bytes.",
    bad: "\
#cloud-config\n\
final_message: this message is rather long, but kind\n",
    good: "\
#cloud-config\n\
final_message: done\n",
    example_limit: Some(60),
};

pub(crate) static JOINED_ITEMS: Rule = Rule {
    code: "MK220",
    name: "joined-items",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "Two items of a list have become one.",
    reason: "\
An item that is indented deeper than the one above it is no item to YAML: it goes on with the text above. `- ls`, with ` - pwd` below\n\
it, is the one text `ls - pwd`, and cloud-init finds nothing wrong with it.",
    bad: "\
#cloud-config\n\
runcmd:\n\
- ls /\n\
\x20- date\n",
    good: "\
#cloud-config\n\
runcmd:\n\
- ls /\n\
- date\n",
    example_limit: None,
};
