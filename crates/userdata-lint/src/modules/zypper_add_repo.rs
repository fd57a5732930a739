//! `cc_zypper_add_repo`: zypper's repositories.

use super::Module;
use crate::shape::Keyword::{Items, MinItems, MinProperties, Properties, Required, Type};
use crate::shape::{MAPPING, STRING, Shape, Types};

pub(crate) const MODULE: Module = Module::new(
    "zypper_add_repo",
    &[(
        "zypper",
        Shape(&[
            Type(Types::MAP),
            MinProperties(1),
            Properties(&[
                (
                    "repos",
                    Shape(&[
                        Type(Types::LIST),
                        Items(Shape(&[
                            Type(Types::MAP),
                            Properties(&[("id", STRING), ("baseurl", STRING)]),
                            Required(&["id", "baseurl"]),
                        ])),
                        MinItems(1),
                    ]),
                ),
                ("config", MAPPING),
            ]),
        ]),
    )],
);
