//! Texts that came from outside, a droplet or an API, and may hold anything: a secret that a script printed, for one.
//! Whoever shows or keeps them looks through all of them here.
//!
//! A new text of that kind, in an event, a journal entry or the report, gets a line here.

use super::journal::Entry;
use super::left::Left;
use super::ports::{Check, Event};
use super::report::Report;

/// Has texts from outside.
pub trait Foreign {
    /// Calls `look` with each of them; it may change them.
    fn each_text(&mut self, look: &mut dyn FnMut(&mut String));
}

impl Foreign for Check {
    fn each_text(&mut self, look: &mut dyn FnMut(&mut String)) {
        self.findings.iter_mut().for_each(|finding| look(&mut finding.text));
    }
}

impl Foreign for Left {
    fn each_text(&mut self, look: &mut dyn FnMut(&mut String)) {
        match self {
            Self::Droplet { why, .. } | Self::Snapshot { why, .. } | Self::Unknown { why, .. } => look(why),
        }
    }
}

impl Foreign for Event {
    fn each_text(&mut self, look: &mut dyn FnMut(&mut String)) {
        match self {
            Self::Stage { detail, .. } => look(detail),
            Self::Step(step) => look(&mut step.name),
            Self::Log { line } => look(line),
            Self::Checked(check) => check.each_text(look),
            Self::Warning { message } | Self::Note { message } => look(message),
            Self::Droplet { .. } | Self::Complete => {}
        }
    }
}

impl Foreign for Entry {
    fn each_text(&mut self, look: &mut dyn FnMut(&mut String)) {
        match self {
            Self::Passed { check: Some(check), .. } => check.each_text(look),
            Self::CleaningUp { failure } => look(failure),
            Self::Halted { failure, left } => {
                look(failure);
                for left in left {
                    left.each_text(look);
                }
            }
            Self::Ended { failure, left, .. } => {
                failure.iter_mut().for_each(&mut *look);
                for left in left {
                    left.each_text(look);
                }
            }
            // What mkimg itself decided, and numbers.
            _ => {}
        }
    }
}

impl Foreign for Report {
    fn each_text(&mut self, look: &mut dyn FnMut(&mut String)) {
        self.stages.iter_mut().for_each(|stage| look(&mut stage.detail));
        self.steps.iter_mut().for_each(|step| look(&mut step.name));
        self.check.iter_mut().for_each(|check| check.each_text(look));
        self.failure.iter_mut().for_each(&mut *look);
        self.mishaps.iter_mut().for_each(&mut *look);
        self.tail.iter_mut().for_each(&mut *look);
        self.left.iter_mut().for_each(&mut *look);
        self.warnings.iter_mut().for_each(&mut *look);
    }
}
