//! Modules that only Ubuntu has.

use super::V25_1;
use crate::shape::Keyword::{Also, Closed, From, Properties, Required, Since, Type};
use crate::shape::{BOOLEAN, INTEGER, STRING, STRING_OR_NULL, STRINGS, Shape, Types, renamed};

pub(super) const KEYS: &[(&str, Shape)] = &[
    // `cc_ubuntu_autoinstall`: Answers for the installer.
    ("autoinstall", Shape(&[Type(Types::MAP), Properties(&[("version", INTEGER)]), Required(&["version"])])),
    // `cc_ubuntu_drivers`: Drivers from Ubuntu's archive.
    (
        "drivers",
        Shape(&[
            Type(Types::MAP),
            Closed,
            Properties(&[(
                "nvidia",
                Shape(&[
                    Type(Types::MAP),
                    Required(&["license-accepted"]),
                    Closed,
                    Properties(&[("license-accepted", BOOLEAN), ("version", STRING)]),
                ]),
            )]),
        ]),
    ),
    // `cc_ubuntu_pro`: Ubuntu Pro.
    ("ubuntu_pro", Shape(&[Since(V25_1), Also(PRO)])),
    ("ubuntu_advantage", Shape(&[Also(PRO), From(V25_1, &renamed("24.1", "ubuntu_pro"))])),
];

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
