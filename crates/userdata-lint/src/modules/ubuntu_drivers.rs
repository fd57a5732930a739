//! `cc_ubuntu_drivers`: Drivers from Ubuntu's archive.

use super::Module;
use crate::shape::Keyword::{Closed, Properties, Required, Type};
use crate::shape::{BOOLEAN, STRING, Shape, Types};

pub(crate) const MODULE: Module = Module::new(
    "ubuntu_drivers",
    &[(
        "drivers",
        Shape(&[
            Type(Types::MAP),
            Closed,
            Properties(&[(
                "nvidia",
                Shape(&[
                    Type(Types::MAP),
                    Required(&["license-accepted"]),
                    Closed,
                    Properties(&[("license-accepted", BOOLEAN), ("version", STRING)]),
                ]),
            )]),
        ]),
    )],
);
