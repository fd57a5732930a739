//! The options that commands share (`-C`, `-q`, `-v`, those of the API and of the emulator): each test fails when one of them
//! is ignored.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;

use reqwest::Method;
use serde_json::json;

use crate::harness::{Emulator, Home, Mkimg, Run, Server, TOKEN, mkimg};

/// `-C` to the folder `project`, from a folder beside it, with a home and a token.
fn from_elsewhere(folder: &Path) -> Mkimg {
    let state = folder.join("state");
    mkimg(folder.join("elsewhere"))
        .args(["-C", "../project"])
        .env("HOME", folder)
        .env("XDG_STATE_HOME", state)
        .env("DIGITALOCEAN_API_TOKEN", TOKEN)
}

#[test]
fn every_path_of_a_command_line_is_relative_to_the_project() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("project");
    let write = |path: &str, text: &str| {
        let path = project.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    fs::create_dir(folder.path().join("elsewhere")).unwrap();
    mkimg(folder.path()).args(["init", "project"]).run().success();
    write("values.yaml", "version: 9.9.9\n");
    write("a.yaml", "#cloud-config\npackages: [aaa]\n");
    write("b.yaml", "#cloud-config\npackages: [bbb]\n");
    write("shared/one.sh", "#!/bin/sh\n");
    write("../allowed/two.sh", "#!/bin/sh\n");
    let packer = json!({
        "builders": [{"type": "digitalocean", "image": "debian-12-x64", "region": "nyc3", "size": "s-1vcpu-1gb"}],
        "provisioners": [{"type": "shell", "scripts": ["shared/one.sh", "../../allowed/two.sh"]}],
    });
    write("packer/template.json", &packer.to_string());
    let emulator = Emulator::quick(&[]);
    let report = ["--report", "report.json", "--marker", "poweroff", "--poll-interval", "50ms"];
    let bake = [&["bake", "templates/image.yaml", "--api-url", &emulator.url][..], &report].concat();
    for (arguments, exit, printed, written) in [
        (&["render", "templates/image.yaml", "--var-file", "values.yaml", "-o", "out.yaml"][..], 0, "", "out.yaml"),
        (&["render", "--stats", "-o", "other.yaml"], 0, "bytes of ", "other.yaml"),
        (&["validate", "a.yaml"], 0, "1 document: 1 valid", ""),
        (&["validate", "shared"], 0, "shared/one.sh:1:1", ""),
        (&["diff", "templates/image.yaml"], 0, "1 case is as expected", ""),
        (&["diff", "a.yaml", "b.yaml"], 1, "-- \"aaa\"\n+- \"bbb\"\n", ""),
        (&["show", "a.yaml"], 0, "=== packages\n- \"aaa\"\n", ""),
        (&["lock", "templates/image.yaml"], 0, "pins 0 artifacts", "mkimg.lock"),
        (
            &["import", "packer/template.json", "-o", "made", "--base", ".", "--allow", "../allowed"],
            0,
            "wrote a project of 3 files to made",
            "made/scripts/two.sh",
        ),
        (&["init", "new"], 0, "to ../project/new;", "new/templates/image.yaml"),
        (&["man", "share"], 0, "", "share/mkimg.1"),
        (&bake, 0, "report: ../project/report.json", "report.json"),
    ] {
        let run = from_elsewhere(folder.path()).args(arguments).run();
        let shown = format!("{}{}", run.stdout, run.stderr);
        assert!(run.exit == exit && shown.contains(printed), "{arguments:?}: {run:?}");
        assert!(written.is_empty() || project.join(written).exists(), "{arguments:?} wrote no {written}");
    }
    assert!(fs::read_to_string(project.join("out.yaml")).unwrap().contains("9.9.9"));

    let scenario = "boot: 0s\nsteps: [{name: from the file, endless: true}]\n";
    write("scenario.yaml", scenario);
    write("token", TOKEN);
    let mut emulate = from_elsewhere(folder.path())
        .args(["emulate", "--backend", "scripted", "--scenario", "scenario.yaml", "--token-file", "token"])
        .args(["--state", "cloud"])
        .into_command();
    let running = Emulator::start_command(&mut emulate, Stdio::null());
    assert_eq!(running.send(Method::GET, "/v2/account", None).0, 200);
    assert!(project.join("cloud").is_dir());
    assert_eq!(fs::read_dir(folder.path().join("elsewhere")).unwrap().count(), 0);
}

