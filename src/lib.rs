//! mkimg compiles files and scripts into one cloud-init user-data document, checks it offline, and bakes a machine image
//! with it. `docs/design/architecture.md` is the map of these modules.

pub mod bake;
mod causes;
pub mod cli;
pub mod diff;
pub mod import;
pub mod marker;
pub mod model;
pub mod providers;
pub mod render;
pub mod workspace;
