//! `cc_spacewalk`: Spacewalk's client.

use super::Module;
use crate::shape::Keyword::{Closed, Properties, Type};
use crate::shape::{STRING, Shape, Types};

pub(crate) const MODULE: Module = Module::new(
    "spacewalk",
    &[(
        "spacewalk",
        Shape(&[
            Type(Types::MAP),
            Closed,
            Properties(&[("server", STRING), ("proxy", STRING), ("activation_key", STRING)]),
        ]),
    )],
);
