//! Renders templates: each file of `tests/cases/document/` is one project and the documents that it
//! renders to.
//!
//! A case has sections, each under a line `-- PATH --` or `-- PATH MODE --`: the files of a
//! project, `-- options --`, and at the end `-- expected --`. `make bless` rewrites the
//! expected part. The options, one on each line:
//!
//! - `var NAME=VALUE`, `var-file PATH`, `env NAME=VALUE`: values of variables
//! - `limit -N`: renders with a limit that is N bytes below the size of the readable document
//! - `bake`: also shows the droplet, the snapshot, the bake's entry and the document of a
//!   verification
//! - `artifacts-url URL`, `poweroff`: fields of the bake's entry
//!
//! The test decodes the documents independently of `render`. It omits the runner's program and its
//! start, so a case changes only if the instructions for the machine change.

#![allow(clippy::disallowed_methods, reason = "tests read their cases and write small projects")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use base64::Engine as _;

use super::{BakeEntry, Channel, HttpsChannel, RenderError, Target, bundle, render, runner, verification_document};
use crate::model::{self, Assignment, Given, Inputs, Plan, Secrets, Template, Value};
use crate::workspace::{self, Project};

const EXPECTED: &str = "\n-- expected --\n";

struct Section<'a> {
    path: &'a str,
    mode: u32,
    text: &'a str,
}

/// The sections of a case, without the expected one.
fn sections(case: &str) -> Vec<Section<'_>> {
    let mut sections = Vec::new();
    let mut rest = case;
    while let Some(start) = rest.find("-- ").filter(|at| *at == 0 || rest[..*at].ends_with('\n')) {
        let (head, body) = rest[start + 3..].split_once(" --\n").expect("a section's line ends with ` --`");
        let (path, mode) = head.split_once(' ').unwrap_or((head, "0644"));
        let end = body.find("\n-- ").map_or(body.len(), |at| at + 1);
        let mode = u32::from_str_radix(mode, 8).expect("a mode");
        sections.push(Section { path, mode, text: &body[..end] });
        rest = &body[end..];
    }
    sections
}

#[derive(Default)]
struct Options<'a> {
    vars: Vec<&'a str>,
    var_files: Vec<&'a str>,
    environment: BTreeMap<&'a str, &'a str>,
    below: Option<usize>,
    artifacts_url: Option<&'a str>,
    poweroff: bool,
    bake: bool,
}

impl<'a> Options<'a> {
    fn new(text: &'a str) -> Self {
        let mut options = Self::default();
        for line in text.lines() {
            match line.split_once(' ').unwrap_or((line, "")) {
                ("var", value) => options.vars.push(value),
                ("var-file", path) => options.var_files.push(path),
                ("env", pair) => options.environment.extend(pair.split_once('=')),
                ("limit", bytes) => options.below = bytes.strip_prefix('-').and_then(|bytes| bytes.parse().ok()),
                ("artifacts-url", url) => options.artifacts_url = Some(url),
                ("poweroff", _) => options.poweroff = true,
                ("bake", _) => options.bake = true,
                other => panic!("unknown option {other:?}"),
            }
        }
        options
    }
}

fn plan(root: &Path, options: &Options<'_>) -> Plan {
    let project = Project::open(Some(root), Some(&root.join("templates/image.yaml"))).unwrap();
    let tree = yaml11::parse(project.template.text()).unwrap();
    let template = Template::new(project.template.clone(), tree);
    let mut assignments = Vec::new();
    for path in &options.var_files {
        let source = diagnostics::source::Source::new(*path, fs::read_to_string(root.join(path)).unwrap());
        let tree = yaml11::parse(source.text()).unwrap();
        assignments.extend(model::assignments(&source, tree.root()).unwrap());
    }
    assignments.extend(options.vars.iter().map(|argument| {
        let (name, value) = argument.split_once('=').unwrap();
        Assignment { name: name.to_owned(), value: value.to_owned(), given: Given::Argument("--var") }
    }));
    let sensitive = template
        .sensitive()
        .filter_map(|name| {
            let value = options.environment.get(model::environment_name(name).as_str())?;
            Some((name.to_owned(), (*value).to_owned()))
        })
        .collect();
    let inputs = Inputs { assignments, sensitive: Secrets(sensitive), timestamp: "20260102-030405".to_owned() };
    let resolved = template.resolve(&inputs).unwrap();
    let collected = workspace::collect(root, &resolved.spec).unwrap();
    let lock = workspace::read_lock(&project.lock_path()).unwrap();
    Plan::new(&project.origin, resolved.spec, collected.tree, &lock).unwrap()
}

