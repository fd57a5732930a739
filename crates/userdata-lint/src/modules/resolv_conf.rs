//! `cc_resolv_conf`: The name resolver's configuration.

use super::Module;
use crate::shape::Keyword::{Closed, Properties, Type};
use crate::shape::{BOOLEAN, LIST, MAPPING, STRING, Shape, Types};

pub(crate) const MODULE: Module = Module::new(
    "resolv_conf",
    &[
        ("manage_resolv_conf", BOOLEAN),
        (
            "resolv_conf",
            Shape(&[
                Type(Types::MAP),
                Closed,
                Properties(&[
                    ("nameservers", LIST),
                    ("searchdomains", LIST),
                    ("domain", STRING),
                    ("sortlist", LIST),
                    ("options", MAPPING),
                ]),
            ]),
        ),
    ],
);
