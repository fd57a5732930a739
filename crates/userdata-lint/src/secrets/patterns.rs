//! The formats of well-known secrets: a prefix and what follows it.
//!
//! To add a secret, add a line to [`KINDS`] (prefix, name, form) and, if necessary, a [`Form`].
//! Prefixes and lengths are those that the issuers document, or that their own secret scanning
//! uses.
//!
//! [`find_prefixes`] finds all prefixes in one pass. Three lookups in tables, which are built at
//! compile time, exclude most positions. Building an automaton with aho-corasick would take longer
//! than all checks of a small document.

/// What follows a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Characters of an alphabet: minimum and maximum number.
    Token(Alphabet, usize, usize),
    /// `-----BEGIN … PRIVATE KEY-----` and the rest of the block.
    Pem,
    /// A JSON web token: three parts separated by dots.
    Jwt,
    /// `scheme://user:password@host`.
    UserInfo,
    /// `NAME=value`, where the prefix is the end of the name, and the minimum length of the value.
    Assignment(usize),
    /// `echo user:password | chpasswd`.
    Chpasswd,
    /// An option of a command, with the password as its value, or after `user:`.
    Option(PasswordOption),
    /// A text in quotes.
    Quoted,
}

/// How an option of a program holds a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PasswordOption {
    /// `-u user:password`, `--user user:password`
    User,
    /// `-ppassword`
    Attached,
    /// `-p password`, `-ppassword`, `--password password`
    Any,
}

/// The characters of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alphabet {
    Hex,
    Upper,
    Alnum,
    /// Letters, digits, `-` and `_`.
    Url,
    /// Letters, digits, `.`, `-` and `_`.
    Dotted,
    /// Letters, digits, `+`, `/` and `=`.
    Base64,
    /// Letters, digits and `-`.
    Dashed,
    /// Letters, digits and `/`.
    Slashed,
}

impl Alphabet {
    pub(super) const fn has(self, byte: u8) -> bool {
        match self {
            Self::Hex => byte.is_ascii_hexdigit(),
            Self::Upper => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Self::Alnum => byte.is_ascii_alphanumeric(),
            Self::Url => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'),
            Self::Dotted => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'),
            Self::Base64 => byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='),
            Self::Dashed => byte.is_ascii_alphanumeric() || byte == b'-',
            Self::Slashed => byte.is_ascii_alphanumeric() || byte == b'/',
        }
    }
}

/// A kind of secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SecretKind {
    pub prefix: &'static str,
    /// As in messages, such as "a DigitalOcean token".
    pub name: &'static str,
    pub form: Form,
}

const fn kind(prefix: &'static str, name: &'static str, form: Form) -> SecretKind {
    SecretKind { prefix, name, form }
}

use Alphabet::{Alnum, Base64, Dashed, Dotted, Hex, Slashed, Upper, Url};
use Form::{Assignment, Chpasswd, Jwt, Option as InOption, Pem, Quoted, Token, UserInfo};

/// A maximum for tokens without a documented one.
const ANY: usize = 4_096;

