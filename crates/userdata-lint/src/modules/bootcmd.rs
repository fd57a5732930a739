//! `cc_bootcmd`: Commands that run early, on every boot.

use super::Module;
use crate::content;
use crate::shape::Keyword::{Items, MinItems, Type};
use crate::shape::{COMMAND, Shape, Types};

pub(crate) const MODULE: Module =
    Module::new("bootcmd", &[("bootcmd", Shape(&[Type(Types::LIST), Items(COMMAND), MinItems(1)]))])
        .with_lint(content::bootcmd);
