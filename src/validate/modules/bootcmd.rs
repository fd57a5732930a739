//! `cc_bootcmd`: Commands that run early, on every boot.

use super::Module;
use crate::validate::content;
use crate::validate::shape::Keyword::{Items, MinItems, Type};
use crate::validate::shape::{COMMAND, Shape, Types};

pub(crate) const MODULE: Module =
    Module::new("bootcmd", &[("bootcmd", Shape(&[Type(Types::LIST), Items(COMMAND), MinItems(1)]))])
        .with_lint(content::bootcmd);
