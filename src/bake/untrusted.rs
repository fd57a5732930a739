//! Texts from a droplet or an API. They may contain anything, for example a secret that a script printed: everything that
//! shows or stores them redacts them through [`UntrustedText`].
//!
//! To add such a text to an event, a journal entry or the report, add a line here.

use super::journal::JournalEntry;
use super::ports::{Check, Event};
use super::report::Report;
use super::resources::RemainingResource;

/// Contains untrusted texts.
pub trait UntrustedText {
    /// Calls `redact` with each of them, which may change it.
    fn for_each_text(&mut self, redact: &mut dyn FnMut(&mut String));
}

impl UntrustedText for Check {
    fn for_each_text(&mut self, redact: &mut dyn FnMut(&mut String)) {
        self.findings.iter_mut().for_each(|finding| redact(&mut finding.text));
    }
}

impl UntrustedText for RemainingResource {
    fn for_each_text(&mut self, redact: &mut dyn FnMut(&mut String)) {
        match self {
            Self::Droplet { why, .. } | Self::Snapshot { why, .. } | Self::Unknown { why, .. } => redact(why),
        }
    }
}

impl UntrustedText for Event {
    fn for_each_text(&mut self, redact: &mut dyn FnMut(&mut String)) {
        match self {
            Self::Stage { detail, .. } => redact(detail),
            Self::Step(step) => redact(&mut step.name),
            Self::Log { line } => redact(line),
            Self::Checked(check) => check.for_each_text(redact),
            Self::Warning { message } | Self::Note { message } => redact(message),
            Self::Droplet { .. } | Self::Complete => {}
        }
    }
}

impl UntrustedText for JournalEntry {
    fn for_each_text(&mut self, redact: &mut dyn FnMut(&mut String)) {
        match self {
            Self::Passed { check: Some(check), .. } => check.for_each_text(redact),
            Self::CleaningUp { failure } => redact(failure),
            Self::Suspended { failure, remaining } => {
                redact(failure);
                for resource in remaining {
                    resource.for_each_text(redact);
                }
            }
            Self::Ended { failure, remaining, .. } => {
                failure.iter_mut().for_each(&mut *redact);
                for resource in remaining {
                    resource.for_each_text(redact);
                }
            }
            // Texts of mkimg itself, and numbers.
            _ => {}
        }
    }
}

impl UntrustedText for Report {
    fn for_each_text(&mut self, redact: &mut dyn FnMut(&mut String)) {
        self.stages.iter_mut().for_each(|stage| redact(&mut stage.detail));
        self.steps.iter_mut().for_each(|step| redact(&mut step.name));
        self.check.iter_mut().for_each(|check| check.for_each_text(redact));
        self.failure.iter_mut().for_each(&mut *redact);
        self.droplet_errors.iter_mut().for_each(&mut *redact);
        self.tail.iter_mut().for_each(&mut *redact);
        self.remaining.iter_mut().for_each(&mut *redact);
        self.warnings.iter_mut().for_each(&mut *redact);
    }
}

/// A line without anything that would move the cursor or colour the terminal.
pub fn printable(line: &str) -> String {
    let mut out = String::with_capacity(line.len().min(2_000));
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        if out.len() >= 2_000 {
            out.push('…');
            break;
        }
        match c {
            '\u{1b}' if chars.peek() == Some(&'[') => {
                chars.next();
                while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {}
            }
            // A progress bar overwrites its line: only its last state counts.
            '\r' => out.clear(),
            '\t' => out.push(' '),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bake::ports::{CheckFinding, RunnerStep};

    /// Each text that comes from a droplet or an API, in each event.
    #[test]
    fn the_texts_of_every_event_are_redacted() {
        let secret = || "the secret".to_owned();
        let finding = CheckFinding { level: "warn".to_owned(), text: secret() };
        let check = Check { exit: Some(0), passed: 1, warnings: 1, failed: 0, findings: vec![finding] };
        let step = RunnerStep { name: secret(), state: "running".to_owned(), elapsed: None, exit: None };
        for mut event in [
            Event::Stage { stage: crate::bake::Stage::Boot, detail: secret() },
            Event::Step(step),
            Event::Log { line: secret() },
            Event::Checked(check),
            Event::Warning { message: secret() },
            Event::Note { message: secret() },
        ] {
            event.for_each_text(&mut |text| *text = text.replace("secret", "***"));
            let shown = format!("{event:?}");
            assert!(shown.contains("the ***") && !shown.contains("secret"), "{shown}");
        }
    }

    #[test]
    fn untrusted_lines_cannot_move_the_cursor() {
        assert_eq!(printable("\u{1b}[31mred\u{1b}[0m\ttext\u{7}"), "red text");
        assert_eq!(printable("10%\r20%"), "20%");
        assert!(printable(&"x".repeat(5_000)).len() < 2_010);
    }
}
