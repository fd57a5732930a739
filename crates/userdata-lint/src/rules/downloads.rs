//! Rules about what is downloaded: licences, sums, shells.

use super::Rule;
use diagnostics::{Origin, Severity};

pub(crate) static NEEDS_A_LICENCE: Rule = Rule {
    code: "MK390",
    name: "cockroachdb-needs-a-licence",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A download is a CockroachDB that is newer than its change of licence.",
    reason: "\
Every release after 2024-11-18, patches of older lines included, is under the CockroachDB Software License: self-hosted\n\
without a key it is not for production, and a cluster of several nodes is throttled after 7 days. The last builds before it are\n\
23.1.28, 23.2.14, 24.1.6 and 24.2.4. Who wants a newer one gets a key (a free one for small businesses, with telemetry, or a paid\n\
one), sets `cluster setting enterprise.license`, and renews it; an image for others cannot hold it.",
    bad: "\
#cloud-config\n\
runcmd:\n\
\x20 - curl -fsSLo /tmp/c.tgz https://binaries.cockroachdb.com/cockroach-v24.3.0.linux-amd64.tgz\n",
    good: "\
#cloud-config\n\
runcmd:\n\
\x20 - curl -fsSLo /tmp/c.tgz https://binaries.cockroachdb.com/cockroach-v24.1.6.linux-amd64.tgz\n",
    example_limit: None,
};

pub(crate) static NOT_LOCKED: Rule = Rule {
    code: "MK391",
    name: "artifact-not-locked",
    origin: Origin::Mkimg,
    severity: Severity::Info,
    summary: "A template's download has no sum in mkimg.lock.",
    reason: "\
Without a sum the build takes what the address gives on that day. `mkimg lock` downloads once, or reads the publisher's file of\n\
sums, and writes the sha256 of every artifact into mkimg.lock; `--locked` refuses to build without.",
    bad: "\
artifacts:\n\
\x20 - {url: 'https://downloads.example/tool', to: /usr/local/bin/tool}\n\
upgrade: true\n\
snapshot: {name: a}\n",
    good: "\
upgrade: true\n\
snapshot: {name: a}\n",
    example_limit: None,
};

pub(crate) static PLAIN_HTTP: Rule = Rule {
    code: "MK392",
    name: "plain-http-download",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A template's download is neither encrypted nor checked.",
    reason: "\
With `http://`, and without a sum in mkimg.lock or a file of sums over https, anybody between the publisher and the droplet\n\
can put another program in its place.",
    bad: "\
artifacts:\n\
\x20 - {url: 'http://downloads.example/tool', to: /usr/local/bin/tool}\n\
upgrade: true\n\
snapshot: {name: a}\n",
    good: "\
upgrade: true\n\
snapshot: {name: a}\n",
    example_limit: None,
};

pub(crate) static PIPED_TO_SHELL: Rule = Rule {
    code: "MK393",
    name: "download-piped-to-shell",
    origin: Origin::Mkimg,
    severity: Severity::Info,
    summary: "A download is given to a shell as it comes.",
    reason: "\
`curl … | sh` runs what arrives: half of it when the connection breaks, something else when the publisher changes it, and anything\n\
when the publisher is broken into. Download to a file, compare its sha256, run it. curl's own failure is lost in the pipe.",
    bad: "\
#cloud-config\n\
runcmd:\n\
\x20 - curl -fsSL https://get.example/install | sh\n",
    good: "\
#cloud-config\n\
runcmd:\n\
\x20 - |\n\
\x20   curl -fsSLo /tmp/install https://get.example/install\n\
\x20   echo \"$SUM /tmp/install\" | sha256sum -c && sh /tmp/install\n",
    example_limit: None,
};

pub(crate) static APT_KEY_IS_GONE: Rule = Rule {
    code: "MK394",
    name: "apt-key-is-gone",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A command uses apt-key, which current releases no longer have.",
    reason: "\
apt-key was deprecated in 2020, and is gone from Debian 13 and from Ubuntu since 25.04. A key that it added was trusted for every\n\
source. Keys belong in /etc/apt/keyrings, and each source names its own with `signed-by`; cloud-init's `apt: sources:` does both.",
    bad: "\
#cloud-config\n\
runcmd:\n\
\x20 - curl -fsSL https://apt.example/key | apt-key add -\n",
    good: "\
#cloud-config\n\
runcmd:\n\
\x20 - curl -fsSLo /etc/apt/keyrings/example.asc https://apt.example/key\n",
    example_limit: None,
};

pub(crate) static FOR_ANOTHER_PROCESSOR: Rule = Rule {
    code: "MK395",
    name: "download-for-another-processor",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A template's download is for processors that its base image does not run on.",
    reason: "\
A program for arm64 does not start on an x86-64 droplet, and the other way round: the build ends at the first script that tries\n\
(`Exec format error`), or nobody tries before the image is used. DigitalOcean's images are named for their processor (`-x64`); no\n\
image and no size of it for arm64 is known.",
    bad: "\
artifacts:\n\
\x20 - {url: 'https://downloads.example/tool-linux-arm64', to: /usr/local/bin/tool}\n\
droplet: {image: ubuntu-24-04-x64, region: nyc3, size: s-1vcpu-1gb}\n\
upgrade: true\n\
snapshot: {name: a}\n",
    good: "\
droplet: {image: ubuntu-24-04-x64, region: nyc3, size: s-1vcpu-1gb}\n\
upgrade: true\n\
snapshot: {name: a}\n",
    example_limit: None,
};

pub(crate) static KEY_NOT_THERE: Rule = Rule {
    code: "MK396",
    name: "signing-key-not-there",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A source of packages is signed by a key that nothing writes.",
    reason: "\
apt takes a source with `signed-by=` only if the key is in that file, and no distribution puts any into /etc/apt/keyrings. cloud-init\n\
writes the key that `key` or `keyid` gives into a file of its own choice, which `$KEY_FILE` stands for.",
    bad: "\
#cloud-config\n\
apt:\n\
\x20 sources:\n\
\x20   tool:\n\
\x20     source: deb [signed-by=/etc/apt/keyrings/tool.gpg] https://apt.example stable main\n\
\x20     keyid: 9DC858229FC7DD38854AE2D88D81803C0EBFCD88\n",
    good: "\
#cloud-config\n\
apt:\n\
\x20 sources:\n\
\x20   tool:\n\
\x20     source: deb [signed-by=$KEY_FILE] https://apt.example stable main\n\
\x20     keyid: 9DC858229FC7DD38854AE2D88D81803C0EBFCD88\n",
    example_limit: None,
};
