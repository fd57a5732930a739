//! What each request answers: what is refused and why, and what is read back.

use serde_json::{Value, json};

use super::Api;
use crate::Timing;

/// What the service says about each request that it refuses.
#[tokio::test]
async fn refusals_say_what_is_wrong() {
    let api = Api::start(Timing::none()).await;
    let (on, off) = (api.droplet(json!({"tags": ["t"]})).await, api.droplet(json!({})).await);
    let [on, off] = [on, off].map(|id| format!("/v2/droplets/{id}/actions"));
    let image = api.snapshot(json!({"region": "nyc1"})).await;
    api.act(&off, json!({"type": "power_off"})).await;
    let (image_actions, image) = (format!("/v2/images/{image}/actions"), image);
    let event = |name: &str| json!({"type": name});
    let resize = |size: &str, disk: bool| json!({"type": "resize", "size": size, "disk": disk});
    for (actions, body, message) in [
        (&on, json!({}), "type is required."),
        (&on, json!({"type": 7}), "type must be a string."),
        (&on, event("dance"), "dance is not an event of droplets."),
        (&on, event("password_reset"), "password_reset is not available in the emulator."),
        (&on, event("change_kernel"), "change_kernel is not available in the emulator."),
        (&on, event("power_on"), "Droplet is already powered on."),
        (&on, event("snapshot"), "Droplet is currently on. Please power it off to run this event."),
        (&on, event("disable_backups"), "Backups are not enabled."),
        (&on, event("rename"), "name is required."),
        (
            &on,
            json!({"type": "rename", "name": "a_b"}),
            "Only valid hostname characters are allowed. (a-z, A-Z, 0-9, . and -)",
        ),
        (&on, event("rebuild"), "The image you specified does not exist."),
        (&on, json!({"type": "rebuild", "image": "debian-1-x64"}), "The image you specified does not exist."),
        (&on, json!({"type": "rebuild", "image": 1}), "The image you specified does not exist."),
        (
            &on,
            json!({"type": "restore", "image": image}),
            "The image you specified is not a backup or snapshot of this Droplet.",
        ),
        (&on, resize("s-1vcpu-2gb", false), "Droplet is currently on. Please power it off to run this event."),
        (&off, event("power_off"), "Droplet is already powered off."),
        (&off, event("shutdown"), "Droplet is already powered off."),
        (&off, event("reboot"), "Droplet is currently off. Please power it on to run this event."),
        (&off, event("power_cycle"), "Droplet is currently off. Please power it on to run this event."),
        (&off, json!({"type": "snapshot", "name": "a\tb"}), "Name may not hold control characters"),
        (&off, json!({"type": "snapshot", "name": " "}), "Name can't be blank"),
        (&off, json!({"type": "snapshot", "name": "n".repeat(256)}), "Name is too long (maximum is 255 characters)"),
        (&off, event("resize"), "size is required."),
        (&off, resize("huge", false), "The size you specified is invalid."),
        (&off, resize("s-1vcpu-1gb", false), "Droplet is already this size."),
        (&off, resize("s-1vcpu-512mb-10gb", false), "Size is not available in this region."),
        (&off, resize("g-2vcpu-8gb", true), "This size has the same disk. Resize without the disk."),
        (&image_actions, event("dance"), "dance is not an event of images."),
        (&image_actions, event("transfer"), "region is required."),
        (
            &image_actions,
            json!({"type": "transfer", "region": "sfo1"}),
            "The region you specified is invalid or unavailable.",
        ),
        (
            &image_actions,
            json!({"type": "transfer", "region": "nyc1"}),
            "The image is already available in this region.",
        ),
        (
            &"/v2/images/148642187/actions".to_owned(),
            json!({"type": "transfer", "region": "nyc1"}),
            "You do not have permission to change this image, it is a public one.",
        ),
    ] {
        let (status, refused) = api.send("POST", actions, body.clone()).await;
        assert_eq!((status, &refused["message"]), (422, &json!(message)), "{actions} {body}");
    }
    api.act(&off, resize("s-1vcpu-2gb", true)).await;
    let (_, refused) = api.send("POST", &off, resize("s-1vcpu-1gb", false)).await;
    assert_eq!(refused["message"], "This size is not available because it has a smaller disk.");
    let invalid = |what: &str| format!("You specified an invalid {what} for Droplet creation.");
    for (changes, message) in [
        (json!({"name": null}), "name is required.".to_owned()),
        (json!({"names": []}), "names must hold 1 to 10 names.".to_owned()),
        (json!({"names": "a"}), "names must be a list.".to_owned()),
        (json!({"size": null}), "size is required.".to_owned()),
        (json!({"size": "huge"}), invalid("size")),
        (json!({"region": "moon1"}), invalid("region")),
        (json!({"region": "sfo1"}), "The region you specified is currently unavailable.".to_owned()),
        (json!({"size": "s-1vcpu-512mb-10gb"}), "Size is not available in this region.".to_owned()),
        (json!({"size": "1gb"}), "Size is not available in this region.".to_owned()),
        (json!({"image": null}), invalid("image")),
        (json!({"image": "debian-1-x64"}), invalid("image")),
        (
            json!({"image": image}),
            "The image you specified is not available in the selected region, you must transfer it first.".to_owned(),
        ),
        (
            json!({"image": image, "region": "nyc1", "size": "s-1vcpu-512mb-10gb"}),
            "This image requires a larger disk than the size you specified has.".to_owned(),
        ),
        (json!({"ssh_keys": ["aa:bb"]}), "aa:bb are invalid key identifiers for Droplet creation.".to_owned()),
        (json!({"ssh_keys": [true]}), "ssh_keys must be a list of ids or strings.".to_owned()),
        (json!({"tags": [1]}), "tags must be a list of strings.".to_owned()),
        (
            json!({"tags": ["a b"]}),
            "Tag names may hold letters, numbers, colons, dashes and underscores only".to_owned(),
        ),
        (json!({"tags": [""]}), "Tag name can't be blank".to_owned()),
        (json!({"user_data": "x".repeat(65_537)}), "User data is too long (maximum is 64 KiB).".to_owned()),
        (json!({"volumes": ["v"]}), "The emulator has no volumes.".to_owned()),
        (json!({"ipv6": "yes"}), "ipv6 must be true or false.".to_owned()),
    ] {
        let (status, refused) = api.create(changes.clone()).await;
        assert_eq!((status, &refused["message"]), (422, &json!(message)), "{changes}");
    }
    let resources = |id: Value, kind: &str| json!({"resources": [{"resource_id": id, "resource_type": kind}]});
    let kinds = "resource_type must be droplet, image, volume or volume_snapshot.";
    for (method, path, body, status, message) in [
        ("GET", "/v2/images?type=x", json!({}), 400, "type must be distribution, application or snapshot."),
        ("GET", "/v2/droplets?page=0", json!({}), 400, "page must be a whole number, at least 1."),
        ("GET", "/v2/droplets?per_page=x", json!({}), 400, "per_page must be a whole number, at least 1."),
        ("GET", "/v2/droplets?name=a&tag_name=t", json!({}), 400, "tag_name and name can't be given together."),
        ("DELETE", "/v2/droplets", json!({}), 400, "tag_name is required."),
        ("POST", "/v2/droplets/actions", event("power_off"), 400, "tag_name is required."),
        ("POST", "/v2/droplets/actions?tag_name=t", event("rebuild"), 422, "The image you specified does not exist."),
        (
            "POST",
            "/v2/droplets/actions?tag_name=t",
            json!({"type": "rename", "name": "b"}),
            422,
            "rename can't be done by tag.",
        ),
        ("POST", "/v2/tags", json!([]), 400, "The request's body must be a JSON object."),
        ("POST", "/v2/tags", json!({}), 422, "name is required."),
        ("POST", "/v2/tags/t/resources", json!({}), 422, "resources must be a list."),
        ("POST", "/v2/tags/t/resources", resources(Value::Null, "droplet"), 422, "resource_id is required."),
        ("POST", "/v2/tags/t/resources", resources(json!(1), "pond"), 422, kinds),
        ("POST", "/v2/tags/t/resources", resources(json!(1), "volume"), 404, NOT_FOUND),
        ("POST", "/v2/tags/t/resources", resources(json!("x"), "droplet"), 404, NOT_FOUND),
        ("POST", "/v2/tags/none/resources", resources(json!(1), "droplet"), 404, NOT_FOUND),
        ("POST", "/v2/account/keys", json!({"name": "k"}), 422, "public_key is required."),
        (
            "POST",
            "/v2/account/keys",
            json!({"name": "k", "public_key": "x"}),
            422,
            "Key invalid, key should be of the format `ssh-rsa THEKEY a_comment`",
        ),
        ("PUT", "/v2/account/keys/1", json!({"name": "k"}), 404, NOT_FOUND),
        ("DELETE", "/v2/account/keys/1", json!({}), 404, NOT_FOUND),
        ("PUT", "/v2/images/1", json!({"name": "k"}), 404, NOT_FOUND),
        ("PATCH", "/v2/tags", json!({}), 405, "The method is not allowed for this resource."),
        ("GET", "/v2/nothing", json!({}), 404, NOT_FOUND),
    ] {
        let (found, refused) = api.send(method, path, body.clone()).await;
        assert_eq!((found, &refused["message"]), (status, &json!(message)), "{method} {path} {body}");
        assert!(refused["request_id"].is_string(), "{refused}");
    }
}

