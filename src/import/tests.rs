#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use diagnostics::Severity;

/// The files next to the templates of these tests.
struct Files;

impl PackerFiles for Files {
    fn find(&self, path: &PackerPath) -> Found {
        let kind = match path.path.trim_end_matches('/') {
            "files/etc" | "files/var" | "conf" => PathKind::Directory,
            path if path.starts_with("../") || path.starts_with("/etc/") => PathKind::Outside,
            "pipe" => PathKind::Unusable("is a named pipe, not a regular file".to_owned()),
            path if path.starts_with("scripts/") || path == "motd" => PathKind::File { mode: 0o644, bytes: 5 },
            _ => PathKind::Missing,
        };
        Found { kind, is_beside_template: false }
    }

    fn list(&self, _: &PackerPath) -> Vec<(String, PathKind)> {
        vec![("a".to_owned(), PathKind::File { mode: 0o644, bytes: 5 })]
    }

    fn read(&self, path: &PackerPath) -> Result<Vec<u8>, String> {
        let is_check = path.path.ends_with("img-check.sh");
        Ok(format!(
            "#!/bin/sh\n# {}\ntrue\n",
            if is_check { "Image Validation Tool: [PASS] [WARN] [FAIL]" } else { &path.path }
        )
        .into_bytes())
    }
}

struct Project {
    template: String,
    files: BTreeMap<String, ProjectFile>,
    scripts: Vec<Script>,
}

fn import_text(text: &str) -> (Project, Vec<Diagnostic>) {
    let (imported, notes) = import(&[Source::new("t", text)], &[], "image", &Files);
    let imported = imported.unwrap();
    let template = imported.template(&|_| false);
    (Project { template, files: imported.files, scripts: imported.scripts }, notes.concat())
}

fn imported(text: &str) -> (Project, Vec<String>) {
    let (project, notes) = import_text(text);
    let missing = notes.into_iter().filter(|found| found.severity == Severity::Error);
    (project, missing.map(|found| found.message).collect())
}

fn script(script: &Script) -> &str {
    std::str::from_utf8(&script.content).unwrap()
}

fn copy(path: &str) -> ProjectFile {
    let content = FileContent::Copy(PackerPath { folder: Folder::Current, path: path.to_owned() });
    ProjectFile { content, mode: 0o644 }
}

/// A template in the style of DigitalOcean's partners, written for this test.
const JSON: &str = r#"{
  "variables": {
    "do_token": "{{env `DIGITALOCEAN_API_TOKEN`}}",
    "image_name": "game-{{user `game_version`}}-{{timestamp}}",
    "game_version": "3.4",
    "apt_packages": "curl jq"
  },
  "sensitive-variables": ["do_token"],
  "builders": [{
    "type": "digitalocean", "api_token": "{{user `do_token`}}", "image": "ubuntu-22-04-x64", "region": "nyc3",
    "size": "s-1vcpu-1gb", "ssh_username": "root", "snapshot_name": "{{user `image_name`}}"
  }],
  "provisioners": [
    {"type": "shell", "inline": ["cloud-init status --wait"]},
    {"type": "file", "source": "files/etc/", "destination": "/etc/"},
    {"type": "file", "source": "files/var/", "destination": "/var/"},
    {"type": "shell", "environment_vars": ["DEBIAN_FRONTEND=noninteractive"],
     "inline": ["apt-get -y install {{user `apt_packages`}}"]},
    {"type": "shell", "environment_vars": ["application_version={{user `game_version`}}", "DEBIAN_FRONTEND=noninteractive"],
     "scripts": ["scripts/01-game.sh", "scripts/90-cleanup.sh", "scripts/99-img-check.sh"]}
  ]
}"#;

