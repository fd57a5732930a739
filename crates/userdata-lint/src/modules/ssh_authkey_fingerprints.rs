//! `cc_ssh_authkey_fingerprints`: Fingerprints of the users' keys on the console.

use super::Module;
use crate::shape::{BOOLEAN, STRING};

pub(crate) const MODULE: Module =
    Module::new("ssh_authkey_fingerprints", &[("no_ssh_fingerprints", BOOLEAN), ("authkey_hash", STRING)]);
