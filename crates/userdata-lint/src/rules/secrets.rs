//! Rules about secrets in documents, and about files that hold them.

use super::Rule;
use diagnostics::{Origin, Severity};

pub(crate) static PRIVATE_KEY: Rule = Rule {
    code: "MK370",
    name: "private-key-in-document",
    origin: Origin::Mkimg,
    severity: Severity::Error,
    summary: "The document holds a private key.",
    reason: "\
User-data is no secret: every process of the machine reads it from the metadata service or from the config\n\
drive, it stays in /var/lib/cloud, and whoever may see the account's droplets may see it too. A key in it has\n\
to be counted as known. Make the key on the machine, or fetch it over a connection that is opened for that. In\n\
the place of host keys (`ssh_keys`) and of a VPN's keys, which cloud-init takes from user-data, and in comments, it is a warning.\n\
A key that is encrypted is let pass.",
    bad: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/app/tls.pem\n\
\x20   permissions: '0600'\n\
\x20   content: |\n\
\x20     -----BEGIN EC PRIVATE KEY-----\n\
\x20     MHcCAQEEIJ4QmTVhV0s7zYkLq2dRbWnUoXc1pEaGf8ut3gIKHhNoAoGCCqGSM49AwEHoUQDQgAE\n\
\x20     -----END EC PRIVATE KEY-----\n",
    good: "\
#cloud-config\n\
runcmd:\n\
\x20 - openssl ecparam -name prime256v1 -genkey -noout -out /etc/app/tls.pem\n",
    example_limit: None,
};

pub(crate) static TOKEN: Rule = Rule {
    code: "MK371",
    name: "token-in-document",
    origin: Origin::Mkimg,
    severity: Severity::Error,
    summary: "The document holds a token or key of a well-known service.",
    reason: "\
Tokens are recognized by their shape: those of DigitalOcean, AWS, Azure, Google, GitHub, GitLab, Slack, Stripe,\n\
npm, PyPI, Docker Hub, Hugging Face, OpenAI, Anthropic, Tailscale, Vault, SendGrid, Grafana and others; in\n\
contents that are packed or in base64 too. Every process of the machine can read user-data, so the token has\n\
to be counted as known: take it back, and let the machine fetch a new one. Texts that stand for a token\n\
(`CHANGEME`, `${TOKEN}`, `<token>`, `xxxx`) are let pass. In comments it is a warning. What mkimg prints never holds the token itself.",
    bad: "\
#cloud-config\n\
runcmd:\n\
\x20 - doctl auth init -t dop_v1_5b1f0c2a7d94e683b1c0f97a24d85e6310cf2b9874ad53e6f019c7b28d4a65e1\n",
    good: "\
#cloud-config\n\
runcmd:\n\
\x20 - doctl auth init -t \"$(cat /run/credentials/token)\"\n",
    example_limit: None,
};

pub(crate) static PASSWORD: Rule = Rule {
    code: "MK372",
    name: "password-in-document",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "The document holds a password in clear.",
    reason: "\
Passwords under cloud-init's own keys (`password`, `plain_text_passwd`, `chpasswd`), in addresses\n\
(`https://user:password@host`), in assignments (`PGPASSWORD=…`, `MYSQL_ROOT_PASSWORD=…`, `--password=…`, `…_TOKEN=…`),\n\
before `| chpasswd`, and JSON web tokens. Every process of the machine can read user-data. Log in with SSH keys, give a\n\
hash, or let the machine make the password. Texts that stand for a password (`CHANGEME`, `${VAR}`, `{{ var }}`) and\n\
`RANDOM` are let pass.",
    bad: "\
#cloud-config\n\
chpasswd:\n\
\x20 users:\n\
\x20   - {name: root, password: hunter2, type: text}\n",
    good: "\
#cloud-config\n\
chpasswd:\n\
\x20 users:\n\
\x20   - {name: root, type: RANDOM}\n",
    example_limit: None,
};

pub(crate) static WEAK_HASH: Rule = Rule {
    code: "MK373",
    name: "weak-password-hash",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A password is hashed in a way that is easily undone.",
    reason: "\
Hashes of DES and MD5 (`$1$…`) are found in hours by trying all passwords, and user-data is read by every process of\n\
the machine. Current systems may refuse them as well.",
    bad: "\
#cloud-config\n\
users:\n\
\x20 - name: ada\n\
\x20   passwd: $1$Zr4bqL2k$6Wc1uPp0b8D3kq2o1gYxv/\n",
    good: "\
#cloud-config\n\
users:\n\
\x20 - name: ada\n\
\x20   lock_passwd: true\n",
    example_limit: None,
};

pub(crate) static NO_HASH: Rule = Rule {
    code: "MK374",
    name: "password-is-no-hash",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A text stands where the hash of a password is expected.",
    reason: "\
`passwd`, `hashed_passwd` and the `password` of a `chpasswd` entry (unless its `type` is `text`) go into /etc/shadow as\n\
they are. A password in clear there opens nothing, and is exposed all the same.",
    bad: "\
#cloud-config\n\
users:\n\
\x20 - {name: ada, lock_passwd: false, passwd: hunter2}\n",
    good: "\
#cloud-config\n\
users:\n\
\x20 - {name: ada, lock_passwd: true}\n",
    example_limit: None,
};

pub(crate) static SECRET_READABLE: Rule = Rule {
    code: "MK375",
    name: "secret-readable-by-all",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A file with a private key may be read by everybody, or is executable.",
    reason: "\
Without `permissions`, cloud-init writes 0644: every user of the machine may read the key, and programs such as\n\
sshd refuse to use it. Give it 0600, or 0640 and the group that needs it.",
    bad: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/ssl/private/app.key\n\
\x20   permissions: '0644'\n\
\x20   content: |\n\
\x20     -----BEGIN EC PRIVATE KEY-----\n\
\x20     MHcCAQEEIJ4QmTVhV0s7zYkLq2dRbWnUoXc1pEaGf8ut3gIKHhNoAoGCCqGSM49AwEHoUQDQgAE\n\
\x20     -----END EC PRIVATE KEY-----\n",
    good: "\
#cloud-config\n\
runcmd:\n\
\x20 - umask 077; openssl ecparam -name prime256v1 -genkey -noout -out /etc/ssl/private/app.key\n",
    example_limit: None,
};

pub(crate) static WORLD_WRITABLE: Rule = Rule {
    code: "MK376",
    name: "world-writable-file",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "Every user of the machine may change a file.",
    reason: "\
A mode whose last digit is 2, 3, 6 or 7 lets every user and every service change the file: a configuration or a script\n\
that root reads becomes a way to root.",
    bad: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/app.conf\n\
\x20   permissions: '0666'\n\
\x20   content: level = 1\n",
    good: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/app.conf\n\
\x20   permissions: '0644'\n\
\x20   content: level = 1\n",
    example_limit: None,
};

pub(crate) static WRITABLE_SETUID: Rule = Rule {
    code: "MK377",
    name: "writable-setuid",
    origin: Origin::Mkimg,
    severity: Severity::Error,
    summary: "A file that runs with its owner's rights may be changed by others.",
    reason: "\
With the bit of setuid or setgid (4 or 2 as the first of four digits) a program runs with the rights of its owner or\n\
group, whoever starts it. Who may write it has these rights.",
    bad: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /usr/local/bin/tool\n\
\x20   permissions: '4775'\n\
\x20   content: \"#!/bin/sh\\n\"\n",
    good: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /usr/local/bin/tool\n\
\x20   permissions: '0755'\n\
\x20   content: \"#!/bin/sh\\n\"\n",
    example_limit: None,
};
