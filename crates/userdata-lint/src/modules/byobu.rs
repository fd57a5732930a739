//! `cc_byobu`: The terminal multiplexer's defaults.

use super::Module;
use crate::shape::Keyword::{Enum, Type};
use crate::shape::{Literal, Shape, Types};

pub(crate) const MODULE: Module = Module::new(
    "byobu",
    &[(
        "byobu_by_default",
        Shape(&[
            Type(Types::STR),
            Enum(&[
                Literal::Str("enable-system"),
                Literal::Str("enable-user"),
                Literal::Str("disable-system"),
                Literal::Str("disable-user"),
                Literal::Str("enable"),
                Literal::Str("disable"),
                Literal::Str("user"),
                Literal::Str("system"),
            ]),
        ]),
    )],
);
