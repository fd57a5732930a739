//! Projects and Packer templates of strangers: what they must not read, replace or block.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use crate::harness::{MKIMG, mkimg};

const VICTIM: &str = "text of the victim\n";

/// A project of `mkimg init`, and a directory outside of it with a file of the user.
fn project_and_outside() -> (tempfile::TempDir, tempfile::TempDir) {
    let (project, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    mkimg(project.path()).arg("init").run().success();
    fs::write(outside.path().join("profile"), VICTIM).unwrap();
    (project, outside)
}

fn replace_by_link(path: &Path, target: &Path) {
    if path.is_dir() {
        fs::remove_dir_all(path).unwrap();
    } else {
        let _ = fs::remove_file(path);
    }
    symlink(target, path).unwrap();
}

fn make_pipe(path: &Path) {
    let _ = fs::remove_file(path);
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn nothing_is_written_or_read_through_a_link_of_a_project() {
    let fixture = "fixtures/default/user-data.yaml";
    let cases: &[(&str, &str, &[&str])] = &[
        (fixture, "profile", &["diff", "--update"]),
        (fixture, "new", &["diff", "--update"]),
        (fixture, "profile", &["diff"]),
        ("fixtures/default", "", &["diff", "--update"]),
        ("fixtures", "", &["diff", "--update"]),
        ("fixtures/default/variables.yaml", "profile", &["diff"]),
        ("fixtures/default/mkimg.lock", "profile", &["diff"]),
        ("mkimg.lock", "profile", &["lock"]),
        ("mkimg.lock", "new", &["lock"]),
        ("mkimg.lock", "profile", &["render"]),
        ("mkimg.lock", "profile", &["validate"]),
        ("templates/image.yaml", "profile", &["render"]),
        ("templates/image.yaml", "profile", &["validate"]),
        ("out.yaml", "profile", &["render", "-o", "out.yaml"]),
        ("out", "", &["render", "-o", "out/new"]),
        ("files", "", &["render"]),
        ("files/etc/hello.conf", "profile", &["render"]),
    ];
    for (link, target, arguments) in cases {
        let (project, outside) = project_and_outside();
        if link.starts_with("fixtures") {
            fs::create_dir(outside.path().join("default")).unwrap();
            for variables in ["variables.yaml", "default/variables.yaml"] {
                fs::write(outside.path().join(variables), "{}\n").unwrap();
            }
            // There is a difference to write.
            fs::write(project.path().join(fixture), "old\n").unwrap();
        }
        replace_by_link(&project.path().join(link), &outside.path().join(target));
        let before = fs::read_dir(outside.path()).unwrap().count();
        let (exit, stdout, stderr) = mkimg(project.path()).args(*arguments).run().into_parts();
        assert_eq!(exit, 2, "{link} {arguments:?}: {stderr}");
        let says = |text: &str| stderr.contains(text);
        assert!(says("is a symbolic link") || says("leaves the project"), "{link} {arguments:?}: {stderr}");
        assert!(
            says("help: ") && !says("text of the victim") && !stdout.contains("text of the victim"),
            "{link} {arguments:?}: {stdout}{stderr}"
        );
        assert_eq!(fs::read_to_string(outside.path().join("profile")).unwrap(), VICTIM, "{link} {arguments:?}");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), before, "{link} {arguments:?}");
    }
    let (project, outside) = project_and_outside();
    replace_by_link(&project.path().join("mkimg.lock"), &outside.path().join("profile"));
    mkimg(project.path()).arg("lock").run().exits(2).stderr_is(
        "error: cannot read mkimg.lock: mkimg.lock is a symbolic link, and links inside a project are not followed\n\
         help: replace the link by the file or directory itself\n",
    );
}

#[test]
fn links_that_the_user_typed_are_followed() {
    let (project, outside) = project_and_outside();
    let link = outside.path().join("link");
    symlink(outside.path().join("profile"), &link).unwrap();
    mkimg(project.path()).args(["render", "-o"]).arg(&link).run().success();
    assert!(link.is_symlink());
    assert!(fs::read_to_string(outside.path().join("profile")).unwrap().starts_with("#cloud-config\n"));
    // The project's directory, and a template, may be links.
    let other = outside.path().join("project");
    symlink(project.path(), &other).unwrap();
    mkimg(outside.path()).args(["-C", "project", "diff"]).run().success();
    mkimg(outside.path()).args(["diff", "project/templates/image.yaml", "--update"]).run().success();
    symlink(project.path().join("templates/image.yaml"), project.path().join("templates/other.yaml")).unwrap();
    mkimg(project.path()).args(["render", "templates/other.yaml"]).run().success();
}

