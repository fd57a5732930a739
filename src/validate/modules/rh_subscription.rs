//! `cc_rh_subscription`: Red Hat's subscription manager.

use super::Module;
use crate::validate::modules::V23_1;
use crate::validate::shape::Keyword::{Before, Closed, From, Items, NotTogether, OneOf, Properties, Since, Type};
use crate::validate::shape::{STRING, Shape, Types, deprecated, renamed};

const REGISTRATION: Shape = Shape(&[
    Type(Types::MAP),
    Closed,
    Properties(&[
        ("username", STRING),
        ("password", STRING),
        ("activation_key", Shape(&[Since(V23_1), Type(Types::STR)])),
        ("activation-key", Shape(&[Type(Types::STR), From(V23_1, &renamed("25.3", "activation_key"))])),
        (
            "org",
            Shape(&[
                Before(V23_1, &Type(Types::INT)),
                From(
                    V23_1,
                    &OneOf(&[
                        STRING,
                        Shape(&[Type(Types::INT), deprecated("24.2", "put it in quotes: it is to be a string")]),
                    ]),
                ),
            ]),
        ),
        ("auto_attach", Shape(&[Since(V23_1), Type(Types::BOOL)])),
        ("auto-attach", Shape(&[Type(Types::BOOL), From(V23_1, &renamed("25.3", "auto_attach"))])),
        ("service_level", Shape(&[Since(V23_1), Type(Types::STR)])),
        ("service-level", Shape(&[Type(Types::STR), From(V23_1, &renamed("25.3", "service_level"))])),
        ("add_pool", Shape(&[Since(V23_1), Type(Types::LIST), Items(STRING)])),
        ("add-pool", Shape(&[Type(Types::LIST), Items(STRING), From(V23_1, &renamed("25.3", "add_pool"))])),
        ("enable_repo", Shape(&[Since(V23_1), Type(Types::LIST), Items(STRING)])),
        ("enable-repo", Shape(&[Type(Types::LIST), Items(STRING), From(V23_1, &renamed("25.3", "enable_repo"))])),
        ("disable_repo", Shape(&[Since(V23_1), Type(Types::LIST), Items(STRING)])),
        ("disable-repo", Shape(&[Type(Types::LIST), Items(STRING), From(V23_1, &renamed("25.3", "disable_repo"))])),
        ("release_version", Shape(&[Since(V23_1), Type(Types::STR)])),
        ("rhsm_baseurl", Shape(&[Since(V23_1), Type(Types::STR)])),
        ("rhsm-baseurl", Shape(&[Type(Types::STR), From(V23_1, &renamed("25.3", "rhsm_baseurl"))])),
        ("server_hostname", Shape(&[Since(V23_1), Type(Types::STR)])),
        ("server-hostname", Shape(&[Type(Types::STR), From(V23_1, &renamed("25.3", "server_hostname"))])),
    ]),
    From(V23_1, &NotTogether("activation_key", "activation-key")),
    From(V23_1, &NotTogether("auto_attach", "auto-attach")),
    From(V23_1, &NotTogether("service_level", "service-level")),
    From(V23_1, &NotTogether("add_pool", "add-pool")),
    From(V23_1, &NotTogether("enable_repo", "enable-repo")),
    From(V23_1, &NotTogether("disable_repo", "disable-repo")),
    From(V23_1, &NotTogether("rhsm_baseurl", "rhsm-baseurl")),
    From(V23_1, &NotTogether("server_hostname", "server-hostname")),
]);

pub(crate) const MODULE: Module = Module::new("rh_subscription", &[("rh_subscription", REGISTRATION)]);
