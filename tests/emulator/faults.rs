//! The emulator's faults, lag, limit and memory as a client sees them, without virtual machines.

use std::path::Path;
use std::time::{Duration, Instant};

use digitalocean_emulator::{BackendKind, Config, Emulator, Timing, start};
use serde_json::{Value, json};

use crate::harness::{MAX_WAIT, mkimg, repository};

/// An emulator with these faults, without machines.
fn config(state: &Path, faults: &[&str]) -> Config {
    Config {
        backend: BackendKind::NONE,
        timing: Timing::none(),
        faults: faults.iter().map(|spec| spec.parse().unwrap()).collect(),
        ..Config::new("secret".to_owned().into(), state.to_path_buf(), state.join("cache"))
    }
}

fn request(running: &Emulator, method: &str, path: &str) -> reqwest::RequestBuilder {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().timeout(MAX_WAIT).build().unwrap();
    client.request(method.parse().unwrap(), format!("{}{path}", running.url())).bearer_auth("secret")
}

async fn get(running: &Emulator, path: &str) -> Value {
    request(running, "GET", path).send().await.unwrap().json().await.unwrap()
}

async fn create(running: &Emulator) -> Result<reqwest::Response, reqwest::Error> {
    let body = json!({"name": "a", "region": "nyc3", "size": "s-1vcpu-1gb", "image": "debian-12-x64", "tags": ["t"]});
    request(running, "POST", "/v2/droplets").json(&body).send().await
}

fn count(body: &Value) -> usize {
    body["droplets"].as_array().unwrap().len()
}