/// What was done is a note: `-q` leaves the result, the warnings and the errors.
#[test]
fn quiet_commands_print_results_and_problems_only() {
    let folder = tempfile::tempdir().unwrap();
    mkimg(folder.path()).arg("init").run().success();
    fs::write(folder.path().join("warns.yaml"), "#cloud-config\npackage_upgrade: true\napt_update: true\n").unwrap();
    let run = |arguments: &[&str], quiet: &[&str]| {
        mkimg(folder.path()).args(arguments).args(quiet).env("HOME", folder.path()).run()
    };
    for (arguments, exit) in [
        (&["diff"][..], 0),
        (&["lock"], 0),
        (&["lock", "--locked"], 0),
        (&["validate"], 0),
        (&["validate", "warns.yaml", "--deny", "warnings"], 1),
        (&["bakes"], 0),
        (&["bakes", "--format", "json"], 0),
    ] {
        let (loud, quiet) = (run(arguments, &[]).exits(exit), run(arguments, &["-q"]).exits(exit));
        assert!(loud.stderr.starts_with("note: "), "{loud:?}");
        assert_eq!((quiet.stdout, quiet.stderr.as_str()), (loud.stdout, ""), "{arguments:?}");
    }
    for (quiet, printed) in [(&[][..], "note: wrote "), (&["--quiet"], "")] {
        let target = format!("new-{}", quiet.len());
        let init = run(&["init", &target], quiet).success();
        assert!(init.stderr.starts_with(printed) && init.stderr.is_empty() == printed.is_empty(), "{init:?}");
    }
    run(&["lock", "--lock", "no/such"], &["-q"]).exits(2).stderr_has("error: ").stderr_has("help: ");
    run(&["diff", "-q"], &["-v"]).exits(2).stderr_has("cannot be used with");
}

/// `-v` says which downloads begin, and `-vv` each request to the API.
#[test]
fn verbose_commands_print_details() {
    let server = Server::with_files(&[("/tool", b"a tool\n")]);
    let home = Home::with_template(&format!(
        "droplet: {{image: debian-12-x64, region: nyc3, size: s-1vcpu-1gb}}\nsnapshot: {{name: tested}}\nupgrade: true\n\
         artifacts: [{{url: '{}', to: /usr/local/bin/tool}}]\n",
        server.url("/tool")
    ));
    let detail = format!("downloading {}\n", server.url("/tool"));
    for (verbose, is_printed) in [(&[][..], false), (&["-v"], true)] {
        let run = home.run(&[&["lock", "--update"], verbose].concat()).success();
        assert_eq!(run.stderr.contains(&detail), is_printed, "{verbose:?}: {run:?}");
    }
    let emulator = Emulator::without_machines(&[]);
    for (verbose, is_printed) in [(&["-v"][..], false), (&["-vv"], true)] {
        let run = home.run(&[&["bake", "--dry-run", "--api-url", &emulator.url], verbose].concat()).success();
        assert_eq!(run.stderr.contains("GET /v2/account: ok ("), is_printed, "{verbose:?}: {run:?}");
        assert!(!run.stderr.contains(TOKEN));
    }
}

