//! `cc_mounts`: Mounts and swap.

use super::Module;
use crate::pattern::SIZE;
use crate::shape::Keyword::{Closed, Enum, Items, Matches, MaxItems, MinItems, OneOf, Properties, Type};
use crate::shape::{INTEGER, Literal, NULL, STRING, Shape, Types};

const SIZE_TEXT: Shape = Shape(&[Type(Types::STR), Matches(SIZE)]);

const FIELDS: Shape = Shape(&[Type(Types::LIST), Items(STRING), MinItems(1), MaxItems(6)]);

const SWAP: Shape = Shape(&[
    Type(Types::MAP),
    Closed,
    Properties(&[
        ("filename", STRING),
        ("size", Shape(&[OneOf(&[Shape(&[Enum(&[Literal::Str("auto")])]), INTEGER, SIZE_TEXT])])),
        ("maxsize", Shape(&[OneOf(&[INTEGER, SIZE_TEXT])])),
    ]),
]);

pub(crate) const MODULE: Module = Module::new(
    "mounts",
    &[
        ("mounts", Shape(&[Type(Types::LIST), Items(FIELDS), MinItems(1)])),
        (
            "mount_default_fields",
            Shape(&[Type(Types::LIST), Items(Shape(&[OneOf(&[STRING, NULL])])), MinItems(6), MaxItems(6)]),
        ),
        ("swap", SWAP),
    ],
);
