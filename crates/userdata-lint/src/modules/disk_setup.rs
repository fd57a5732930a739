//! `cc_disk_setup`: Partitions and file systems.

use super::Module;
use crate::modules::V25_1;
use crate::pattern::NOT_EMPTY;
use crate::shape::Keyword::{
    AnyOf, Before, Closed, Enum, From, Items, MaxItems, MinItems, OneOf, PatternProperties, Properties, Type,
};
use crate::shape::{BOOLEAN, INTEGER, Literal, STRING, Shape, Types};

const PARTITION: Shape = Shape(&[OneOf(&[
    INTEGER,
    Shape(&[
        Type(Types::LIST),
        Before(V25_1, &Items(INTEGER)),
        From(V25_1, &Items(Shape(&[AnyOf(&[INTEGER, STRING])]))),
        MinItems(2),
        MaxItems(2),
    ]),
])]);

const DISK: Shape = Shape(&[
    Type(Types::MAP),
    Closed,
    Properties(&[
        ("table_type", Shape(&[Type(Types::STR), Enum(&[Literal::Str("mbr"), Literal::Str("gpt")])])),
        (
            "layout",
            Shape(&[OneOf(&[
                Shape(&[Type(Types::STR), Enum(&[Literal::Str("remove")])]),
                BOOLEAN,
                Shape(&[Type(Types::LIST), Items(PARTITION)]),
            ])]),
        ),
        ("overwrite", BOOLEAN),
    ]),
]);

const WORDS: Shape = Shape(&[Type(Types::LIST.or(Types::STR)), Items(STRING)]);

const FILE_SYSTEM: Shape = Shape(&[
    Type(Types::MAP),
    Closed,
    Properties(&[
        ("label", STRING),
        ("filesystem", STRING),
        ("device", STRING),
        (
            "partition",
            Shape(&[
                Type(Types::STR.or(Types::INT)),
                // A choice of one: an integer is refused although the type allows it.
                OneOf(&[Shape(&[
                    Type(Types::STR),
                    Enum(&[Literal::Str("auto"), Literal::Str("any"), Literal::Str("none")]),
                ])]),
            ]),
        ),
        ("overwrite", BOOLEAN),
        ("replace_fs", STRING),
        ("extra_opts", WORDS),
        ("cmd", WORDS),
    ]),
]);

pub(crate) const MODULE: Module = Module::new(
    "disk_setup",
    &[
        ("device_aliases", Shape(&[Type(Types::MAP), Closed, PatternProperties(NOT_EMPTY, STRING)])),
        ("disk_setup", Shape(&[Type(Types::MAP), Closed, PatternProperties(NOT_EMPTY, DISK)])),
        ("fs_setup", Shape(&[Type(Types::LIST), Items(FILE_SYSTEM)])),
    ],
);
