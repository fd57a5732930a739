//! `cc_update_etc_hosts`: The file /etc/hosts.

use super::Module;
use crate::shape::Keyword::{Enum, OneOf};
use crate::shape::{Literal, Shape, changed};

pub(crate) const MODULE: Module = Module::new(
    "update_etc_hosts",
    &[(
        "manage_etc_hosts",
        Shape(&[OneOf(&[
            Shape(&[Enum(&[Literal::Bool(true), Literal::Bool(false), Literal::Str("localhost")])]),
            Shape(&[Enum(&[Literal::Str("template")]), changed("22.3", "write `true`")]),
        ])]),
    )],
);