/// Renders a case's project.
fn shown(case: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let mut options = Options::default();
    for section in sections(case) {
        if section.path == "options" {
            options = Options::new(section.text);
            continue;
        }
        let path = directory.path().join(section.path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // A case writes these characters as escapes.
        let text = section.text.replace("\\r", "\r").replace("\\0", "\0");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(section.mode)).unwrap();
    }
    let plan = plan(directory.path(), &options);
    let readable = render(&plan, Target::UNLIMITED).unwrap();
    let document = match options.below {
        Some(bytes) => {
            let limit = Some(readable.text.len() - bytes);
            render(&plan, Target { limit, ..Target::UNLIMITED }).unwrap()
        }
        None => readable,
    };
    if !options.bake {
        return decoded(&document.text);
    }
    let channel =
        HttpsChannel { port: 8443, token: "token".into(), certificate: "certificate".to_owned(), key: "key".into() };
    let entry = BakeEntry {
        bake: "abc123".to_owned(),
        channel: if options.poweroff { Channel::PowerOff } else { Channel::Https(channel) },
        power_off_after: std::time::Duration::from_secs(60),
        artifacts_url: options.artifacts_url.map(str::to_owned),
        upload: None,
    };
    format!(
        "droplet: {:#?}\nsnapshot: {:#?}\n\n== the document of a bake\n{}\n== the document of a verification\n{}",
        plan.droplet,
        plan.snapshot,
        decoded(&document.with_bake_entry(&entry).unwrap()),
        decoded(&verification_document(&plan).unwrap().text),
    )
}

/// A document as a person reads it: its keys as YAML, then each file with its content.
fn decoded(document: &str) -> String {
    assert!(document.starts_with("#cloud-config\n"), "{document}");
    let mut root: model::Mapping = serde_yaml::from_str(document).unwrap();
    let Some(Value::Sequence(files)) = root.shift_remove("write_files") else { panic!("no write_files") };
    if let Some(Value::Sequence(commands)) = root.get_mut("runcmd") {
        let start: Vec<Value> = runner::START.iter().map(|argument| Value::from(*argument)).collect();
        for command in commands.iter_mut().filter(|command| **command == Value::Sequence(start.clone())) {
            *command = Value::from("(the runner's start)");
        }
    }
    let mut bundled = Vec::new();
    if let Some(Value::Sequence(commands)) = root.get_mut("bootcmd") {
        let Some(Value::Sequence(command)) = commands.pop() else { panic!("no bundle") };
        bundled = bundle::unpack(command.last().unwrap().as_str().unwrap()).unwrap();
        if commands.is_empty() {
            root.shift_remove("bootcmd");
        }
    }
    let mut out = serde_yaml::to_string(&root).unwrap();
    for member in bundled {
        if member.path == runner::PATH {
            continue;
        }
        let defer = if member.is_deferred { " defer=true" } else { "" };
        writeln!(out, "\n{}  {} {}{defer}  bundle", member.path, member.owner, member.mode).unwrap();
        show_content(&mut out, &member.path, member.content);
    }
    for file in files {
        let Value::Mapping(mut file) = file else { panic!("not a mapping: {file:?}") };
        let mut text = |key: &str| match file.shift_remove(key) {
            Some(Value::String(text)) => text,
            None => String::new(),
            other => panic!("{key}: {other:?}"),
        };
        let [path, owner, permissions, encoding, content] =
            ["path", "owner", "permissions", "encoding", "content"].map(&mut text);
        write!(out, "\n{path}  {owner} {permissions}").unwrap();
        for (key, value) in &file {
            write!(out, " {}={}", key.as_str().unwrap(), serde_json::to_string(value).unwrap()).unwrap();
        }
        writeln!(out, "  {encoding}").unwrap();
        let mut bytes = content.into_bytes();
        if encoding == "b64" {
            bytes = base64::engine::general_purpose::STANDARD.decode(bytes).unwrap();
        }
        show_content(&mut out, &path, bytes);
    }
    // No line ends with a space.
    out.lines().fold(String::new(), |text, line| text + line.trim_end() + "\n")
}