const HCL: &str = r#"
packer {
  required_plugins {
    digitalocean = { version = ">= 1.0.4", source = "github.com/digitalocean/digitalocean" }
  }
}
variable "game_version" {
  type        = string
  default     = "3.4"
  description = "Which game"
}
variable "token" {
  type      = string
  sensitive = true
  default   = env("DIGITALOCEAN_TOKEN")
}
locals {
  timestamp = regex_replace(timestamp(), "[- TZ:]", "")
  name      = "game-${var.game_version}"
}
source "digitalocean" "game" {
  api_token        = var.token
  image            = "debian-12-x64"
  region           = "ams3"
  size             = "s-1vcpu-1gb"
  monitoring       = true
  snapshot_name    = "${local.name}-${local.timestamp}"
  snapshot_regions = ["ams3", "fra1"]
}
build {
  sources = ["source.digitalocean.game"]
  provisioner "file" {
    source      = "${path.root}/conf"
    destination = "/opt/"
  }
  provisioner "file" {
    content     = "hello\n"
    destination = "/etc/game/hello"
  }
  provisioner "shell" {
    env    = { VERSION = var.game_version }
    inline = [<<-EOT
      echo "${var.game_version}"
        indented
    EOT
    ]
  }
}
"#;

#[test]
fn a_partners_template_becomes_a_project() {
    let (imported, missing) = imported(JSON);
    assert_eq!(missing, [] as [&str; 0]);
    assert_eq!(
        imported.template,
        r#"variables:
  image_name: game-{{ game_version }}-{{ timestamp }}
  game_version: "3.4"
  apt_packages: curl jq

droplet:
  image: ubuntu-22-04-x64
  region: nyc3
  size: s-1vcpu-1gb

files:
- source: files/etc
  to: /etc
- source: files/var
  to: /var

# For every script.
environment:
  DEBIAN_FRONTEND: noninteractive
  application_version: "{{ game_version }}"
  apt_packages: "{{ apt_packages }}"

# In this order.
scripts:
- scripts/00-inline.sh
- scripts/01-game.sh
cleanup: scripts/90-cleanup.sh
check: scripts/99-img-check.sh

snapshot:
  name: "{{ image_name }}"
"#
    );
    let text = script(&imported.scripts[0]);
    assert_eq!(text, "#!/bin/sh -e\napt-get -y install ${apt_packages}\n");
    assert_eq!(imported.scripts[0].to, "scripts/00-inline.sh");
    assert_eq!(imported.files["/etc/a"], copy("files/etc/a"));
}

#[test]
fn hcl_becomes_a_project() {
    let (imported, missing) = imported(HCL);
    assert_eq!(missing, [] as [&str; 0]);
    let expected = [
        "  game_version:\n    value: \"3.4\"\n    description: Which game\n",
        "  name: game-{{ game_version }}\n",
        "  monitoring: true\n",
        "snapshot:\n  name: \"{{ name }}-{{ timestamp }}\"\n  regions:\n  - ams3\n  - fra1\n",
        "- source: files/opt\n  to: /opt\n",
        "environment:\n  VERSION: \"{{ game_version }}\"\n",
    ];
    for part in expected {
        assert!(imported.template.contains(part), "{part}\nin\n{}", imported.template);
    }
    assert!(!imported.template.contains("token"), "{}", imported.template);
    let conf = PackerPath { folder: Folder::Template, path: "conf/a".to_owned() };
    assert_eq!(imported.files["/opt/conf/a"].content, FileContent::Copy(conf));
    let hello = ProjectFile { content: FileContent::Text("hello\n".to_owned()), mode: 0o600 };
    assert_eq!(imported.files["/etc/game/hello"], hello);
    let text = script(&imported.scripts[0]);
    assert_eq!(text, "#!/bin/sh -e\necho \"${game_version}\"\n  indented\n\n");
}

