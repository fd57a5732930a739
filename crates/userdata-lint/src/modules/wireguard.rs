//! `cc_wireguard`: WireGuard's interfaces.

use super::Module;
use crate::shape::Keyword::{Closed, Items, MinItems, MinProperties, Properties, Required, Type};
use crate::shape::{STRING, Shape, Types, UNIQUE_STRINGS};

const INTERFACE: Shape =
    Shape(&[Type(Types::MAP), Properties(&[("name", STRING), ("config_path", STRING), ("content", STRING)]), Closed]);

pub(crate) const MODULE: Module = Module::new(
    "wireguard",
    &[(
        "wireguard",
        Shape(&[
            Type(Types::NULL.or(Types::MAP)),
            Properties(&[
                ("interfaces", Shape(&[Type(Types::LIST), Items(INTERFACE), MinItems(1)])),
                ("readinessprobe", UNIQUE_STRINGS),
            ]),
            Required(&["interfaces"]),
            MinProperties(1),
            Closed,
        ]),
    )],
);
