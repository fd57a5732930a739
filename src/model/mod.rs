//! The image template and what becomes of it: [`Template`] → [`Resolved`] → [`Plan`].
//!
//! A template is read as YAML first, and the minijinja expressions in its values are evaluated afterwards, so that every
//! fault has a place and no value can break the file. `workspace` then reads what the template names on disk, and
//! [`Plan::new`] puts all of it together. To add a key, see `shape`; its findings are rules of `lint_rules`.

mod expression;
mod leaf;
mod lock;
mod mode;
mod plan;
mod reader;
mod schema;
mod shape;
mod spec;
mod template;
mod value;
mod variables;

pub use leaf::destination_fault;
pub use lock::{BadLock, Lock, Pin, hexadecimal};
pub use mode::{BadMode, BadOwner, Mode, Owner};
pub use plan::{Artifact, FileTree, Plan, PlanError, PlannedFile, Script, Unpack};
pub use reader::Places;
pub use schema::schema;
pub use spec::{
    Allowance, ArtifactSpec, Attributes, Droplet, FilesSpec, ImageSpec, Placed, Snapshot, TimeLimits, User, Verify,
};
pub use template::{Inputs, ResolveError, Resolved, Secrets, Template};
pub use value::{Mapping, Number, Value};
pub use variables::{Assignment, BadAssignment, Given, assignment, assignments, environment_name};