#[test]
fn every_omission_is_reported() {
    let text = r#"{"builders": [{"type": "amazon-ebs"}, {"type": "digitalocean", "image": "x", "region": "{{uuid}}", "tags": ["a-{{timestamp}}"],
      "user_data": "x", "colour": "red"}, {"type": "digitalocean"}],
      "provisioners": [{"type": "ansible"}, {"type": "file", "source": "motd", "destination": "/tmp/motd"},
        {"type": "file", "source": "nowhere", "destination": "/etc/x"},
        {"type": "file", "source": "motd", "destination": "/etc/motd", "direction": "download"},
        {"type": "shell", "inline": ["echo '{{user `x`}}'"], "valid_exit_codes": [0, 3]}],
      "post-processors": ["manifest", "vagrant", [{"type": "compress"}]], "extra": 1}"#;
    let (imported, missing) = imported(text);
    assert_eq!(imported.files.len(), 1, "{:?}", imported.files);
    let mut expected = vec![
        "`extra` is not a key of a Packer template, or its value has the wrong type",
        "the builder `digitalocean` was left out: only the first DigitalOcean builder is converted",
        "the value of `region` cannot be converted: {{uuid}}",
        "`tags` was left out: a timestamp is possible in the snapshot's name only",
        "`user_data` was left out",
        "mkimg does not know `colour`, which was left out",
        "the provisioner `ansible` was left out",
        "the source `nowhere` is neither in the current directory, where Packer looks for it, nor beside the template",
        "a download from the droplet was left out: a bake produces the snapshot only",
        "the post-processor `vagrant` was left out: a bake ends with the snapshot",
        "the post-processor `compress` was left out: a bake ends with the snapshot",
    ];
    expected.sort_unstable();
    let mut found: Vec<&str> = missing.iter().map(String::as_str).collect();
    found.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn different_environments_do_not_mix() {
    let text = r#"{"builders": [{"type": "digitalocean"}], "provisioners": [
      {"type": "shell", "environment_vars": ["A=1"], "script": "scripts/b.sh"},
      {"type": "shell", "environment_vars": ["A=2"], "script": "scripts/a.sh"}]}"#;
    let (imported, missing) = imported(text);
    assert_eq!(missing, [] as [&str; 0]);
    assert!(imported.template.contains("  A: \"1\"\n  A_2: \"2\"\n"), "{}", imported.template);
    assert!(script(&imported.scripts[1]).starts_with("#!/bin/sh\nexport A=\"${A_2}\"\n"));
    // Their names are not in the order in which they run: the order is written out.
    assert!(imported.template.contains("scripts:\n- scripts/b.sh\n- scripts/a.sh\n"), "{}", imported.template);
}

/// mkimg has no list variables: where an option is only such a variable, its items replace it.
#[test]
fn items_replace_list_variables() {
    let text = r#"
variable "regions" { default = ["nyc3", "fra1"] }
variable "words" { default = ["a", "b"] }
locals { commands = ["echo one", "echo two"] }
source "digitalocean" "x" { snapshot_regions = var.regions }
build {
  sources = ["source.digitalocean.x"]
  provisioner "shell" {
    env    = { WORDS = var.words }
    inline = local.commands
  }
}
"#;
    let (found, notes) = import_text(text);
    assert!(found.template.contains("regions:\n  - nyc3\n  - fra1\n"), "{}", found.template);
    assert!(found.template.starts_with("variables:\n  words: a b\n\n"), "{}", found.template);
    let script = script(&found.scripts[0]);
    assert_eq!(script, "#!/bin/sh -e\necho one\necho two\n");
    let said: Vec<&str> = notes.iter().map(|note| note.message.as_str()).collect();
    assert_eq!(
        said,
        [
            "`regions` is a list: its items replace it where it is used",
            "`words` is a list: it became a text, with spaces between the items",
            "`commands` is a list: its items replace it where it is used",
        ]
    );
}

