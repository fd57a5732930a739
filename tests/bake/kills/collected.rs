//! `mkimg gc` from any machine: what it takes, what it leaves.

use serde_json::json;

use super::support::{Emulator, Home, play, until};

fn droplet(emulator: &Emulator, name: &str, tags: &[&str]) -> u64 {
    let body = json!({"name": name, "region": "nyc3", "size": "s-1vcpu-1gb", "image": "debian-12-x64", "tags": tags});
    emulator.post("/v2/droplets", body)["droplet"]["id"].as_u64().expect("a droplet")
}

fn unix() -> u64 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

#[test]
fn what_is_not_mkimgs_is_never_touched() {
    let (home, emulator) = (Home::new(), Emulator::start(&["--backend", "none"]));
    for (name, tags) in [
        ("without", &[][..]),
        ("own", &["mkimg"]),
        ("malformed-1", &["mkimg", "mkimg:bake:"]),
        ("malformed-2", &["mkimg", "mkimg:bake:20200101-000000-aaaaaa"]),
        ("malformed-3", &["mkimg", "mkimg:bake:20200101-000000-aaaaaa:-5"]),
        ("malformed-4", &["mkimg", "mkimg:bake:20200101-000000-aaaaaa:99999999999999999999999"]),
        ("not-mkimgs", &["bake:20200101-000000-aaaaaa:5"]),
    ] {
        droplet(&emulator, name, tags);
    }
    let own = droplet(&emulator, "own-with-snapshot", &["mkimg"]);
    emulator.account();
    emulator.post(&format!("/v2/droplets/{own}/actions"), json!({"type": "power_off"}));
    emulator.account();
    emulator.post(&format!("/v2/droplets/{own}/actions"), json!({"type": "snapshot", "name": "own"}));
    emulator.holds(8, 1, "before");
    for arguments in [&["gc"][..], &["gc", "--older-than", "0s"], &["gc", "20200101-000000-aaaaaa"]] {
        let (exit, stdout, said) = home.mkimg(&[arguments, &["--api-url", &emulator.url]].concat());
        assert_eq!((exit, stdout.as_str()), (0, ""), "{said}");
    }
    emulator.holds(8, 1, "after");
}

#[test]
fn from_another_machine_only_what_is_past_its_deadline_goes() {
    let emulator = Emulator::start(&["--backend", "none"]);
    let passed = format!("mkimg:bake:20200101-000000-aaaaaa:{}", unix() - 600);
    let early = format!("mkimg:bake:20200101-000000-bbbbbb:{}", unix() + 600);
    droplet(&emulator, "passed", &["mkimg", &passed]);
    droplet(&emulator, "early", &["mkimg", &early]);
    // A bake at work elsewhere.
    let elsewhere = Home::new();
    let mut baking = elsewhere.start(&emulator, &[]);
    baking.until_said("provision: waiting");

    let home = Home::new();
    let gc = |more: &[&str]| {
        let (exit, stdout, said) = home.mkimg(&[&["gc", "--api-url", &emulator.url], more].concat());
        assert_eq!(exit, 0, "{said}");
        (stdout, said)
    };
    let (stdout, said) = gc(&["--older-than", "1h"]);
    assert_eq!(stdout, "", "{said}");
    assert!(said.contains("its deadline passed") && said.contains("its deadline is in"), "{said}");
    let (stdout, _) = gc(&["--dry-run"]);
    assert!(
        stdout.contains("would destroy droplet") && stdout.contains("`passed`") && stdout.lines().count() == 1,
        "{stdout}"
    );
    emulator.holds(3, 0, "--dry-run");
    let (stdout, _) = gc(&[]);
    assert!(stdout.contains("destroyed droplet") && stdout.lines().count() == 1, "{stdout}");
    emulator.holds(2, 0, "past its deadline");
    // By name, whatever its deadline, without a journal.
    let (stdout, _) = gc(&["20200101-000000-bbbbbb"]);
    assert!(stdout.contains("`early`"), "{stdout}");
    emulator.holds(1, 0, "named");
    let bake = elsewhere.bake();
    baking.kill();
    let (stdout, _) = gc(&[&bake]);
    assert!(stdout.contains("destroyed droplet"), "{stdout}");
    emulator.holds(0, 0, "a killed bake, from another machine");
}

#[test]
fn a_snapshot_in_the_making_goes_with_its_droplet() {
    for journal in [true, false] {
        let options =
            ["--backend", "none", "--off-after", "200ms", "--latency", "create=100ms,snapshot=3s", "--list-lag", "1s"];
        let (home, emulator) = (Home::new(), Emulator::start(&options));
        let baking = home.start(&emulator, &[]);
        until("the snapshot", || home.entries().iter().any(|entry| entry == "snapshot-started").then_some(()));
        let bake = home.bake();
        baking.kill();
        if !journal {
            // Without the journal, gc sees what the lists show.
            std::fs::remove_dir_all(home.bakes()).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(1100));
        }
        let (exit, stdout, said) = home.mkimg(&["gc", "--api-url", &emulator.url, &bake]);
        assert_eq!(exit, 0, "{said}");
        assert!(stdout.contains("destroyed snapshot") && stdout.contains("destroyed droplet"), "{stdout}");
        std::thread::sleep(std::time::Duration::from_millis(1200));
        emulator.holds(0, 0, &format!("journal: {journal}"));
    }
}

