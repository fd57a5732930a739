//! The emulator as a client sees it, without virtual machines: plain HTTP against the state machine.

use std::time::Duration;

use digitalocean_emulator::{Config, Error, Timing, start};
use reqwest::Method;
use serde_json::json;

use crate::client::{Client, config, droplet, emulator, next_emulator};

#[tokio::test]
async fn a_droplet_lives_is_snapshotted_transferred_and_destroyed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_running, client) = emulator(&folder).await;
    let id = client.droplet(json!({"tags": ["mkimg:bake:1"], "user_data": "#cloud-config\n"})).await;
    let made = client.until(id, "active").await;
    assert_eq!(made["networks"]["v4"][1]["type"], "public");
    let actions = format!("/v2/droplets/{id}/actions");
    assert_eq!(
        client.refused(&actions, json!({"type": "snapshot", "name": "s"})).await,
        "Droplet is currently on. Please power it off to run this event."
    );
    assert_eq!(client.act(&actions, json!({"type": "shutdown"})).await["status"], "completed");
    client.until(id, "off").await;
    let action = client.act(&actions, json!({"type": "snapshot", "name": "nakama 1"})).await;
    assert_eq!((&action["status"], &action["type"]), (&json!("completed"), &json!("snapshot")));

    let of_droplet = client.get(&format!("/v2/droplets/{id}/snapshots")).await;
    let image = of_droplet["snapshots"][0]["id"].as_u64().expect("a number");
    let listed = client.get("/v2/snapshots").await;
    assert_eq!(listed["snapshots"][0]["id"], json!(image.to_string()));
    assert_eq!(listed["snapshots"][0]["min_disk_size"], 25);
    assert_eq!(client.get("/v2/images?private=true").await["meta"]["total"], 1);

    let transfers = format!("/v2/images/{image}/actions");
    assert_eq!(client.act(&transfers, json!({"type": "transfer", "region": "ams3"})).await["status"], "completed");
    assert_eq!(client.get(&format!("/v2/images/{image}")).await["image"]["regions"], json!(["ams3", "nyc3"]));
    client.refused(&transfers, json!({"type": "transfer", "region": "ams3"})).await;
    client.refused(&transfers, json!({"type": "transfer", "region": "moon1"})).await;
    client.refused("/v2/droplets", droplet(json!({"image": image, "region": "fra1"}))).await;
    client
        .refused("/v2/droplets", droplet(json!({"image": image, "size": "s-1vcpu-512mb-10gb", "region": "nyc1"})))
        .await;

    assert_eq!(client.post("/v2/tags", json!({"name": "done"})).await.0, 201);
    let resources = json!({"resources": [{"resource_id": image.to_string(), "resource_type": "image"}]});
    assert_eq!(client.post("/v2/tags/done/resources", resources.clone()).await.0, 204);
    assert_eq!(client.get("/v2/images?tag_name=done").await["images"][0]["id"], image);
    assert_eq!(client.get("/v2/tags/done").await["tag"]["resources"]["images"]["count"], 1);
    assert_eq!(client.send(Method::DELETE, "/v2/tags/done/resources", Some(resources)).await.0, 204);
    assert_eq!(client.get("/v2/images?tag_name=done").await["meta"]["total"], 0);

    assert_eq!(client.send(Method::DELETE, "/v2/droplets?tag_name=mkimg:bake:1", None).await.0, 204);
    assert_eq!(client.send(Method::GET, &format!("/v2/droplets/{id}"), None).await.0, 404);
    assert_eq!(client.send(Method::DELETE, &format!("/v2/snapshots/{image}"), None).await.0, 204);
    assert_eq!(client.send(Method::GET, &format!("/v2/images/{image}"), None).await.0, 404);
}