/// Each option of the builder, and what becomes of it: a line of the template, or a note.
#[test]
fn each_option_of_the_builder_is_converted_or_noted() {
    for (option, expected) in [
        (r#""image": "a-1""#, "droplet:\n  image: a-1\n"),
        (r#""image": 7"#, "droplet:\n  image: \"7\"\n"),
        (r#""region": "fra1""#, "droplet:\n  region: fra1\n"),
        (r#""size": "s-1""#, "droplet:\n  size: s-1\n"),
        (r#""tags": ["a", "b"]"#, "droplet:\n  tags:\n  - a\n  - b\n"),
        (r#""vpc_uuid": "v""#, "droplet:\n  vpc_uuid: v\n"),
        (r#""ipv6": true"#, "droplet:\n  ipv6: true\n"),
        (r#""ipv6": "false""#, "droplet:\n  ipv6: false\n"),
        (r#""monitoring": true"#, "droplet:\n  monitoring: true\n"),
        (r#""droplet_agent": true"#, "droplet:\n  droplet_agent: true\n"),
        (r#""droplet_name": "d""#, "droplet:\n  name: d\n"),
        (r#""snapshot_name": "s-{{timestamp}}""#, "snapshot:\n  name: s-{{ timestamp }}\n"),
        (r#""snapshot_regions": ["fra1"]"#, "snapshot:\n  regions:\n  - fra1\n"),
        (r#""snapshot_tags": ["a"]"#, "snapshot:\n  tags:\n  - a\n"),
        (r#""ipv6": "maybe""#, "error: the value of `ipv6` cannot be converted: "),
        (r#""size": ["s"]"#, "error: the value of `size` cannot be converted: "),
        (
            r#""region": "r-{{timestamp}}""#,
            "error: `region` was left out: a timestamp is possible in the snapshot's name only",
        ),
        (r#""snapshot_tags": ["{{timestamp}}"]"#, "error: `snapshot_tags` was left out: a timestamp"),
        (r#""user_data": "x""#, "error: `user_data` was left out"),
        (r#""user_data_file": "x""#, "error: `user_data_file` was left out"),
        (r#""colour": "x""#, "error: mkimg does not know `colour`, which was left out"),
        (r#""api_token": "x""#, "info: `api_token` is not needed: the token comes from DIGITALOCEAN_API_TOKEN"),
        (r#""api_url": "x""#, "info: `api_url` is an option of `mkimg bake`: --api-url"),
        (
            r#""state_timeout": "6m""#,
            "info: `state_timeout` is an option of `mkimg bake`: --timeout-create and --timeout-power-off",
        ),
        (r#""snapshot_timeout": "6m""#, "info: `snapshot_timeout` is an option of `mkimg bake`: --timeout-snapshot"),
        (r#""transfer_timeout": "6m""#, "info: `transfer_timeout` is an option of `mkimg bake`: --timeout-transfer"),
        (r#""http_retry_max": 3"#, "info: `http_retry_max` is an option of `mkimg bake`: --retries"),
        (r#""http_retry_wait_min": 3"#, "info: `http_retry_wait_min` is an option of `mkimg bake`: --retry-wait"),
        (r#""http_retry_wait_max": 3"#, "info: `http_retry_wait_max` is an option of `mkimg bake`: --retry-wait-max"),
        (
            r#""wait_snapshot_transfer": false"#,
            "info: `wait_snapshot_transfer` is an option of `mkimg bake`: --no-wait-transfer",
        ),
        (r#""private_networking": true"#, "info: `private_networking` is not needed: every droplet is in a VPC"),
        (r#""connect_with_private_networking": true"#, "info: `connect_with_private_networking` is not needed: "),
        (r#""communicator": "ssh""#, "info: `communicator` is not needed: the droplet does all the work itself"),
        (r#""ssh_username": "root""#, "info: `ssh_username` is not needed: the droplet does all the work itself"),
        (r#""winrm_port": 1"#, "info: `winrm_port` is not needed: "),
        (r#""temporary_key_pair_type": "x""#, "info: `temporary_key_pair_type` is not needed: "),
        (r#""pause_before_connecting": "1s""#, "info: `pause_before_connecting` is not needed: "),
    ] {
        let text = format!(r#"{{"builders": [{{"type": "digitalocean", {option}}}]}}"#);
        let (found, notes) = import_text(&text);
        let template = found.template;
        let notes: Vec<String> =
            notes.iter().map(|note| format!("{:?}: {}", note.severity, note.message).to_lowercase()).collect();
        if expected.contains(":\n") {
            assert!(template.contains(expected) && notes.is_empty(), "{option}: {template}{notes:?}");
        } else {
            assert_eq!(notes.len(), 1, "{option}: {notes:?}");
            assert!(notes[0].starts_with(&expected.to_lowercase()), "{option}: {notes:?}");
            assert!(!template.contains("droplet:") && !template.contains("snapshot:"), "{option}: {template}");
        }
    }
}

/// Which of several builders is converted: the one that the build names, or the first one of DigitalOcean's.
#[test]
fn one_builder_is_converted() {
    let builder = |name: &str, size: &str| format!("source \"digitalocean\" \"{name}\" {{\n  size = \"{size}\"\n}}\n");
    let both = [builder("a", "one"), builder("b", "two")].concat();
    for (build, size, missing) in [
        ("sources = [\"source.digitalocean.a\"]", "one", 0),
        ("sources = [\"source.digitalocean.b\"]", "two", 0),
        ("sources = [\"source.digitalocean.b\", \"source.digitalocean.a\"]", "two", 1),
        ("source \"source.digitalocean.b\" {\n    size = \"three\"\n  }", "three", 0),
    ] {
        let (found, said) = imported(&format!("{both}build {{\n  {build}\n}}\n"));
        assert!(found.template.contains(&format!("  size: {size}\n")), "{build}: {}", found.template);
        assert_eq!(found.template.matches("  size: ").count(), 1, "{build}: {}", found.template);
        assert_eq!(said.len(), missing, "{build}: {said:?}");
    }
}

#[test]
fn lists_that_are_joined_are_converted_completely() {
    let text = "variable \"more\" {\n  default = [\"c\"]\n}\nsource \"digitalocean\" \"a\" {\n  tags = concat([\"a\", \"b\"], [\"d\"])\n}\nbuild {\n  sources = [\"source.digitalocean.a\"]\n}\n";
    let (found, said) = imported(text);
    assert!(found.template.contains("  tags:\n  - a\n  - b\n  - d\n"), "{}", found.template);
    assert!(said.is_empty(), "{said:?}");
}

/// Where several parts of a template want the same place, the first keeps it, and nothing is lost silently.
#[test]
fn what_collides_is_said_or_renamed() {
    let text = r#"{"_comment": "x", "variables": {"key": {"default": ""}, "secret": "s3cret"}, "sensitive-variables": ["secret"],
      "builders": [{"type": "digitalocean", "image": "x", "region": null, "droplet_name": "b-{{timestamp}}",
        "snapshot_tags": ["a"], "state_timeout": "9m", "communicator": "ssh", "user_data_file": "u"}],
      "provisioners": [{"type": "shell", "script": "scripts/a.sh", "execute_command": "x", "max_retries": 2},
        {"type": "shell", "script": "scripts/clean-up.sh"}, {"type": "shell", "script": "scripts/x/cleanup.sh"},
        {"type": "shell", "script": "scripts/x/a.sh"}, {"type": "shell", "inline": ["echo {{user `secret`}}"]},
        {"type": "file", "source": "motd", "destination": "/etc/motd"},
        {"type": "file", "source": "motd", "destination": "/srv/in/"}]}"#;
    let (imported, notes) = import_text(text);
    let scripts: Vec<&str> = imported.scripts.iter().map(|script| script.to.as_str()).collect();
    assert_eq!(
        scripts,
        [
            "scripts/a.sh", "scripts/clean-up.sh", "scripts/cleanup.sh", "scripts/a-2.sh", "scripts/00-inline.sh",
            "scripts/00-upload.sh",
        ]
    );
    assert!(imported.template.contains("  secret:\n    sensitive: true\n"), "{}", imported.template);
    assert!(
        !imported.template.contains("s3cret") && imported.template.contains("  tags:\n  - a\n"),
        "{}",
        imported.template
    );
    let staged = ["/var/lib/packer-uploads/1/etc/motd", "/var/lib/packer-uploads/1/srv/in/motd"];
    assert_eq!(imported.files.keys().collect::<Vec<_>>(), staged);
    let said: Vec<String> = notes.into_iter().map(|note| note.message).collect();
    for part in [
        "`droplet_name` is not needed",
        "`communicator` is not needed",
        "each script is now in a script that runs it with `execute_command`",
        "`cleanup.sh` is under `scripts:`, not `cleanup:`, because `00-upload.sh` runs after it",
    ] {
        assert!(said.iter().any(|message| message.contains(part)), "{part}: {said:#?}");
    }
    assert!(!said.iter().any(|message| message.contains("_comment") || message.contains("region")), "{said:#?}");
}

/// If only one of several HCL files was named, the missing source is reported.
#[test]
fn a_missing_source_is_reported() {
    let (found, missing) = imported(
        "build {\n  sources = [\"source.digitalocean.x\"]\n  provisioner \"shell\" {\n    inline = [\"date\"]\n  }\n}\n",
    );
    assert_eq!(missing, ["the source `digitalocean.x` is not declared"]);
    assert!(!found.template.contains("droplet:"), "{}", found.template);
}

#[test]
fn braces_of_other_programs_are_escaped() {
    assert_eq!(expression(&Text::literal("a {{ b }}")), "{% raw %}a {{ b }}{% endraw %}");
    assert_eq!(expression(&Text::literal("{{x}} endraw")), "{{ '{' }}{{ '{' }}x}} endraw");
    for text in ["{% if %}", "{# comment #}", "a {{ b"] {
        assert_eq!(expression(&Text::literal(text)), format!("{{% raw %}}{text}{{% endraw %}}"));
    }
    assert_eq!(expression(&Text::literal("{ a } # b %")), "{ a } # b %");
}

#[test]
fn variable_names_are_converted() {
    assert_eq!(variable_name("do-token"), "do_token");
    assert_eq!(variable_name("2nd"), "_2nd");
    assert_eq!(variable_name("timestamp"), "build_timestamp");
}

/// Each kind of variable, and the line that it becomes: value, note.
#[test]
fn each_kind_of_variable_is_converted_or_noted() {
    let tag = |name: &str| format!(r#""builders": [{{"type": "digitalocean", "tags": ["{{{{user `{name}`}}}}"]}}]"#);
    for (variables, name, expected, note) in [
        (r#"{"a": "1"}"#, "a", "  a: \"1\"\n", ""),
        (r#"{"a": ""}"#, "a", "  a: \"\"\n", ""),
        (r#"{"a": null}"#, "a", "  a: null\n", ""),
        (r#"{"a-b": "x"}"#, "a-b", "  a_b: x\n", ""),
        (
            r#"{"a": "{{env `HOME`}}"}"#,
            "a",
            "  a: null\n",
            "warning: `a` was HOME of the environment: give it with --var or --var-file",
        ),
        (r#"{"a": "x", "b": "{{user `a`}}-1"}"#, "b", "  a: x\n  b: \"{{ a }}-1\"\n", ""),
        (r#"{"a": "x", "unused": "y"}"#, "a", "  a: x\n", "info: no converted part uses the variable `unused`"),
        (
            r#"{"a-b": "x", "a_b": "z"}"#,
            "a_b",
            "  a_b: z\n",
            "error: two variables would be named `a_b`: the last one was used",
        ),
    ] {
        let text = format!("{{\"variables\": {variables}, {}}}", tag(name));
        let (found, notes) = import_text(&text);
        let template = found.template;
        assert!(template.contains(expected), "{text}: {expected}\n{template}");
        let line = |one: &Diagnostic| {
            let severity = format!("{:?}", one.severity).to_lowercase();
            format!("{severity}: {}", one.message)
        };
        let said: Vec<String> = notes.iter().map(line).collect();
        assert!(said.iter().any(|one| one == note) || note.is_empty() && said.is_empty(), "{text}: {said:?}");
        assert!(!template.contains("unused"), "{template}");
    }
}

/// What a provisioner does, and where it ends up: a tree, a script, the environment, or a note.
#[test]
fn each_form_of_a_provisioner_is_converted_or_noted() {
    let file = |rest: &str| format!(r#"{{"type": "file", {rest}}}"#);
    let shell = |rest: &str| format!(r#"{{"type": "shell", {rest}}}"#);
    for (provisioner, expected, note) in [
        (file(r#""source": "motd", "destination": "/motd""#), "- source: files\n  to: /\n", ""),
        (file(r#""source": "files/etc", "destination": "/""#), "- source: files/etc\n  to: /etc\n", ""),
        (file(r#""source": "conf/", "destination": "/srv/x""#), "- source: files/srv\n  to: /srv\n", ""),
        (file(r#""sources": ["motd"], "destination": "/srv/x/""#), "- source: files/srv\n  to: /srv\n", ""),
        (file(r#""source": "motd", "destination": "/srv/x", "direction": "upload""#), "- source: files/srv\n", ""),
        (file(r#""source": "motd", "destination": "/srv/x", "generated": true"#), "- source: files/srv\n", ""),
        (file(r#""source": "motd", "destination": "/srv/../x""#), "", "is not a path without `..`"),
        (file(r#""source": "motd", "destination": "x/srv""#), "- source: files/root\n  to: /root\n", ""),
        (file(r#""source": "motd", "destination": "/run/x""#), "", "does not survive a reboot"),
        (file(r#""source": "motd""#), "", "the destination is missing, or not a plain text"),
        (file(r#""source": "{{isotime}}", "destination": "/srv""#), "", "is not a plain path"),
        (
            file(r#""source": "pipe", "destination": "/srv/x""#),
            "",
            "the source `pipe` is a named pipe, not a regular file",
        ),
        (
            file(r#""source": "../x", "destination": "/srv/x""#),
            "",
            "the source `../x` is outside the current directory",
        ),
        (
            file(r#""content": "{{user `x`}}", "destination": "/srv/x""#),
            "- source: files/srv\n  to: /srv\n",
            "`x` is not declared: it is empty",
        ),
        (shell(r#""script": "files/etc""#), "", "the script `files/etc` is a directory"),
        (shell(r#""scripts": ["{{isotime}}"]"#), "", "`{{ timestamp }}` is not a plain path"),
        (
            shell(r#""inline": ["echo {{timestamp}}"]"#),
            "",
            "the commands use a timestamp or a directory of this machine",
        ),
        (
            shell(r#""inline": ["sleep 30", "cloud-init status --wait"]"#),
            "",
            "is not needed: scripts start when cloud-init is done",
        ),
        (shell(r#""inline": ["date"], "inline_shebang": "/bin/bash""#), "- scripts/00-inline.sh\n", ""),
        (
            shell(r#""inline": ["date"], "environment_vars": ["A"]"#),
            "- scripts/00-inline.sh\n",
            "`A` is not written as NAME=VALUE",
        ),
        (shell(r#""inline": ["date"], "environment_vars": ["A=x{{user `v`}}y"]"#), "  A: xy\n", "`v` is not declared"),
        (shell(r#""inline": ["date"], "max_retries": 2"#), "- scripts/00-inline.sh\n", "`max_retries` is not needed"),
        (
            shell(r#""inline": ["date"], "elevated": 2"#),
            "- scripts/00-inline.sh\n",
            "`elevated` has no counterpart in mkimg",
        ),
        (r#"{"type": "sleep", "duration": "5s"}"#.to_owned(), "", "`duration` is not needed"),
        (r#"{"type": "breakpoint"}"#.to_owned(), "", "`breakpoint` is not needed"),
    ] {
        let text =
            format!(r#"{{"builders": [{{"type": "digitalocean", "image": "i"}}], "provisioners": [{provisioner}]}}"#);
        let (found, notes) = import_text(&text);
        let template = found.template;
        assert!(template.contains(expected), "{provisioner}: {expected}\n{template}");
        assert!(!expected.is_empty() || !template.contains("files:") && !template.contains("scripts:"), "{template}");
        let said: Vec<String> = notes.into_iter().map(|one| one.message).collect();
        assert!(
            said.iter().any(|one| one.contains(note)) || note.is_empty() && said.is_empty(),
            "{provisioner}: {said:?}"
        );
        assert_eq!(said.is_empty(), note.is_empty(), "{provisioner}: {said:?}");
    }
}