#[test]
fn pipes_and_devices_are_refused_and_not_waited_for() {
    let cases: &[(&str, &[&str])] = &[
        ("templates/image.yaml", &["render"]),
        ("templates/image.yaml", &["render", "templates/image.yaml"]),
        ("mkimg.lock", &["render"]),
        ("mkimg.lock", &["lock"]),
        ("values.yaml", &["render", "--var-file", "values.yaml"]),
        ("fixtures/default/variables.yaml", &["diff"]),
        ("fixtures/default/user-data.yaml", &["diff", "--update"]),
        ("files/etc/hello.conf", &["render"]),
        ("scripts/01-hello.sh", &["render"]),
        ("document.yaml", &["validate", "document.yaml"]),
        ("document.yaml", &["diff", "document.yaml", "fixtures/default/user-data.yaml"]),
        ("out.yaml", &["render", "-o", "out.yaml"]),
        ("image.json", &["import", "image.json", "-o", "project"]),
    ];
    for (pipe, arguments) in cases {
        let (project, _outside) = project_and_outside();
        make_pipe(&project.path().join(pipe));
        let (exit, _, stderr) = mkimg(project.path()).args(*arguments).run().into_parts();
        assert_eq!(exit, 2, "{pipe} {arguments:?}: {stderr}");
        assert!(stderr.contains("is a named pipe, not a regular file"), "{pipe} {arguments:?}: {stderr}");
    }
    let (project, _outside) = project_and_outside();
    symlink("/dev/zero", project.path().join("document.yaml")).unwrap();
    let refused = "error: cannot read document.yaml: it is a device, not a regular file\n";
    mkimg(project.path()).args(["validate", "document.yaml"]).run().exits(2).stderr_has(refused);
    // What the user types may be a stream.
    mkimg(project.path()).args(["render", "--var-file", "/dev/stdin"]).stdin("region: fra1\n").run().success();
    mkimg(project.path()).args(["validate", "/dev/stdin"]).stdin("#cloud-config\npackages: [jq]\n").run().success();
}

#[test]
fn what_an_interrupted_command_left_is_not_part_of_the_image() {
    let (project, _outside) = project_and_outside();
    let before = mkimg(project.path()).arg("render").run().success().stdout;
    for directory in ["files/etc", "scripts", "files/etc/.mkimg-1.part", "templates"] {
        fs::create_dir_all(project.path().join(directory)).unwrap();
        fs::write(project.path().join(directory).join(".mkimg-0123456789abcdef.part"), "#!/bin/sh\nhalf").unwrap();
    }
    fs::write(project.path().join("files/etc/.mkimg-1.part/hello.conf"), "half").unwrap();
    let run = mkimg(project.path()).arg("render").run().success();
    assert_eq!(run.stdout, before);
    let left = ".part was left by an interrupted mkimg, and is not part of the image";
    run.stderr_has("warning[MK951]: files/etc/.mkimg-0123456789abcdef").stderr_has(left);
}

const DROPLET: &str = r#""type": "digitalocean", "image": "debian-12-x64", "region": "nyc3", "size": "s-1vcpu-1gb""#;

/// A Packer template with these provisioners, in `packer/`; beside it files that are not its own.
fn packer(provisioners: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("secret/key", VICTIM);
    write("secret/a.sh", "#!/bin/sh\ntrue\n");
    write("packer/files/etc/own.conf", "own\n");
    let template = format!("{{\"builders\": [{{{DROPLET}}}], \"provisioners\": [\n{provisioners}\n]}}");
    write("packer/image.json", &template);
    let packer = folder.path().join("packer");
    symlink("../secret/key", packer.join("link")).unwrap();
    symlink("../secret", packer.join("directory")).unwrap();
    symlink("files/etc", packer.join("inner")).unwrap();
    symlink("/dev/zero", packer.join("zero")).unwrap();
    make_pipe(&packer.join("pipe"));
    fs::File::create(packer.join("large")).unwrap().set_len((64 << 20) + 1).unwrap();
    folder
}