#[tokio::test]
async fn a_busy_droplet_is_locked_and_refuses_events_and_deletion() {
    let folder = tempfile::tempdir().expect("a folder");
    // Longer than any machine needs to ask. The next emulator completes the event at once.
    let slow = Timing { create: Duration::from_secs(3600), ..Timing::none() };
    let running = start(Config { timing: slow, ..config(folder.path()) }).await.expect("an emulator");
    let client = Client::new(&running);
    let id = client.droplet(json!({})).await;
    let pending = "Droplet already has a pending event.";
    assert_eq!(client.refused(&format!("/v2/droplets/{id}/actions"), json!({"type": "power_off"})).await, pending);
    let (status, body) = client.send(Method::DELETE, &format!("/v2/droplets/{id}"), None).await;
    assert_eq!((status, &body["message"]), (422, &json!(pending)));
    drop(running);
    let (running, client) = next_emulator(&folder).await;
    client.until(id, "active").await;
    assert_eq!(client.send(Method::DELETE, &format!("/v2/droplets/{id}"), None).await.0, 204);
    running.stop().await.expect("a stop");
}

#[tokio::test]
async fn a_droplet_turns_itself_off() {
    let folder = tempfile::tempdir().expect("a folder");
    let running = start(Config { off_after: Some(Duration::from_millis(50)), ..config(folder.path()) })
        .await
        .expect("an emulator");
    let client = Client::new(&running);
    let id = client.droplet(json!({})).await;
    client.until(id, "off").await;
    assert_eq!(
        client.act(&format!("/v2/droplets/{id}/actions"), json!({"type": "power_on"})).await["status"],
        "completed"
    );
    client.until(id, "off").await;
}

#[tokio::test]
async fn invalid_requests_get_errors_in_the_services_form() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_running, client) = emulator(&folder).await;
    for changes in [
        json!({"name": "under_score"}),
        json!({"name": ""}),
        json!({"name": 7}),
        json!({"size": "s-9vcpu"}),
        json!({"size": "1gb"}),
        json!({"region": "nowhere1"}),
        json!({"region": "sfo1"}),
        json!({"size": "s-1vcpu-512mb-10gb"}),
        json!({"image": "debian-1-x64"}),
        json!({"image": 1}),
        json!({"tags": ["a b"]}),
        json!({"tags": "a"}),
        json!({"ssh_keys": [1]}),
        json!({"user_data": "x".repeat(65_537)}),
        json!({"volumes": ["x"]}),
        json!({"names": []}),
    ] {
        client.refused("/v2/droplets", droplet(changes)).await;
    }
    assert_eq!(client.get("/v2/droplets").await["meta"]["total"], 0);
    assert_eq!(client.get("/v2/tags").await["meta"]["total"], 0);
    let id = client.droplet(json!({"user_data": "x".repeat(65_536)})).await;
    let raw = client.http.post(format!("{}/v2/droplets", client.url)).bearer_auth("secret");
    assert_eq!(raw.body("{").send().await.expect("an answer").status(), 400);
    let raw = client.http.post(format!("{}/v2/droplets", client.url)).bearer_auth("secret");
    assert_eq!(raw.body("x".repeat(2 << 20)).send().await.expect("an answer").status(), 413);
    for path in [
        "/v2/droplets/1", "/v2/droplets/x", "/v2/actions/1", "/v2/images/1", "/v2/tags/t", "/v2/account/keys/1", "/v3",
        "/v2/snapshots/1",
    ] {
        let (status, body) = client.send(Method::GET, path, None).await;
        assert_eq!((status, &body["id"]), (404, &json!("not_found")), "{path}");
    }
    assert_eq!(client.send(Method::PATCH, "/v2/account", None).await.0, 405);
    client.until(id, "active").await;
    client.refused(&format!("/v2/droplets/{id}/actions"), json!({"type": "dance"})).await;
    client.refused(&format!("/v2/droplets/{id}/actions"), json!({"type": "power_on"})).await;
    for token in ["", "secre", "secret2", "SECRET"] {
        let wrong = Client { http: client.http.clone(), url: client.url.clone(), token };
        let (status, body) = wrong.send(Method::GET, "/v2/account", None).await;
        assert_eq!((status, &body["id"]), (401, &json!("unauthorized")));
    }
}

