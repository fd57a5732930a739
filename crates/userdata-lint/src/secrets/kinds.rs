//! Secrets of well-known shapes: what they begin with, and what follows.
//!
//! To add one, add a line to [`TOKENS`] (a prefix, the characters after it, how many there are) and, where that is not
//! enough, a [`Form`]. Prefixes and lengths are those that the issuers document, or that their own secret scanning uses.

/// What follows a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// So many characters of an alphabet, from the first to the second number, and then none of it.
    Token(Alphabet, usize, usize),
    /// `-----BEGIN … PRIVATE KEY-----` up to its end.
    Pem,
    /// A JSON web token: three parts with dots.
    Jwt,
    /// `scheme://user:password@host`.
    UserInfo,
    /// `NAME=value`, where the prefix ends the name.
    Assignment(usize),
    /// `echo user:password | chpasswd`.
    Chpasswd,
    /// `cockroach-vX.Y.Z`: no secret, but it is looked for in the same pass.
    Cockroach,
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

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    pub prefix: &'static str,
    /// "a DigitalOcean token"
    pub name: &'static str,
    pub form: Form,
}

const fn kind(prefix: &'static str, name: &'static str, form: Form) -> Kind {
    Kind { prefix, name, form }
}

use Alphabet::{Alnum, Base64, Dashed, Dotted, Hex, Slashed, Upper, Url};
use Form::{Assignment, Chpasswd, Cockroach, Jwt, Pem, Token, UserInfo};

/// No limit that matters.
const ANY: usize = 4_096;

pub(super) const KINDS: &[Kind] = &[
    kind("-----BEGIN ", "a private key", Pem),
    kind("PuTTY-User-Key-File-", "a private key of PuTTY's", Token(Dotted, 1, 2)),
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
    kind("hooks.slack.com/services/", "the address of a Slack hook", Token(Slashed, 40, 200)),
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
    kind("://", "a password in an address", UserInfo),
    kind("PASSWORD=", "a password", Assignment(0)),
    kind("PASSWORD: ", "a password", Assignment(0)),
    kind("PGPASSWORD=", "a password", Assignment(0)),
    kind("MYSQL_PWD=", "a password", Assignment(0)),
    kind("--password=", "a password", Assignment(0)),
    kind("_TOKEN=", "a token", Assignment(16)),
    kind("_SECRET=", "a secret", Assignment(16)),
    kind("_SECRET_KEY=", "a secret key", Assignment(16)),
    kind("_API_KEY=", "an API key", Assignment(16)),
    kind("chpasswd", "a password", Chpasswd),
    kind("cockroach-v", "", Cockroach),
    kind("cockroachdb/cockroach:v", "", Cockroach),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn prefixes_are_listed_once() {
        let prefixes: BTreeSet<_> = KINDS.iter().map(|kind| kind.prefix).collect();
        assert_eq!(prefixes.len(), KINDS.len());
    }
}
