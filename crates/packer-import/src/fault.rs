//! The findings of an import, one list for each source.

use super::packer::Place;
use diagnostics::{Diagnostic, Rule};
use lint_rules as rules;

/// The findings so far, one list for each source.
#[derive(Debug)]
pub(super) struct Notes {
    lists: Vec<Vec<Diagnostic>>,
}

impl Notes {
    pub(super) fn new(files: usize) -> Self {
        Self { lists: vec![Vec::new(); files] }
    }

    /// The template cannot be read at all.
    pub(super) fn unreadable_at(&mut self, place: Place, message: impl Into<String>, help: &str) {
        self.add(&rules::IMPORT_UNREADABLE, place, "", message.into(), Some(help));
    }

    /// Something that makes the image another one is missing from the project.
    pub(super) fn not_carried(&mut self, place: Place, path: &str, message: impl Into<String>, help: &str) {
        self.add(&rules::IMPORT_NOT_CONVERTED, place, path, message.into(), Some(help));
    }

    /// An option that nobody will miss.
    pub(super) fn without_use(&mut self, place: Place, path: &str, message: impl Into<String>) {
        self.add(&rules::IMPORT_NOT_NEEDED, place, path, message.into(), None);
    }

    /// Something that has another form now.
    pub(super) fn adapted(&mut self, place: Place, path: &str, message: impl Into<String>) {
        self.add(&rules::IMPORT_ADAPTED, place, path, message.into(), None);
    }

    /// Whether a source could not be read.
    pub(super) fn unreadable(&self) -> bool {
        self.lists.iter().flatten().any(|found| found.code == rules::IMPORT_UNREADABLE.code)
    }

    pub(super) fn into_lists(mut self) -> Vec<Vec<Diagnostic>> {
        for list in &mut self.lists {
            list.sort_by_key(|found| found.span);
        }
        self.lists
    }

    fn add(&mut self, rule: &Rule, place: Place, path: &str, message: String, help: Option<&str>) {
        if let Some(list) = self.lists.get_mut(place.file) {
            list.push(Diagnostic::new(rule, path, place.span, message).with_help(help.map(str::to_owned)));
        }
    }
}
