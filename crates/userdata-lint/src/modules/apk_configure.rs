//! `cc_apk_configure`: Alpine's package repositories.

use super::Module;
use crate::shape::Keyword::{Closed, MinProperties, Properties, Required, Type};
use crate::shape::{BOOLEAN, STRING, Shape, Types};

const ALPINE: Shape = Shape(&[
    Type(Types::MAP.or(Types::NULL)),
    Closed,
    Properties(&[
        ("base_url", STRING),
        ("community_enabled", BOOLEAN),
        ("testing_enabled", BOOLEAN),
        ("version", STRING),
    ]),
    Required(&["version"]),
    MinProperties(1),
]);

pub(crate) const MODULE: Module = Module::new(
    "apk_configure",
    &[(
        "apk_repos",
        Shape(&[
            Type(Types::MAP),
            MinProperties(1),
            Closed,
            Properties(&[("preserve_repositories", BOOLEAN), ("alpine_repo", ALPINE), ("local_repo_base_url", STRING)]),
        ]),
    )],
);
