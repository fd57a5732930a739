//! `mkimg gc` from any machine: what it removes and what it leaves alone.

use serde_json::json;

use crate::harness::{Emulator, Home, Process, TOKEN, run_cases, until};

fn droplet(emulator: &Emulator, name: &str, tags: &[&str]) -> u64 {
    let body = json!({"name": name, "region": "nyc3", "size": "s-1vcpu-1gb", "image": "debian-12-x64", "tags": tags});
    emulator.post("/v2/droplets", body)["droplet"]["id"].as_u64().expect("a droplet")
}

fn unix() -> u64 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

#[test]
fn resources_of_others_are_never_touched() {
    let (home, emulator) = (Home::new(), Emulator::without_machines(&[]));
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
        home.run(&[arguments, &["--api-url", &emulator.url]].concat()).success().stdout_is("");
    }
    emulator.holds(8, 1, "after");
}

#[test]
fn another_machine_deletes_only_orphans_past_their_deadline() {
    let emulator = Emulator::without_machines(&[]);
    let passed = format!("mkimg:bake:20200101-000000-aaaaaa:{}", unix() - 600);
    let early = format!("mkimg:bake:20200101-000000-bbbbbb:{}", unix() + 600);
    droplet(&emulator, "passed", &["mkimg", &passed]);
    droplet(&emulator, "early", &["mkimg", &early]);
    // A bake that runs on another machine.
    let elsewhere = Home::new();
    let mut baking = elsewhere.start(&emulator, &[]);
    baking.until_printed("provision: waiting");

    let home = Home::new();
    let gc = |more: &[&str]| {
        let (exit, stdout, printed) = home.run(&[&["gc", "--api-url", &emulator.url], more].concat()).into_parts();
        assert_eq!(exit, 0, "{printed}");
        (stdout, printed)
    };
    let (stdout, printed) = gc(&["--older-than", "1h"]);
    assert_eq!(stdout, "", "{printed}");
    assert!(printed.contains("its deadline passed") && printed.contains("its deadline is in"), "{printed}");
    let (stdout, _) = gc(&["--dry-run"]);
    assert!(
        stdout.contains("would destroy droplet") && stdout.contains("`passed`") && stdout.lines().count() == 1,
        "{stdout}"
    );
    emulator.holds(3, 0, "--dry-run");
    let (stdout, _) = gc(&[]);
    assert!(stdout.contains("destroyed droplet") && stdout.lines().count() == 1, "{stdout}");
    emulator.holds(2, 0, "past its deadline");
    // Named on the command line, so the deadline does not matter. No journal is needed.
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
        home.run(&["gc", "--api-url", &emulator.url, &bake])
            .success()
            .stdout_has("destroyed snapshot")
            .stdout_has("destroyed droplet");
        std::thread::sleep(std::time::Duration::from_millis(1200));
        emulator.holds(0, 0, &format!("journal: {journal}"));
    }
}

#[test]
fn an_api_outage_ends_the_bake_and_remaining_resources_are_named() {
    // The first droplet is deleted. Then the service hangs, closes connections, or answers 500.
    run_cases(vec![("hang", "no answer"), ("closed", "connection"), ("500", "500")], |&(silence, kind)| {
        let faults =
            ["DELETE /v2/droplets/*#2-", "* /v2/droplets/*/*#4-", "GET /v2/droplets/*#2-", "GET /v2/droplets#9-"]
                .map(|when| format!("{when}:{silence}"));
        let faults = faults.iter().flat_map(|fault| ["--fault", fault]);
        let options: Vec<&str> =
            ["--backend", "none", "--latency", "create=10ms,destroy=10ms"].into_iter().chain(faults).collect();
        let (home, emulator) = (Home::new(), Emulator::start(&options));
        let tag = format!("mkimg:bake:20200101-000000-aaaaaa:{}", unix() - 600);
        let droplets: Vec<u64> = (0..5).map(|nth| droplet(&emulator, &format!("d{nth}"), &["mkimg", &tag])).collect();
        // The faults count requests, so a late answer on a busy machine must not lead to another request. A request that hangs is
        // given up after two of these timeouts.
        let words = ["gc", "--api-url", &emulator.url, "--timeout-request", "5s", "--timeout-unreachable", "2s"];
        let start = std::time::Instant::now();
        let (exit, printed) = Process::spawn(&mut home.command(&words)).end();
        let took = start.elapsed();
        assert_eq!(exit, 4, "{silence}: {printed}");
        // Far less than the five minutes that one droplet may take.
        assert!(took.as_secs() < 90, "{silence}: {took:?}: {printed}");
        assert!(printed.contains(&format!("destroyed droplet {}", droplets[0])), "{silence}: {printed}");
        for droplet in &droplets[1..] {
            assert!(printed.contains(&format!("still exists: droplet {droplet} (")), "{silence}: {droplet}: {printed}");
        }
        assert!(printed.contains("gave no usable answer for 2s") && printed.contains(kind), "{silence}: {printed}");
        assert!(printed.contains("4 of 5 ") && printed.contains("--timeout-unreachable"), "{silence}: {printed}");
    });
}

#[test]
fn a_deletion_by_tag_goes_on_without_its_client() {
    let emulator = Emulator::without_machines(&["--latency", "create=10ms,destroy=300ms"]);
    for nth in 0..4 {
        droplet(&emulator, &format!("d{nth}"), &["many"]);
    }
    emulator.holds(4, 0, "before");
    let address = emulator.url.strip_prefix("http://").unwrap();
    let mut connection = std::net::TcpStream::connect(address).unwrap();
    let request =
        format!("DELETE /v2/droplets?tag_name=many HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n\r\n");
    std::io::Write::write_all(&mut connection, request.as_bytes()).unwrap();
    // Wait until the server has read the request: it may drop one whose connection is closed.
    until("the deletion having begun", || {
        let droplets = emulator.get("/v2/droplets")["droplets"].as_array().expect("a list").clone();
        (droplets.len() < 4 || droplets.iter().any(|droplet| droplet["locked"] == true)).then_some(())
    });
    drop(connection);
    until("all of them going", || emulator.account().0.is_empty().then_some(()));
}

#[test]
fn a_bake_whose_orphans_were_removed_is_listed_as_failed() {
    // Two refusals for each of the two attempts.
    let faults: Vec<String> = (1..=4).map(|nth| format!("DELETE /v2/droplets/*#{nth}:403")).collect();
    let faults: Vec<&str> = faults.iter().map(String::as_str).collect();
    let (home, emulator) = (Home::new(), Emulator::quick(&faults));
    let (exit, printed) = home.start(&emulator, &[]).end();
    assert_eq!(exit, 4, "{printed}");
    let bakes = || home.mkimg(&["bakes", "--api-url", &emulator.url]).1;
    let (bake, before) = (home.bake(), bakes());
    let line = before.lines().next().unwrap();
    assert!(line.contains("  left         droplet ") && !line.contains("droplet going away"), "{before}");
    home.run(&["gc", "--api-url", &emulator.url, &bake]).success();
    emulator.holds(0, 0, "collected");
    let after = bakes();
    assert!(after.contains("  failed       ") && after.contains("removed by `mkimg gc`"), "{after}");
}
