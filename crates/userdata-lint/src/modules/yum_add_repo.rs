//! `cc_yum_add_repo`: yum's repositories.

use super::Module;
use crate::modules::V25_1;
use crate::pattern::{YUM_OPTION, YUM_REPOSITORY};
use crate::shape::Keyword::{
    AnyOf, Before, Closed, From, MinProperties, OneOf, PatternProperties, Properties, Required, Since, Type,
};
use crate::shape::{BOOLEAN, INTEGER, STRING, Shape, Types};

const NEWER_STRING: Shape = Shape(&[Since(V25_1), Type(Types::STR)]);

const SOURCES: &[Shape] =
    &[Shape(&[Required(&["baseurl"])]), Shape(&[Required(&["metalink"])]), Shape(&[Required(&["mirrorlist"])])];

const REPOSITORY: Shape = Shape(&[
    Type(Types::MAP),
    Closed,
    Properties(&[
        ("baseurl", STRING),
        ("metalink", NEWER_STRING),
        ("mirrorlist", NEWER_STRING),
        ("name", STRING),
        ("enabled", BOOLEAN),
    ]),
    PatternProperties(YUM_OPTION, Shape(&[OneOf(&[INTEGER, BOOLEAN, STRING])])),
    Before(V25_1, &Required(&["baseurl"])),
    From(V25_1, &AnyOf(SOURCES)),
]);

pub(crate) const MODULE: Module = Module::new(
    "yum_add_repo",
    &[
        ("yum_repo_dir", STRING),
        (
            "yum_repos",
            Shape(&[Type(Types::MAP), MinProperties(1), Closed, PatternProperties(YUM_REPOSITORY, REPOSITORY)]),
        ),
    ],
);