pub(super) const KINDS: &[SecretKind] = &[
    kind("-----BEGIN ", "a private key", Pem),
    kind("PuTTY-User-Key-File-", "a PuTTY private key", Token(Dotted, 1, 2)),
    kind("AGE-SECRET-KEY-1", "an age secret key", Token(Upper, 58, 58)),
    kind("PrivateKey = ", "a WireGuard private key", Token(Base64, 44, 44)),
    kind("PrivateKey=", "a WireGuard private key", Token(Base64, 44, 44)),
    kind("PresharedKey = ", "a WireGuard preshared key", Token(Base64, 44, 44)),
    kind("dop_v1_", "a DigitalOcean access token", Token(Hex, 64, 64)),
    kind("doo_v1_", "a DigitalOcean OAuth token", Token(Hex, 64, 64)),
    kind("dor_v1_", "a DigitalOcean refresh token", Token(Hex, 64, 64)),
    kind("AKIA", "an AWS access key", Token(Upper, 16, 16)),
    kind("aws_secret_access_key", "an AWS secret access key", Assignment(40)),
    kind("AWS_SECRET_ACCESS_KEY", "an AWS secret access key", Assignment(40)),
    kind("AccountKey=", "an Azure storage key", Token(Base64, 88, 88)),
    kind("SharedAccessKey=", "an Azure shared access key", Token(Base64, 44, 44)),
    kind("AIza", "a Google API key", Token(Url, 35, 35)),
    kind("GOCSPX-", "a Google OAuth client secret", Token(Url, 28, 28)),
    kind("ghp_", "a GitHub token", Token(Alnum, 36, 255)),
    kind("gho_", "a GitHub token", Token(Alnum, 36, 255)),
    kind("ghu_", "a GitHub token", Token(Alnum, 36, 255)),
    kind("ghs_", "a GitHub token", Token(Alnum, 36, 255)),
    kind("ghr_", "a GitHub token", Token(Alnum, 36, 255)),
    kind("github_pat_", "a GitHub token", Token(Url, 60, 255)),
    kind("glpat-", "a GitLab token", Token(Dotted, 20, 300)),
    kind("gldt-", "a GitLab deploy token", Token(Dotted, 20, 300)),
    kind("glrt-", "a GitLab runner token", Token(Dotted, 20, 300)),
    kind("glptt-", "a GitLab trigger token", Token(Url, 40, 300)),
    kind("xoxb-", "a Slack token", Token(Dashed, 20, 300)),
    kind("xoxp-", "a Slack token", Token(Dashed, 20, 300)),
    kind("xoxa-", "a Slack token", Token(Dashed, 20, 300)),
    kind("xoxr-", "a Slack token", Token(Dashed, 20, 300)),
    kind("xoxs-", "a Slack token", Token(Dashed, 20, 300)),
    kind("xapp-", "a Slack token", Token(Dashed, 40, 300)),
    kind("hooks.slack.com/services/", "a Slack webhook URL", Token(Slashed, 40, 200)),
    kind("sk_live_", "a Stripe key", Token(Alnum, 20, 255)),
    kind("rk_live_", "a Stripe key", Token(Alnum, 20, 255)),
    kind("npm_", "an npm token", Token(Alnum, 36, 36)),
    kind("pypi-AgE", "a PyPI token", Token(Url, 60, ANY)),
    kind("rubygems_", "a RubyGems key", Token(Hex, 48, 48)),
    kind("dckr_pat_", "a Docker Hub token", Token(Url, 24, 64)),
    kind("hf_", "a Hugging Face token", Token(Alnum, 34, 40)),
    kind("sk-ant-", "an Anthropic key", Token(Url, 40, 255)),
    kind("sk-proj-", "an OpenAI key", Token(Url, 40, 255)),
    kind("sk-svcacct-", "an OpenAI key", Token(Url, 40, 255)),
    kind("sk-", "an OpenAI key", Token(Alnum, 48, 48)),
    kind("tskey-", "a Tailscale key", Token(Dashed, 20, 200)),
    kind("hvs.", "a Vault token", Token(Url, 24, 300)),
    kind("hvb.", "a Vault token", Token(Url, 24, 300)),
    kind(".atlasv1.", "a Terraform Cloud token", Token(Url, 60, 100)),
    kind("SG.", "a SendGrid key", Token(Dotted, 66, 66)),
    kind("glsa_", "a Grafana token", Token(Url, 32, 60)),
    kind("shpat_", "a Shopify token", Token(Hex, 32, 32)),
    kind("eyJ", "a JSON web token", Jwt),
    kind("://", "a password in a URL", UserInfo),
    kind("PASSWORD=", "a password", Assignment(0)),
    kind("PASSWORD: ", "a password", Assignment(0)),
    kind("PGPASSWORD=", "a password", Assignment(0)),
    kind("MYSQL_PWD=", "a password", Assignment(0)),
    kind("--password=", "a password", Assignment(0)),
    kind("_TOKEN=", "a token", Assignment(16)),
    kind("_SECRET=", "a secret", Assignment(16)),
    kind("_SECRET_KEY=", "a secret key", Assignment(16)),
    kind("_API_KEY=", "an API key", Assignment(16)),
    kind("--http-password=", "a password", Assignment(0)),
    kind("--ftp-password=", "a password", Assignment(0)),
    kind("curl ", "a password", InOption(PasswordOption::User)),
    kind("curl, ", "a password", InOption(PasswordOption::User)),
    kind("mysql ", "a password", InOption(PasswordOption::Attached)),
    kind("mysqladmin ", "a password", InOption(PasswordOption::Attached)),
    kind("mysqldump ", "a password", InOption(PasswordOption::Attached)),
    kind("mariadb ", "a password", InOption(PasswordOption::Attached)),
    kind("sshpass ", "a password", InOption(PasswordOption::Any)),
    kind("docker login ", "a password", InOption(PasswordOption::Any)),
    kind("IDENTIFIED BY ", "a password", Quoted),
    kind("identified by ", "a password", Quoted),
    kind("WITH PASSWORD ", "a password", Quoted),
    kind("chpasswd", "a password", Chpasswd),
];

