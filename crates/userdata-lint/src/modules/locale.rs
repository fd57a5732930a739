//! `cc_locale`: The system's language.

use super::Module;
use crate::modules::V25_1;
use crate::shape::Keyword::{Before, From, OneOf, Type};
use crate::shape::{BOOLEAN, STRING, Shape, Types};

pub(crate) const MODULE: Module = Module::new(
    "locale",
    &[
        ("locale", Shape(&[Before(V25_1, &Type(Types::STR)), From(V25_1, &OneOf(&[BOOLEAN, STRING]))])),
        ("locale_configfile", STRING),
    ],
);
