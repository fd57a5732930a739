//! mkimg compiles files and scripts into one cloud-init user-data document, judges it offline, and bakes a machine image
//! with it. `docs/design/architecture.md` is the map of these rooms.

pub mod bake;
pub mod cli;
pub mod diag;
pub mod diff;
pub mod emulator;
pub mod import;
pub mod marker;
pub mod model;
pub mod providers;
pub mod render;
pub mod source;
pub mod validate;
pub mod workspace;
pub mod yaml;