fn show_content(out: &mut String, path: &str, bytes: Vec<u8>) {
    let content = String::from_utf8(bytes).unwrap();
    match path {
        "/run/mkimg/plan.json" => indent(out, &lines_of_json(&content)),
        "/run/mkimg/bake.json" => {
            let (before, program) = content.split_once("\"runner\":\"").unwrap();
            let (_, after) = program.split_once('"').unwrap();
            indent(out, &lines_of_json(&format!("{before}\"runner\":\"(the bake's half)\"{after}")));
        }
        _ => indent(out, &content),
    }
}

/// An object with one line for each key, and one for each item of a list of objects.
fn lines_of_json(text: &str) -> String {
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).unwrap();
    let mut lines = String::new();
    for (key, value) in object {
        match value.as_array().filter(|items| items.iter().any(serde_json::Value::is_object)) {
            Some(items) => {
                writeln!(lines, "{key}:").unwrap();
                for item in items {
                    writeln!(lines, "  {item}").unwrap();
                }
            }
            None => writeln!(lines, "{key}: {value}").unwrap(),
        }
    }
    lines
}

fn indent(out: &mut String, content: &str) {
    for line in content.split_inclusive('\n') {
        let end = if line.ends_with('\n') { "" } else { " (no newline at the end)" };
        let line = line.trim_end_matches('\n').escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'");
        writeln!(out, "    {line}{end}").unwrap();
    }
}

#[test]
fn a_document_that_cloud_init_takes_for_mime_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("templates")).unwrap();
    for (message, is_refused) in [("MIME-Version: 1.0", true), ("MIME Version 1.0", false)] {
        let template = format!("snapshot: {{name: x}}\ncloud_config: {{final_message: '{message}'}}\n");
        fs::write(directory.path().join("templates/image.yaml"), template).unwrap();
        let rendered = render(&plan(directory.path(), &Options::default()), Target::UNLIMITED);
        assert_eq!(matches!(rendered, Err(RenderError::LooksLikeMime)), is_refused, "{message}");
    }
}

#[test]
fn templates_become_the_documents_of_their_cases() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/document");
    let overwrite = std::env::var_os("MKIMG_BLESS").is_some_and(|value| !value.is_empty());
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 12, "only {} cases were found", paths.len());
    let mut wrong = String::new();
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        let (case, expected) = text.split_once(EXPECTED).unwrap_or((text.trim_end(), ""));
        println!("{}", path.display());
        let found = shown(&format!("{case}\n"));
        if found == expected {
            continue;
        }
        if overwrite {
            fs::write(&path, format!("{case}{EXPECTED}{found}")).unwrap();
        } else {
            let difference = similar::TextDiff::from_lines(expected, &found);
            write!(wrong, "\n{}\n{}", path.display(), difference.unified_diff().context_radius(3)).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}\n`make bless` accepts the changes");
}

/// Files of text that hardly compresses, named by their sizes.
fn tree_of(sizes: &[usize]) -> Plan {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir_all(directory.path().join("files")).unwrap();
    let mut state = 1_u32;
    for (index, size) in sizes.iter().enumerate() {
        let digit = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            b"0123456789abcdef"[(state >> 28) as usize]
        };
        let content: Vec<u8> = std::iter::repeat_with(digit).take(*size).collect();
        fs::write(directory.path().join(format!("files/{index:03}")), content).unwrap();
    }
    let template = "snapshot: {name: x}\nfiles: [{source: files, to: /srv}]\n";
    fs::create_dir_all(directory.path().join("templates")).unwrap();
    fs::write(directory.path().join("templates/image.yaml"), template).unwrap();
    plan(directory.path(), &Options::default())
}

