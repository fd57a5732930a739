//! `cc_timezone`: The system's time zone.

use super::Module;
use crate::shape::STRING;

pub(crate) const MODULE: Module = Module::new("timezone", &[("timezone", STRING)]);
