//! Converts the options of Packer's DigitalOcean builder.

use packer_import::{Block, Build, Place, Setting, Template, Text, Value};
use yaml11::emit;

use super::variables::Values;
use super::{BuildContext, Notes, PackerFiles, expression};

/// What an option is converted to.
enum Target {
    /// A key under `droplet:`.
    Droplet(&'static str, Kind),
    /// A key under `snapshot:`.
    Snapshot(&'static str, Kind),
    /// Nothing; the text says why mkimg does not need the option.
    NotNeeded(&'static str),
    /// Nothing in the template; the text names the option of `mkimg bake`.
    BakeOption(&'static str),
    /// Nothing, although the image differs; the text says what to do.
    NotConverted(&'static str),
}

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Texts,
    Flag,
}

use Target::{BakeOption, Droplet, NotConverted, NotNeeded, Snapshot};

const NO_SSH: &str = "the droplet does all the work itself, without SSH";

const OPTIONS: &[(&str, Target)] = &[
    ("image", Droplet("image", Kind::Text)),
    ("region", Droplet("region", Kind::Text)),
    ("size", Droplet("size", Kind::Text)),
    ("tags", Droplet("tags", Kind::Texts)),
    ("vpc_uuid", Droplet("vpc_uuid", Kind::Text)),
    ("ipv6", Droplet("ipv6", Kind::Flag)),
    ("monitoring", Droplet("monitoring", Kind::Flag)),
    ("snapshot_name", Snapshot("name", Kind::Text)),
    ("snapshot_regions", Snapshot("regions", Kind::Texts)),
    ("snapshot_tags", Snapshot("tags", Kind::Texts)),
    (
        "api_token",
        NotNeeded(
            "the token comes from DIGITALOCEAN_API_TOKEN, DIGITALOCEAN_TOKEN, DIGITALOCEAN_ACCESS_TOKEN or doctl",
        ),
    ),
    ("api_url", BakeOption("--api-url")),
    ("state_timeout", BakeOption("--timeout-create and --timeout-power-off")),
    ("snapshot_timeout", BakeOption("--timeout-snapshot")),
    ("transfer_timeout", BakeOption("--timeout-transfer")),
    ("http_retry_max", BakeOption("--retries")),
    ("http_retry_wait_min", BakeOption("--retry-wait")),
    ("http_retry_wait_max", BakeOption("--retry-wait-max")),
    ("wait_snapshot_transfer", BakeOption("--no-wait-transfer, where it was false")),
    ("private_networking", NotNeeded("every droplet is in a VPC")),
    ("connect_with_private_networking", NotNeeded("the address is the public one")),
    ("droplet_agent", Droplet("droplet_agent", Kind::Flag)),
    ("droplet_name", Droplet("name", Kind::Text)),
    ("communicator", NotNeeded(NO_SSH)),
    ("pause_before_connecting", NotNeeded(NO_SSH)),
    ("user_data", NotConverted("put what it does into `cloud_config:` of the template")),
    ("user_data_file", NotConverted("put what it does into `cloud_config:` of the template")),
];

/// The template's `droplet:` and `snapshot:`.
#[derive(Default)]
pub(super) struct Builder {
    pub droplet: emit::Map,
    pub snapshot: emit::Map,
    /// All converted texts; they may refer to variables.
    pub used: Vec<Text>,
}

/// One builder, with what its build does to it.
pub(super) struct Chosen<'a> {
    kind: String,
    name: String,
    settings: Vec<&'a Setting>,
    pub provisioners: Vec<Block>,
    pub post_processors: Vec<&'a Block>,
}

/// Chooses the first DigitalOcean builder of a build.
pub(super) fn choose<'a>(packer: &'a Template, notes: &mut Notes) -> Chosen<'a> {
    let mut chosen: Option<(&Build, &Block)> = None;
    for build in &packer.builds {
        for source in &build.sources {
            if source.kind == "digitalocean" && chosen.is_none() {
                chosen = Some((build, source));
                continue;
            }
            let reason = match (source.kind.as_str(), chosen) {
                ("digitalocean", Some((first, _))) if !std::ptr::eq(first, build) => {
                    "only the first build of a DigitalOcean image is converted"
                }
                ("digitalocean", _) => "only the first DigitalOcean builder is converted",
                _ => "mkimg builds DigitalOcean images only",
            };
            let name = if packer.is_json && source.name == source.kind { "" } else { &source.name };
            let name = format!("{} {name}", source.kind);
            let message = format!("the builder `{}` was left out: {reason}", name.trim_end());
            // The image of DigitalOcean is the same without it.
            if source.kind != "digitalocean" {
                notes.adapted(source.place, "builders", message);
                continue;
            }
            notes.not_converted(source.place, "builders", message, "make a separate template for it");
        }
    }
    let Some((build, source)) = chosen else {
        let message = "no digitalocean builder was found: the project has neither `droplet:` nor `snapshot:`";
        let help = "if it is in another HCL file, name the directory; otherwise write both by hand";
        notes.not_converted(Place::default(), "builders", message, help);
        // The provisioners of the first build may still be useful.
        let build = packer.builds.first();
        return Chosen {
            kind: "digitalocean".to_owned(),
            name: String::new(),
            settings: Vec::new(),
            provisioners: build.map(|build| build.provisioners.clone()).unwrap_or_default(),
            post_processors: build.map(|build| build.post_processors.iter().collect()).unwrap_or_default(),
        };
    };
    let declared = packer.builders.iter().find(|block| block.kind == source.kind && block.name == source.name);
    if declared.is_none() {
        let message = format!("the source `{}.{}` is not declared", source.kind, source.name);
        let help = "if it is in another HCL file, name the directory; otherwise write `droplet:` by hand";
        notes.not_converted(source.place, "builders", message, help);
    }
    // The options that a build adds to a source win.
    let is_overridden = |option: &&Setting| source.get(&option.name).is_none();
    let declared = declared.into_iter().flat_map(|block| &block.options).filter(is_overridden);
    let settings: Vec<&Setting> = declared.chain(&source.options).filter(|option| option.name != "name").collect();
    let local = source.get("name").and_then(|option| option.value.text());
    let name = local.as_ref().and_then(Text::plain).unwrap_or(&source.name).to_owned();
    let mut chosen =
        Chosen { kind: source.kind.clone(), name, settings, provisioners: Vec::new(), post_processors: Vec::new() };
    for block in &build.provisioners {
        if chosen.runs(block, packer.is_json, notes) {
            let provisioner = chosen.with_overrides(block, notes);
            chosen.provisioners.push(provisioner);
        }
    }
    chosen.post_processors =
        build.post_processors.iter().filter(|block| chosen.runs(block, packer.is_json, notes)).collect();
    chosen
}

impl Chosen<'_> {
    /// Whether `only` and `except` let a block run for this builder.
    fn runs(&self, block: &Block, is_json: bool, notes: &mut Notes) -> bool {
        let own = if is_json { self.name.clone() } else { format!("{}.{}", self.kind, self.name) };
        let mut runs = true;
        for (option, expected) in [("only", true), ("except", false)] {
            let Some(setting) = block.get(option) else { continue };
            let Some(names) = setting.value.texts() else {
                let written = setting.value.unsupported().unwrap_or("a value of the wrong type");
                let message = format!("the value of `{option}` cannot be converted: {written}");
                notes.not_converted(setting.place, option, message, "name the sources as texts");
                continue;
            };
            let is_named = names.iter().any(|name| name.plain().is_some_and(|name| name == own));
            runs &= names.is_empty() || is_named == expected;
        }
        runs
    }

