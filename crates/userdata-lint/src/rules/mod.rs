//! The registry of rules: what each finding means, why it matters, and an example of each side.
//!
//! To add a rule, add a `Rule` to one of the files here (its check stands in the file that raises it) and a line to
//! [`REGISTRY`], in the order of codes: MK0 for the document, MK1 for what the schema says, MK2 for checks of our own, MK3 for what
//! contents hold and what happens at boot.
//! The tests run every example, and the page under `docs/rules/` is made from the rule.

pub(crate) mod command;
pub(crate) mod cron;
pub(crate) mod data;
pub(crate) mod document;
pub(crate) mod downloads;
pub(crate) mod image;
pub(crate) mod kinds;
pub(crate) mod order;
pub(crate) mod runcmd;
pub(crate) mod script;
pub(crate) mod secrets;
pub(crate) mod shape;
pub(crate) mod sudoers;
pub(crate) mod suppressions;
pub(crate) mod systemd;
pub(crate) mod write_files;

use std::fmt::Write;

use diagnostics::{Origin, Severity};

/// A rule, as `mkimg rules` lists it and `mkimg explain` shows it.
#[derive(Debug)]
pub struct Rule {
    /// `MK` and three digits; never reused.
    pub code: &'static str,
    /// The fault in words, with hyphens.
    pub name: &'static str,
    pub origin: Origin,
    pub severity: Severity,
    /// What the rule finds, in one sentence.
    pub summary: &'static str,
    /// Why it matters and what to do: one or more paragraphs.
    pub reason: &'static str,
    /// A document in which the rule finds something.
    pub bad: &'static str,
    /// The same, put right: a document in which nothing at all is found, unless the rule says otherwise.
    pub good: &'static str,
    /// The provider's limit for the examples, in bytes, where it is not the usual one.
    pub example_limit: Option<usize>,
}

impl Rule {
    /// Whether the examples are image templates: a document begins with a header, a template with a key.
    #[must_use]
    pub fn is_about_templates(&self) -> bool {
        ["droplet:", "artifacts:"].iter().any(|key| self.bad.starts_with(key))
    }
}

