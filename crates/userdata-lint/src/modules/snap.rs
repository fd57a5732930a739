//! `cc_snap`: Snaps: assertions and commands.

use super::Module;
use crate::shape::Keyword::{Additional, Closed, Items, MinItems, MinProperties, Properties, Type, Unique};
use crate::shape::{COMMAND_TEXT_FIRST, STRING, Shape, Types};

const ASSERTIONS: Shape = Shape(&[
    Type(Types::MAP.or(Types::LIST)),
    Items(STRING),
    MinItems(1),
    MinProperties(1),
    Unique,
    Additional(STRING),
]);

const COMMANDS: Shape = Shape(&[
    Type(Types::MAP.or(Types::LIST)),
    Items(COMMAND_TEXT_FIRST),
    MinItems(1),
    MinProperties(1),
    Additional(COMMAND_TEXT_FIRST),
]);

pub(crate) const MODULE: Module = Module::new(
    "snap",
    &[(
        "snap",
        Shape(&[
            Type(Types::MAP),
            MinProperties(1),
            Closed,
            Properties(&[("assertions", ASSERTIONS), ("commands", COMMANDS)]),
        ]),
    )],
);
