//! `cc_seed_random`: Randomness for a machine that has none yet.

use super::Module;
use crate::shape::Keyword::{Closed, Enum, Properties, Type};
use crate::shape::{BOOLEAN, Literal, STRING, STRINGS, Shape, Types};

const ENCODINGS: &[Literal] =
    &[Literal::Str("raw"), Literal::Str("base64"), Literal::Str("b64"), Literal::Str("gzip"), Literal::Str("gz")];

pub(crate) const MODULE: Module = Module::new(
    "seed_random",
    &[(
        "random_seed",
        Shape(&[
            Type(Types::MAP),
            Closed,
            Properties(&[
                ("file", STRING),
                ("data", STRING),
                ("encoding", Shape(&[Type(Types::STR), Enum(ENCODINGS)])),
                ("command", STRINGS),
                ("command_required", BOOLEAN),
            ]),
        ]),
    )],
);
