//! `cc_fan`: Ubuntu's fan networking.

use super::Module;
use crate::shape::Keyword::{Closed, Properties, Required, Type};
use crate::shape::{STRING, Shape, Types};

pub(crate) const MODULE: Module = Module::new(
    "fan",
    &[(
        "fan",
        Shape(&[
            Type(Types::MAP),
            Required(&["config"]),
            Closed,
            Properties(&[("config", STRING), ("config_path", STRING)]),
        ]),
    )],
);
