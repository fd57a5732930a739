//! `cc_set_passwords`: Passwords, and whether SSH takes them.

use super::Module;
use crate::pattern::NAME_AND_PASSWORD;
use crate::shape::Keyword::{AnyOf, Closed, Enum, Items, Matches, MinItems, OneOf, Properties, Required, Type};
use crate::shape::{BOOLEAN, Literal, STRING, Shape, Types, changed, renamed};

const RANDOM: Shape = Shape(&[
    Required(&["name", "type"]),
    Closed,
    Properties(&[("name", STRING), ("type", Shape(&[Enum(&[Literal::Str("RANDOM")]), Type(Types::STR)]))]),
]);

const GIVEN: Shape = Shape(&[
    Required(&["name", "password"]),
    Closed,
    Properties(&[
        ("name", STRING),
        ("type", Shape(&[Enum(&[Literal::Str("hash"), Literal::Str("text")]), Type(Types::STR)])),
        ("password", STRING),
    ]),
]);

const CHPASSWD: Shape = Shape(&[
    Type(Types::MAP),
    Closed,
    Properties(&[
        ("expire", BOOLEAN),
        ("users", Shape(&[Type(Types::LIST), Items(Shape(&[MinItems(1), Type(Types::MAP), AnyOf(&[RANDOM, GIVEN])]))])),
        (
            "list",
            Shape(&[
                OneOf(&[
                    STRING,
                    Shape(&[Type(Types::LIST), Items(Shape(&[Type(Types::STR), Matches(NAME_AND_PASSWORD)]))]),
                ]),
                MinItems(1),
                renamed("22.2", "users"),
            ]),
        ),
    ]),
]);

pub(crate) const MODULE: Module = Module::new(
    "set_passwords",
    &[
        (
            "ssh_pwauth",
            Shape(&[OneOf(&[
                BOOLEAN,
                Shape(&[Type(Types::STR), changed("22.3", "write `true` or `false` without quotes")]),
            ])]),
        ),
        ("chpasswd", CHPASSWD),
        ("password", STRING),
    ],
);