#[test]
fn the_largest_files_are_uploaded_and_the_others_fill_the_document() {
    let mut sizes = vec![3_000; 60];
    (sizes[7], sizes[30], sizes[50]) = (40_000, 13 << 20, 20);
    let plan = tree_of(&sizes);
    let document = render(&plan, Target::BAKE).unwrap();
    let uploads: Vec<&str> = document.uploads.iter().map(|upload| upload.path.as_str()).collect();
    assert!(uploads.contains(&"/srv/007") && uploads.contains(&"/srv/030") && !uploads.contains(&"/srv/050"));
    let limit = Target::BAKE.limit.unwrap();
    // Not more than one more file would have had room.
    assert!(document.text.len() <= limit && document.text.len() > limit - 6_000, "{}", document.text.len());
    // The bake adds where the upload begins, at most 1,280 bytes.
    assert!(document.text.len() + 1_280 <= limit, "{}", document.text.len());
    let in_document = document.entries.iter().filter(|entry| entry.path.starts_with("/srv/") && entry.stored_bytes > 0);
    assert_eq!(in_document.count() + uploads.len(), sizes.len());
    assert_eq!(document.uploads.iter().find(|upload| upload.path == "/srv/030").unwrap().source, "files/030");
    // Equal plans give equal documents, and what has room is not uploaded.
    assert_eq!(render(&plan, Target::BAKE).unwrap().text, document.text);
    assert_eq!(render(&tree_of(&[3_000; 9]), Target::BAKE).unwrap().uploads, []);
    // Without uploads there is none.
    assert!(
        matches!(render(&plan, Target::DIGITALOCEAN), Err(RenderError::OnlyUpload { entries }) if entries.len() == 1)
    );
    assert!(matches!(render(&plan, Target::UNLIMITED), Err(RenderError::OnlyUpload { .. })));
}

/// The runner has the modules that the plan needs, and no others.
#[test]
fn the_runner_has_the_modules_that_a_plan_needs() {
    const PACKAGES: &str = "def package_steps(";
    const ARTIFACTS: &str = "def install_artifact(";
    const DIRECTORIES: &str = "def unpack_directory(";
    let artifact = |member: &str| model::Artifact {
        name: "a".to_owned(),
        url: "https://example.com/a".to_owned(),
        sha256: None,
        size: None,
        checksum_url: None,
        unpack: vec![model::Unpack {
            member: member.to_owned(),
            to: "/opt/a".to_owned(),
            owner: model::Owner::root(),
            mode: None,
        }],
    };
    let plan = tree_of(&[1]);
    let upgrade = Plan { upgrade: true, ..plan.clone() };
    let packages = Plan { packages: vec!["jq".to_owned()], ..plan.clone() };
    let file = Plan { artifacts: vec![artifact("bin/a")], ..plan.clone() };
    let directory = Plan { artifacts: vec![artifact("bin/a"), artifact("lib/")], ..plan.clone() };
    for (plan, expected) in [
        (plan, &[][..]),
        (upgrade, &[PACKAGES]),
        (packages, &[PACKAGES]),
        (file, &[ARTIFACTS]),
        (directory, &[ARTIFACTS, DIRECTORIES]),
    ] {
        let entries = super::layout::image_entries(&plan);
        let program = entries.iter().find(|entry| entry.path == runner::PATH).unwrap();
        let program = String::from_utf8(program.content.loaded().unwrap().to_vec()).unwrap();
        let found: Vec<&str> =
            [PACKAGES, ARTIFACTS, DIRECTORIES].into_iter().filter(|module| program.contains(module)).collect();
        assert_eq!(found, expected, "upgrade {}, packages {:?}", plan.upgrade, plan.packages);
    }
}

/// Where nothing is readable, the bake's entry is the only one of `write_files`.
#[test]
fn a_document_without_readable_files_takes_the_entry_of_a_bake() {
    let entry = BakeEntry {
        bake: "abc123".to_owned(),
        channel: Channel::PowerOff,
        power_off_after: std::time::Duration::from_secs(60),
        artifacts_url: None,
        upload: None,
    };
    let plan = tree_of(&[200; 3]);
    let readable = render(&plan, Target::UNLIMITED).unwrap().text.len();
    let mut empty = 0;
    for limit in (readable - 1_500..readable).step_by(20) {
        let target = Target { limit: Some(limit), ..Target::DIGITALOCEAN };
        let Ok(document) = render(&plan, target) else { continue };
        empty += usize::from(document.text.ends_with("write_files: []\n"));
        let text = document.with_bake_entry(&entry).unwrap();
        assert!(text.contains("- path: /run/mkimg/bake.json\n"), "{limit}: {text}");
    }
    assert!(empty > 0, "no limit leaves the list empty");
}
