//! Why a plan has no document.

use super::entry::{EntryStat, Listing};

/// Why a plan has no document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    #[error("the document has {}{bytes} bytes, {} more than the limit of {limit}, with everything compressed that may be:\n{}", if *.is_estimate { "about " } else { "" }, .bytes - .limit, Listing(.entries))]
    OverLimit { bytes: usize, is_estimate: bool, limit: usize, entries: Vec<EntryStat> },
    #[error("the document's bundle has {characters} characters, and Linux passes at most {limit} to a program:\n{}", Listing(.entries))]
    BundleOverLimit { characters: usize, limit: usize, entries: Vec<EntryStat> },
    #[error("no document has room for the largest files:\n{}", Listing(.entries))]
    OnlyUpload { entries: Vec<EntryStat> },
    #[error("`cloud_config.{key}` conflicts with what mkimg writes")]
    Conflict { key: &'static str },
    #[error("`cloud_config.write_files` writes {path}, which the template writes too")]
    TwoSources { path: String },
    #[error(
        "`cloud_config` contains `mime-version:` near the beginning: cloud-init would take the document for a MIME message"
    )]
    LooksLikeMime,
    #[error("internal error: {entry} differs after the document was read back: {difference}")]
    ReadBack { entry: String, difference: String },
}

impl RenderError {
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::OverLimit { .. } | Self::BundleOverLimit { .. } | Self::OnlyUpload { .. } => {
                "make the largest files smaller, or let the droplet download them with `artifacts:`; `mkimg bake` uploads what has no room"
            }
            Self::Conflict { .. } => "remove it from `cloud_config:`",
            Self::TwoSources { .. } => "remove one of them from the template",
            Self::LooksLikeMime => "move that text into a file of `files:`",
            Self::ReadBack { .. } => "please report this, with the file",
        }
    }
}

/// Why the bake's entry cannot be added to a document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BakeEntryError {
    #[error("the bake's entry takes {bytes} bytes of the document, more than the {limit} that are reserved for it")]
    TooLarge { bytes: usize, limit: usize },
    #[error("internal error: the bake's entry changes the rest of the document")]
    NotInserted,
    #[error("internal error: the bake's entry differs after the document was read back")]
    ReadBack,
}
