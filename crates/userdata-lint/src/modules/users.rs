//! Users, groups, passwords and SSH.

use super::V25_1;
use crate::pattern::{HOST_KEY, HOST_KEY_WITH_DSA, NAME_AND_PASSWORD, NOT_EMPTY};
use crate::shape::Keyword::{
    Also, AnyOf, Before, Closed, Date, Enum, From, Items, Matches, MinItems, OneOf, PatternProperties, Properties,
    Required, Since, Type,
};
use crate::shape::{
    BOOLEAN, INTEGER, Literal, SOME_STRINGS, STRING, STRING_OR_NULL, STRINGS, Shape, Types, UNIQUE_STRINGS, changed,
    deprecated, renamed, words,
};

pub(super) const KEYS: &[(&str, Shape)] = &[
    // `cc_users_groups`: Users and groups.
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
    // `cc_set_passwords`: Passwords, and whether SSH accepts them.
    (
        "ssh_pwauth",
        Shape(&[OneOf(&[
            BOOLEAN,
            Shape(&[Type(Types::STR), changed("22.3", "write `true` or `false` without quotes")]),
        ])]),
    ),
    ("chpasswd", CHPASSWD),
    ("password", STRING),
    // `cc_ssh`: The SSH server's keys, and who may log in.
    // Only recent versions reject DSA keys.
    ("ssh_keys", Shape(&[Before(V25_1, &Also(HOST_KEYS_WITH_DSA)), From(V25_1, &Also(HOST_KEYS))])),
    ("ssh_authorized_keys", Shape(&[Type(Types::LIST), MinItems(1), Items(STRING)])),
    ("ssh_deletekeys", BOOLEAN),
    (
        "ssh_genkeytypes",
        Shape(&[
            Type(Types::LIST),
            MinItems(1),
            Items(Shape(&[Type(Types::STR), Before(V25_1, &Enum(KINDS_WITH_DSA)), From(V25_1, &Enum(KINDS))])),
        ]),
    ),
    ("disable_root", BOOLEAN),
    ("disable_root_opts", STRING),
    ("allow_public_ssh_keys", BOOLEAN),
    ("ssh_quiet_keygen", BOOLEAN),
    (
        "ssh_publish_hostkeys",
        Shape(&[Type(Types::MAP), Closed, Properties(&[("enabled", BOOLEAN), ("blacklist", STRINGS)])]),
    ),
    // `cc_ssh_authkey_fingerprints`: Fingerprints of the users' keys on the console.
    ("no_ssh_fingerprints", BOOLEAN),
    ("authkey_hash", STRING),
    // `cc_ssh_import_id`: Users' keys from a public service.
    ("ssh_import_id", STRINGS),
    // `cc_keys_to_console`: Which host keys are shown on the console.
    (
        "ssh",
        Shape(&[
            Type(Types::MAP),
            Closed,
            Properties(&[("emit_keys_to_console", BOOLEAN)]),
            Required(&["emit_keys_to_console"]),
        ]),
    ),
    ("ssh_key_console_blacklist", UNIQUE_STRINGS),
    ("ssh_fp_console_blacklist", UNIQUE_STRINGS),
];

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

const RANDOM: Shape = Shape(&[
    Required(&["name", "type"]),
    Closed,
    Properties(&[("name", STRING), ("type", Shape(&[Enum(&words(["RANDOM"])), Type(Types::STR)]))]),
]);

const GIVEN: Shape = Shape(&[
    Required(&["name", "password"]),
    Closed,
    Properties(&[
        ("name", STRING),
        ("type", Shape(&[Enum(&words(["hash", "text"])), Type(Types::STR)])),
        ("password", STRING),
    ]),
]);

const CHPASSWD: Shape = Shape(&[
    Type(Types::MAP),
    Closed,
    Properties(&[
        ("expire", BOOLEAN),
        ("users", Shape(&[Type(Types::LIST), Items(Shape(&[MinItems(1), Type(Types::MAP), AnyOf(&[RANDOM, GIVEN])]))])),
        (
            "list",
            Shape(&[
                OneOf(&[
                    STRING,
                    Shape(&[Type(Types::LIST), Items(Shape(&[Type(Types::STR), Matches(NAME_AND_PASSWORD)]))]),
                ]),
                MinItems(1),
                renamed("22.2", "users"),
            ]),
        ),
    ]),
]);

const HOST_KEYS: Shape = Shape(&[Type(Types::MAP), Closed, PatternProperties(HOST_KEY, STRING)]);

const HOST_KEYS_WITH_DSA: Shape = Shape(&[Type(Types::MAP), Closed, PatternProperties(HOST_KEY_WITH_DSA, STRING)]);

const KINDS: &[Literal] = &words(["ecdsa", "ed25519", "rsa"]);

const KINDS_WITH_DSA: &[Literal] = &words(["dsa", "ecdsa", "ed25519", "rsa"]);
