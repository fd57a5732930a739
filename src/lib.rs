//! mkimg compiles files and scripts into one cloud-init user-data document, judges it offline, and bakes a machine image
//! with it. `docs/design/architecture.md` is the map of these rooms.

pub mod bake;
pub mod cli;
pub use diagnostics as diag;
pub use diagnostics::source;
pub mod diff;
pub use digitalocean_emulator as emulator;
pub mod import;
pub mod marker;
pub mod model;
pub mod providers;
pub mod render;
pub use userdata_lint as validate;
pub mod workspace;
pub use yaml11 as yaml;
