//! The template's shape, as a table: the reader checks against it, the JSON Schema and the manual are made from it.
//!
//! To add a key, add a line to its table here and a field to the struct of `spec` that takes it.

/// What one key holds.
#[derive(Debug)]
pub(super) struct Field {
    pub name: &'static str,
    pub required: bool,
    pub shape: Shape,
    pub doc: &'static str,
}

/// The kinds of value in a template.
#[derive(Debug)]
pub(super) enum Shape {
    Leaf(Leaf),
    List(&'static Shape),
    /// Any keys, all with values of one shape.
    Map(KeyName, &'static Shape),
    Record(&'static [Field]),
    /// A scalar stands for a record in which only this field is set.
    Short(&'static str, Leaf, &'static [Field]),
    /// `variables:`, which is read before everything else.
    Variables,
    /// cloud-init's own configuration, passed through.
    Anything,
}

/// What the keys of a map are.
#[derive(Debug, Clone, Copy)]
pub(super) enum KeyName {
    Environment,
    ArchiveMember,
}

/// The kinds of scalar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaf {
    Text,
    /// `snapshot.name`: text in which `timestamp` can be used.
    StampedText,
    Flag,
    Mode,
    Owner,
    Url,
    Duration,
    Port,
    /// An absolute path on the machine.
    Destination,
    /// A glob over absolute paths on the machine.
    DestinationGlob,
    /// A path in the project.
    SourcePath,
    /// A path or glob in the project.
    SourceGlob,
    UserName,
    Package,
    /// A name of a droplet.
    DropletName,
    /// A tag of the provider's.
    Tag,
}

const TEXT: Shape = Shape::Leaf(Leaf::Text);
const TEXTS: Shape = Shape::List(&TEXT);
const TAGS: Shape = Shape::List(&Shape::Leaf(Leaf::Tag));

const fn required(name: &'static str, shape: Shape, doc: &'static str) -> Field {
    Field { name, required: true, shape, doc }
}

const fn optional(name: &'static str, shape: Shape, doc: &'static str) -> Field {
    Field { name, required: false, shape, doc }
}

/// The template's top level, in the order in which things happen.
pub(super) const TEMPLATE: &[Field] = &[
    optional(
        "variables",
        Shape::Variables,
        "Values for `{{ name }}` in the rest of the template. A variable without a value is required; a mapping of `value`, \
         `sensitive` and `description` says more about one.",
    ),
    optional("droplet", Shape::Record(DROPLET), "The build droplet."),
    optional(
        "users",
        Shape::List(&Shape::Short("name", Leaf::UserName, USER)),
        "Users to make before anything is installed. Files that they own are written when they exist.",
    ),
    optional("upgrade", Shape::Leaf(Leaf::Flag), "Upgrade all packages of the base image first. Default: false."),
    optional("packages", Shape::List(&Shape::Leaf(Leaf::Package)), "Packages of the distribution to install."),
    optional(
        "artifacts",
        Shape::List(&Shape::Record(ARTIFACT)),
        "Downloads of the droplet, checked against mkimg.lock before anything is unpacked.",
    ),
    optional("files", Shape::List(&Shape::Record(FILES)), "Trees of files that land on the machine."),
    optional(
        "attributes",
        Shape::List(&Shape::Record(ATTRIBUTES)),
        "Owner and mode of files and unpacked artifacts, by their path on the machine; later lines win.",
    ),
    optional(
        "environment",
        Shape::Map(KeyName::Environment, &TEXT),
        "Environment variables of every script, cleanup and check.",
    ),
    optional(
        "scripts",
        Shape::List(&Shape::Leaf(Leaf::SourceGlob)),
        "Scripts to run in order: paths, or globs in the order of file names. Cleanup and check are not among them.",
    ),
    optional("cleanup", Shape::Leaf(Leaf::SourcePath), "The script that cleans the machine, in a bake only."),
    optional("check", Shape::Leaf(Leaf::SourcePath), "The script that judges the machine, in a bake only."),
    optional("time_limits", Shape::Record(TIME_LIMITS), "How long each step may take."),
    optional("snapshot", Shape::Record(SNAPSHOT), "The snapshot that a bake makes."),
    optional("verify", Shape::Record(VERIFY), "What `bake --verify` expects of a fresh instance of the snapshot."),
    optional(
        "allow",
        Shape::List(&Shape::Record(ALLOWANCE)),
        "Findings of `mkimg validate` about the rendered document that are meant to be so.",
    ),
    optional("cloud_config", Shape::Anything, "Anything else of cloud-init: lists are appended, conflicts are errors."),
];

const ALLOWANCE: &[Field] = &[
    required("code", TEXT, "The rule: a code such as MK209, or its name."),
    optional(
        "path",
        TEXT,
        "Where: a file on the machine (`/usr/local/bin/tool`), or a path in the rendered document (`runcmd`), with all below it. \
         Default: everywhere.",
    ),
    required("reason", TEXT, "Why it is meant to be so."),
];

const DROPLET: &[Field] = &[
    required("image", TEXT, "Base image: a slug such as ubuntu-24-04-x64, or an image's number."),
    required("region", TEXT, "Region slug, such as nyc3."),
    required("size", TEXT, "Size slug, such as s-1vcpu-1gb."),
    optional("tags", TAGS, "More tags for the build droplet."),
    optional("vpc_uuid", TEXT, "The VPC to build in; the region's default VPC without it."),
    optional("ipv6", Shape::Leaf(Leaf::Flag), "Give the droplet an IPv6 address too. Default: false."),
    optional("monitoring", Shape::Leaf(Leaf::Flag), "DigitalOcean's monitoring agent. Default: false."),
    optional(
        "droplet_agent",
        Shape::Leaf(Leaf::Flag),
        "The agent of the control panel's console. Its folder fails the image check. Default: false.",
    ),
    optional("name", Shape::Leaf(Leaf::DropletName), "Name of the build droplet. Default: mkimg and the bake's id."),
];

const USER: &[Field] = &[
    required("name", Shape::Leaf(Leaf::UserName), "Login name; `default` stands for the distribution's own user."),
    optional("system", Shape::Leaf(Leaf::Flag), "A system user: no home is made, no login shell. Default: false."),
    optional("home", Shape::Leaf(Leaf::Destination), "Home directory."),
    optional("create_home", Shape::Leaf(Leaf::Flag), "Make the home directory. Default: true unless `system`."),
    optional("shell", Shape::Leaf(Leaf::Destination), "Login shell. Default: /usr/sbin/nologin for system users."),
    optional("groups", Shape::List(&Shape::Leaf(Leaf::UserName)), "More groups to be in."),
    optional("comment", TEXT, "Full name or purpose (the GECOS field)."),
];

const ARTIFACT: &[Field] = &[
    required("url", Shape::Leaf(Leaf::Url), "Where the droplet downloads it from."),
    optional("checksum", Shape::Leaf(Leaf::Url), "The publisher's checksum file, which `mkimg lock` reads."),
    optional(
        "unpack",
        Shape::Map(KeyName::ArchiveMember, &Shape::Short("to", Leaf::Destination, PLACED)),
        "Members of the archive, and where each goes: the path in the archive or its last part.",
    ),
    optional("to", Shape::Leaf(Leaf::Destination), "Where the download itself goes, when it is no archive."),
    optional("owner", Shape::Leaf(Leaf::Owner), "Owner of what `to` names. Default: root:root."),
    optional("mode", Shape::Leaf(Leaf::Mode), "Mode of what `to` names. Default: 0755."),
];

const PLACED: &[Field] = &[
    required("to", Shape::Leaf(Leaf::Destination), "Where the member goes."),
    optional("owner", Shape::Leaf(Leaf::Owner), "Default: root:root."),
    optional("mode", Shape::Leaf(Leaf::Mode), "Default: 0755."),
];

const FILES: &[Field] = &[
    required("source", Shape::Leaf(Leaf::SourcePath), "A directory of the project, or one file."),
    required("to", Shape::Leaf(Leaf::Destination), "Where it lands on the machine."),
    optional("owner", Shape::Leaf(Leaf::Owner), "Default: root:root."),
    optional("mode", Shape::Leaf(Leaf::Mode), "Default: 0755 for executable files, 0644 for others."),
];

const ATTRIBUTES: &[Field] = &[
    required(
        "path",
        Shape::Leaf(Leaf::DestinationGlob),
        "A path or glob on the machine; `*` stays within a directory, `**` does not.",
    ),
    optional("owner", Shape::Leaf(Leaf::Owner), "`user` or `user:group`."),
    optional("mode", Shape::Leaf(Leaf::Mode), "Octal, such as 0640."),
];

const TIME_LIMITS: &[Field] = &[
    optional("packages", Shape::Leaf(Leaf::Duration), "Upgrade and installation of packages, each. Default: 30m."),
    optional("download", Shape::Leaf(Leaf::Duration), "Each download. Default: 30m."),
    optional("script", Shape::Leaf(Leaf::Duration), "Each script. Default: 30m."),
];

const SNAPSHOT: &[Field] = &[
    optional("name", Shape::Leaf(Leaf::StampedText), "Default: the template's name and `{{ timestamp }}`."),
    optional("regions", TEXTS, "More regions to transfer it to."),
    optional("tags", TAGS, "Tags for the snapshot."),
];

const VERIFY: &[Field] = &[
    optional("services", TEXTS, "systemd units that must be active."),
    optional("ports", Shape::List(&Shape::Leaf(Leaf::Port)), "TCP ports that must answer on the instance itself."),
    optional("commands", TEXTS, "Commands that must exit with 0."),
    optional("ready", Shape::Leaf(Leaf::Duration), "How long all of this may take to become true. Default: 5m."),
];
