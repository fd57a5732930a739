//! `cc_write_files`: Files with their content, owner and mode.

use super::Module;
use crate::validate::shape::Keyword::{Additional, Closed, Enum, Items, MinItems, Properties, Required, Since, Type};
use crate::validate::shape::{BOOLEAN, Literal, STRING, Shape, Types};
use crate::validate::modules::V23_1;

const ENCODINGS: &[Literal] = &[
    Literal::Str("gz"),
    Literal::Str("gzip"),
    Literal::Str("gz+base64"),
    Literal::Str("gzip+base64"),
    Literal::Str("gz+b64"),
    Literal::Str("gzip+b64"),
    Literal::Str("b64"),
    Literal::Str("base64"),
    Literal::Str("text/plain"),
];

const REMOTE: Shape = Shape(&[
    Since(V23_1),
    Type(Types::MAP),
    Closed,
    Properties(&[("uri", STRING), ("headers", Shape(&[Type(Types::MAP), Additional(STRING)]))]),
    Required(&["uri"]),
]);

const FILE: Shape = Shape(&[
    Type(Types::MAP),
    Required(&["path"]),
    Closed,
    Properties(&[
        ("path", STRING),
        ("content", STRING),
        ("source", REMOTE),
        ("owner", STRING),
        ("permissions", STRING),
        ("encoding", Shape(&[Type(Types::STR), Enum(ENCODINGS)])),
        ("append", BOOLEAN),
        ("defer", BOOLEAN),
    ]),
]);

pub(crate) const MODULE: Module =
    Module::new("write_files", &[("write_files", Shape(&[Type(Types::LIST), Items(FILE), MinItems(1)]))]);
