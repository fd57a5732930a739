//! `cc_output_and_reporting`: Where cloud-init's own output and events go (no module of its own).

use super::Module;
use crate::modules::V25_1;
use crate::pattern::NOT_EMPTY;
use crate::shape::Keyword::{
    Also, Closed, Enum, From, Items, MaxItems, MinItems, Minimum, OneOf, PatternProperties, Properties, Required, Type,
};
use crate::shape::{Literal, STRING, STRINGS, Shape, Types};

const STREAM: Shape = Shape(&[OneOf(&[
    STRING,
    Shape(&[Type(Types::LIST), Items(STRING), MinItems(2), MaxItems(2)]),
    Shape(&[Type(Types::MAP), Closed, Properties(&[("output", STRING), ("error", STRING)])]),
])]);

const OUTPUT: Shape = Shape(&[
    Type(Types::MAP),
    Closed,
    Properties(&[("all", STREAM), ("init", STREAM), ("config", STREAM), ("final", STREAM)]),
]);

const LEVELS: &[Literal] =
    &[Literal::Str("DEBUG"), Literal::Str("INFO"), Literal::Str("WARN"), Literal::Str("ERROR"), Literal::Str("FATAL")];

const LOG: Shape = Shape(&[
    Closed,
    Required(&["type"]),
    Properties(&[
        ("type", Shape(&[Type(Types::STR), Enum(&[Literal::Str("log")])])),
        ("level", Shape(&[Type(Types::STR), Enum(LEVELS)])),
    ]),
]);

const PRINT: Shape = Shape(&[
    Closed,
    Required(&["type"]),
    Properties(&[("type", Shape(&[Type(Types::STR), Enum(&[Literal::Str("print")])]))]),
]);

const WEBHOOK: Shape = Shape(&[
    Closed,
    Required(&["type", "endpoint"]),
    Properties(&[
        ("type", Shape(&[Type(Types::STR), Enum(&[Literal::Str("webhook")])])),
        ("endpoint", STRING),
        ("consumer_key", STRING),
        ("token_key", STRING),
        ("token_secret", STRING),
        ("consumer_secret", STRING),
        ("timeout", Shape(&[Type(Types::NUMBER), Minimum(0)])),
        ("retries", Shape(&[Type(Types::INT), Minimum(0)])),
    ]),
]);

const HYPERV: Shape = Shape(&[
    Closed,
    Required(&["type"]),
    Properties(&[
        ("type", Shape(&[Type(Types::STR), Enum(&[Literal::Str("hyperv")])])),
        ("kvp_file_path", STRING),
        ("event_types", STRINGS),
    ]),
]);

const REPORTING: Shape = Shape(&[
    Type(Types::MAP),
    Closed,
    PatternProperties(NOT_EMPTY, Shape(&[Type(Types::MAP), OneOf(&[LOG, PRINT, WEBHOOK, HYPERV])])),
]);

pub(crate) const MODULE: Module =
    Module::new("output_and_reporting", &[("output", Shape(&[From(V25_1, &Also(OUTPUT))])), ("reporting", REPORTING)]);
