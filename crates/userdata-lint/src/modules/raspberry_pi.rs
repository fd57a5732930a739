//! `cc_raspberry_pi`: The Raspberry Pi's interfaces.

use super::Module;
use crate::modules::V25_2;
use crate::shape::Keyword::{OneOf, Properties, Since, Type};
use crate::shape::{BOOLEAN, Shape, Types};

const SERIAL: Shape =
    Shape(&[OneOf(&[BOOLEAN, Shape(&[Type(Types::MAP), Properties(&[("console", BOOLEAN), ("hardware", BOOLEAN)])])])]);

pub(crate) const MODULE: Module = Module::new(
    "raspberry_pi",
    &[(
        "rpi",
        Shape(&[
            Since(V25_2),
            Type(Types::MAP),
            Properties(&[
                (
                    "interfaces",
                    Shape(&[
                        Type(Types::MAP),
                        Properties(&[("spi", BOOLEAN), ("i2c", BOOLEAN), ("serial", SERIAL), ("onewire", BOOLEAN)]),
                    ]),
                ),
                ("enable_usb_gadget", BOOLEAN),
            ]),
        ]),
    )],
);