#[tokio::test]
async fn lists_have_pages_and_filters() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_running, client) = emulator(&folder).await;
    let names: Vec<String> = (0..5).map(|number| format!("web-{number}")).collect();
    let mut body = droplet(json!({"names": names, "tags": ["web"]}));
    body.as_object_mut().expect("an object").remove("name");
    let (status, made) = client.post("/v2/droplets", body).await;
    assert_eq!((status, made["droplets"].as_array().map(Vec::len)), (202, Some(5)));
    let mut seen = Vec::new();
    let mut path = "/v2/droplets?per_page=2&tag_name=web".to_owned();
    for _ in 0..3 {
        let page = client.get(&path).await;
        assert_eq!(page["meta"]["total"], 5);
        seen.extend(page["droplets"].as_array().expect("a list").iter().map(|droplet| droplet["name"].clone()));
        match page["links"]["pages"]["next"].as_str() {
            Some(next) => path = next.strip_prefix(&client.url).expect("the same server").to_owned(),
            None => break,
        }
    }
    assert_eq!(seen, names);
    assert_eq!(client.get("/v2/droplets?name=WEB-3").await["meta"]["total"], 1);
    assert_eq!(client.get("/v2/droplets?tag_name=other").await["meta"]["total"], 0);
    assert_eq!(client.get("/v2/images?type=distribution").await["images"][0]["public"], true);
    assert_eq!(client.get("/v2/images/debian-12-x64").await["image"]["distribution"], "Debian");
    assert!(client.get("/v2/sizes?per_page=200").await["sizes"].as_array().is_some_and(|sizes| sizes.len() > 5));
    let many: Vec<String> = (0..11).map(|number| format!("n{number}")).collect();
    client.refused("/v2/droplets", droplet(json!({"names": many}))).await;
}

#[tokio::test]
async fn keys_are_added_once_found_both_ways_and_deleted() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_running, client) = emulator(&folder).await;
    let key = json!({"name": "me", "public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"});
    let (status, made) = client.post("/v2/account/keys", key.clone()).await;
    assert_eq!(status, 201);
    assert_eq!(client.refused("/v2/account/keys", key).await, "SSH Key is already in use on your account");
    client.refused("/v2/account/keys", json!({"name": "x", "public_key": "nonsense"})).await;
    let fingerprint = made["ssh_key"]["fingerprint"].as_str().expect("a fingerprint").to_owned();
    client.droplet(json!({"ssh_keys": [fingerprint]})).await;
    let path = format!("/v2/account/keys/{}", made["ssh_key"]["id"]);
    let renamed = client.send(Method::PUT, &path, Some(json!({"name": "you"}))).await;
    assert_eq!(renamed.1["ssh_key"]["name"], "you");
    assert_eq!(client.send(Method::DELETE, &path, None).await.0, 204);
    assert_eq!(client.get("/v2/account/keys").await["meta"]["total"], 0);
}

#[tokio::test]
async fn the_state_outlives_the_emulator_and_what_was_under_way_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let slow = Timing { snapshot: Duration::from_secs(3600), ..Timing::none() };
    let running = start(Config { timing: slow, ..config(folder.path()) }).await.expect("an emulator");
    let client = Client::new(&running);
    let id = client.droplet(json!({"tags": ["kept"]})).await;
    client.until(id, "active").await;
    let on = client.droplet(json!({"name": "on"})).await;
    client.until(on, "active").await;
    client.act(&format!("/v2/droplets/{id}/actions"), json!({"type": "power_off"})).await;
    let (_, action) =
        client.post(&format!("/v2/droplets/{id}/actions"), json!({"type": "snapshot", "name": "s"})).await;
    assert!(matches!(start(config(folder.path())).await, Err(Error::InUse { .. })));
    drop(running);
    let (again, client) = next_emulator(&folder).await;
    client.until(on, "active").await;
    client.until(id, "off").await;
    let ended = client.get(&format!("/v2/actions/{}", action["action"]["id"])).await;
    assert_eq!(ended["action"]["status"], "completed");
    assert_eq!(client.get("/v2/snapshots").await["meta"]["total"], 1);
    assert_eq!(client.get("/v2/droplets?tag_name=kept").await["meta"]["total"], 1);
    again.stop().await.expect("a stop");
}

#[tokio::test]
async fn two_emulators_know_nothing_of_each_other() {
    let (first, second) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let ((one, one_client), (_two, two_client)) = (emulator(&first).await, emulator(&second).await);
    one_client.droplet(json!({})).await;
    assert_eq!(two_client.get("/v2/droplets").await["meta"]["total"], 0);
    let taken = Config {
        listen: one.url().trim_start_matches("http://").parse().expect("an address"),
        ..config(&second.path().join("x"))
    };
    match start(taken).await.err() {
        Some(error @ Error::Listen { .. }) => assert!(error.to_string().contains("choose another with --listen")),
        other => panic!("{other:?}"),
    }
    let open = Config { listen: "0.0.0.0:0".parse().expect("an address"), ..config(&second.path().join("y")) };
    assert!(matches!(start(open).await, Err(Error::NotLoopback { .. })));
}

