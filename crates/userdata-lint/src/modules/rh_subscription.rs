//! `cc_rh_subscription`: Red Hat's subscription manager.

use super::Module;
use crate::modules::{V25_1, V25_3};
use crate::shape::Keyword::{Before, Closed, From, Items, NotTogether, OneOf, Properties, Since, Type};
use crate::shape::{STRING, Shape, Types, deprecated, renamed};

const REGISTRATION: Shape = Shape(&[
    Type(Types::MAP),
    Closed,
    Properties(&[
        ("username", STRING),
        ("password", STRING),
        ("activation_key", Shape(&[Since(V25_3), Type(Types::STR)])),
        ("activation-key", Shape(&[Type(Types::STR), From(V25_3, &renamed("25.3", "activation_key"))])),
        (
            "org",
            Shape(&[
                Before(V25_1, &Type(Types::INT)),
                From(
                    V25_1,
                    &OneOf(&[
                        STRING,
                        Shape(&[Type(Types::INT), deprecated("24.2", "put it in quotes: it is to be a string")]),
                    ]),
                ),
            ]),
        ),
        ("auto_attach", Shape(&[Since(V25_3), Type(Types::BOOL)])),
        ("auto-attach", Shape(&[Type(Types::BOOL), From(V25_3, &renamed("25.3", "auto_attach"))])),
        ("service_level", Shape(&[Since(V25_3), Type(Types::STR)])),
        ("service-level", Shape(&[Type(Types::STR), From(V25_3, &renamed("25.3", "service_level"))])),
        ("add_pool", Shape(&[Since(V25_3), Type(Types::LIST), Items(STRING)])),
        ("add-pool", Shape(&[Type(Types::LIST), Items(STRING), From(V25_3, &renamed("25.3", "add_pool"))])),
        ("enable_repo", Shape(&[Since(V25_3), Type(Types::LIST), Items(STRING)])),
        ("enable-repo", Shape(&[Type(Types::LIST), Items(STRING), From(V25_3, &renamed("25.3", "enable_repo"))])),
        ("disable_repo", Shape(&[Since(V25_3), Type(Types::LIST), Items(STRING)])),
        ("disable-repo", Shape(&[Type(Types::LIST), Items(STRING), From(V25_3, &renamed("25.3", "disable_repo"))])),
        ("release_version", Shape(&[Since(V25_3), Type(Types::STR)])),
        ("rhsm_baseurl", Shape(&[Since(V25_3), Type(Types::STR)])),
        ("rhsm-baseurl", Shape(&[Type(Types::STR), From(V25_3, &renamed("25.3", "rhsm_baseurl"))])),
        ("server_hostname", Shape(&[Since(V25_3), Type(Types::STR)])),
        ("server-hostname", Shape(&[Type(Types::STR), From(V25_3, &renamed("25.3", "server_hostname"))])),
    ]),
    From(V25_3, &NotTogether("activation_key", "activation-key")),
    From(V25_3, &NotTogether("auto_attach", "auto-attach")),
    From(V25_3, &NotTogether("service_level", "service-level")),
    From(V25_3, &NotTogether("add_pool", "add-pool")),
    From(V25_3, &NotTogether("enable_repo", "enable-repo")),
    From(V25_3, &NotTogether("disable_repo", "disable-repo")),
    From(V25_3, &NotTogether("rhsm_baseurl", "rhsm-baseurl")),
    From(V25_3, &NotTogether("server_hostname", "server-hostname")),
]);

pub(crate) const MODULE: Module = Module::new("rh_subscription", &[("rh_subscription", REGISTRATION)]);
