//! `cc_mcollective`: MCollective, configured.

use super::Module;
use crate::pattern::NOT_EMPTY;
use crate::shape::Keyword::{Closed, OneOf, PatternProperties, Properties, Type};
use crate::shape::{BOOLEAN, INTEGER, STRING, Shape, Types};

const SETTING: Shape = Shape(&[OneOf(&[BOOLEAN, INTEGER, STRING])]);

const CONF: Shape = Shape(&[
    Type(Types::MAP),
    Closed,
    Properties(&[("public-cert", STRING), ("private-cert", STRING)]),
    PatternProperties(NOT_EMPTY, SETTING),
]);

pub(crate) const MODULE: Module =
    Module::new("mcollective", &[("mcollective", Shape(&[Type(Types::MAP), Closed, Properties(&[("conf", CONF)])]))]);
