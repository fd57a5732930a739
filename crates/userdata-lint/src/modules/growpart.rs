//! `cc_growpart`: Partitions that grow to the size of their disk.

use super::Module;
use crate::shape::Keyword::{Closed, Enum, OneOf, Properties, Type};
use crate::shape::{BOOLEAN, Literal, STRINGS, Shape, Types, changed};

const MODES: &[Literal] = &[Literal::Str("auto"), Literal::Str("growpart"), Literal::Str("gpart"), Literal::Str("off")];

pub(crate) const MODULE: Module = Module::new(
    "growpart",
    &[(
        "growpart",
        Shape(&[
            Type(Types::MAP),
            Closed,
            Properties(&[
                (
                    "mode",
                    Shape(&[OneOf(&[
                        Shape(&[Enum(MODES)]),
                        Shape(&[Enum(&[Literal::Bool(false)]), changed("22.3", "write `'off'`, in quotes")]),
                    ])]),
                ),
                ("devices", STRINGS),
                ("ignore_growroot_disabled", BOOLEAN),
            ]),
        ]),
    )],
);
