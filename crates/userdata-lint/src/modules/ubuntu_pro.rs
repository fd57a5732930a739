//! `cc_ubuntu_pro`: Ubuntu Pro.

use super::Module;
use crate::modules::V25_1;
use crate::shape::Keyword::{Also, Closed, From, Properties, Since, Type};
use crate::shape::{BOOLEAN, STRING, STRING_OR_NULL, STRINGS, Shape, Types, renamed};

const CONFIG: Shape = Shape(&[
    Type(Types::MAP),
    Properties(&[
        ("http_proxy", STRING_OR_NULL),
        ("https_proxy", STRING_OR_NULL),
        ("global_apt_http_proxy", STRING_OR_NULL),
        ("global_apt_https_proxy", STRING_OR_NULL),
        ("ua_apt_http_proxy", STRING_OR_NULL),
        ("ua_apt_https_proxy", STRING_OR_NULL),
    ]),
]);

const PRO: Shape = Shape(&[
    Type(Types::MAP),
    Closed,
    Properties(&[
        ("enable", STRINGS),
        ("enable_beta", STRINGS),
        ("token", STRING),
        ("features", Shape(&[Type(Types::MAP), Closed, Properties(&[("disable_auto_attach", BOOLEAN)])])),
        ("config", CONFIG),
    ]),
]);

pub(crate) const MODULE: Module = Module::new(
    "ubuntu_pro",
    &[
        ("ubuntu_pro", Shape(&[Since(V25_1), Also(PRO)])),
        ("ubuntu_advantage", Shape(&[Also(PRO), From(V25_1, &renamed("24.1", "ubuntu_pro"))])),
    ],
);
