//! Unusual states of the service and of the droplet, each with the exit status that the bake must end with.

use std::time::Duration;

use super::case::{Case, Mode};

/// A case and its exit status.
fn case(mode: Mode, ends: u8, faults: &[&str]) -> Case {
    let faults: Vec<String> = faults.iter().map(|&fault| fault.to_owned()).collect();
    Case { ends: Some(ends), ..Case::with(mode, &faults) }
}

fn scenario(ends: u8, scenario: &'static str) -> Case {
    Case { scenario, ..case(Mode::Https, ends, &[]) }
}

pub(crate) fn cases() -> Vec<(String, Case)> {
    use Mode::{Https, Poweroff};
    let mut cases = Vec::new();
    let mut add = |row: &str, case: Case| cases.push((row.to_owned(), case));
    for mode in [Poweroff, Https] {
        add("create errored", case(mode, 3, &["create:errored"]));
        add("snapshot errored", case(mode, 3, &["snapshot:errored"]));
        add("transfer errored", case(mode, 4, &["transfer:errored"]));
        add("stuck in `new`", case(mode, 3, &["create:stuck"]));
        add("snapshot never ends", case(mode, 3, &["snapshot:stuck"]));
        add("GET droplet: 404 at first", case(mode, 0, &["GET /v2/droplets/*#1-3:404"]));
        add("DELETE refused at first", case(mode, 0, &["DELETE /v2/droplets/*#1-3:pending"]));
        add("DELETE always refused", case(mode, 4, &["DELETE /v2/droplets/*:pending"]));
        add("DELETE always 500", case(mode, 4, &["DELETE /v2/droplets/*:500"]));
        add("DELETE never allowed", case(mode, 4, &["DELETE /v2/droplets/*:403"]));
        add("snapshot refused at first", case(mode, 0, &["POST /v2/droplets/*/actions#1-2:pending"]));
        add("the create is held", case(mode, 0, &["create:held=500ms"]));
        add("held while cleaning up", case(mode, 3, &["create:held=300ms", "snapshot:errored", "destroy:held=300ms"]));
        for lag in [250, 1_000] {
            let lag = Duration::from_millis(lag);
            add("lists lag 5 s and 20 s", Case { list_lag: lag, ..case(mode, 0, &[]) });
            let lost = Case { list_lag: lag, ..case(mode, 0, &["POST /v2/droplets#1:lost"]) };
            // A bake may fail if lists lag longer than it looks for its droplet, but nothing leaks.
            add("lists lag, a lost create", Case { ends: (lag.as_millis() < 500).then_some(0), ..lost });
            let failing = case(mode, 3, &["snapshot:errored"]);
            add("lists lag, a failure", Case { list_lag: lag, ..failing });
        }
        add("rate limit", Case { rate_limit: Some("20/second"), ..case(mode, 0, &[]) });
        add("no token any more", case(mode, 4, &["12-:401"]));
    }
    let never = Case { off_after: None, ..case(Poweroff, 3, &[]) };
    add("never off by itself", never);
    add("no address", case(Https, 3, &["create:no-address"]));
    let deaf = Case { scenario: "deaf", ..case(Https, 0, &["shutdown:ignored"]) };
    add("shutdown ignored", deaf);
    add("deaf", scenario(0, "deaf"));
    add("power_off errored", Case { scenario: "deaf", ..case(Https, 3, &["shutdown:ignored", "power_off:errored"]) });
    add("passes", scenario(0, "passes"));
    add("a step fails", scenario(3, "fails"));
    add("the check fails", scenario(3, "check-fails"));
    add("a step never ends", scenario(3, "never-ends"));
    add("dies", scenario(3, "dies"));
    for hostile in ["wrong-certificate", "plain-http", "other-bake", "garbage", "endless", "silent"] {
        add("hostile, then the droplet", scenario(0, hostile));
    }
    for hostile in [
        "hostile: {answer: wrong-certificate}",
        "hostile: {answer: plain-http}",
        "hostile: {answer: other-bake}",
        "hostile: {answer: garbage}",
        "hostile: {answer: endless}",
        "hostile: {answer: slow}",
        "hostile: {answer: unauthorized}",
        "hostile: {answer: silent}",
        "hostile: {answer: closed}",
    ] {
        add("hostile for ever", scenario(3, hostile));
    }
    cases
}
