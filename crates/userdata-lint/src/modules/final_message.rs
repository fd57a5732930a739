//! `cc_final_message`: The message at the end of the boot.

use super::Module;
use crate::shape::STRING;

pub(crate) const MODULE: Module = Module::new("final_message", &[("final_message", STRING)]);
