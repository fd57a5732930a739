//! `cc_ca_certs`: Certificate authorities that the machine trusts.

use super::Module;
use crate::shape::Keyword::{Also, Closed, MinProperties, Properties, Type};
use crate::shape::{BOOLEAN, SOME_STRINGS, Shape, Types, renamed};

const CERTIFICATES: Shape = Shape(&[
    Type(Types::MAP),
    Closed,
    Properties(&[
        ("remove-defaults", Shape(&[Type(Types::BOOL), renamed("22.3", "remove_defaults")])),
        ("remove_defaults", BOOLEAN),
        ("trusted", SOME_STRINGS),
    ]),
    MinProperties(1),
]);

pub(crate) const MODULE: Module = Module::new(
    "ca_certs",
    &[("ca_certs", CERTIFICATES), ("ca-certs", Shape(&[Also(CERTIFICATES), renamed("22.3", "ca_certs")]))],
);
