//! `cc_resizefs`: The root file system grows to the size of its partition.

use super::Module;
use crate::shape::Keyword::Enum;
use crate::shape::{Literal, Shape};

pub(crate) const MODULE: Module = Module::new(
    "resizefs",
    &[("resize_rootfs", Shape(&[Enum(&[Literal::Bool(true), Literal::Bool(false), Literal::Str("noblock")])]))],
);
