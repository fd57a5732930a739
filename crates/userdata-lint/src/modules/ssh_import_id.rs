//! `cc_ssh_import_id`: Users' keys from a public service.

use super::Module;
use crate::shape::STRINGS;

pub(crate) const MODULE: Module = Module::new("ssh_import_id", &[("ssh_import_id", STRINGS)]);