    /// Applies the options that `override` has for this builder.
    fn with_overrides(&self, block: &Block, notes: &mut Notes) -> Block {
        let mut block = block.clone();
        let Some(setting) = block.get("override").cloned() else { return block };
        let Value::Map(builders) = &setting.value else {
            let message = "the value of `override` cannot be converted";
            notes.not_converted(setting.place, "override", message, "write the options for each builder as a mapping");
            return block;
        };
        for (_, options) in builders.iter().filter(|(name, _)| *name == self.name) {
            let Value::Map(options) = options else { continue };
            for (name, value) in options {
                block.options.retain(|option| option.name != *name);
                block.options.push(Setting { name: name.clone(), place: setting.place, value: value.clone() });
            }
        }
        block
    }

    pub(super) fn context<'f>(&self, packer: &Template, files: &'f dyn PackerFiles) -> BuildContext<'f> {
        let user = self.settings.iter().find(|option| option.name == "ssh_username");
        let values = Values::new(packer);
        let user = user.and_then(|option| values.expand(&option.value.text()?).plain().map(str::to_owned));
        let home = match user.as_deref() {
            None | Some("root") => "/root".to_owned(),
            Some(user) => format!("/home/{user}"),
        };
        BuildContext { files, values, home, build_name: self.name.clone(), builder_type: self.kind.clone() }
    }
}

