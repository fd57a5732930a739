//! `cc_users_groups`: Users and groups.

use super::Module;
use crate::content;
use crate::modules::V25_1;
use crate::pattern::NOT_EMPTY;
use crate::shape::Keyword::{
    Also, Before, Closed, Date, From, Items, MinItems, OneOf, PatternProperties, Properties, Required, Since, Type,
};
use crate::shape::{
    BOOLEAN, INTEGER, SOME_STRINGS, STRING, STRING_OR_NULL, STRINGS, Shape, Types, changed, deprecated, renamed,
};

const GROUPS: Shape = Shape(&[OneOf(&[
    STRING,
    SOME_STRINGS,
    Shape(&[
        Type(Types::MAP),
        PatternProperties(
            NOT_EMPTY,
            Shape(&[deprecated("23.1", "write the groups as a list of names"), Type(Types::NULL), MinItems(1)]),
        ),
    ]),
])]);

const SUDO: Shape = Shape(&[
    Before(
        V25_1,
        &OneOf(&[STRING_OR_NULL, Shape(&[Type(Types::BOOL), changed("22.2", "write `null` instead of `false`")])]),
    ),
    From(
        V25_1,
        &OneOf(&[
            STRING_OR_NULL,
            Shape(&[Type(Types::LIST), Items(STRING_OR_NULL)]),
            Shape(&[Type(Types::BOOL), changed("22.2", "write `null` instead of `false`")]),
        ]),
    ),
]);

const USER: Shape = Shape(&[
    OneOf(&[Shape(&[Required(&["name"])]), Shape(&[Required(&["snapuser"])])]),
    Closed,
    Properties(&[
        ("name", STRING),
        ("doas", Shape(&[Since(V25_1), Type(Types::LIST), Items(STRING), MinItems(1)])),
        ("expiredate", Shape(&[Type(Types::STR), Date])),
        ("gecos", STRING),
        ("groups", GROUPS),
        ("homedir", STRING),
        ("inactive", STRING),
        ("lock-passwd", Shape(&[Type(Types::BOOL), renamed("22.3", "lock_passwd")])),
        ("lock_passwd", BOOLEAN),
        ("no-create-home", Shape(&[Since(V25_1), Type(Types::BOOL), renamed("24.2", "no_create_home")])),
        ("no_create_home", BOOLEAN),
        ("no-log-init", Shape(&[Since(V25_1), Type(Types::BOOL), renamed("24.2", "no_log_init")])),
        ("no_log_init", BOOLEAN),
        ("no-user-group", Shape(&[Since(V25_1), Type(Types::BOOL), renamed("24.2", "no_user_group")])),
        ("no_user_group", BOOLEAN),
        ("passwd", STRING),
        ("hashed-passwd", Shape(&[Since(V25_1), Type(Types::STR), renamed("24.2", "hashed_passwd")])),
        ("hashed_passwd", STRING),
        ("plain-text-passwd", Shape(&[Since(V25_1), Type(Types::STR), renamed("24.2", "plain_text_passwd")])),
        ("plain_text_passwd", STRING),
        ("create-groups", Shape(&[Since(V25_1), Type(Types::BOOL), renamed("24.2", "create_groups")])),
        ("create_groups", BOOLEAN),
        ("primary-group", Shape(&[Since(V25_1), Type(Types::STR), renamed("24.2", "primary_group")])),
        ("primary_group", STRING),
        ("selinux-user", Shape(&[Since(V25_1), Type(Types::STR), renamed("24.2", "selinux_user")])),
        ("selinux_user", STRING),
        ("shell", STRING),
        ("snapuser", STRING),
        ("ssh_authorized_keys", SOME_STRINGS),
        (
            "ssh-authorized-keys",
            Shape(&[
                Since(V25_1),
                Type(Types::LIST),
                Items(STRING),
                MinItems(1),
                renamed("18.3", "ssh_authorized_keys"),
            ]),
        ),
        (
            "ssh-import-id",
            Shape(&[Since(V25_1), Type(Types::LIST), Items(STRING), MinItems(1), renamed("24.2", "ssh_import_id")]),
        ),
        ("ssh_import_id", SOME_STRINGS),
        ("ssh-redirect-user", Shape(&[Since(V25_1), Type(Types::BOOL), renamed("24.2", "ssh_redirect_user")])),
        ("ssh_redirect_user", BOOLEAN),
        ("system", BOOLEAN),
        ("sudo", SUDO),
        (
            "uid",
            Shape(&[OneOf(&[INTEGER, Shape(&[Type(Types::STR), changed("22.3", "write the number without quotes")])])]),
        ),
    ]),
]);

const MEMBERS: Shape = Shape(&[
    Closed,
    PatternProperties(NOT_EMPTY, Shape(&[Type(Types::STR.or(Types::LIST)), Items(STRING), MinItems(1)])),
]);

const GROUP: Shape = Shape(&[Type(Types::STR.or(Types::MAP)), Also(MEMBERS)]);

const A_USER: Shape = Shape(&[Type(Types::MAP), Also(USER)]);

pub(crate) const MODULE: Module = Module::new(
    "users_groups",
    &[
        ("groups", Shape(&[Type(Types::STR.or(Types::MAP).or(Types::LIST)), Also(MEMBERS), Items(GROUP), MinItems(1)])),
        ("user", Shape(&[OneOf(&[STRING, A_USER])])),
        (
            "users",
            Shape(&[
                Type(Types::STR.or(Types::LIST).or(Types::MAP)),
                Before(V25_1, &MinItems(1)),
                Items(Shape(&[OneOf(&[STRING, STRINGS, A_USER])])),
            ]),
        ),
    ],
)
.with_lint(content::users);
