//! `cc_salt_minion`: Salt's agent.

use super::Module;
use crate::shape::Keyword::{Closed, Properties, Type};
use crate::shape::{MAPPING, STRING, Shape, Types};

pub(crate) const MODULE: Module = Module::new(
    "salt_minion",
    &[(
        "salt_minion",
        Shape(&[
            Type(Types::MAP),
            Closed,
            Properties(&[
                ("pkg_name", STRING),
                ("service_name", STRING),
                ("config_dir", STRING),
                ("conf", MAPPING),
                ("grains", MAPPING),
                ("public_key", STRING),
                ("private_key", STRING),
                ("pki_dir", STRING),
            ]),
        ]),
    )],
);
