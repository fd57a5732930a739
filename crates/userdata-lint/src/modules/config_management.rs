//! Configuration management.

use super::{V25_1, V25_2};
use crate::pattern::{NOT_EMPTY, ONE_LINE, TAGS};
use crate::shape::Keyword::{
    Also, Before, Closed, Enum, From, Items, Matches, MinItems, MinProperties, Minimum, OneOf, PatternProperties,
    Properties, Required, Since, Type, Unique,
};
use crate::shape::{BOOLEAN, INTEGER, Literal, MAPPING, STRING, STRINGS, Shape, Types, deprecated, renamed, words};

pub(super) const KEYS: &[(&str, Shape)] = &[
    // `cc_ansible`: Ansible, installed and run.
    ("ansible", ANSIBLE),
    // `cc_chef`: Chef, installed and configured.
    ("chef", CHEF),
    // `cc_landscape`: Canonical's Landscape client.
    ("landscape", Shape(&[Type(Types::MAP), Required(&["client"]), Closed, Properties(&[("client", CLIENT)])])),
    // `cc_mcollective`: MCollective, configured.
    ("mcollective", Shape(&[Type(Types::MAP), Closed, Properties(&[("conf", CONF)])])),
    // `cc_puppet`: Puppet, installed and configured.
    ("puppet", PUPPET),
    // `cc_salt_minion`: Salt's agent.
    (
        "salt_minion",
        Shape(&[
            Type(Types::MAP),
            Closed,
            Properties(&[
                ("pkg_name", STRING),
                ("service_name", STRING),
                ("config_dir", STRING),
                ("conf", MAPPING),
                ("grains", MAPPING),
                ("public_key", STRING),
                ("private_key", STRING),
                ("pki_dir", STRING),
            ]),
        ]),
    ),
    // `cc_spacewalk`: Spacewalk's client.
    (
        "spacewalk",
        Shape(&[
            Type(Types::MAP),
            Closed,
            Properties(&[("server", STRING), ("proxy", STRING), ("activation_key", STRING)]),
        ]),
    ),
];

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
        ("install_method", Shape(&[Type(Types::STR), Enum(&words(["distro", "pip"]))])),
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

const LICENSES: &[Literal] = &words(["accept", "accept-silent", "accept-no-persist"]);

const CHEF: Shape = Shape(&[
    Type(Types::MAP),
    MinProperties(1),
    Closed,
    Properties(&[
        ("directories", Shape(&[Type(Types::LIST), Items(STRING), MinItems(1), Unique])),
        ("config_path", Shape(&[Since(V25_1), Type(Types::STR)])),
        ("validation_cert", STRING),
        ("validation_key", STRING),
        ("firstboot_path", STRING),
        ("exec", BOOLEAN),
        ("client_key", STRING),
        ("encrypted_data_bag_secret", STRING),
        ("environment", STRING),
        ("file_backup_path", STRING),
        ("file_cache_path", STRING),
        ("json_attribs", STRING),
        ("log_level", STRING),
        ("log_location", STRING),
        ("node_name", STRING),
        ("omnibus_url", STRING),
        ("omnibus_url_retries", INTEGER),
        ("omnibus_version", STRING),
        ("pid_file", STRING),
        ("server_url", STRING),
        ("show_time", BOOLEAN),
        ("ssl_verify_mode", STRING),
        ("validation_name", STRING),
        ("force_install", BOOLEAN),
        ("initial_attributes", Shape(&[Type(Types::MAP), Items(STRING)])),
        ("install_type", Shape(&[Type(Types::STR), Enum(&words(["packages", "gems", "omnibus"]))])),
        ("run_list", STRINGS),
        ("chef_license", Shape(&[Type(Types::STR), From(V25_1, &Enum(LICENSES))])),
    ]),
]);

const LEVELS: &[Literal] = &words(["debug", "info", "warning", "error", "critical"]);

const CLIENT: Shape = Shape(&[
    Type(Types::MAP),
    From(V25_1, &Required(&["account_name", "computer_title"])),
    Properties(&[
        ("url", STRING),
        ("ping_url", STRING),
        ("data_path", STRING),
        ("log_level", Shape(&[Type(Types::STR), Enum(LEVELS)])),
        ("computer_title", STRING),
        ("account_name", STRING),
        ("registration_key", STRING),
        ("tags", Shape(&[Type(Types::STR), Matches(TAGS)])),
        ("http_proxy", STRING),
        ("https_proxy", STRING),
    ]),
]);

const SETTING: Shape = Shape(&[OneOf(&[BOOLEAN, INTEGER, STRING])]);

const CONF: Shape = Shape(&[
    Type(Types::MAP),
    Closed,
    Properties(&[("public-cert", STRING), ("private-cert", STRING)]),
    PatternProperties(NOT_EMPTY, SETTING),
]);

const PUPPET_CONF: Shape = Shape(&[
    Type(Types::MAP),
    Closed,
    Properties(&[("main", MAPPING), ("server", MAPPING), ("agent", MAPPING), ("user", MAPPING), ("ca_cert", STRING)]),
]);

const PUPPET: Shape = Shape(&[
    Type(Types::MAP),
    Closed,
    Properties(&[
        ("install", BOOLEAN),
        ("version", STRING),
        ("install_type", Shape(&[Type(Types::STR), Enum(&words(["packages", "aio"]))])),
        ("collection", STRING),
        ("aio_install_url", STRING),
        ("cleanup", BOOLEAN),
        ("conf_file", STRING),
        ("ssl_dir", STRING),
        ("csr_attributes_path", STRING),
        ("package_name", STRING),
        ("exec", BOOLEAN),
        ("exec_args", STRINGS),
        ("start_service", BOOLEAN),
        ("conf", PUPPET_CONF),
        (
            "csr_attributes",
            Shape(&[
                Type(Types::MAP),
                Closed,
                Properties(&[("custom_attributes", MAPPING), ("extension_requests", MAPPING)]),
            ]),
        ),
    ]),
]);
