//! `cc_runcmd`: Commands that run once, late in the first boot.

use super::Module;
use crate::content;
use crate::shape::Keyword::{Items, MinItems, OneOf, Type};
use crate::shape::{NULL, STRING, STRINGS, Shape, Types};

pub(crate) const MODULE: Module = Module::new(
    "runcmd",
    &[("runcmd", Shape(&[Type(Types::LIST), Items(Shape(&[OneOf(&[STRINGS, STRING, NULL])])), MinItems(1)]))],
)
.with_lint(content::runcmd);
