//! `cc_ntp`: Time synchronisation.

use super::Module;
use crate::modules::V25_1;
use crate::shape::Keyword::{Closed, Items, MinProperties, Properties, Since, Type, Unique};
use crate::shape::{BOOLEAN, STRING, Shape, Types, UNIQUE_STRINGS};

const CONFIG: Shape = Shape(&[
    Type(Types::MAP),
    MinProperties(1),
    Closed,
    Properties(&[
        ("confpath", STRING),
        ("check_exe", STRING),
        ("packages", UNIQUE_STRINGS),
        ("service_name", STRING),
        ("template", STRING),
    ]),
]);

const NEWER_LIST: Shape = Shape(&[Since(V25_1), Type(Types::LIST), Items(STRING), Unique]);

const NTP: Shape = Shape(&[
    Type(Types::NULL.or(Types::MAP)),
    Closed,
    Properties(&[
        ("pools", UNIQUE_STRINGS),
        ("servers", UNIQUE_STRINGS),
        ("peers", NEWER_LIST),
        ("allow", NEWER_LIST),
        ("ntp_client", STRING),
        ("enabled", BOOLEAN),
        ("config", CONFIG),
    ]),
]);

pub(crate) const MODULE: Module = Module::new("ntp", &[("ntp", NTP)]);