/// How often and for how long a request is tried.
#[test]
fn requests_have_their_own_options() {
    let home = Home::new();
    for (fault, options, exit, printed) in [
        ("1:503", &["--retries", "0"][..], 2, "503"),
        ("1:503", &["--retries", "1", "--retry-wait", "1ms", "--retry-wait-max", "1ms"], 0, ""),
        ("1:hang", &["--retries", "0", "--timeout-request", "100ms"], 2, "no answer within 100ms"),
    ] {
        let emulator = Emulator::without_machines(&["--fault", fault]);
        for command in ["gc", "bakes"] {
            let run = home.run(&[&[command, "--api-url", &emulator.url], options].concat());
            // The second command has no fault.
            let expected = if command == "gc" { exit } else { 0 };
            run.exits(expected).stderr_has(if command == "gc" { printed } else { "" });
        }
    }
    // The address may come from the environment; the option wins over it.
    let emulator = Emulator::without_machines(&[]);
    let gc = |variable: &str, options: &[&str]| {
        let mut command = home.command(&[&["gc"], options].concat());
        Run::of(command.env("DIGITALOCEAN_API_URL", variable))
    };
    gc(&emulator.url, &[]).success();
    gc("http://127.0.0.1:9", &["--api-url", &emulator.url]).success();
    gc("http://127.0.0.1:9", &["--retries", "0"]).exits(2).stderr_has("no connection to http://127.0.0.1:9");
}

#[test]
fn an_emulator_behaves_as_its_options_say() {
    let body = json!({"name": "a", "region": "nyc3", "size": "s-1vcpu-1gb", "image": "debian-12-x64", "tags": ["t"]});
    let start = |options: &[&str]| {
        let emulator = Emulator::without_machines(options);
        let (status, made) = emulator.send(Method::POST, "/v2/droplets", Some(body.clone()));
        (emulator, status, made)
    };
    let (emulator, _, made) = start(&["--list-lag", "1h"]);
    assert_eq!(emulator.get("/v2/droplets")["meta"]["total"], 0);
    assert_eq!(emulator.get(&format!("/v2/droplets/{}", made["droplet"]["id"]))["droplet"]["name"], "a");
    let (emulator, status, _) = start(&["--rate-limit", "1/hour"]);
    assert_eq!((status, emulator.send(Method::GET, "/v2/account", None).0), (202, 429));
    let (emulator, _, made) = start(&["--latency", "create=1h"]);
    assert_eq!(emulator.get(&format!("/v2/droplets/{}", made["droplet"]["id"]))["droplet"]["status"], "new");
    assert_eq!(start(&["--fault", "POST /v2/droplets:503"]).1, 503);
    // The state outlives the emulator.
    let state = tempfile::tempdir().unwrap();
    let options = ["--state", state.path().to_str().unwrap()];
    let (mut emulator, ..) = start(&options);
    emulator.account();
    emulator.kill();
    assert_eq!(Emulator::without_machines(&options).get("/v2/droplets")["meta"]["total"], 1);
}

/// Without a pin nothing is rendered, compared or baked where `--locked` is given.
#[test]
fn locked_commands_need_every_pin() {
    let home = Home::with_template(
        "droplet: {image: debian-12-x64, region: nyc3, size: s-1vcpu-1gb}\nsnapshot: {name: tested}\nupgrade: true\n\
         artifacts: [{url: 'http://127.0.0.1:9/tool', to: /usr/local/bin/tool}]\n",
    );
    fs::create_dir_all(home.path().join("fixtures/default")).unwrap();
    fs::write(home.path().join("fixtures/default/variables.yaml"), "").unwrap();
    home.run(&["diff", "--update"]).success();
    let emulator = Emulator::without_machines(&[]);
    for (arguments, exit) in [
        (&["render"][..], 0),
        (&["diff"], 0),
        (&["lock", "--locked"], 1),
        (&["bake", "--dry-run", "--api-url", &emulator.url], 0),
    ] {
        let warning = "mkimg.lock does not pin http://127.0.0.1:9/tool";
        home.run(arguments).exits(exit).stderr_has(warning);
        if arguments[0] != "lock" {
            let locked = home.run(&[arguments, &["--locked"]].concat()).exits(1).stdout_is("");
            locked
                .stderr_starts("error: ")
                .stderr_has(warning)
                .stderr_has("help: run `mkimg lock` and commit the file");
        }
    }
}

