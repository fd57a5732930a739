//! `mkimg import` as a user sees it: what it writes, what it refuses, and that the project renders.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::harness::mkimg;

const TEMPLATE: &str = r#"{
  "variables": {"name": "game"},
  "builders": [{"type": "digitalocean", "image": "debian-12-x64", "region": "nyc3", "size": "s-1vcpu-1gb",
                "snapshot_name": "{{user `name`}}-{{timestamp}}"}],
  "provisioners": [
    {"type": "file", "source": "files/etc/", "destination": "/etc/"},
    {"type": "shell", "inline": ["echo {{user `name`}}"]},
    {"type": "shell", "scripts": ["scripts/01-game.sh", "scripts/99-img-check.sh"]}
  ]
}"#;

/// A Packer template with what it names.
fn packer(template: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("template.json", template);
    write("files/etc/game.conf", "port = 7350\n");
    write("scripts/01-game.sh", "#!/bin/bash\r\ntrue\r\n");
    write("scripts/99-img-check.sh", "true\n");
    folder
}

#[test]
fn the_project_renders_and_is_valid() {
    let folder = packer(TEMPLATE);
    mkimg(folder.path())
        .args(["import", "template.json", "-o", "project"])
        .run()
        .success()
        .stdout_is("")
        .stderr_has("note: wrote a project of 5 files to project; start with templates/image.yaml\n")
        .stderr_has("note: scripts/01-game.sh: its lines end with LF now\n");
    let project = folder.path().join("project");
    assert_eq!(fs::read_to_string(project.join("scripts/01-game.sh")).unwrap(), "#!/bin/bash\ntrue\n");
    assert_eq!(fs::read_to_string(project.join("scripts/99-img-check.sh")).unwrap(), "#!/bin/sh\ntrue\n");
    assert_eq!(fs::metadata(project.join("scripts/00-inline.sh")).unwrap().permissions().mode() & 0o777, 0o755);
    let (exit, document, stderr) = mkimg(&project).arg("render").run().into_parts();
    assert_eq!(exit, 0, "{stderr}");
    assert!(document.contains("path: /etc/game.conf\n"), "{document}");
    assert!(document.contains("echo ${name}\n"), "{document}");
    assert_eq!(mkimg(&project).arg("validate").run().exit, 0);
}

#[test]
fn existing_files_are_not_overwritten() {
    let folder = packer(TEMPLATE);
    // In the template's own folder the scripts exist already, and differ from what mkimg needs.
    let (exit, _, stderr) = mkimg(folder.path()).args(["import", "template.json"]).run().into_parts();
    assert_eq!(exit, 2, "{stderr}");
    assert!(stderr.contains("scripts/01-game.sh already exists with other content; nothing was written"), "{stderr}");
    assert!(!folder.path().join("templates").exists());
    assert!(!stderr.contains("its lines end with LF now"), "nothing was changed yet: {stderr}");
    // If they are as mkimg needs them, the project is made in place.
    for name in ["01-game.sh", "99-img-check.sh"] {
        fs::write(folder.path().join("scripts").join(name), "#!/bin/sh\ntrue\n").unwrap();
    }
    mkimg(folder.path()).args(["import", "template.json"]).run().success();
    assert_eq!(fs::read_to_string(folder.path().join("template.json")).unwrap(), TEMPLATE);
}

#[test]
fn unconverted_parts_are_named_with_their_line_and_change_the_exit_status() {
    let folder = packer(&TEMPLATE.replace("\"provisioners\": [", "\"provisioners\": [\n    {\"type\": \"ansible\"},"));
    let (exit, stdout, stderr) = mkimg(folder.path())
        .args(["import", "template.json", "-o", "project", "--format", "github"])
        .run()
        .into_parts();
    assert_eq!(exit, 1, "{stderr}");
    let expected = "::error file=template.json,line=6,col=5,endLine=6,endColumn=6,title=MK961";
    assert!(stdout.starts_with(expected), "{stdout}");
    assert!(stderr.contains("error: 1 thing was not converted: see above\n"), "{stderr}");
    assert!(folder.path().join("project/templates/image.yaml").exists());
    fs::create_dir(folder.path().join("files/etc/d")).unwrap();
    std::os::unix::fs::symlink("../game.conf", folder.path().join("files/etc/d/link")).unwrap();
    mkimg(folder.path())
        .args(["import", "template.json", "-o", "other"])
        .run()
        .exits(1)
        .stderr_has("files/etc/d/link is not a regular file and was not copied");
}

#[test]
fn a_directory_of_hcl_is_one_template() {
    let folder = tempfile::tempdir().unwrap();
    let game = folder.path().join("game");
    fs::create_dir(&game).unwrap();
    fs::write(game.join("variables.pkr.hcl"), "variable \"name\" {\n  default = \"game\"\n}\n").unwrap();
    let source = "source \"digitalocean\" \"x\" {\n  image = \"debian-12-x64\"\n  region = \"nyc3\"\n  size = \"s-1vcpu-1gb\"\n}\n";
    fs::write(game.join("source.pkr.hcl"), source).unwrap();
    let build = "build {\n  sources = [\"source.digitalocean.x\"]\n  provisioner \"shell\" {\n    inline = [\"echo ${var.name}\"]\n  }\n}\n";
    fs::write(game.join("build.pkr.hcl"), build).unwrap();
    let (exit, _, stderr) = mkimg(folder.path()).args(["import", "game", "-o", "project"]).run().into_parts();
    assert_eq!(exit, 0, "{stderr}");
    assert!(folder.path().join("project/templates/game.yaml").exists(), "{stderr}");
    assert_eq!(mkimg(folder.path().join("project")).arg("render").run().exit, 0);
}

#[test]
fn a_byte_order_mark_is_passed_over() {
    let folder = packer(&format!("\u{feff}{TEMPLATE}"));
    mkimg(folder.path()).args(["import", "template.json", "-o", "project"]).run().success();
}

#[test]
fn an_invalid_template_writes_nothing() {
    let folder = packer("{\"builders\": [}");
    mkimg(folder.path())
        .args(["import", "template.json", "-o", "project"])
        .run()
        .exits(2)
        .stderr_has("error[MK960]: expected JSON: ")
        .stderr_has("--> template.json:1:15\n");
    for wrong in ["nothing.json", "files"] {
        mkimg(folder.path())
            .args(["import", wrong, "-o", "project"])
            .run()
            .exits(2)
            .stderr_has("help: name a Packer template");
    }
    assert!(!folder.path().join("project").exists());
}
