//! `cc_apt_pipelining`: apt's HTTP pipelining.

use super::Module;
use crate::modules::V25_1;
use crate::shape::Keyword::{Enum, From, OneOf, Type};
use crate::shape::{BOOLEAN, INTEGER, Literal, Shape, Types, deprecated};

const WORDS: &[Literal] = &[Literal::Str("none"), Literal::Str("unchanged")];

pub(crate) const MODULE: Module = Module::new(
    "apt_pipelining",
    &[(
        "apt_pipelining",
        Shape(&[OneOf(&[
            INTEGER,
            BOOLEAN,
            Shape(&[
                Type(Types::STR),
                OneOf(&[
                    Shape(&[Enum(&[Literal::Str("os")])]),
                    Shape(&[From(V25_1, &deprecated("22.4", "write `os`")), Enum(WORDS)]),
                ]),
            ]),
        ])]),
    )],
);