#[test]
fn an_api_that_falls_silent_ends_it_and_what_is_not_known_to_be_gone_is_named() {
    // Two at once, and the others after a service that answers nothing any more: hangs, breaks off, says 500.
    play(vec![("hang", "no answer"), ("closed", "connection"), ("500", "500")], |&(silence, kind)| {
        let faults =
            ["DELETE /v2/droplets/*#2-", "* /v2/droplets/*/*#4-", "GET /v2/droplets/*#2-", "GET /v2/droplets#9-"]
                .map(|when| format!("{when}:{silence}"));
        let faults = faults.iter().flat_map(|fault| ["--fault", fault]);
        let options: Vec<&str> =
            ["--backend", "none", "--latency", "create=10ms,destroy=10ms"].into_iter().chain(faults).collect();
        let (home, emulator) = (Home::new(), Emulator::start(&options));
        let tag = format!("mkimg:bake:20200101-000000-aaaaaa:{}", unix() - 600);
        let droplets: Vec<u64> = (0..5).map(|nth| droplet(&emulator, &format!("d{nth}"), &["mkimg", &tag])).collect();
        // The requests are counted: one that a busy machine answers late must not be sent again. What hangs is given up after
        // two of these.
        let words = ["gc", "--api-url", &emulator.url, "--timeout-request", "5s", "--timeout-unreachable", "2s"];
        let start = std::time::Instant::now();
        let (exit, said) = home.spawn(&mut home.command(&words)).end();
        let took = start.elapsed();
        assert_eq!(exit, 4, "{silence}: {said}");
        // Far less than the five minutes that one droplet may take.
        assert!(took.as_secs() < 90, "{silence}: {took:?}: {said}");
        assert!(said.contains(&format!("destroyed droplet {}", droplets[0])), "{silence}: {said}");
        for droplet in &droplets[1..] {
            assert!(said.contains(&format!("still exists: droplet {droplet} (")), "{silence}: {droplet}: {said}");
        }
        assert!(said.contains("gave no usable answer for 2s") && said.contains(kind), "{silence}: {said}");
        assert!(said.contains("4 of 5 ") && said.contains("--timeout-unreachable"), "{silence}: {said}");
    });
}

#[test]
fn a_deletion_by_tag_goes_on_without_its_client() {
    let emulator = Emulator::start(&["--backend", "none", "--latency", "create=10ms,destroy=300ms"]);
    for nth in 0..4 {
        droplet(&emulator, &format!("d{nth}"), &["many"]);
    }
    emulator.holds(4, 0, "before");
    let address = emulator.url.strip_prefix("http://").unwrap();
    let mut connection = std::net::TcpStream::connect(address).unwrap();
    let request = format!(
        "DELETE /v2/droplets?tag_name=many HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n",
        super::support::TOKEN
    );
    std::io::Write::write_all(&mut connection, request.as_bytes()).unwrap();
    // Not before it has been heard: a request may be dropped whose connection has ended by then.
    until("the deletion having begun", || {
        let droplets = emulator.get("/v2/droplets")["droplets"].as_array().expect("a list").clone();
        (droplets.len() < 4 || droplets.iter().any(|droplet| droplet["locked"] == true)).then_some(())
    });
    drop(connection);
    until("all of them going", || emulator.account().0.is_empty().then_some(()));
}

#[test]
fn a_bake_whose_leftovers_are_removed_is_not_said_to_have_left_them() {
    // Two refusals, and two when it tries once more.
    let faults: Vec<String> = (1..=4).map(|nth| format!("DELETE /v2/droplets/*#{nth}:403")).collect();
    let faults: Vec<&str> = faults.iter().map(String::as_str).collect();
    let (home, emulator) = (Home::new(), Emulator::quick(&faults));
    let (exit, said) = home.start(&emulator, &[]).end();
    assert_eq!(exit, 4, "{said}");
    let bakes = || home.mkimg(&["bakes", "--api-url", &emulator.url]).1;
    let (bake, before) = (home.bake(), bakes());
    let line = before.lines().next().unwrap();
    assert!(line.contains("  left         droplet ") && !line.contains("droplet going away"), "{before}");
    let (exit, stdout, said) = home.mkimg(&["gc", "--api-url", &emulator.url, &bake]);
    assert_eq!(exit, 0, "{stdout}{said}");
    emulator.holds(0, 0, "collected");
    let after = bakes();
    assert!(after.contains("  failed       ") && after.contains("removed by `mkimg gc`"), "{after}");
}
