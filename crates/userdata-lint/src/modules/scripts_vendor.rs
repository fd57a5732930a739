//! `cc_scripts_vendor`: What is done with the vendor's scripts.

use super::Module;
use crate::shape::Keyword::{Closed, Items, OneOf, Properties, Type};
use crate::shape::{BOOLEAN, Shape, Types, deprecated};

pub(crate) const MODULE: Module = Module::new(
    "scripts_vendor",
    &[(
        "vendor_data",
        Shape(&[
            Type(Types::MAP),
            Closed,
            Properties(&[
                (
                    "enabled",
                    Shape(&[OneOf(&[
                        BOOLEAN,
                        Shape(&[Type(Types::STR), deprecated("22.3", "write `true` or `false` without quotes")]),
                    ])]),
                ),
                (
                    "prefix",
                    Shape(&[Type(Types::LIST.or(Types::STR)), Items(Shape(&[Type(Types::STR.or(Types::INT))]))]),
                ),
            ]),
        ]),
    )],
);