/// `--report` and `--format json` of a resumed bake.
#[test]
fn a_resumed_bake_is_reported() {
    let home = Home::new();
    let faults = [1, 2].map(|nth| format!("DELETE /v2/tags/mkimg*/resources#{nth}:403"));
    let emulator = Emulator::quick(&faults.each_ref().map(String::as_str));
    assert_eq!(home.start(&emulator, &[]).end().0, 4);
    let bake = home.bake();
    let run = home.run(&["resume", &bake, "--format", "json", "--report", "resumed.json"]).success();
    let last: serde_json::Value = serde_json::from_str(run.stdout.lines().last().unwrap()).unwrap();
    assert_eq!((&last["event"], &last["bake"]), (&json!("done"), &json!(bake)));
    let report = fs::read_to_string(home.path().join("resumed.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!((&report["result"], &report["bake"]), (&json!("done"), &json!(bake)));
}

/// Lists that programs read, without a token and without an entry.
#[test]
fn empty_lists_are_lists() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| mkimg(folder.path()).args(arguments).env("HOME", folder.path()).run().success();
    assert_eq!(run(&["bakes", "--format", "json"]).json(), json!({"version": 1, "bakes": [], "left": null}));
    run(&["bakes"]).stdout_is("").stderr_is(
        "note: no bake was started from here\nnote: no token: the account was not searched for remaining resources\n",
    );
}

#[cfg(feature = "qemu")]
#[test]
fn base_images_of_a_directory_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        mkimg(folder.path()).args(["base", "list"]).args(arguments).env("HOME", folder.path()).run().success()
    };
    assert_eq!(run(&["--format", "json"]).json(), json!({"version": 1, "images": []}));
    run(&[]).stdout_is("").stderr_is("no base images; build one with: mkimg base build debian-12-x64\n");
    // Neither a folder without a disk, nor a file, nor a hidden folder.
    let image = |name: &str| {
        let image = folder.path().join("cache").join(name);
        fs::create_dir_all(&image).unwrap();
        image
    };
    image("empty");
    fs::write(folder.path().join("cache/file"), "").unwrap();
    for (name, slug) in
        [("b", "ubuntu-24-04-x64"), ("a", "debian-12-x64"), (".making-1", "debian-13-x64"), ("old", "x")]
    {
        let version = if name == "old" { 99 } else { 1 };
        let base = json!({"version": version, "slug": slug, "made_at": "2026-11-30T00:00:00Z", "boot": {"kind": "loader"}, "virtual_size": 1, "origin": "x"});
        let folder = image(name);
        fs::write(folder.join("base.json"), base.to_string()).unwrap();
        fs::File::create(folder.join("disk.qcow2")).unwrap().set_len(3 << 20).unwrap();
    }
    let listed = run(&["--cache", "cache"]).stdout;
    let shown: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().take(3).collect()).collect();
    assert_eq!(shown, [["debian-12-x64", "3", "MiB"], ["ubuntu-24-04-x64", "3", "MiB"]], "{listed}");
}

/// Who starts an emulator without a token gets one; a token that no header can carry is refused.
#[test]
fn an_emulator_has_a_usable_token() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("blank"), "\n").unwrap();
    let emulate = |arguments: &[&str]| mkimg(folder.path()).args(["emulate", "--backend", "none"]).args(arguments);
    for arguments in [&["--token", "a b"][..], &["--token", ""], &["--token-file", "blank"]] {
        let name = arguments[0];
        emulate(arguments).run().exits(2).stderr_is(&format!("error: {name}: expected a text without white space\n"));
    }
    emulate(&["--token-file", "nowhere"]).run().exits(2).stderr_has("error: cannot read nowhere: ");
    let mut log = tempfile::NamedTempFile::new().unwrap();
    let running = Emulator::start_command(&mut emulate(&[]).into_command(), Stdio::from(log.reopen().unwrap()));
    assert_eq!(running.send(Method::GET, "/v2/account", None).0, 401);
    let mut printed = String::new();
    log.as_file_mut().read_to_string(&mut printed).unwrap();
    let token = printed.lines().find_map(|line| line.strip_prefix("token: ")).unwrap();
    let mut connection = TcpStream::connect(running.url.trim_start_matches("http://")).unwrap();
    write!(connection, "GET /v2/account HTTP/1.0\r\nauthorization: Bearer {token}\r\n\r\n").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200 "), "{answer}");
}
