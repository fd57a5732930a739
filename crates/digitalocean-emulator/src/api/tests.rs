//! The API's limits at their bounds, over HTTP, with droplets that have no machines.

mod answers;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{BackendKind, Config, Emulator, Timing, start};

struct Api {
    emulator: Emulator,
    http: reqwest::Client,
    _state: tempfile::TempDir,
}

impl Api {
    async fn start(timing: Timing) -> Self {
        Self::start_with(timing, &[], None).await
    }

    async fn start_with(timing: Timing, faults: &[&str], off_after: Option<Duration>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let state = tempfile::tempdir().unwrap();
        let config = Config {
            backend: BackendKind::NONE,
            timing,
            off_after,
            faults: faults.iter().map(|text| text.parse().unwrap()).collect(),
            ..Config::new("secret".to_owned().into(), state.path().join("state"), state.path().join("cache"))
        };
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { emulator: start(config).await.unwrap(), http, _state: state }
    }

    async fn send(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let request = self.http.request(method.parse().unwrap(), format!("{}{path}", self.emulator.url()));
        let response = request.bearer_auth("secret").json(&body).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap_or(Value::Null))
    }

    /// A header of the answer to a request for the account.
    async fn header(&self, name: &str) -> String {
        let request = self.http.get(format!("{}/v2/account", self.emulator.url())).bearer_auth("secret");
        let response = request.send().await.unwrap();
        response.headers()[name].to_str().unwrap().to_owned()
    }

    async fn get(&self, path: &str) -> Value {
        self.send("GET", path, json!({})).await.1
    }

    /// Sends a request and returns only its status.
    async fn status(&self, method: &str, path: &str, body: Value) -> u16 {
        self.send(method, path, body).await.0
    }

    /// The status of creating a droplet that differs from the usual one by these fields.
    async fn create(&self, changes: Value) -> (u16, Value) {
        let mut body = json!({"name": "a", "region": "nyc3", "size": "s-1vcpu-1gb", "image": "debian-12-x64"});
        for (key, value) in changes.as_object().unwrap() {
            body[key] = value.clone();
        }
        self.send("POST", "/v2/droplets", body).await
    }

    /// Starts an action, waits for its end and returns it.
    async fn act(&self, path: &str, body: Value) -> Value {
        let (status, started) = self.send("POST", path, body).await;
        assert_eq!(status, 201, "{started}");
        self.finish(&started["action"]["id"]).await
    }

    async fn finish(&self, action: &Value) -> Value {
        let begun = Instant::now();
        loop {
            let found = self.get(&format!("/v2/actions/{action}")).await["action"].clone();
            if found["status"] != "in-progress" {
                return found;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{found}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// A droplet that is on.
    async fn droplet(&self, changes: Value) -> u64 {
        let (status, made) = self.create(changes).await;
        assert_eq!(status, 202, "{made}");
        self.finish(&made["links"]["actions"][0]["id"]).await;
        made["droplet"]["id"].as_u64().unwrap()
    }

    /// The snapshot of a new droplet.
    async fn snapshot(&self, changes: Value) -> u64 {
        let droplet = self.droplet(changes).await;
        let actions = format!("/v2/droplets/{droplet}/actions");
        self.act(&actions, json!({"type": "power_off"})).await;
        self.act(&actions, json!({"type": "snapshot", "name": "s"})).await;
        self.get(&format!("/v2/droplets/{droplet}/snapshots")).await["snapshots"][0]["id"].as_u64().unwrap()
    }
}

#[tokio::test]
async fn texts_are_limited_at_exactly_their_limit() {
    let api = Api::start(Timing::none()).await;
    let tag = |name: String| json!({"name": name});
    let limit = 65_536;
    for (changes, expected) in [
        (json!({"user_data": "x".repeat(limit)}), 202),
        (json!({"user_data": "x".repeat(limit + 1)}), 422),
        // Counted in bytes: this has half as many characters.
        (json!({"user_data": "ä".repeat(limit / 2)}), 202),
        (json!({"user_data": "ä".repeat(limit / 2 + 1)}), 422),
        (json!({"name": "n".repeat(255)}), 202),
        (json!({"name": "n".repeat(256)}), 422),
        (json!({"tags": ["t".repeat(255)]}), 202),
        (json!({"tags": ["t".repeat(256)]}), 422),
    ] {
        let field = changes.as_object().unwrap().keys().next().unwrap().clone();
        let (status, answer) = api.create(changes).await;
        assert_eq!(status, expected, "{field}: {}", answer["message"]);
    }
    assert_eq!(api.status("POST", "/v2/tags", tag("t".repeat(255))).await, 201);
    assert_eq!(api.status("POST", "/v2/tags", tag("t".repeat(256))).await, 422);
    // A body of exactly 1 MiB is read (and has no name); one byte more is not.
    let body = |bytes: usize| {
        let frame = json!({"name": "a", "x": ""}).to_string().len();
        json!({"name": "a", "x": "x".repeat(bytes - frame)})
    };
    assert_eq!(api.status("POST", "/v2/tags", body(1 << 20)).await, 201);
    assert_eq!(api.status("POST", "/v2/tags", body((1 << 20) + 1)).await, 413);
}

#[tokio::test]
async fn names_of_snapshots_and_keys_are_counted_in_characters() {
    let api = Api::start(Timing::none()).await;
    let image = api.snapshot(json!({})).await;
    let path = format!("/v2/images/{image}");
    for (name, expected) in
        [("ä".repeat(255), 200), ("ä".repeat(256), 422), (" ".to_owned(), 422), ("a\u{7}".to_owned(), 422)]
    {
        assert_eq!(api.status("PUT", &path, json!({"name": name})).await, expected, "{name}");
    }
    assert_eq!(api.get(&path).await["image"]["name"], "ä".repeat(255));
}

#[tokio::test]
async fn an_account_has_25_droplets_and_a_request_makes_10() {
    let api = Api::start(Timing::none()).await;
    let names = |count: usize| json!({"names": (0..count).map(|number| format!("n{number}")).collect::<Vec<_>>()});
    assert_eq!(api.create(names(11)).await.0, 422);
    assert_eq!(api.create(names(10)).await.0, 202);
    assert_eq!(api.create(names(10)).await.0, 202);
    assert_eq!(api.create(names(6)).await.0, 422, "they would be 26");
    assert_eq!(api.create(names(5)).await.0, 202);
    assert_eq!(api.create(json!({})).await.0, 422, "it would be the 26th");
    assert_eq!(api.get("/v2/account").await["account"]["droplet_limit"], 25);
    let page = async |query: &str| {
        let listed = api.get(&format!("/v2/droplets{query}")).await;
        (listed["droplets"].as_array().unwrap().len(), listed["links"]["pages"]["last"].is_string())
    };
    assert_eq!(page("").await, (20, true));
    assert_eq!(page("?page=2").await, (5, false));
    assert_eq!(page("?per_page=25").await, (25, false));
    assert_eq!(page("?per_page=24").await, (24, true));
    assert_eq!(page("?per_page=25&page=2").await, (0, false));
}

#[tokio::test]
async fn actions_are_in_the_region_of_their_resource() {
    let api = Api::start(Timing::none()).await;
    let droplet = api.droplet(json!({"region": "ams3"})).await;
    let actions = format!("/v2/droplets/{droplet}/actions");
    let action = api.act(&actions, json!({"type": "power_off"})).await;
    assert_eq!((&action["region_slug"], &action["region"]["slug"]), (&json!("ams3"), &json!("ams3")));
    assert_eq!((&action["resource_id"], &action["resource_type"]), (&json!(droplet), &json!("droplet")));
    let listed = api.get(&actions).await;
    assert_eq!(
        (&listed["actions"][1]["type"], &listed["actions"][1]["region_slug"]),
        (&json!("create"), &json!("ams3"))
    );
    let image = api.snapshot(json!({"region": "fra1"})).await;
    assert_eq!(api.get(&format!("/v2/images/{image}")).await["image"]["regions"], json!(["fra1"]));
    let action = api.act(&format!("/v2/images/{image}/actions"), json!({"type": "transfer", "region": "lon1"})).await;
    assert_eq!(
        (&action["region_slug"], &action["resource_id"], &action["resource_type"]),
        (&json!("fra1"), &json!(image), &json!("image"))
    );
    // Without a region the service chooses one.
    let anywhere = api.droplet(json!({"region": null})).await;
    assert_eq!(api.get(&format!("/v2/droplets/{anywhere}")).await["droplet"]["region"]["slug"], "sfo3");
}

#[tokio::test]
async fn transfers_lead_to_open_regions_once() {
    let api = Api::start(Timing { transfer: Duration::from_secs(3600), ..Timing::none() }).await;
    let image = api.snapshot(json!({})).await;
    let path = format!("/v2/images/{image}/actions");
    for (region, expected) in [
        ("nowhere1", 422),
        // Closed.
        ("sfo1", 422),
        // Already there.
        ("nyc3", 422),
        ("ams3", 201),
        // Already under way.
        ("ams3", 422),
        ("fra1", 201),
    ] {
        assert_eq!(
            api.status("POST", &path, json!({"type": "transfer", "region": region})).await,
            expected,
            "{region}"
        );
    }
    let created = api.create(json!({"image": image, "region": "ams3"})).await;
    assert!(created.1["message"].as_str().unwrap().contains("still being transferred"), "{created:?}");
    let created = api.create(json!({"image": image, "region": "nyc3"})).await;
    assert_eq!(created.0, 202, "where it is, it can be used meanwhile: {}", created.1);
    assert_eq!(api.status("DELETE", &format!("/v2/images/{image}"), json!({})).await, 422, "while it is transferred");
}

#[tokio::test]
async fn a_disk_may_be_exactly_as_large_as_the_image_needs() {
    let api = Api::start(Timing::none()).await;
    let image = api.snapshot(json!({"region": "nyc1"})).await;
    let from = |size: &str| json!({"image": image, "region": "nyc1", "size": size});
    assert_eq!(api.create(from("g-2vcpu-8gb")).await.0, 202, "25 GiB for an image of 25 GiB");
    let refused = api.create(from("s-1vcpu-512mb-10gb")).await;
    assert_eq!(refused.0, 422);
    assert!(refused.1["message"].as_str().unwrap().contains("larger disk"), "{}", refused.1);
}

#[tokio::test]
async fn a_resize_keeps_or_grows_the_disk() {
    let api = Api::start(Timing::none()).await;
    let droplet = api.droplet(json!({"size": "s-1vcpu-2gb"})).await;
    let (path, actions) = (format!("/v2/droplets/{droplet}"), format!("/v2/droplets/{droplet}/actions"));
    let resize = |size: &str, disk: bool| json!({"type": "resize", "size": size, "disk": disk});
    assert_eq!(api.status("POST", &actions, resize("s-2vcpu-2gb", true)).await, 422, "it is on");
    api.act(&actions, json!({"type": "power_off"})).await;
    assert_eq!(api.status("POST", &actions, resize("s-1vcpu-1gb", false)).await, 422, "a smaller disk");
    assert_eq!(api.status("POST", &actions, resize("s-1vcpu-2gb", false)).await, 422, "the same size");
    assert_eq!(api.status("POST", &actions, resize("1gb", true)).await, 422, "no longer sold");
    api.act(&actions, resize("s-2vcpu-2gb", false)).await;
    let found = api.get(&path).await["droplet"].clone();
    assert_eq!((&found["disk"], &found["size_slug"], &found["vcpus"]), (&json!(50), &json!("s-2vcpu-2gb"), &json!(2)));
    api.act(&actions, resize("s-4vcpu-8gb", true)).await;
    assert_eq!(api.get(&path).await["droplet"]["disk"], 160);
}

#[tokio::test]
async fn events_are_refused_in_the_wrong_power_state() {
    let api = Api::start(Timing::none()).await;
    let droplet = api.droplet(json!({})).await;
    let actions = format!("/v2/droplets/{droplet}/actions");
    let try_all = async |names: &[&str]| {
        for name in names {
            assert_eq!(api.status("POST", &actions, json!({"type": name})).await, 422, "{name}");
        }
    };
    try_all(&["power_on", "snapshot", "disable_backups", "password_reset"]).await;
    for name in ["reboot", "power_cycle", "enable_backups", "enable_ipv6"] {
        assert_eq!(api.act(&actions, json!({"type": name})).await["status"], "completed", "{name}");
    }
    try_all(&["enable_backups", "enable_ipv6"]).await;
    api.act(&actions, json!({"type": "rename", "name": "b"})).await;
    assert_eq!(api.get(&format!("/v2/droplets/{droplet}")).await["droplet"]["name"], "b");
    api.act(&actions, json!({"type": "disable_backups"})).await;
    let features = json!({"ipv6": true, "monitoring": true, "backups": true, "with_droplet_agent": false});
    let other = api.droplet(features).await;
    assert_eq!(
        api.get(&format!("/v2/droplets/{other}")).await["droplet"]["features"],
        json!(["backups", "ipv6", "monitoring", "private_networking"])
    );
    api.act(&actions, json!({"type": "enable_backups"})).await;
    let found = api.get(&format!("/v2/droplets/{droplet}")).await["droplet"].clone();
    assert_eq!(
        (&found["status"], &found["features"]),
        (&json!("active"), &json!(["backups", "droplet_agent", "ipv6", "private_networking"]))
    );
    api.act(&actions, json!({"type": "power_off"})).await;
    try_all(&["power_off", "shutdown", "reboot", "power_cycle"]).await;
    let other = api.snapshot(json!({})).await;
    assert_eq!(
        api.status("POST", &actions, json!({"type": "restore", "image": other})).await,
        422,
        "another droplet's"
    );
    assert_eq!(api.act(&actions, json!({"type": "rebuild", "image": "ubuntu-24-04-x64"})).await["status"], "completed");
    let found = api.get(&format!("/v2/droplets/{droplet}")).await["droplet"].clone();
    assert_eq!((&found["status"], &found["image"]["slug"]), (&json!("active"), &json!("ubuntu-24-04-x64")));
}

#[tokio::test]
async fn tags_reach_exactly_the_resources_that_have_them() {
    let api = Api::start(Timing::none()).await;
    let (first, second) = (api.droplet(json!({"tags": ["a", "b"]})).await, api.droplet(json!({"tags": ["b"]})).await);
    let untagged = api.droplet(json!({})).await;
    let (status, started) = api.send("POST", "/v2/droplets/actions?tag_name=b", json!({"type": "power_off"})).await;
    assert_eq!((status, started["actions"].as_array().unwrap().len()), (201, 2));
    for action in started["actions"].as_array().unwrap() {
        api.finish(&action["id"]).await;
    }
    let state = async |id: u64| api.get(&format!("/v2/droplets/{id}")).await["droplet"]["status"].clone();
    assert_eq!(
        (state(first).await, state(second).await, state(untagged).await),
        (json!("off"), json!("off"), json!("active"))
    );
    assert_eq!(
        api.status("POST", "/v2/droplets/actions?tag_name=b", json!({"type": "rename", "name": "x"})).await,
        422
    );
    // Tagging is all or nothing.
    let resource = |id: u64| json!({"resource_id": id.to_string(), "resource_type": "droplet"});
    let both = json!({"resources": [resource(untagged), resource(7)]});
    assert_eq!(api.status("POST", "/v2/tags/a/resources", both).await, 404);
    assert_eq!(api.get("/v2/droplets?tag_name=a").await["meta"]["total"], 1);
    assert_eq!(api.status("DELETE", "/v2/droplets?tag_name=c", json!({})).await, 404);
    assert_eq!(api.status("DELETE", "/v2/droplets?tag_name=a", json!({})).await, 204);
    assert_eq!((state(first).await, state(second).await), (Value::Null, json!("off")));
    let snapshot = api.snapshot(json!({})).await;
    let image = json!({"resources": [{"resource_id": snapshot.to_string(), "resource_type": "image"}]});
    assert_eq!(api.status("POST", "/v2/tags/b/resources", image).await, 204);
    let snapshot = format!("/v2/snapshots/{snapshot}");
    assert_eq!(api.get(&snapshot).await["snapshot"]["tags"], json!(["b"]));
    assert_eq!(api.status("DELETE", "/v2/tags/b", json!({})).await, 204);
    assert_eq!(api.get(&format!("/v2/droplets/{second}")).await["droplet"]["tags"], json!([]));
    assert_eq!(api.get(&snapshot).await["snapshot"]["tags"], json!([]));
    for (kind, count) in [("droplet", 1), ("volume", 0)] {
        assert_eq!(api.get(&format!("/v2/snapshots?resource_type={kind}")).await["meta"]["total"], count, "{kind}");
    }
}

/// Each list shows what its filter says, and single resources are only found under their own path.
#[tokio::test]
async fn lists_show_what_their_filters_say() {
    let api = Api::start(Timing::none()).await;
    let (first, second) = (api.droplet(json!({"name": "one", "tags": ["a"]})).await, api.droplet(json!({})).await);
    let snapshot = api.snapshot(json!({"name": "three"})).await;
    let image = json!({"resources": [{"resource_id": snapshot, "resource_type": "image"}]});
    assert_eq!(api.status("POST", "/v2/tags/a/resources", image).await, 204);
    let all = api.get("/v2/images?per_page=200").await["meta"]["total"].as_u64().unwrap();
    for (path, total) in [
        ("/v2/droplets", 3),
        ("/v2/droplets?name=ONE", 1),
        ("/v2/droplets?name=on", 0),
        ("/v2/droplets?tag_name=a", 1),
        ("/v2/droplets?type=gpus", 0),
        ("/v2/images?private=true", 1),
        ("/v2/images?type=application", 0),
        ("/v2/images?type=distribution", all - 1),
        ("/v2/images?tag_name=a", 1),
        ("/v2/images?tag_name=b", 0),
        ("/v2/snapshots", 1),
        ("/v2/tags", 1),
    ] {
        assert_eq!(api.get(path).await["meta"]["total"], total, "{path}");
    }
    for (path, expected) in [
        ("/v2/droplets?tag_name=a&name=one".to_owned(), 400),
        (format!("/v2/images/{snapshot}/actions"), 200),
        (format!("/v2/images/{first}/actions"), 404),
        (format!("/v2/droplets/{snapshot}/actions"), 404),
        (
            format!(
                "/v2/droplets/{second}/actions/{}",
                api.get(&format!("/v2/droplets/{first}/actions")).await["actions"][0]["id"]
            ),
            404,
        ),
        (format!("/v2/snapshots/{first}"), 404),
    ] {
        assert_eq!(api.status("GET", &path, json!({})).await, expected, "{path}");
    }
    let tag = api.get("/v2/tags/a").await["tag"]["resources"].clone();
    assert_eq!((&tag["count"], &tag["droplets"]["count"], &tag["images"]["count"]), (&json!(2), &json!(1), &json!(1)));
    for (method, path, body, expected) in [
        ("DELETE", "/v2/images/debian-12-x64", json!({}), 404),
        ("DELETE", "/v2/snapshots/1", json!({}), 404),
        ("DELETE", "/v2/tags/b", json!({}), 404),
        ("POST", "/v2/tags/b/resources", json!({"resources": [{"resource_id": "1", "resource_type": "droplet"}]}), 404),
        ("POST", "/v2/tags/a/resources", json!({"resources": [{"resource_id": "1", "resource_type": "pond"}]}), 422),
        ("POST", "/v2/tags/a/resources", json!({"resources": [{"resource_type": "droplet"}]}), 422),
        (
            "POST",
            "/v2/droplets",
            json!({"name": "a", "region": "nyc3", "size": "s-1vcpu-1gb", "image": "debian-12-x64", "volumes": ["v"]}),
            422,
        ),
    ] {
        assert_eq!(api.status(method, path, body).await, expected, "{method} {path}");
    }
    // Removing a tag from resources keeps the tag.
    let droplet = json!({"resources": [{"resource_id": first.to_string(), "resource_type": "droplet"}]});
    assert_eq!(api.status("DELETE", "/v2/tags/a/resources", droplet).await, 204);
    assert_eq!(api.get("/v2/droplets?tag_name=a").await["meta"]["total"], 0);
    assert_eq!(api.get("/v2/tags/a").await["tag"]["resources"]["count"], 1);
}

/// While an event of a droplet is under way, each other event and its deletion are refused.
#[tokio::test]
async fn a_busy_droplet_refuses_everything() {
    let api = Api::start(Timing { snapshot: Duration::from_secs(3600), ..Timing::none() }).await;
    let droplet = api.droplet(json!({})).await;
    let (path, actions) = (format!("/v2/droplets/{droplet}"), format!("/v2/droplets/{droplet}/actions"));
    api.act(&actions, json!({"type": "power_off"})).await;
    assert_eq!(api.get(&path).await["droplet"]["locked"], false);
    assert_eq!(api.status("POST", &actions, json!({"type": "snapshot", "name": "s"})).await, 201);
    assert_eq!(api.get(&path).await["droplet"]["locked"], true);
    let (status, refused) = api.send("POST", &actions, json!({"type": "power_on"})).await;
    assert_eq!(status, 422);
    assert!(refused["message"].as_str().unwrap().contains("pending event"), "{refused}");
    assert_eq!(api.status("DELETE", &path, json!({})).await, 422);
    assert_eq!(api.get("/v2/snapshots").await["meta"]["total"], 0, "it is not finished");
}

#[tokio::test]
async fn private_addresses_are_the_lowest_free_ones() {
    let api = Api::start(Timing::none()).await;
    let private = async |id: u64| {
        let network = api.get(&format!("/v2/droplets/{id}")).await["droplet"]["networks"]["v4"][0].clone();
        assert_eq!((&network["type"], &network["gateway"]), (&json!("private"), &json!("10.108.0.1")));
        network["ip_address"].as_str().unwrap().to_owned()
    };
    let (first, second) = (api.droplet(json!({})).await, api.droplet(json!({"region": "ams3"})).await);
    assert_eq!((private(first).await.as_str(), private(second).await.as_str()), ("10.108.0.2", "10.108.0.3"));
    assert_eq!(api.status("DELETE", &format!("/v2/droplets/{first}"), json!({})).await, 204);
    let third = api.droplet(json!({})).await;
    assert_eq!(private(third).await, "10.108.0.2");
}

#[tokio::test]
async fn faults_of_events_have_their_effects() {
    let faults = ["create#1:no-address", "create#2:stuck", "create#3:errored", "snapshot:errored", "shutdown:ignored"];
    let api = Api::start_with(Timing::none(), &faults, None).await;
    let hidden = api.droplet(json!({})).await;
    let path = format!("/v2/droplets/{hidden}");
    let found = api.get(&path).await["droplet"].clone();
    assert_eq!((&found["status"], &found["networks"]["v4"]), (&json!("active"), &json!([])));
    let actions = format!("{path}/actions");
    assert_eq!(api.act(&actions, json!({"type": "shutdown"})).await["status"], "completed");
    assert_eq!(api.get(&path).await["droplet"]["status"], "active");
    api.act(&actions, json!({"type": "power_off"})).await;
    assert_eq!(api.act(&actions, json!({"type": "snapshot", "name": "s"})).await["status"], "errored");
    assert_eq!(api.get("/v2/snapshots").await["meta"]["total"], 0);
    let (_, stuck) = api.create(json!({})).await;
    let action = &stuck["links"]["actions"][0]["id"];
    assert_eq!(api.get(&format!("/v2/actions/{action}")).await["action"]["status"], "in-progress");
    let path = format!("/v2/droplets/{}", stuck["droplet"]["id"]);
    // The fault is recorded in a task, and DELETE is refused until then.
    while api.status("DELETE", &path, json!({})).await != 204 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(api.finish(action).await["status"], "errored");
    let (_, failed) = api.create(json!({})).await;
    assert_eq!(api.finish(&failed["links"]["actions"][0]["id"]).await["status"], "errored");
    let path = format!("/v2/droplets/{}", failed["droplet"]["id"]);
    assert_eq!(api.get(&path).await["droplet"]["status"], "off");
}

#[tokio::test]
async fn a_droplet_that_powers_off_during_its_creation_is_off() {
    // The action ends long after the machine has.
    let api = Api::start_with(Timing::none(), &["create:held=500ms"], Some(Duration::ZERO)).await;
    let droplet = api.droplet(json!({})).await;
    let begun = Instant::now();
    while api.get(&format!("/v2/droplets/{droplet}")).await["droplet"]["status"] != "off" {
        assert!(begun.elapsed() < Duration::from_secs(60), "it is never off");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// As the service documents it: `ratelimit-reset` is the time, in seconds since 1970, at which the oldest request no longer counts.
#[tokio::test]
async fn each_answer_says_how_many_requests_are_left() {
    let api = Api::start(Timing::none()).await;
    let limit: u64 = api.header("ratelimit-limit").await.parse().unwrap();
    let first: u64 = api.header("ratelimit-remaining").await.parse().unwrap();
    let second: u64 = api.header("ratelimit-remaining").await.parse().unwrap();
    assert!(limit > first && first == second + 1, "{limit} {first} {second}");
    let reset: u64 = api.header("ratelimit-reset").await.parse().unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!((now..=now + 3_700).contains(&reset), "{reset} {now}");
}