#[tokio::test]
async fn a_slash_at_the_end_of_a_path_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_running, client) = emulator(&folder).await;
    let (status, made) = client.post("/v2/droplets/", droplet(json!({"tags": ["a"]}))).await;
    assert_eq!(status, 202, "{made}");
    let id = made["droplet"]["id"].as_u64().expect("an id");
    assert_eq!(client.get(&format!("/v2/droplets/{id}/actions/?per_page=1")).await["meta"]["total"], 1);
    let listed = client.get("/v2/droplets/?tag_name=a&per_page=1").await;
    assert_eq!((&listed["meta"]["total"], &listed["droplets"][0]["id"]), (&json!(1), &json!(id)));
    for path in ["/", "//", "/v2//", "/v2/droplets//", "/v2/nothing/"] {
        assert_eq!(client.send(Method::GET, path, None).await.0, 404, "{path}");
    }
}

#[tokio::test]
async fn unsupported_resources_are_empty_lists() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_running, client) = emulator(&folder).await;
    for kind in ["volumes", "firewalls", "load_balancers", "certificates", "domains", "reserved_ips", "projects"] {
        let listed = client.get(&format!("/v2/{kind}")).await;
        assert_eq!((&listed[kind], &listed["meta"]["total"]), (&json!([]), &json!(0)), "{listed}");
        assert_eq!(client.send(Method::GET, &format!("/v2/{kind}/1"), None).await.0, 404);
        assert_eq!(client.post(&format!("/v2/{kind}"), json!({})).await.0, 405);
    }
}

#[tokio::test]
async fn a_path_that_is_not_utf8_is_not_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_running, client) = emulator(&folder).await;
    for path in ["/v2/droplets/%ff", "/v2/tags/%ff", "/v2/images/%ff/actions/1", "/v2/account/keys/%ff"] {
        let (status, body) = client.send(Method::GET, path, None).await;
        assert_eq!((status, &body["id"]), (404, &json!("not_found")), "{path}: {body}");
    }
}

#[tokio::test]
async fn a_flag_may_be_a_word() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_running, client) = emulator(&folder).await;
    let id = client.droplet(json!({})).await;
    client.until(id, "active").await;
    let actions = format!("/v2/droplets/{id}/actions");
    client.act(&actions, json!({"type": "power_off"})).await;
    let resize = |disk: &str| json!({"type": "resize", "size": "s-2vcpu-2gb", "disk": disk});
    assert_eq!(client.refused(&actions, resize("yes")).await, "disk must be true or false.");
    assert_eq!(client.act(&actions, resize("true")).await["status"], "completed");
    assert_eq!(client.get(&format!("/v2/droplets/{id}")).await["droplet"]["disk"], 60);
}

/// Packer requests `/v2/images/{action of the transfer}/actions/{action of the snapshot}`, and the service answers.
#[tokio::test]
async fn an_action_is_found_below_any_image() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_running, client) = emulator(&folder).await;
    let id = client.droplet(json!({})).await;
    client.until(id, "active").await;
    let actions = format!("/v2/droplets/{id}/actions");
    client.act(&actions, json!({"type": "power_off"})).await;
    let snapshot = client.act(&actions, json!({"type": "snapshot", "name": "s"})).await;
    let image = client.get("/v2/snapshots").await["snapshots"][0]["id"].as_str().expect("an id").to_owned();
    let transfer =
        client.act(&format!("/v2/images/{image}/actions"), json!({"type": "transfer", "region": "ams3"})).await;
    let found = client.get(&format!("/v2/images/{}/actions/{}", transfer["id"], snapshot["id"])).await;
    assert_eq!((&found["action"]["type"], &found["action"]["status"]), (&json!("snapshot"), &json!("completed")));
    assert_eq!(client.send(Method::GET, &format!("/v2/images/{image}/actions/7"), None).await.0, 404);
}
