//! `cc_ubuntu_autoinstall`: The installer's answers, carried along.

use super::Module;
use crate::shape::Keyword::{Properties, Required, Type};
use crate::shape::{INTEGER, Shape, Types};

pub(crate) const MODULE: Module = Module::new(
    "ubuntu_autoinstall",
    &[("autoinstall", Shape(&[Type(Types::MAP), Properties(&[("version", INTEGER)]), Required(&["version"])]))],
);
