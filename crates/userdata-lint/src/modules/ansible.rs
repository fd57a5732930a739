//! `cc_ansible`: Ansible, installed and run.

use super::Module;
use crate::modules::{V25_1, V25_2};
use crate::pattern::ONE_LINE;
use crate::shape::Keyword::{
    Also, Before, Closed, Enum, From, Items, Matches, Minimum, OneOf, Properties, Required, Since, Type,
};
use crate::shape::{BOOLEAN, Literal, STRING, Shape, Types, deprecated, renamed};

const PULL: Shape = Shape(&[
    From(
        V25_2,
        &OneOf(&[Shape(&[Required(&["url", "playbook_name"])]), Shape(&[Required(&["url", "playbook_names"])])]),
    ),
    Before(V25_2, &Required(&["url", "playbook_name"])),
    Type(Types::MAP),
    Closed,
    Properties(&[
        ("accept_host_key", BOOLEAN),
        ("clean", BOOLEAN),
        ("full", BOOLEAN),
        ("diff", BOOLEAN),
        ("ssh_common_args", STRING),
        ("scp_extra_args", STRING),
        ("sftp_extra_args", STRING),
        ("private_key", STRING),
        ("checkout", STRING),
        ("module_path", STRING),
        ("timeout", STRING),
        ("url", STRING),
        ("connection", STRING),
        ("vault_id", STRING),
        ("vault_password_file", STRING),
        ("verify_commit", Shape(&[Since(V25_1), Type(Types::BOOL)])),
        ("inventory", Shape(&[Since(V25_1), Type(Types::STR)])),
        ("module_name", STRING),
        ("sleep", STRING),
        ("tags", STRING),
        ("skip_tags", STRING),
        ("playbook_name", Shape(&[From(V25_2, &renamed("25.2", "playbook_names")), Type(Types::STR)])),
        ("playbook_names", Shape(&[Since(V25_2), Type(Types::LIST), Items(STRING)])),
    ]),
]);

const NOT_NEGATIVE: Shape = Shape(&[Type(Types::NUMBER), Minimum(0)]);

const RUN: Shape = Shape(&[
    From(V25_1, &Type(Types::MAP)),
    Properties(&[
        ("playbook_name", STRING),
        ("playbook_dir", STRING),
        ("become_password_file", STRING),
        ("connection_password_file", STRING),
        ("list_hosts", BOOLEAN),
        ("syntax_check", BOOLEAN),
        ("timeout", NOT_NEGATIVE),
        ("vault_id", STRING),
        ("vault_password_file", STRING),
        ("background", NOT_NEGATIVE),
        ("check", BOOLEAN),
        ("diff", BOOLEAN),
        ("module_path", STRING),
        ("poll", NOT_NEGATIVE),
        ("args", STRING),
        ("extra_vars", STRING),
        ("forks", NOT_NEGATIVE),
        ("inventory", STRING),
        ("scp_extra_args", STRING),
        ("sftp_extra_args", STRING),
        ("private_key", STRING),
        ("connection", STRING),
        ("module_name", STRING),
        ("sleep", STRING),
        ("tags", STRING),
        ("skip_tags", STRING),
    ]),
]);

const REPOSITORY: Shape = Shape(&[
    Required(&["path", "source"]),
    Type(Types::MAP),
    Closed,
    Properties(&[("path", STRING), ("source", STRING)]),
]);

const ANSIBLE: Shape = Shape(&[
    Type(Types::MAP),
    Closed,
    Properties(&[
        ("install_method", Shape(&[Type(Types::STR), Enum(&[Literal::Str("distro"), Literal::Str("pip")])])),
        ("run_user", STRING),
        ("ansible_config", STRING),
        (
            "setup_controller",
            Shape(&[
                Type(Types::MAP),
                Closed,
                Properties(&[
                    ("repositories", Shape(&[Type(Types::LIST), Items(REPOSITORY)])),
                    ("run_ansible", Shape(&[Type(Types::LIST), Items(RUN)])),
                ]),
            ]),
        ),
        (
            "galaxy",
            Shape(&[
                Required(&["actions"]),
                Type(Types::MAP),
                Closed,
                Properties(&[(
                    "actions",
                    Shape(&[
                        Type(Types::LIST),
                        Items(Shape(&[Type(Types::LIST), Items(Shape(&[Type(Types::STR), Matches(ONE_LINE)]))])),
                    ]),
                )]),
            ]),
        ),
        ("package_name", STRING),
        (
            "pull",
            Shape(&[
                Before(V25_2, &Also(PULL)),
                From(
                    V25_2,
                    &OneOf(&[
                        Shape(&[Type(Types::LIST), Items(PULL)]),
                        Shape(&[Also(PULL), deprecated("25.2", "make it a list of such mappings")]),
                    ]),
                ),
            ]),
        ),
    ]),
]);

pub(crate) const MODULE: Module = Module::new("ansible", &[("ansible", ANSIBLE)]);
