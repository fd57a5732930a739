//! Renders a plan as one cloud-init user-data document. Equal plans give equal bytes on any machine
//! and at any time.
//!
//! `layout` decides on the entries, `document` fits them into the limit: as `write_files` entries
//! (`entry`) or in the `bundle`, and
//! `read_back` reads the text as cloud-init does and compares it with the plan. `runner` is the
//! program that works on the droplet.

mod bake_entry;
mod bundle;
mod document;
mod entry;
mod error;
mod layout;
mod read_back;
pub mod runner;
#[cfg(test)]
mod tests;

pub use bake_entry::{BakeEntry, Channel, HttpsChannel, UploadIndex};
pub use bundle::{Member, members_of_command};
pub use document::{
    BAKE_ENTRY_LIMIT, Container, DOCUMENT_LIMIT, RenderedDocument, Target, USER_DATA_LIMIT, UploadedFile, render,
    render_readable, verification_document,
};
pub use entry::{Encoding, EntryStat, Listing, decode_content};
pub use error::{BakeEntryError, RenderError};
pub use layout::PLAN_PATH;
