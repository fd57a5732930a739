//! Rules about files that cloud-init writes.

use super::Rule;
use diagnostics::{Origin, Severity};

pub(crate) static MODE_IS_DECIMAL: Rule = Rule {
    code: "MK203",
    name: "mode-is-decimal",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A mode is a decimal number.",
    reason: "\
Without quotes and without a leading zero, `644` is the integer 644, and cloud-init takes it as it is: mode\n\
1204 in octal, which nobody wants. Modes belong in quotes.",
    bad: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/motd\n\
\x20   permissions: 644\n",
    good: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/motd\n\
\x20   permissions: '0644'\n",
    example_limit: None,
};

pub(crate) static UNREADABLE_MODE: Rule = Rule {
    code: "MK204",
    name: "unreadable-mode",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A mode is no octal number.",
    reason: "\
cloud-init reads a mode as octal digits. What it cannot read it ignores with a line in its log, and the file\n\
gets mode 0644: a script is then not executable, a secret readable by everybody.",
    bad: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/motd\n\
\x20   permissions: 'u=rw'\n",
    good: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/motd\n\
\x20   permissions: '0644'\n",
    example_limit: None,
};

pub(crate) static OWNER_NOT_YET_THERE: Rule = Rule {
    code: "MK205",
    name: "owner-not-yet-there",
    origin: Origin::Mkimg,
    severity: Severity::Error,
    summary: "A file belongs to a user or group that is created only after the files are written.",
    reason: "\
cloud-init writes files before it creates users and groups. The file cannot be given to an owner that is not\n\
there: the module fails, and the files after this one are not written. With `defer: true` the file is\n\
written at the end.",
    bad: "\
#cloud-config\n\
users: [{name: ada}]\n\
write_files:\n\
\x20 - path: /home/ada/notes\n\
\x20   owner: ada:ada\n",
    good: "\
#cloud-config\n\
users: [{name: ada}]\n\
write_files:\n\
\x20 - path: /home/ada/notes\n\
\x20   owner: ada:ada\n\
\x20   defer: true\n",
    example_limit: None,
};

pub(crate) static DUPLICATE_DESTINATION: Rule = Rule {
    code: "MK206",
    name: "duplicate-destination",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "Two files have the same path.",
    reason: "\
The one that is written later replaces the other. Files with `defer: true` are written after all others.\n\
With `append: true` the second one adds to the first: then nothing is wrong.",
    bad: "\
#cloud-config\n\
write_files:\n\
\x20 - {path: /etc/motd, content: a}\n\
\x20 - {path: /etc/motd, content: b}\n",
    good: "\
#cloud-config\n\
write_files:\n\
\x20 - {path: /etc/motd, content: a}\n\
\x20 - {path: /etc/motd, content: b, append: true}\n",
    example_limit: None,
};

pub(crate) static UNDECODABLE_CONTENT: Rule = Rule {
    code: "MK207",
    name: "undecodable-content",
    origin: Origin::Mkimg,
    severity: Severity::Error,
    summary: "A content is not encoded as it says.",
    reason: "\
With `encoding: b64` the content must be base64, with `gz+b64` base64 of a gzip stream. cloud-init fails on\n\
anything else while the machine boots, and the files after this one are not written.",
    bad: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/motd\n\
\x20   encoding: b64\n\
\x20   content: hello!\n",
    good: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/motd\n\
\x20   encoding: b64\n\
\x20   content: aGVsbG8K\n",
    example_limit: None,
};

pub(crate) static MISSING_INTERPRETER: Rule = Rule {
    code: "MK208",
    name: "missing-interpreter",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "An executable file is a text without `#!` in its first line.",
    reason: "\
Programs that start it directly, cloud-init's own script folders and systemd among them, fail with \"Exec\n\
format error\". Write `#!/bin/sh` or another interpreter in the very first line.",
    bad: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /usr/local/bin/hello\n\
\x20   permissions: '0755'\n\
\x20   content: |\n\
\x20     echo hello\n",
    good: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /usr/local/bin/hello\n\
\x20   permissions: '0755'\n\
\x20   content: |\n\
\x20     #!/bin/sh\n\
\x20     echo hello\n",
    example_limit: None,
};

pub(crate) static CRLF_SCRIPT: Rule = Rule {
    code: "MK209",
    name: "crlf-script",
    origin: Origin::Mkimg,
    severity: Severity::Error,
    summary: "A script has Windows line ends.",
    reason: "\
The kernel takes the carriage return as part of the interpreter's name, and the script does not start: \"bad\n\
interpreter\". Save it with Unix line ends.",
    bad: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /usr/local/bin/hello\n\
\x20   permissions: '0755'\n\
\x20   content: \"#!/bin/sh\\r\\necho hello\\r\\n\"\n",
    good: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /usr/local/bin/hello\n\
\x20   permissions: '0755'\n\
\x20   content: \"#!/bin/sh\\necho hello\\n\"\n",
    example_limit: None,
};

pub(crate) static RUNS_DURING_BAKE: Rule = Rule {
    code: "MK210",
    name: "runs-during-bake",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A script would run on the machine that builds the image.",
    reason: "\
cloud-init runs what is in /var/lib/cloud/scripts/per-instance, per-boot and per-once at the end of the\n\
boot: also on the build machine, when the files are written by the same document. A script for the\n\
customer's first boot belongs there only when the image is finished. `mkimg render` holds such files back by\n\
itself.",
    bad: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /var/lib/cloud/scripts/per-instance/001_onboot\n\
\x20   permissions: '0755'\n\
\x20   content: |\n\
\x20     #!/bin/sh\n\
\x20     echo hello\n",
    good: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /opt/staged/001_onboot\n\
\x20   permissions: '0755'\n\
\x20   content: |\n\
\x20     #!/bin/sh\n\
\x20     echo hello\n",
    example_limit: None,
};

pub(crate) static RELATIVE_DESTINATION: Rule = Rule {
    code: "MK211",
    name: "relative-destination",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A path does not start at the root.",
    reason: "\
cloud-init takes a relative path from the folder that it happens to run in. Write the whole path; `~` is not\n\
expanded either.",
    bad: "\
#cloud-config\n\
write_files:\n\
\x20 - path: etc/motd\n",
    good: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/motd\n",
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

pub(crate) static NOT_EXECUTABLE: Rule = Rule {
    code: "MK219",
    name: "file-not-executable",
    origin: Origin::Mkimg,
    severity: Severity::Error,
    summary: "`runcmd` starts a file that is written without an executable bit.",
    reason: "\
A file of `write_files` has mode 0644 where `permissions` is left out. Started by its path, it gives `Permission denied`, and the\n\
commands after it run as if nothing had been.",
    bad: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /usr/local/sbin/setup\n\
\x20   content: |\n\
\x20     #!/bin/sh\n\
\x20     date > /var/log/setup\n\
runcmd:\n\
\x20 - /usr/local/sbin/setup\n",
    good: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /usr/local/sbin/setup\n\
\x20   permissions: '0755'\n\
\x20   content: |\n\
\x20     #!/bin/sh\n\
\x20     date > /var/log/setup\n\
runcmd:\n\
\x20 - /usr/local/sbin/setup\n",
    example_limit: None,
};