const NOT_FOUND: &str = "The resource you were accessing could not be found.";

/// Each event of an image and of a key that is accepted shows in what is read afterwards.
#[tokio::test]
async fn what_is_changed_is_read_back() {
    let api = Api::start(Timing::none()).await;
    let image = api.snapshot(json!({"name": "source"})).await;
    let path = format!("/v2/images/{image}");
    let before = api.get(&path).await["image"].clone();
    for (field, expected) in [
        ("name", json!("s")),
        ("type", json!("snapshot")),
        ("distribution", json!("Debian")),
        ("slug", json!(null)),
        ("public", json!(false)),
        ("regions", json!(["nyc3"])),
        ("min_disk_size", json!(25)),
        ("status", json!("available")),
        ("tags", json!([])),
        ("description", json!("")),
    ] {
        assert_eq!(before[field], expected, "{field}");
    }
    assert_eq!(api.act(&format!("{path}/actions"), json!({"type": "convert"})).await["status"], "completed");
    let (status, changed) = api.send("PUT", &path, json!({"description": "of a test"})).await;
    assert_eq!(
        (status, &changed["image"]["name"], &changed["image"]["description"]),
        (200, &json!("s"), &json!("of a test"))
    );
    let (_, changed) = api.send("PUT", &path, json!({"name": "t"})).await;
    assert_eq!((&changed["image"]["name"], &changed["image"]["description"]), (&json!("t"), &json!("of a test")));
    // The same snapshot under both paths.
    let snapshot = api.get(&format!("/v2/snapshots/{image}")).await["snapshot"].clone();
    assert_eq!((&snapshot["id"], &snapshot["name"]), (&json!(image.to_string()), &json!("t")));
    assert_eq!((&snapshot["resource_type"], &snapshot["regions"]), (&json!("droplet"), &json!(["nyc3"])));
    assert_eq!(api.status("DELETE", &path, json!({})).await, 204);
    for gone in [path, format!("/v2/snapshots/{image}")] {
        assert_eq!(api.status("GET", &gone, json!({})).await, 404, "{gone}");
    }
    let key = json!({"name": "k", "public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me"});
    let (status, made) = api.send("POST", "/v2/account/keys", key).await;
    let key = made["ssh_key"].clone();
    assert_eq!(status, 201, "{made}");
    for wanted in [key["id"].to_string(), key["fingerprint"].as_str().unwrap().to_owned()] {
        let path = format!("/v2/account/keys/{wanted}");
        assert_eq!(api.get(&path).await["ssh_key"], key, "{path}");
        assert_eq!(api.create(json!({"ssh_keys": [wanted]})).await.0, 202);
    }
    assert_eq!(api.status("DELETE", &format!("/v2/account/keys/{}", key["id"]), json!({})).await, 204);
    assert_eq!(api.create(json!({"ssh_keys": [key["id"]]})).await.0, 422);
}