/// Converts the options of the builder.
pub(super) fn convert(chosen: &Chosen<'_>, values: &Values, notes: &mut Notes) -> Builder {
    let mut builder = Builder::default();
    for setting in &chosen.settings {
        builder.add(setting, values, notes);
    }
    builder
}

impl Builder {
    fn add(&mut self, setting: &Setting, values: &Values, notes: &mut Notes) {
        let name = setting.name.as_str();
        let place = setting.place;
        let is_ssh = name.starts_with("ssh_") || name.starts_with("winrm_") || name == "temporary_key_pair_type";
        if name == "ssh_username" {
            let user = setting.value.text().and_then(|text| values.expand(&text).plain().map(str::to_owned));
            if user.as_deref().is_some_and(|user| user != "root") {
                let message =
                    "`ssh_username` is not root: files belong to root now, and scripts without `sudo` run as root";
                return notes.adapted(place, name, message);
            }
        }
        match OPTIONS.iter().find(|(option, _)| *option == name).map(|(_, target)| target) {
            Some(Droplet(key, kind)) => self.convert(*kind, key, setting, true, values, notes),
            Some(Snapshot(key, kind)) => self.convert(*kind, key, setting, false, values, notes),
            Some(NotNeeded(reason)) => notes.not_needed(place, name, format!("`{name}` is not needed: {reason}")),
            Some(BakeOption(flag)) => {
                notes.not_needed(place, name, format!("`{name}` is an option of `mkimg bake`: {flag}"));
            }
            Some(NotConverted(help)) => notes.not_converted(place, name, format!("`{name}` was left out"), help),
            None if is_ssh => notes.not_needed(place, name, format!("`{name}` is not needed: {NO_SSH}")),
            None => notes.not_converted(
                place,
                name,
                format!("mkimg does not know `{name}`, which was left out"),
                "`mkimg schema` lists the keys of a template",
            ),
        }
    }

    fn convert(&mut self, kind: Kind, key: &str, setting: &Setting, droplet: bool, values: &Values, notes: &mut Notes) {
        let name = setting.name.as_str();
        let texts = match kind {
            Kind::Texts => setting.value.texts(),
            Kind::Text => setting.value.text().map(|text| vec![text]),
            Kind::Flag => setting.value.flag().map(|flag| vec![Text::literal(flag.to_string())]),
        };
        if matches!(setting.value, Value::Null) {
            return;
        }
        let Some(texts) = texts else {
            let written = setting.value.unsupported().unwrap_or("a value of the wrong type");
            let message = format!("the value of `{name}` cannot be converted: {written}");
            return notes.not_converted(setting.place, name, message, "write it into the template by hand");
        };
        let has_timestamp = texts.iter().any(|text| values.expand(text).has_timestamp());
        if name == "droplet_name" && has_timestamp {
            let message = "`droplet_name` is not needed: a build droplet has the name of its bake";
            return notes.not_needed(setting.place, name, message);
        }
        if has_timestamp && (droplet || key != "name") {
            let message = format!("`{name}` was left out: a timestamp is possible in the snapshot's name only");
            return notes.not_converted(setting.place, name, message, "use a constant value");
        }
        let value = match kind {
            Kind::Texts => emit::Value::list(texts.iter().map(expression)),
            Kind::Flag => emit::Value::Bool(setting.value.flag().unwrap_or_default()),
            Kind::Text => texts.iter().map(expression).collect::<String>().into(),
        };
        let map = if droplet { &mut self.droplet } else { &mut self.snapshot };
        map.push(key, value);
        self.used.extend(texts);
    }
}
