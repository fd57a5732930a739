//! What an import has to say: each kind has a code, a name and a page, here; the places that raise it name the kind.
//!
//! To add one, add a line to [`FAULTS`].

use super::packer::Place;
use diagnostics::Fault;
use diagnostics::{Diagnostic, Origin, Severity};

macro_rules! faults {
    ($($constant:ident $code:literal $name:literal $explanation:literal;)*) => {
        $(pub(super) const $constant: Fault = Fault { code: $code, name: $name, explanation: $explanation };)*
        /// Every fault, in the order of its code.
        pub const FAULTS: &[Fault] = &[$($constant),*];
    };
}

faults! {
    UNREADABLE "MK960" "import-unreadable"
        "The file is neither a Packer template in JSON nor one in HCL2, or it breaks off. Nothing was written.";
    NOT_CARRIED "MK961" "import-not-carried-over"
        "This part of the Packer template has no counterpart in mkimg, or one that needs a decision. The project was written without \
         it: the image would not be the same. The exit status is 1 until nothing of this kind is left.";
    WITHOUT_USE "MK962" "import-without-use"
        "mkimg does not need this option: there is no SSH, tokens come from the environment, a bake always waits for transfers.";
    ADAPTED "MK963" "import-adapted"
        "This was carried over in another form than it had; what it does should be the same. Read it once.";
}

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
        self.add(UNREADABLE, Severity::Error, place, "", message.into(), Some(help));
    }

    /// Something that makes the image another one is missing from the project.
    pub(super) fn not_carried(&mut self, place: Place, path: &str, message: impl Into<String>, help: &str) {
        self.add(NOT_CARRIED, Severity::Error, place, path, message.into(), Some(help));
    }

    /// An option that nobody will miss.
    pub(super) fn without_use(&mut self, place: Place, path: &str, message: impl Into<String>) {
        self.add(WITHOUT_USE, Severity::Info, place, path, message.into(), None);
    }

    /// Something that has another form now.
    pub(super) fn adapted(&mut self, place: Place, path: &str, message: impl Into<String>) {
        self.add(ADAPTED, Severity::Warning, place, path, message.into(), None);
    }

    /// Whether a source could not be read.
    pub(super) fn unreadable(&self) -> bool {
        self.lists.iter().flatten().any(|found| found.code == UNREADABLE.code)
    }

    pub(super) fn into_lists(mut self) -> Vec<Vec<Diagnostic>> {
        for list in &mut self.lists {
            list.sort_by_key(|found| found.span);
        }
        self.lists
    }

    fn add(&mut self, fault: Fault, severity: Severity, place: Place, path: &str, message: String, help: Option<&str>) {
        let diagnostic = Diagnostic {
            code: fault.code,
            name: fault.name,
            origin: Origin::Mkimg,
            severity,
            path: path.to_owned(),
            message,
            help: help.map(str::to_owned),
            span: Some(place.span),
            related: Vec::new(),
        };
        if let Some(list) = self.lists.get_mut(place.file) {
            list.push(diagnostic);
        }
    }
}
