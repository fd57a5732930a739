//! The rule pages of mkimg, compiled into one registry.
//!
//! Each rule is a Markdown file in `pages/`; see the README for the format. The build script turns
//! it into a constant with the name of the rule, so adding a rule takes the page and the check.
//!
//! ```
//! let rule = lint_rules::find("unknown-key").expect("a known name");
//! assert_eq!(rule.code, "MK101");
//! assert!(lint_rules::MISSING_KEY.page.starts_with("# MK103 missing-key\n"));
//! ```
//!
#![doc = include_str!(concat!(env!("OUT_DIR"), "/list.md"))]

use diagnostics::{Origin, Severity, closest};

pub use diagnostics::Rule;

include!(concat!(env!("OUT_DIR"), "/registry.rs"));

/// Finds a rule by its code, its name or a former name, in any case.
#[must_use]
pub fn find(written: &str) -> Option<&'static Rule> {
    REGISTRY.iter().copied().find(|rule| {
        [rule.code, rule.name].iter().chain(rule.former_names).any(|known| known.eq_ignore_ascii_case(written))
    })
}

/// Finds the code or name that is most like `written`, for "did you mean".
#[must_use]
pub fn similar(written: &str) -> Option<&'static str> {
    closest(written, REGISTRY.iter().flat_map(|rule| [rule.code, rule.name]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_and_unique() {
        assert!(REGISTRY.windows(2).all(|pair| pair[0].code < pair[1].code));
    }

    #[test]
    fn find_accepts_codes_names_and_former_names() {
        assert_eq!(find("mk101").map(|rule| rule.name), Some("unknown-key"));
        assert_eq!(find("Unknown-Key").map(|rule| rule.code), Some("MK101"));
        assert_eq!(find("half-a-character").map(|rule| rule.name), Some("lone-surrogate"));
        assert!(find("MK999").is_none());
        for rule in REGISTRY {
            for name in rule.former_names {
                assert_eq!(find(name).map(|found| found.code), Some(rule.code), "{name}");
            }
        }
    }

    #[test]
    fn similar_suggests_near_names_only() {
        assert_eq!(similar("unknwon-key"), Some("unknown-key"));
        assert_eq!(similar("MK1011"), Some("MK101"));
        assert_eq!(similar("something-else-entirely"), None);
    }

    #[test]
    fn examples_keep_characters_that_markdown_cannot_show() {
        assert!(UNREADABLE_DOCUMENT.bad[0].ends_with(b"caf\xe9\n"));
        assert!(
            CRLF_SCRIPT
                .bad
                .iter()
                .any(|example| example.windows(2).any(|pair| pair == b"\r\n") || example.contains(&b'\\'))
        );
        assert!(UNREADABLE_DOCUMENT.page.contains("caf⟨0xE9⟩\n"), "the page shows the escape");
    }
}
