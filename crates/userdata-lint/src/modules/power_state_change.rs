//! `cc_power_state_change`: Off, reboot or halt when everything is done.

use super::Module;
use crate::pattern::MINUTES;
use crate::shape::Keyword::{Closed, Enum, Matches, Minimum, OneOf, Properties, Required, Type};
use crate::shape::{BOOLEAN, INTEGER, LIST, Literal, STRING, Shape, Types, changed};

const DELAY: Shape = Shape(&[OneOf(&[
    Shape(&[Type(Types::INT), Minimum(0)]),
    Shape(&[
        Type(Types::STR),
        Matches(MINUTES),
        changed("22.3", "write the minutes as an integer without quotes, or `now`"),
    ]),
    Shape(&[Enum(&[Literal::Str("now")])]),
])]);

pub(crate) const MODULE: Module = Module::new(
    "power_state_change",
    &[(
        "power_state",
        Shape(&[
            Type(Types::MAP),
            Required(&["mode"]),
            Closed,
            Properties(&[
                ("delay", DELAY),
                (
                    "mode",
                    Shape(&[
                        Type(Types::STR),
                        Enum(&[Literal::Str("poweroff"), Literal::Str("reboot"), Literal::Str("halt")]),
                    ]),
                ),
                ("message", STRING),
                ("timeout", INTEGER),
                ("condition", Shape(&[OneOf(&[STRING, BOOLEAN, LIST])])),
            ]),
        ]),
    )],
);
