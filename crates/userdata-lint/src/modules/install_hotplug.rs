//! `cc_install_hotplug`: What happens when a network device appears later.

use super::Module;
use crate::shape::Keyword::{Closed, Enum, Items, Properties, Required, Type};
use crate::shape::{Literal, Shape, Types};

const EVENTS: &[Literal] =
    &[Literal::Str("boot-new-instance"), Literal::Str("boot-legacy"), Literal::Str("boot"), Literal::Str("hotplug")];

pub(crate) const MODULE: Module = Module::new(
    "install_hotplug",
    &[(
        "updates",
        Shape(&[
            Type(Types::MAP),
            Closed,
            Properties(&[(
                "network",
                Shape(&[
                    Type(Types::MAP),
                    Required(&["when"]),
                    Closed,
                    Properties(&[(
                        "when",
                        Shape(&[Type(Types::LIST), Items(Shape(&[Type(Types::STR), Enum(EVENTS)]))]),
                    )]),
                ]),
            )]),
        ]),
    )],
);
