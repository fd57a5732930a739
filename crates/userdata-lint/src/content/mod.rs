//! The contents of a document: scripts, units, cron tables, sudo rules, and other files that a program of the machine reads.
//! cloud-init passes them on unread; here they are checked by what their programs accept.
//!
//! Every check is conservative: what only some version, some shell or some other setting would refuse is not reported. A check sees
//! the decoded text and says where in it something is wrong; this file brings that back to the place in the document.
//!
//! To add a kind of content, add a file with a function of the type [`Check`], its rules in `rules/`, and a line in [`CHECKS`].

mod config_files;
mod cron;
mod script;
mod sudoers;
mod systemd;

use super::places::{Places, finding, lines};
use crate::rules::Rule;
use diagnostics::Diagnostic;
use diagnostics::source::{Source, Span};
use yaml11::Node;

pub(crate) use script::{bootcmd, runcmd, script};
pub(crate) use sudoers::users;
pub(crate) use systemd::programs;

/// A text that a document puts on the machine.
pub(crate) struct Content<'t> {
    pub text: &'t str,
    /// Its normalized path on the machine; empty if it is not known.
    pub path: &'t str,
    /// The file's mode.
    pub mode: u32,
    /// It is added to a file, whose beginning is not known.
    pub appends: bool,
}

/// Something wrong, with its place in the content.
pub(crate) struct ContentFault {
    pub rule: &'static Rule,
    pub span: Span,
    pub message: String,
    pub help: Option<String>,
    pub related: Vec<(Span, String)>,
}

impl ContentFault {
    pub(crate) fn new(rule: &'static Rule, span: Span, message: String, help: Option<String>) -> Self {
        Self { rule, span, message, help, related: Vec::new() }
    }
}

type Check = fn(&Content<'_>, &mut Vec<ContentFault>);

/// Each decides by the path or the first bytes before it does anything that takes time.
static CHECKS: &[Check] = &[
    script::check,
    systemd::check,
    cron::check,
    sudoers::check,
    config_files::json_and_yaml,
    config_files::sshd,
    config_files::fstab,
    config_files::sysctl,
];

/// Faults of one content: more are not reported.
const MAX_FAULTS: usize = 100;

/// Checks a content.
pub(crate) fn check(content: &Content<'_>) -> Vec<ContentFault> {
    let mut out = Vec::new();
    for check in CHECKS {
        check(content, &mut out);
    }
    out.truncate(MAX_FAULTS);
    out
}

/// A fault of a text that is a source by itself.
pub(crate) fn in_source(fault: ContentFault) -> Diagnostic {
    let mut found = finding(fault.rule, String::new(), fault.span, fault.message, fault.help);
    found.related = fault.related;
    found
}

/// Faults of a text that a scalar holds, plainly or `encoded`, at their places in the document.
pub(crate) fn in_scalar(
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
        if encoded { Places::whole(text.len(), node.used_at()) } else { Places::of_scalar(source, node, text) };
    for fault in faults {
        let mut found = in_source(fault);
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
        // Through an alias: the text is written at its anchor.
        if node.used_at() != node.span() {
            found.related.push((node.used_at(), "used here".into()));
        }
        out.push(found);
    }
}

/// The number of the line that holds a byte, from 1.
fn line_of(text: &str, at: usize) -> usize {
    1 + text.char_indices().take_while(|(place, _)| *place < at).filter(|(_, c)| *c == '\n').count()
}

/// Whether a path ends with `.` and these letters. Programs tell capitals apart.
fn has_ending(path: &str, ending: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, found)| found == ending)
}

#[cfg(test)]
mod tests;