/// All rules, by code.
pub static REGISTRY: &[&Rule] = &[
    &document::MISSING_HEADER,
    &document::INVALID_YAML,
    &document::NOT_A_MAPPING,
    &document::UNREADABLE,
    &document::TOO_COMPLEX,
    &document::NOT_JUDGED,
    &kinds::BROKEN_TEMPLATE,
    &command::REFUSED_KIND,
    &command::PART_WAS_IGNORED,
    &document::HALF_A_CHARACTER,
    &shape::UNKNOWN_KEY,
    &shape::WRONG_TYPE,
    &shape::MISSING_KEY,
    &shape::NOT_ALLOWED_VALUE,
    &shape::MALFORMED_VALUE,
    &shape::TOO_FEW_ITEMS,
    &shape::TOO_MANY_ITEMS,
    &shape::REPEATED_ITEM,
    &shape::EMPTY_MAPPING,
    &shape::OUT_OF_RANGE,
    &shape::AMBIGUOUS_VALUE,
    &shape::NO_FORM_FITS,
    &shape::CONFLICTING_KEYS,
    &shape::DEPRECATED_KEY,
    &shape::DEPRECATED_VALUE,
    &document::DUPLICATE_KEY,
    &document::OVER_LIMIT,
    &write_files::MODE_IS_DECIMAL,
    &write_files::UNREADABLE_MODE,
    &write_files::OWNER_NOT_YET_THERE,
    &write_files::DUPLICATE_DESTINATION,
    &write_files::UNDECODABLE_CONTENT,
    &write_files::MISSING_INTERPRETER,
    &write_files::CRLF_SCRIPT,
    &write_files::RUNS_DURING_BAKE,
    &write_files::RELATIVE_DESTINATION,
    &kinds::MISSING_VARIABLE,
    &kinds::MALFORMED_ARCHIVE,
    &kinds::MALFORMED_MULTIPART,
    &kinds::IGNORED_PART,
    &kinds::MALFORMED_PATCH,
    &kinds::MALFORMED_INCLUDE,
    &kinds::INCOMPLETE_PART_HANDLER,
    &write_files::NOT_EXECUTABLE,
    &document::JOINED_ITEMS,
    &suppressions::UNUSED_SUPPRESSION,
    &suppressions::SUPPRESSION_WITHOUT_REASON,
    &suppressions::SUPPRESSION_OF_UNKNOWN_RULE,
    &suppressions::SUPPRESSION_OF_ERROR,
    &suppressions::MALFORMED_SUPPRESSION,
    &script::BROKEN_SCRIPT,
    &script::BASH_IN_SH,
    &script::UNFINISHED_HEREDOC,
    &systemd::UNKNOWN_SECTION,
    &systemd::UNKNOWN_SETTING,
    &systemd::MALFORMED_LINE,
    &systemd::INCOMPLETE_UNIT,
    &systemd::BAD_COMMAND,
    &systemd::PROGRAM_NOT_THERE,
    &systemd::UNKNOWN_VALUE,
    &systemd::SHELL_SYNTAX,
    &systemd::NOTHING_STARTS_IT,
    &cron::MALFORMED_ENTRY,
    &cron::IGNORED_FILE,
    &cron::NO_LINE_END,
    &cron::BARE_PERCENT,
    &sudoers::MALFORMED,
    &sudoers::IGNORED_FILE,
    &sudoers::WRITABLE,
    &data::BROKEN_JSON,
    &data::BROKEN_YAML,
    &data::BAD_SSHD_SETTING,
    &data::MALFORMED_FSTAB,
    &data::MALFORMED_SYSCTL,
    &runcmd::NEVER_ENDS,
    &runcmd::SHUTS_OUT_SSH,
    &runcmd::EXPANDED_TOO_EARLY,
    &order::LOCKED_PASSWORD,
    &order::GROUPS_WITHOUT_COMMAS,
    &order::PROGRAM_NOT_YET_INSTALLED,
    &order::FILE_NOT_YET_WRITTEN,
    &order::INSTALLS_IN_BOOTCMD,
    &order::OWNER_OF_A_PACKAGE,
    &order::OWNER_NOBODY_MAKES,
    &order::HOME_BEFORE_USER,
    &order::UNKNOWN_USER,
    &order::MEMBER_NOT_YET_THERE,
    &runcmd::REBOOTS_BY_COMMAND,
    &runcmd::REBOOT_LOOP,
    &runcmd::WAITS_FOR_ITSELF,
    &runcmd::START_WAITS_FOR_CLOUD_INIT,
    &runcmd::ASKS_A_QUESTION,
    &runcmd::OPERATOR_IN_LIST,
    &order::USED_BEFORE_INSTALLED,
    &order::PROGRAM_NOBODY_INSTALLS,
    &write_files::VARIABLE_IN_PATH,
    &runcmd::HEREDOC_IN_FOLDED_TEXT,
    &order::UNIT_NOT_RELOADED,
    &kinds::TEMPLATE_WITHOUT_HEADER,
    &secrets::PRIVATE_KEY,
    &secrets::TOKEN,
    &secrets::PASSWORD,
    &secrets::WEAK_HASH,
    &secrets::NO_HASH,
    &secrets::SECRET_READABLE,
    &secrets::WORLD_WRITABLE,
    &secrets::WRITABLE_SETUID,
    &image::HAS_PASSWORD,
    &image::HAS_KEYS,
    &image::NO_FIREWALL,
    &image::NO_UPGRADE,
    &image::HAS_AGENT,
    &image::HAS_LEFTOVERS,
    &image::BASE_NOT_SUPPORTED,
    &downloads::NEEDS_A_LICENCE,
    &downloads::NOT_LOCKED,
    &downloads::PLAIN_HTTP,
    &downloads::PIPED_TO_SHELL,
    &downloads::APT_KEY_IS_GONE,
    &downloads::FOR_ANOTHER_PROCESSOR,
    &downloads::KEY_NOT_THERE,
];

/// A rule by its code (in any case) or its name.
#[must_use]
pub fn find(code: &str) -> Option<&'static Rule> {
    REGISTRY.iter().copied().find(|rule| rule.code.eq_ignore_ascii_case(code) || rule.name.eq_ignore_ascii_case(code))
}

/// The code or name that is most like one that does not exist.
#[must_use]
pub fn similar(code: &str) -> Option<&'static str> {
    super::words::closest(code, REGISTRY.iter().flat_map(|rule| [rule.code, rule.name]))
}

