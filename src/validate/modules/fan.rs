//! `cc_fan`: Ubuntu's fan networking.

use super::Module;
use crate::validate::shape::Keyword::{Closed, Properties, Required, Type};
use crate::validate::shape::{STRING, Shape, Types};

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
