//! Checks the contents that a document writes: scripts, units, crontabs, sudo rules, and other
//! configuration files. cloud-init passes them on unread.
//!
//! All checks are conservative: they do not report what only some versions, shells or settings
//! reject. A check returns spans in the decoded text; this file maps them to the document.
//!
//! To add a kind of content, add a file with a function of type [`Check`] and a line in [`CHECKS`],
//! and the pages of its rules to the crate `lint-rules`.

mod config_files;
mod cron;
mod file;
mod ignored_names;
mod script;
mod ssh_keys;
mod sudoers;
mod systemd;

use super::places::{Places, finding};
use diagnostics::Diagnostic;
use diagnostics::source::Source;
use yaml11::Node;

pub(crate) use file::{Content, ContentFault};
pub(crate) use script::{check_bootcmd, check_runcmd, check_user_data_script};
pub(crate) use ssh_keys::check_ssh_keys;
pub(crate) use sudoers::check_sudo_of_users;
pub(crate) use systemd::{
    NamedUnit, is_like_special_target, is_special_target, named_units, required_programs, setting_values,
};

type Check = fn(&Content<'_>, &mut Vec<ContentFault>);

/// Each check first tests the path or the first bytes, so that most of them cost nothing.
static CHECKS: &[Check] = &[
    script::check,
    systemd::check,
    cron::check,
    ignored_names::check,
    sudoers::check,
    config_files::check_json_and_yaml,
    config_files::check_sshd,
    config_files::check_fstab,
    config_files::check_sysctl,
    ssh_keys::check,
];

/// Maximum number of findings for one content.
const MAX_FAULTS: usize = 100;

pub(crate) fn check(content: &Content<'_>) -> Vec<ContentFault> {
    let mut out = Vec::new();
    for check in CHECKS {
        check(content, &mut out);
    }
    out.truncate(MAX_FAULTS);
    out
}

/// The finding for a content that is a source of its own.
pub(crate) fn to_diagnostic(fault: ContentFault) -> Diagnostic {
    let mut found = finding(fault.rule, String::new(), fault.span, fault.message, fault.help);
    found.related = fault.related;
    found
}

/// Maps findings from a scalar's text to the document.
pub(crate) fn report_in_scalar(
    source: &Source,
    node: Node<'_>,
    encoded: bool,
    path: &str,
    text: &str,
    faults: Vec<ContentFault>,
    out: &mut Vec<Diagnostic>,
) {
    if faults.is_empty() {
        return;
    }
    let places =
        if encoded { Places::of_one_span(text.len(), node.used_at()) } else { Places::of_scalar(source, node, text) };
    for fault in faults {
        let mut found = to_diagnostic(fault);
        let start = found.span.unwrap_or_default().start;
        if encoded || !places.is_exact(start) {
            let line = line_of(text, start);
            found.message = format!("line {line} of the content: {}", found.message);
            for (span, label) in &mut found.related {
                let line = line_of(text, span.start);
                *label = format!("{label} (line {line})");
            }
        }
        path.clone_into(&mut found.path);
        places.translate(&mut found);
        // Used through an alias: the text is at the anchor.
        if node.used_at() != node.span() {
            found.related.push((node.used_at(), "used here".into()));
        }
        out.push(found);
    }
}

/// The line number of a byte, from 1.
fn line_of(text: &str, at: usize) -> usize {
    1 + text.char_indices().take_while(|(place, _)| *place < at).filter(|(_, c)| *c == '\n').count()
}

#[cfg(test)]
mod tests;