/// Filters that are empty or match nothing, words for flags, and lists of what does not exist.
#[tokio::test]
async fn odd_requests_are_read_as_the_service_reads_them() {
    let api = Api::start_with(Timing::none(), &["create#2:errored"], None).await;
    let flags = json!({"ipv6": "true", "monitoring": "false", "image": "148642187", "user_data": "", "region": ""});
    let droplet = api.droplet(flags).await;
    let path = format!("/v2/droplets/{droplet}");
    let found = api.get(&path).await["droplet"].clone();
    assert_eq!(found["features"], json!(["droplet_agent", "ipv6", "private_networking"]));
    assert_eq!((&found["image"]["slug"], &found["region"]["slug"]), (&json!("debian-12-x64"), &json!("sfo3")));
    let action = api.get(&format!("{path}/actions")).await["actions"][0].clone();
    assert_eq!(api.get(&format!("{path}/actions/{}", action["id"])).await["action"], action);
    for (list, status, total) in [
        ("/v2/droplets?tag_name=&name=", 200, json!(1)),
        ("/v2/droplets?type=", 200, json!(1)),
        ("/v2/images?name=12%20x64", 200, json!(1)),
        ("/v2/images?name=12", 200, json!(0)),
        ("/v2/images?private=1", 200, json!(0)),
        ("/v2/images?private=false&type=snapshot", 200, json!(0)),
        (&format!("{path}/backups"), 200, json!(0)),
        (&format!("{path}/neighbors"), 200, json!(0)),
        (&format!("{path}/firewalls"), 200, json!(0)),
        (&format!("{path}/kernels"), 200, json!(0)),
        ("/v2/droplets/1/backups", 404, Value::Null),
        ("/v2/droplets/1/snapshots", 404, Value::Null),
        ("/v2/droplets/1/actions", 404, Value::Null),
    ] {
        let (found, body) = api.send("GET", list, json!({})).await;
        assert_eq!((found, &body["meta"]["total"]), (status, &total), "{list}");
    }
    // A droplet whose creation failed was never on.
    let (_, failed) = api.create(json!({})).await;
    api.finish(&failed["links"]["actions"][0]["id"]).await;
    let path = format!("/v2/droplets/{}", failed["droplet"]["id"]);
    for event in ["power_on", "snapshot"] {
        let (status, refused) = api.send("POST", &format!("{path}/actions"), json!({"type": event})).await;
        assert_eq!(
            (status, &refused["message"]),
            (422, &json!("Droplet was never active. Please destroy it.")),
            "{event}"
        );
    }
    assert_eq!(api.status("DELETE", &path, json!({})).await, 204);
    assert_eq!(api.status("DELETE", &path, json!({})).await, 404);
}
