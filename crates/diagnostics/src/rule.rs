//! The kinds of findings, and how a finding is made of one.

use std::fmt;

use crate::source::Span;
use crate::{Diagnostic, Origin, Severity, quoted};

/// A kind of finding, as `mkimg rules` lists it and `mkimg explain` shows it.
#[derive(PartialEq, Eq)]
pub struct Rule {
    /// `MK` and three digits; never reused.
    pub code: &'static str,
    /// The problem in lowercase words with hyphens.
    pub name: &'static str,
    /// Names that are still accepted where a person writes one.
    pub former_names: &'static [&'static str],
    pub origin: Origin,
    /// The usual severity; a finding may lower it.
    pub severity: Severity,
    /// What the rule finds, in one sentence.
    pub summary: &'static str,
    /// Everything about the rule, in Markdown.
    pub page: &'static str,
    /// Documents in which the rule finds something. Bytes, because some are not UTF-8.
    pub bad: &'static [&'static [u8]],
    /// Documents in which no rule finds anything.
    pub good: &'static [&'static [u8]],
    /// Whether the examples are image templates instead of user-data.
    pub about_templates: bool,
    /// The size limit of a document in the examples, where it is not the usual one.
    pub example_limit: Option<usize>,
}

/// Without the page, which every finding would repeat.
impl fmt::Debug for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.code, self.name)
    }
}

impl Rule {
    /// Gives the fields that a rule does not set.
    pub const EMPTY: Self = Self {
        code: "",
        name: "",
        former_names: &[],
        origin: Origin::Mkimg,
        severity: Severity::Info,
        summary: "",
        page: "",
        bad: &[],
        good: &[],
        about_templates: false,
        example_limit: None,
    };
}

impl Diagnostic {
    /// A finding of a rule. Without a span it is about the whole document.
    #[must_use]
    pub fn new(
        rule: &'static Rule,
        path: impl Into<String>,
        span: impl Into<Option<Span>>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            rule,
            origin: rule.origin,
            severity: rule.severity,
            path: path.into(),
            message: message.into(),
            help: None,
            span: span.into(),
            related: Vec::new(),
        }
    }

    /// Sets what to do next; `None` leaves it as it is.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<HelpText>) -> Self {
        self.help = help.into().0.or(self.help);
        self
    }
}

/// The argument of [`Diagnostic::with_help`]: a text, or perhaps one.
#[derive(Debug, Clone)]
pub struct HelpText(Option<String>);

impl From<&str> for HelpText {
    fn from(text: &str) -> Self {
        Self(Some(text.to_owned()))
    }
}

impl From<String> for HelpText {
    fn from(text: String) -> Self {
        Self(Some(text))
    }
}

impl From<Option<String>> for HelpText {
    fn from(text: Option<String>) -> Self {
        Self(text)
    }
}

/// Finds the known name that is most like the written one, for "did you mean".
#[must_use]
pub fn closest<'k>(written: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let normal = |text: &str| text.trim().to_ascii_lowercase().replace(['-', ' '], "_");
    if written.len() > 64 {
        return None;
    }
    let written = normal(written);
    let limit = match written.chars().count() {
        0..=2 => 0,
        3..=4 => 1,
        5..=7 => 2,
        _ => 3,
    };
    let mut best: Option<(usize, &str)> = None;
    // `home` for `homedir`: the only name that begins with the written one.
    let mut longer: Vec<&str> = Vec::new();
    for name in known {
        let other = normal(name);
        if written.len() > 3 && other.starts_with(&written) {
            longer.push(name);
        }
        // The distance is at least the difference of lengths, which rules out most names.
        if name.len().abs_diff(written.len()) > 3 {
            continue;
        }
        let distance = if other == format!("{written}s") || format!("{other}s") == written {
            1
        } else {
            strsim::osa_distance(&written, &other)
        };
        if distance <= limit && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, name));
        }
    }
    best.map(|(_, name)| name).or(if let [one] = longer[..] { Some(one) } else { None })
}

/// The help "did you mean `NAME`?" with the [`closest`] known name.
#[must_use]
pub fn did_you_mean<'k>(written: &str, known: impl IntoIterator<Item = &'k str>) -> Option<String> {
    closest(written, known).map(|name| format!("did you mean {}?", quoted(name)))
}

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn closest_is_near_or_absent() {
        let long = "x".repeat(65);
        for (written, known, expected) in [
            ("pakages", &["packages", "files"][..], Some("packages")),
            ("regoin", &["region", "image"], Some("region")),
            ("home", &["homedir", "name"], Some("homedir")),
            ("home", &["homedir", "homepage"], None),
            ("hom", &["homedir12", "name"], None),
            ("zzz", &["packages", "files"], None),
            ("x", &["y"], None),
            ("ab", &["ac"], None),
            ("abc", &["abd"], Some("abd")),
            ("abc", &["ade"], None),
            ("abcd", &["abce"], Some("abce")),
            ("abcd", &["abef"], None),
            ("abcde", &["abcfg"], Some("abcfg")),
            ("abcde", &["abfgh"], None),
            ("abcdefg", &["abcdehi"], Some("abcdehi")),
            ("abcdefg", &["abcdhij"], None),
            ("abcdefgh", &["abcdexyz"], Some("abcdexyz")),
            ("abcdefgh", &["abcdwxyz"], None),
            ("abcdefgh", &["abcdexyz", "abcdefgx", "abcdefxx"], Some("abcdefgx")),
            ("abcdefgh", &["abcdefgx", "abcdefgy"], Some("abcdefgx")),
            ("user", &["usr", "users"], Some("usr")),
            ("as", &["a"], None),
            ("a", &["as"], None),
            (" Write Files", &["write_files"], Some("write_files")),
            ("write-files ", &["write_files"], Some("write_files")),
            (&long[1..], &[&long[2..]], Some(&long[2..])),
            (&long, &[&long[1..]], None),
        ] {
            assert_eq!(closest(written, known.iter().copied()), expected, "{written} {known:?}");
        }
    }
}
