//! Plan → Document: one cloud-init user-data text, the same for the same plan on any machine and at any time.
//!
//! [`render`] lays out the entries, chooses an encoding for each, and reads its own text back as cloud-init would before
//! it hands it out. What the entries are is in `entries`; how one is encoded is in `encoding`; the proof is in `proof`.

mod bake_entry;
mod document;
mod encoding;
mod entries;
mod plan_json;
mod proof;
pub mod runner;
#[cfg(test)]
mod tests;

pub use bake_entry::{BakeEntry, BakeEntryError, Channel, HttpsChannel};
pub use document::{Document, EntryStat, Listing, RenderError, render, verification_document};
pub use encoding::Encoding;

/// Bytes that DigitalOcean takes as user-data.
pub const USER_DATA_LIMIT: usize = 65_536;

/// Bytes of it that are kept for the bake's own entry.
pub const BAKE_ENTRY_LIMIT: usize = 2_048;

/// Bytes of a document, unless another limit is asked for.
pub const DOCUMENT_LIMIT: usize = USER_DATA_LIMIT - BAKE_ENTRY_LIMIT;
