//! `mkimg import` as a user sees it: what it writes, what it refuses, and that the project renders.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::harness::{bless, mkimg};

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
    write("scripts/99-img-check.sh", "# [PASS] [WARN] [FAIL]\n");
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
    assert_eq!(
        fs::read_to_string(project.join("scripts/99-img-check.sh")).unwrap(),
        "#!/bin/bash\n# [PASS] [WARN] [FAIL]\n"
    );
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
        fs::write(folder.path().join("scripts").join(name), "#!/bin/sh\n# [PASS] [WARN] [FAIL]\n").unwrap();
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
    // Packer follows links.
    fs::create_dir(folder.path().join("files/etc/d")).unwrap();
    std::os::unix::fs::symlink("../game.conf", folder.path().join("files/etc/d/link")).unwrap();
    std::os::unix::fs::symlink("..", folder.path().join("files/etc/d/up")).unwrap();
    mkimg(folder.path())
        .args(["import", "template.json", "-o", "other"])
        .run()
        .exits(1)
        .stderr_has("the source `files/etc/d/up` is a link to a directory above it");
    assert_eq!(fs::read_to_string(folder.path().join("other/files/etc/d/link")).unwrap(), "port = 7350\n");
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

/// Each file of `tests/cases/import` has the files of a Packer template, the arguments of the import, and what comes out
/// of it: every diagnostic, every file with its mode, and whether the project is valid. The sections begin with
/// `=== NAME [MODE]`; `=== run` ends the input.
#[test]
fn each_case_gives_its_project() {
    let cases = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/import");
    let mut paths: Vec<_> = fs::read_dir(cases).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut failures = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        let (input, expected) = text.split_once("=== result\n").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut sections =
            input.split("=== ").skip(1).map(|section| section.split_once('\n').unwrap()).collect::<Vec<_>>();
        let (run, _) = sections.pop().unwrap();
        for (name, content) in sections {
            let (name, mode) = name.split_once(' ').unwrap_or((name, "0644"));
            let file = folder.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, content).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(u32::from_str_radix(mode, 8).unwrap())).unwrap();
        }
        let arguments = run.split_whitespace().skip(1);
        let imported =
            mkimg(folder.path()).arg("import").args(arguments).args(["-o", "project", "--format", "github"]).run();
        let mut found = format!("exit {}\n{}", imported.exit, imported.stdout);
        let notes =
            imported.stderr.lines().filter(|line| line.starts_with("note: scripts/") || line.starts_with("warning: "));
        notes.for_each(|note| found += &format!("{note}\n"));
        let project = folder.path().join("project");
        if project.exists() {
            let valid = mkimg(&project).arg("validate").run();
            found += &format!("validate: exit {}\n", valid.exit);
            for entry in walkdir::WalkDir::new(&project).sort_by_file_name() {
                let entry = entry.unwrap();
                if entry.file_type().is_file() {
                    let shown = entry.path().strip_prefix(&project).unwrap().display();
                    let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
                    found += &format!("=== {shown} {mode:04o}\n{}", fs::read_to_string(entry.path()).unwrap());
                }
            }
        }
        if bless() {
            fs::write(&path, format!("{input}=== result\n{found}")).unwrap();
        } else if found != expected {
            failures.push(format!("{}:\n{found}\nexpected:\n{expected}", path.display()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn hostile_templates_end_at_once_with_their_place() {
    let folder = packer(TEMPLATE);
    let import = |text: &str| {
        fs::write(folder.path().join("t.json"), text).unwrap();
        mkimg(folder.path()).args(["import", "t.json", "-o", "project"]).run()
    };
    let template = |provisioners: &str| {
        format!("{{\"builders\": [{{\"type\": \"digitalocean\"}}],\n \"provisioners\": [{provisioners}]}}")
    };
    let script = "\n{\"type\": \"shell\", \"script\": \"scripts/01-game.sh\"}";
    import(&template(&vec![script; 2002].join(",")))
        .exits(2)
        .stderr_has("error[MK960]: the template has more than 1000 provisioners or scripts")
        .stderr_has("--> t.json:1003:1\n");
    import(&template(script).replace("\"script\"", "\"script\": \"a\", \"script\""))
        .exits(2)
        .stderr_has("error[MK960]: `script` is twice in the same object");
    fs::create_dir_all(folder.path().join("sub/d")).unwrap();
    let file = |source: &str| {
        template(&format!("{{\"type\": \"file\", \"source\": \"{source}\", \"destination\": \"/opt/x\"}}"))
    };
    import(&file("sub/d/..")).exits(1).stderr_has("error[MK961]: the source `sub/d/..` has no name");
    import(&file("/dev/zero")).exits(1).stderr_has("error[MK961]: the source `/dev/zero` is outside");
    // Variables that double each other.
    let doubled: Vec<String> =
        (1..60).map(|n| format!("\"v{n}\": \"{{{{user `v{0}`}}}}{{{{user `v{0}`}}}}\"", n - 1)).collect();
    let text =
        file("{{user `v59`}}").replacen('{', &format!("{{\"variables\": {{\"v0\": \"x\", {}}},", doubled.join(",")), 1);
    import(&text).exits(1).stderr_has("error[MK961]: the source ");
    assert!(!folder.path().join("project/files/opt").exists());
}

/// In its own folder, a project names what the template names, and nothing else that lies there.
#[test]
fn an_import_in_place_names_each_file() {
    let folder = packer(TEMPLATE);
    for name in ["01-game.sh", "99-img-check.sh"] {
        fs::write(folder.path().join("scripts").join(name), "#!/bin/sh\n# [PASS] [WARN] [FAIL]\n").unwrap();
    }
    let narrow = TEMPLATE
        .replace("files/etc/\", \"destination\": \"/etc/", "files/etc/game.conf\", \"destination\": \"/etc/game.conf");
    fs::write(folder.path().join("template.json"), narrow).unwrap();
    fs::write(folder.path().join("files/etc/secret"), "secret\n").unwrap();
    fs::write(folder.path().join("scripts/02-other.sh"), "#!/bin/sh\n").unwrap();
    mkimg(folder.path()).args(["import", "template.json"]).run().success();
    let template = fs::read_to_string(folder.path().join("templates/image.yaml")).unwrap();
    assert!(template.contains("files:\n- source: files/etc/game.conf\n  to: /etc/game.conf\n"), "{template}");
    let (exit, document, stderr) = mkimg(folder.path()).arg("render").run().into_parts();
    assert_eq!(exit, 0, "{stderr}");
    assert!(!document.contains("/etc/secret") && !document.contains("02-other"), "{document}");
}

#[test]
fn values_are_read_as_packer_reads_them() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write(
        "i.pkr.hcl",
        "variable \"a\" {\n  default = \"1\"\n}\nsource \"digitalocean\" \"x\" {\n  image = \"i\"\n  region = \"r\"\n  size = var.a\n}\nbuild {\n  sources = [\"digitalocean.x\"]\n}\n",
    );
    write("b.auto.pkrvars.hcl", "a = \"2\"\n");
    write("c.pkrvars.hcl", "a = \"3\"\n");
    for (arguments, value) in [
        (["i.pkr.hcl"].as_slice(), "1"),
        (&["."], "2"),
        (&[".", "--var-file", "c.pkrvars.hcl"], "3"),
        (&["i.pkr.hcl", "--var-file", "c.pkrvars.hcl"], "3"),
    ] {
        let project = tempfile::tempdir().unwrap();
        let run = mkimg(folder.path()).arg("import").args(arguments).arg("-o").arg(project.path()).run().success();
        let template = fs::read_dir(project.path().join("templates")).unwrap().next().unwrap().unwrap().path();
        let template = fs::read_to_string(template).unwrap();
        assert!(template.contains(&format!("  a: \"{value}\"\n")), "{arguments:?}: {template}");
        let is_said = run.stderr.contains("warning: b.auto.pkrvars.hcl was not read");
        assert_eq!(is_said, arguments[0] == "i.pkr.hcl", "{}", run.stderr);
    }
    write("broken.pkrvars.hcl", "a = \n");
    let broken = ["import", "i.pkr.hcl", "--var-file", "broken.pkrvars.hcl", "-o", "project"];
    mkimg(folder.path()).args(broken).run().exits(2).stderr_has("--> broken.pkrvars.hcl:1:");
}

/// A shell sees the same commands as with Packer, which writes values into their text.
#[test]
fn commands_have_the_same_effect_as_with_packer() {
    const VALUES: &[&str] =
        &["plain", "a b", "5$", "it's", "q\"q", "", "x=1", "~", "$HOME", "`echo id`", "a\\b", "-n", "#c", "\tt"];
    const COMMANDS: &[&str] = &[
        "printf '[%s]' @",
        "printf '[%s]' \"@\" 'a@b' c@d '@''@'",
        "x=@; printf '[%s]' \"$x\"",
        "v=own; printf '[%s]' \"$v\" @",
        "printf '[%s]' \"$(printf '<%s>' '@' @)\" $((1<<2)) @",
        "for i in 1 @ 2; do printf '[%s]' \"$i\"; done # @",
        "cat <<END\n@ $HOME\nEND",
        "cat <<'END'\n@ $HOME\nEND",
        "cat <<-\"END\"\n\t@\n\tEND\nprintf z@",
        "case \"@\" in plain) printf 1 ;; *) printf 2 ;; esac",
    ];
    let folder = tempfile::tempdir().unwrap();
    let run = |script: &str, variables: &[(String, String)]| {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", script]).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", "/root");
        let output = shell.envs(variables.iter().cloned()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    for value in VALUES {
        let inline =
            |command: &&str| serde_json::json!({"type": "shell", "inline": [command.replace('@', "{{user `v`}}")]});
        let template = serde_json::json!({
            "variables": {"v": value},
            "builders": [{"type": "digitalocean", "image": "i", "region": "r", "size": "s"}],
            "provisioners": COMMANDS.iter().map(inline).collect::<Vec<_>>(),
        });
        fs::write(folder.path().join("t.json"), template.to_string()).unwrap();
        let project = folder.path().join("project");
        mkimg(folder.path()).args(["import", "t.json", "-o", "project"]).run().success();
        let image = fs::read_to_string(project.join("templates/t.yaml")).unwrap();
        let is_set = |name: &&&str| image.contains(&format!("  {name}: \"{{{{ v }}}}\"\n"));
        let names = ["v", "packer_v"];
        let names = names.iter().filter(is_set);
        let variables: Vec<_> = names.map(|name| ((*name).to_owned(), (*value).to_owned())).collect();
        for (index, command) in COMMANDS.iter().enumerate() {
            let number = if index == 0 { String::new() } else { format!("-{}", index + 1) };
            let script = fs::read_to_string(project.join(format!("scripts/00-inline{number}.sh"))).unwrap();
            let expected = run(&command.replace('@', value), &[]);
            assert_eq!(run(&script, &variables), expected, "{value:?} in {command:?}:\n{script}");
        }
        fs::remove_dir_all(&project).unwrap();
    }
}
