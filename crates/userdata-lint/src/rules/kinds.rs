//! Rules about user-data that is no plain cloud-config: templates, archives, multi-part documents, patches, includes.

use super::Rule;
use diagnostics::{Origin, Severity};

pub(crate) static BROKEN_TEMPLATE: Rule = Rule {
    code: "MK007",
    name: "broken-template",
    origin: Origin::CloudInit,
    severity: Severity::Error,
    summary: "The document is a template that Jinja cannot read.",
    reason: "\
A document that begins with `## template: jinja` is rendered on the machine before it is read. One that cannot\n\
be rendered is ignored as a whole. Braces that are meant for a shell or for Go templates belong between\n\
`{% raw %}` and `{% endraw %}`.",
    bad: "\
## template: jinja\n\
#cloud-config\n\
runcmd:\n\
\x20 - journalctl --output-fields '{{.Names}}'\n",
    good: "\
## template: jinja\n\
#cloud-config\n\
runcmd:\n\
\x20 - journalctl --output-fields '{% raw %}{{.Names}}{% endraw %}'\n",
    example_limit: None,
};

pub(crate) static MISSING_VARIABLE: Rule = Rule {
    code: "MK212",
    name: "missing-template-variable",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A template uses a variable that not every machine has.",
    reason: "\
cloud-init does not stop at a variable that is missing: it writes `CI_MISSING_JINJA_VAR/` and the name into\n\
the document, and goes on. The variables under `v1` exist on every platform; those under `ds` are the data\n\
source's own, and cannot be known before the machine runs.",
    bad: "\
## template: jinja\n\
#cloud-config\n\
final_message: \"{{ ds.meta_data.greeting }}\"\n",
    good: "\
## template: jinja\n\
#cloud-config\n\
final_message: \"{{ v1.local_hostname }}: {{ ds.meta_data.greeting | default('hello') }}\"\n",
    example_limit: None,
};

pub(crate) static MALFORMED_ARCHIVE: Rule = Rule {
    code: "MK213",
    name: "malformed-archive",
    origin: Origin::Mkimg,
    severity: Severity::Error,
    summary: "An archive is no list of parts with a content.",
    reason: "\
A `#cloud-config-archive` is a YAML list. Each part is a text, or a mapping with `content` and, where the\n\
content does not say what it is, `type`, such as `text/cloud-config`. What is anything else is lost, or stops cloud-init.",
    bad: "\
#cloud-config-archive\n\
content: |\n\
\x20 #!/bin/sh\n\
\x20 date\n",
    good: "\
#cloud-config-archive\n\
- content: |\n\
\x20   #!/bin/sh\n\
\x20   date\n",
    example_limit: None,
};

pub(crate) static MALFORMED_MULTIPART: Rule = Rule {
    code: "MK214",
    name: "malformed-multipart",
    origin: Origin::Mkimg,
    severity: Severity::Error,
    summary: "A multi-part document has no parts that can be read.",
    reason: "\
A MIME document begins with `Content-Type: multipart/mixed; boundary=\"…\"` and `MIME-Version: 1.0`. Each part\n\
follows a line of `--` and the boundary, with headers of its own, an empty line, and its text; the last boundary is\n\
followed by `--`.",
    bad: "\
Content-Type: multipart/mixed\n\
MIME-Version: 1.0\n\
\n\
--part\n\
Content-Type: text/cloud-config\n\
\n\
packages: [nginx]\n\
--part--\n",
    good: "\
Content-Type: multipart/mixed; boundary=\"part\"\n\
MIME-Version: 1.0\n\
\n\
--part\n\
Content-Type: text/cloud-config\n\
\n\
packages: [nginx]\n\
--part--\n",
    example_limit: None,
};

pub(crate) static IGNORED_PART: Rule = Rule {
    code: "MK215",
    name: "ignored-part",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A part is of a type that cloud-init passes over.",
    reason: "\
cloud-init hands each part to the handler of its type. A part of another type, or one without a type whose\n\
first line says nothing, is dropped with a line in the log.",
    bad: "\
#cloud-config-archive\n\
- type: text/shellscript\n\
\x20 content: |\n\
\x20   #!/bin/sh\n\
\x20   date\n",
    good: "\
#cloud-config-archive\n\
- type: text/x-shellscript\n\
\x20 content: |\n\
\x20   #!/bin/sh\n\
\x20   date\n",
    example_limit: None,
};

pub(crate) static MALFORMED_PATCH: Rule = Rule {
    code: "MK216",
    name: "malformed-patch",
    origin: Origin::Mkimg,
    severity: Severity::Error,
    summary: "A `#cloud-config-jsonp` document is no JSON patch.",
    reason: "\
After its header stands a JSON patch (RFC 6902): a list of operations, each with `op` (add, remove, replace,\n\
move, copy or test) and `path`, and with `value` or `from` where the operation needs it.",
    bad: "\
#cloud-config-jsonp\n\
[{\"op\": \"add\", \"path\": \"/runcmd/-\"}]\n",
    good: "\
#cloud-config-jsonp\n\
[{\"op\": \"add\", \"path\": \"/runcmd/-\", \"value\": \"date\"}]\n",
    example_limit: None,
};

pub(crate) static MALFORMED_INCLUDE: Rule = Rule {
    code: "MK217",
    name: "malformed-include",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "An include names something that is no URL.",
    reason: "\
After `#include` or `#include-once` stands one URL in each line: http, https or file. Lines that begin with\n\
`#` are passed over. An include without a URL does nothing; one that cannot be fetched stops cloud-init.",
    bad: "\
#include\n\
downloads.example/user-data\n",
    good: "\
#include\n\
https://downloads.example/user-data\n",
    example_limit: None,
};

pub(crate) static INCOMPLETE_PART_HANDLER: Rule = Rule {
    code: "MK218",
    name: "incomplete-part-handler",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A part handler lacks a function that cloud-init calls.",
    reason: "\
A `#part-handler` is a Python module with two functions: `list_types()` gives the types that it takes, and\n\
`handle_part(data, ctype, filename, payload)` is called with each such part. Without them it is never used.",
    bad: "\
#part-handler\n\
def handle_part(data, ctype, filename, payload):\n\
\x20   print(ctype)\n",
    good: "\
#part-handler\n\
def list_types():\n\
\x20   return ['text/plain']\n\
\n\
def handle_part(data, ctype, filename, payload):\n\
\x20   print(ctype)\n",
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