/// The number of bytes at the start of each prefix that the tables contain.
const LOOKED_UP: usize = 3;
/// The number of bits in a set of prefixes; a bit represents every 64th prefix.
const BITS: usize = 64;

/// For each position: the set of prefixes that have a byte there.
static BYTES: [[u64; 256]; LOOKED_UP] = bytes();

const fn bytes() -> [[u64; 256]; LOOKED_UP] {
    let mut tables = [[0; 256]; LOOKED_UP];
    let mut kind = 0;
    while kind < KINDS.len() {
        let prefix = KINDS[kind].prefix.as_bytes();
        assert!(prefix.len() >= LOOKED_UP, "a prefix is too short to be looked for");
        let mut place = 0;
        while place < LOOKED_UP {
            tables[place][prefix[place] as usize] |= 1 << (kind % BITS);
            place += 1;
        }
        kind += 1;
    }
    tables
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PrefixMatch {
    pub kind: &'static SecretKind,
    pub start: usize,
    pub end: usize,
}

/// All prefixes in a text, in order.
pub(super) fn find_prefixes(text: &str) -> impl Iterator<Item = PrefixMatch> {
    let bytes = text.as_bytes();
    let mut from = 0;
    std::iter::from_fn(move || {
        let (start, kind) = next(bytes, from)?;
        from = start + kind.prefix.len();
        Some(PrefixMatch { kind, start, end: from })
    })
}

fn next(bytes: &[u8], from: usize) -> Option<(usize, &'static SecretKind)> {
    let [one, two, three] = &BYTES;
    let rest = &bytes[from..];
    let (seconds, thirds) = (rest.get(1..)?, rest.get(2..)?);
    for (at, ((first, second), third)) in rest.iter().zip(seconds).zip(thirds).enumerate() {
        let fitting = one[usize::from(*first)] & two[usize::from(*second)] & three[usize::from(*third)];
        if fitting != 0
            && let Some(kind) = longest(&rest[at..], fitting)
        {
            return Some((from + at, kind));
        }
    }
    None
}

/// The longest prefix at the start of a text, among those of the set.
fn longest(text: &[u8], mut bits: u64) -> Option<&'static SecretKind> {
    let mut longest: Option<&SecretKind> = None;
    while bits != 0 {
        let first = bits.trailing_zeros() as usize;
        bits &= bits - 1;
        for kind in KINDS.iter().skip(first).step_by(BITS) {
            let is_longer = longest.is_none_or(|known| kind.prefix.len() > known.prefix.len());
            if is_longer && text.starts_with(kind.prefix.as_bytes()) {
                longest = Some(kind);
            }
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use aho_corasick::{AhoCorasick, MatchKind};
    use proptest::prelude::*;

    use super::*;

    /// The matches of aho-corasick.
    fn expected(text: &str) -> Vec<(usize, usize, &'static str)> {
        let prefixes: Vec<_> = KINDS.iter().map(|kind| kind.prefix).collect();
        let automaton = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&prefixes).unwrap();
        automaton.find_iter(text).map(|hit| (hit.start(), hit.end(), prefixes[hit.pattern().as_usize()])).collect()
    }

    fn found(text: &str) -> Vec<(usize, usize, &'static str)> {
        find_prefixes(text).map(|hit| (hit.start, hit.end, hit.kind.prefix)).collect()
    }

    #[test]
    fn prefixes_are_listed_once() {
        let prefixes: BTreeSet<_> = KINDS.iter().map(|kind| kind.prefix).collect();
        assert_eq!(prefixes.len(), KINDS.len());
    }

    #[test]
    fn each_prefix_is_found() {
        for kind in KINDS {
            assert_eq!(found(kind.prefix), expected(kind.prefix));
            assert!(found(kind.prefix).iter().any(|(start, ..)| *start == 0), "{}", kind.prefix);
        }
        assert_eq!(found(""), []);
        assert_eq!(found("sk"), []);
    }

    proptest! {
        /// Texts made of parts of prefixes: truncated, overlapping, adjacent.
        #[test]
        fn prefixes_match_aho_corasick(
            pieces in prop::collection::vec((0..KINDS.len(), 0..12_usize, 0..30_usize, ".?"), 0..12),
        ) {
            let mut text = String::new();
            for (kind, from, length, between) in pieces {
                let prefix = KINDS[kind].prefix;
                let from = from.min(prefix.len());
                text.push_str(&prefix[from..(from + length).min(prefix.len())]);
                text.push_str(&between);
            }
            prop_assert_eq!(found(&text), expected(&text));
        }
    }
}