/// The rule's page, in Markdown.
#[must_use]
pub fn page(rule: &Rule) -> String {
    let mut out = String::new();
    let says = match rule.origin {
        Origin::CloudInit => "`cloud-init schema` finds this too; it is part of the verdict",
        Origin::Mkimg => "only mkimg finds this; the verdict stays as cloud-init gives it",
    };
    let _ = write!(
        out,
        "# {} {}\n\n{}\n\nSeverity: {}. Origin: {} ({says}).\n\n{}\n\n",
        rule.code,
        rule.name,
        rule.summary,
        rule.severity.name(),
        rule.origin.name(),
        rule.reason.trim()
    );
    let _ = writeln!(out, "Not so:\n\n```yaml\n{}```\n\nBut so:\n\n```yaml\n{}```", shown(rule.bad), shown(rule.good));
    out
}

/// The list of all rules, in Markdown.
#[must_use]
pub fn index() -> String {
    let mut out = String::from(
        "# Rules\n\nThese pages are made from the registry in `crates/userdata-lint/src/rules/`; a test fails when they are stale \
         (`SNAPSHOTS=overwrite cargo test --test cli rule_pages` writes them again).\n\n| code | name | origin | severity | finds |\n| --- | --- | --- | --- | --- |\n",
    );
    for rule in REGISTRY {
        let _ = writeln!(
            out,
            "| [{code}]({code}.md) | {} | {} | {} | {} |",
            rule.name,
            rule.origin.name(),
            rule.severity.name(),
            rule.summary.replace('|', "\\|"),
            code = rule.code,
        );
    }
    out
}

/// An example as a page shows it: ends with a line end, and without characters that no page can show.
fn shown(example: &str) -> String {
    let text = example.replace('\r', "␍").replace('\u{feff}', "␏").replace('\u{7}', "␇");
    if text.ends_with('\n') { text } else { text + "\n" }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{Options, validate_bytes};

    #[test]
    fn codes_and_names_are_unique_sorted_and_well_formed() {
        let codes: Vec<_> = REGISTRY.iter().map(|rule| rule.code).collect();
        assert!(codes.is_sorted(), "{codes:?}");
        assert_eq!(codes.iter().collect::<BTreeSet<_>>().len(), codes.len());
        let names: BTreeSet<_> = REGISTRY.iter().map(|rule| rule.name).collect();
        assert_eq!(names.len(), codes.len());
        for rule in REGISTRY {
            assert!(
                rule.code.len() == 5 && rule.code.starts_with("MK") && rule.code[2..].parse::<u16>().is_ok(),
                "{}",
                rule.code
            );
            assert!(rule.name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{}", rule.name);
            assert!(rule.summary.ends_with('.') && rule.reason.trim().len() > 40, "{}: say more", rule.code);
        }
    }

    #[test]
    fn every_example_is_judged_as_it_says() {
        for rule in REGISTRY {
            // Examples of templates are judged by a test of the whole command.
            if rule.is_about_templates() {
                continue;
            }
            let options = Options { limit: rule.example_limit, ..Options::default() };
            let codes = |text: &str| {
                // The one example whose bytes are no text: every character as one byte.
                let latin_1 = rule.code == "MK004" && !text.is_ascii();
                let bytes = if latin_1 { text.chars().map(|c| c as u8).collect() } else { text.as_bytes().to_vec() };
                let report = validate_bytes("example.yaml", &bytes, &options);
                let found: Vec<_> =
                    report.documents.into_iter().flat_map(|document| document.findings.diagnostics).collect();
                found.into_iter().map(|found| found.code).collect::<Vec<_>>()
            };
            assert!(codes(rule.bad).contains(&rule.code), "{}: the bad example gives {:?}", rule.code, codes(rule.bad));
            // That the command refuses a multi-part document is no fault of it.
            assert!(
                codes(rule.good).iter().all(|code| *code == "MK008"),
                "{}: the good example gives {:?}",
                rule.code,
                codes(rule.good)
            );
        }
    }

    #[test]
    fn rules_are_found_by_code_and_name() {
        assert_eq!(find("mk101").map(|rule| rule.name), Some("unknown-key"));
        assert_eq!(find("unknown-key").map(|rule| rule.code), Some("MK101"));
        assert!(find("MK999").is_none());
        assert_eq!(similar("unknwon-key"), Some("unknown-key"));
    }
}