/// Waits until `look` returns true.
async fn until(what: &str, mut look: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !look().await {
        assert!(begun.elapsed() < MAX_WAIT, "{what}: not within {MAX_WAIT:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn each_fault_is_what_it_says() {
    // The fault, the status (if there is an answer), whether the body can be read, whether the droplet was made.
    let cases = [
        ("500", Some(500), true, false),
        ("502", Some(502), false, false),
        ("503", Some(503), true, false),
        ("429=7s", Some(429), true, false),
        ("closed", None, false, false),
        ("lost", None, false, true),
        ("handled-500", Some(500), true, true),
        ("truncated", Some(202), false, true),
        ("garbage", Some(202), false, true),
        ("404", Some(404), true, false),
        ("401", Some(401), true, false),
        ("403", Some(403), true, false),
        ("422", Some(422), true, false),
        ("pending", Some(422), true, false),
        ("slow=50ms", Some(202), true, true),
    ];
    for (fault, status, readable, handled) in cases {
        let folder = tempfile::tempdir().unwrap();
        let running = start(config(folder.path(), &[&format!("1:{fault}")])).await.unwrap();
        match create(&running).await {
            Ok(answer) => {
                assert_eq!(Some(answer.status().as_u16()), status, "{fault}");
                assert!(answer.headers().contains_key("x-request-id"), "{fault}");
                let pause = answer.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
                assert_eq!(pause.as_deref(), (status == Some(429)).then_some("7"), "{fault}");
                assert_eq!(answer.json::<Value>().await.is_ok(), readable, "{fault}");
            }
            Err(error) => assert_eq!(status, None, "{fault}: {error}"),
        }
        assert_eq!(count(&get(&running, "/v2/droplets").await), usize::from(handled), "{fault}");
    }
}

/// A request that never gets an answer is not waited for. How long it takes to arrive depends on the machine.
#[tokio::test]
async fn a_request_that_hangs_has_its_effect_or_not() {
    for (fault, handled) in [("hang", false), ("handled-hang", true)] {
        let folder = tempfile::tempdir().unwrap();
        let running = start(config(folder.path(), &[&format!("POST /v2/droplets#1:{fault}")])).await.unwrap();
        let hanging = create(&running);
        let looking = async {
            if handled {
                until("its effect", async || count(&get(&running, "/v2/droplets").await) == 1).await;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        };
        tokio::select! {
            answer = hanging => panic!("{fault}: {answer:?}"),
            () = looking => {}
        }
        assert_eq!(count(&get(&running, "/v2/droplets").await), usize::from(handled), "{fault}");
    }
}

#[tokio::test]
async fn a_droplet_that_is_stuck_can_be_destroyed_and_one_that_is_held_cannot() {
    let folder = tempfile::tempdir().unwrap();
    // One is held for longer than any machine needs to ask, the other so briefly that the test sees its end.
    let held_for = Duration::from_millis(300);
    let faults = ["create#1:stuck", "create#2:held=1h", "create#3:held=300ms"];
    let running = start(config(folder.path(), &faults)).await.unwrap();
    let made = async || create(&running).await.unwrap().json::<Value>().await.unwrap();
    let path = |droplet: &Value| format!("/v2/droplets/{}", droplet["droplet"]["id"]);
    let (stuck, held) = (made().await, made().await);
    let begun = Instant::now();
    let (briefly, usual) = (made().await, made().await);
    let status = async |droplet: &Value| get(&running, &path(droplet)).await["droplet"]["status"].clone();
    // This one was created last and is listed, so the first one would be, too.
    until("a usual droplet", async || status(&usual).await == "active").await;
    assert_eq!(status(&stuck).await, "new");
    let destroy = async |droplet: &Value| request(&running, "DELETE", &path(droplet)).send().await.unwrap();
    assert_eq!(destroy(&stuck).await.status(), 204);
    let refused = destroy(&held).await;
    assert_eq!(refused.status(), 422);
    assert!(refused.text().await.unwrap().contains("pending event"));
    until("the end of the short hold", async || destroy(&briefly).await.status() == 204).await;
    assert!(begun.elapsed() >= held_for, "it was not held for {held_for:?}");
    assert_eq!(destroy(&held).await.status(), 422, "the other one is held still");
}

#[tokio::test]
async fn errors_of_a_destroyed_droplet_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let running = start(config(folder.path(), &["create#1:errored"])).await.unwrap();
    let bad: Value = create(&running).await.unwrap().json().await.unwrap();
    let good: Value = create(&running).await.unwrap().json().await.unwrap();
    let [bad, good] = [bad, good].map(|made| made["droplet"]["id"].as_u64().unwrap());
    until("what went wrong", async || !running.failures(bad).is_empty()).await;
    let failures = running.failures(bad);
    assert!(failures.len() == 1 && failures[0].contains("`errored`"), "{failures:?}");
    let path = format!("/v2/droplets/{bad}");
    assert_eq!(request(&running, "DELETE", &path).send().await.unwrap().status(), 204);
    until("its end", async || request(&running, "GET", &path).send().await.unwrap().status() == 404).await;
    assert_eq!(running.failures(bad), failures);
    assert!(running.failures(good).is_empty());
}

#[tokio::test]
async fn lists_lag_and_single_droplets_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let lag = Duration::from_millis(600);
    let running = start(Config { list_lag: lag, ..config(folder.path(), &[]) }).await.unwrap();
    let begun = Instant::now();
    let made: Value = create(&running).await.unwrap().json().await.unwrap();
    assert_eq!(get(&running, &format!("/v2/droplets/{}", made["droplet"]["id"])).await["droplet"]["name"], "a");
    // However late the test asks, the droplet is not listed before the lag is over.
    until("its being listed", async || count(&get(&running, "/v2/droplets?tag_name=t").await) == 1).await;
    assert!(begun.elapsed() >= lag, "it is listed too early: {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_limit_that_is_enforced_says_how_long_to_wait() {
    let folder = tempfile::tempdir().unwrap();
    let limit = Some("2/minute".parse().unwrap());
    let running = start(Config { rate_limit: limit, ..config(folder.path(), &[]) }).await.unwrap();
    for remaining in ["1", "0"] {
        let answer = request(&running, "GET", "/v2/account").send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["ratelimit-remaining"]),
            (200, &remaining.parse().unwrap())
        );
    }
    let refused = request(&running, "GET", "/v2/account").send().await.unwrap();
    let pause: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!(refused.status() == 429 && (1..=60).contains(&pause), "{pause}");
}

#[test]
fn a_bad_spec_ends_with_2_and_the_list() {
    for (option, value, why) in [
        ("--fault", "3:nonsense", "there is no fault `nonsense` of requests"),
        ("--latency", "create=fast", "`fast` is not a duration"),
        ("--rate-limit", "many", "is not a rate limit"),
        ("--scenario", "nothing", "neither a file nor the name of a scenario; the names are passes"),
    ] {
        mkimg(repository()).args(["emulate", "--backend", "scripted", option, value]).run().exits(2).stderr_has(why);
    }
}