#[test]
fn an_import_copies_nothing_from_outside_the_template() {
    let file = |source: &str| format!("{{\"type\": \"file\", \"source\": \"{source}\", \"destination\": \"/opt/x\"}}");
    let script = |source: &str| format!("{{\"type\": \"shell\", \"script\": \"{source}\"}}");
    let outside = "is outside the current directory and the template's, and was not copied";
    let elsewhere = tempfile::NamedTempFile::new().unwrap();
    fs::write(elsewhere.path(), VICTIM).unwrap();
    let absolute = elsewhere.path().display().to_string();
    for (provisioner, problem) in [
        (file("../secret/key"), format!("source `../secret/key` {outside}")),
        (file("../secret/"), format!("source `../secret/` {outside}")),
        (file("files/../../secret/key"), format!("source `files/../../secret/key` {outside}")),
        (file(&absolute), format!("source `{absolute}` {outside}")),
        (file("/etc/passwd"), format!("source `/etc/passwd` {outside}")),
        (file("link"), format!("source `link` {outside}")),
        (file("directory/"), format!("source `directory/` {outside}")),
        (file("directory/key"), format!("source `directory/key` {outside}")),
        (script("../secret/a.sh"), format!("script `../secret/a.sh` {outside}")),
        (script("/etc/passwd"), format!("script `/etc/passwd` {outside}")),
        (script("directory/a.sh"), format!("script `directory/a.sh` {outside}")),
        (file("/dev/zero"), format!("source `/dev/zero` {outside}")),
        (file("zero"), format!("source `zero` {outside}")),
        (file("pipe"), "source `pipe` is a named pipe, not a regular file".to_owned()),
        (script("pipe"), "script `pipe` is a named pipe, not a regular file".to_owned()),
        (file("large"), "source `large` is larger than 64 MiB".to_owned()),
    ] {
        let folder = packer(&provisioner);
        let import = ["import", "image.json", "-o", "../project"];
        let (exit, _, stderr) = mkimg(folder.path().join("packer")).args(import).run().into_parts();
        assert_eq!(exit, 1, "{provisioner}: {stderr}");
        assert!(stderr.contains(&format!("error[MK961]: the {problem}\n")), "{provisioner}: {stderr}");
        assert!(stderr.contains("--> image.json:2:"), "{provisioner}: {stderr}");
        let found = Command::new("grep")
            .args(["-rl", "text of the victim", "project"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(found.stdout.is_empty(), "{provisioner}: {found:?}");
    }
    // Inside a directory: reported, and the rest is copied.
    let folder = packer(&file("./"));
    let (exit, _, stderr) =
        mkimg(folder.path().join("packer")).args(["import", "image.json", "-o", "../project"]).run().into_parts();
    assert_eq!(exit, 1, "{stderr}");
    for (name, problem) in [
        ("link", outside),
        ("directory", outside),
        ("zero", outside),
        ("pipe", "is a named pipe, not a regular file"),
        ("large", "is larger than 64 MiB"),
    ] {
        assert!(stderr.contains(&format!("error[MK961]: the source `./{name}` {problem}\n")), "{stderr}");
    }
    assert!(folder.path().join("project/files/opt/x/files/etc/own.conf").exists(), "{stderr}");
}

#[test]
fn an_import_copies_what_the_user_allows() {
    let provisioners = r#"{"type": "file", "source": "../secret/key", "destination": "/opt/key"},
      {"type": "file", "source": "inner/own.conf", "destination": "/opt/own"},
      {"type": "shell", "script": "../secret/a.sh"}"#;
    let allowed: &[&[&str]] = &[
        &["--allow", ".."],
        &["--allow", "../secret"],
        &["--allow", "../secret/key", "--allow", "../packer/../secret/a.sh"],
    ];
    for allowed in allowed {
        let folder = packer(provisioners);
        let import = ["import", "image.json", "-o", "../project"];
        mkimg(folder.path().join("packer")).args(import).args(*allowed).run().success();
        let content = |path: &str| fs::read_to_string(folder.path().join("project").join(path)).unwrap();
        assert_eq!(content("files/opt/key"), VICTIM);
        assert_eq!(content("files/opt/own"), "own\n");
        assert_eq!(content("scripts/a.sh"), "#!/bin/sh\ntrue\n");
    }
    // Paths that are relative to where Packer was started.
    let folder = packer(r#"{"type": "file", "source": "packer/files/etc/", "destination": "/etc/"}"#);
    for (directory, import) in [
        ("", ["import", "packer/image.json", "-o", "project"].as_slice()),
        ("packer", &["import", "image.json", "-o", "project", "--base", ".."]),
    ] {
        let directory = folder.path().join(directory);
        mkimg(&directory).args(import).run().success();
        assert!(directory.join("project/files/etc/own.conf").exists());
    }
    let nowhere = ["import", "packer/image.json", "-o", "other", "--allow", "nowhere"];
    mkimg(folder.path()).args(nowhere).run().exits(2).stderr_has("help: name a directory or file that exists");
}

#[test]
fn an_import_has_a_limit_and_does_not_leave_the_new_project() {
    let folder = packer(r#"{"type": "file", "source": "many/", "destination": "/opt/"}"#);
    fs::create_dir(folder.path().join("packer/many")).unwrap();
    for number in 0..5 {
        let file = fs::File::create(folder.path().join("packer/many").join(number.to_string())).unwrap();
        file.set_len(60 << 20).unwrap();
    }
    let import = ["import", "packer/image.json", "-o", "project"];
    mkimg(folder.path())
        .args(import)
        .run()
        .exits(2)
        .stderr_has("error[MK960]: the files have more than 256 MiB in all");
    assert!(!folder.path().join("project").exists());

    let folder = packer(r#"{"type": "file", "source": "files/etc/", "destination": "/etc/"}"#);
    fs::create_dir(folder.path().join("project")).unwrap();
    symlink("../secret", folder.path().join("project/files")).unwrap();
    mkimg(folder.path()).args(import).run().exits(2).stderr_has("files is a symbolic link");
    assert_eq!(fs::read_dir(folder.path().join("secret")).unwrap().count(), 2);
    assert_eq!(fs::read_dir(folder.path().join("project")).unwrap().count(), 1);
}

#[test]
fn an_interrupted_import_leaves_no_project() {
    let folder = packer(r#"{"type": "file", "source": "tree/", "destination": "/etc/"}"#);
    let tree = folder.path().join("packer/tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("a"), "small").unwrap();
    fs::write(tree.join("b"), vec![b'x'; 1 << 20]).unwrap();
    for output in ["project", "existing"] {
        if output == "existing" {
            fs::create_dir_all(folder.path().join("existing/files")).unwrap();
        }
        // The kernel kills it at `b`, which is larger than it may write.
        let killed = Command::new("sh")
            .args(["-c", "ulimit -c 0; ulimit -f 16; exec \"$@\"", "sh", MKIMG])
            .args(["import", "packer/image.json", "-o", output])
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(killed.status.signal().is_some(), "{killed:?}");
        let project = folder.path().join(output);
        assert!(!project.join("files/etc").exists() && !project.join("templates").exists(), "{output}");
        // The next one succeeds.
        mkimg(folder.path()).args(["import", "packer/image.json", "-o", output]).run().success();
        assert!(project.join("files/etc/b").exists() && project.join("templates/image.yaml").exists());
    }
}

#[test]
fn a_state_directory_that_others_can_write_is_refused() {
    let state = tempfile::tempdir().unwrap();
    let bakes = state.path().join("mkimg/bakes");
    fs::create_dir_all(&bakes).unwrap();
    for private in [&bakes, &state.path().join("mkimg")] {
        fs::set_permissions(private, fs::Permissions::from_mode(0o700)).unwrap();
    }
    for shared in [&bakes, &state.path().join("mkimg")] {
        fs::set_permissions(shared, fs::Permissions::from_mode(0o777)).unwrap();
        let run = mkimg(state.path()).arg("bakes").env("XDG_STATE_HOME", state.path()).run().exits(2);
        let problem = format!("error: {} can be written by other users (mode 0777)\n", shared.display());
        run.stderr_has(&problem).stderr_has(&format!("chmod 700 {}", shared.display()));
        fs::set_permissions(shared, fs::Permissions::from_mode(0o700)).unwrap();
    }
    mkimg(state.path()).arg("bakes").env("XDG_STATE_HOME", state.path()).run().success();
}
