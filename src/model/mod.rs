//! The image template and its results: [`Template`] → [`Resolved`] → [`Plan`].
//!
//! A template is parsed as YAML first, and the minijinja expressions in its values are evaluated
//! afterwards, so every error has a position and no value can break the file. `workspace` reads the
//! files that the template names, and [`Plan::new`] combines them. To add a key, see `shape`; the
//! findings are rules of `lint_rules`.

mod expression;
mod lock;
mod plan;
mod reader;
mod shape;
mod spec;
mod template;
mod value;
mod variables;

pub use lock::{BadLock, Lock, Pin, hexadecimal};
pub use plan::{Artifact, Content, FileTree, Plan, PlanError, PlannedFile, Script, Unpack};
pub use reader::Places;
pub use shape::{destination_fault, schema};
pub use spec::{
    Allowance, ArtifactSpec, Attributes, BadMode, BadOwner, Droplet, FilesSpec, ImageSpec, Mode, Owner, Placed,
    Snapshot, TimeLimits, User, Verify, base_names,
};
pub use template::{Inputs, ResolveError, Resolved, Secrets, Template};
pub use value::{Mapping, Number, Value, is_variable_name, to_yaml};
pub use variables::{Assignment, BadAssignment, Given, assignments, environment_name};
