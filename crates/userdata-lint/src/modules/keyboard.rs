//! `cc_keyboard`: The keyboard's layout.

use super::Module;
use crate::shape::Keyword::{Closed, Properties, Required, Type};
use crate::shape::{STRING, Shape, Types};

pub(crate) const MODULE: Module = Module::new(
    "keyboard",
    &[(
        "keyboard",
        Shape(&[
            Type(Types::MAP),
            Closed,
            Properties(&[("layout", STRING), ("model", STRING), ("variant", STRING), ("options", STRING)]),
            Required(&["layout"]),
        ]),
    )],
);
