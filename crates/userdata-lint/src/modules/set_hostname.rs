//! `cc_set_hostname`: The machine's name (`cc_update_hostname` reads the same keys).

use super::Module;
use crate::modules::V25_1;
use crate::shape::Keyword::{Since, Type};
use crate::shape::{BOOLEAN, STRING, Shape, Types};

pub(crate) const MODULE: Module = Module::new(
    "set_hostname",
    &[
        ("preserve_hostname", BOOLEAN),
        ("hostname", STRING),
        ("fqdn", STRING),
        ("prefer_fqdn_over_hostname", BOOLEAN),
        ("create_hostname_file", Shape(&[Since(V25_1), Type(Types::BOOL)])),
    ],
);
