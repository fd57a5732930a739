//! `cc_landscape`: Canonical's Landscape client.

use super::Module;
use crate::modules::V25_1;
use crate::pattern::TAGS;
use crate::shape::Keyword::{Closed, Enum, From, Matches, Properties, Required, Type};
use crate::shape::{Literal, STRING, Shape, Types};

const LEVELS: &[Literal] = &[
    Literal::Str("debug"),
    Literal::Str("info"),
    Literal::Str("warning"),
    Literal::Str("error"),
    Literal::Str("critical"),
];

const CLIENT: Shape = Shape(&[
    Type(Types::MAP),
    From(V25_1, &Required(&["account_name", "computer_title"])),
    Properties(&[
        ("url", STRING),
        ("ping_url", STRING),
        ("data_path", STRING),
        ("log_level", Shape(&[Type(Types::STR), Enum(LEVELS)])),
        ("computer_title", STRING),
        ("account_name", STRING),
        ("registration_key", STRING),
        ("tags", Shape(&[Type(Types::STR), Matches(TAGS)])),
        ("http_proxy", STRING),
        ("https_proxy", STRING),
    ]),
]);

pub(crate) const MODULE: Module = Module::new(
    "landscape",
    &[("landscape", Shape(&[Type(Types::MAP), Required(&["client"]), Closed, Properties(&[("client", CLIENT)])]))],
);
