//! The emulator, checked with DigitalOcean's description of its API: every answer must match the schema of its path, method and
//! status. The description is not part of this repository. `MKIMG_OPENAPI` names the file (one bundled YAML document); without
//! it, the test prints that it checks nothing.

use std::time::Duration;

use digitalocean_emulator::{BackendKind, Config, Timing, start};
use reqwest::Method;
use serde_json::{Value, json};

struct Contract {
    document: Value,
}

impl Contract {
    /// The errors of a value, each with its path. Supports the part of JSON Schema that the description uses.
    fn faults(&self, schema: &Value, value: &Value, at: &str) -> Vec<String> {
        if let Some(reference) = schema["$ref"].as_str() {
            let pointer = reference.trim_start_matches('#');
            let Some(found) = self.document.pointer(pointer) else { return vec![format!("{at}: no {reference}")] };
            return self.faults(found, value, at);
        }
        let mut faults = Vec::new();
        for part in schema["allOf"].as_array().into_iter().flatten() {
            faults.extend(self.faults(part, value, at));
        }
        for kind in ["anyOf", "oneOf"] {
            if let Some(branches) = schema[kind].as_array() {
                let all: Vec<_> = branches.iter().map(|branch| self.faults(branch, value, at)).collect();
                if !all.iter().any(Vec::is_empty) {
                    faults.extend(all.into_iter().next().unwrap_or_default());
                }
            }
        }
        if value.is_null() {
            let nullable = schema["nullable"] == true || schema["type"].is_null();
            if !nullable {
                faults.push(format!("{at}: null"));
            }
            return faults;
        }
        let fits = match schema["type"].as_str() {
            None => true,
            Some("object") => value.is_object(),
            Some("array") => value.is_array(),
            Some("string") => value.is_string(),
            Some("integer") => value.is_u64() || value.is_i64(),
            Some("number") => value.is_number(),
            Some("boolean") => value.is_boolean(),
            Some(other) => panic!("{at}: type {other}"),
        };
        if !fits {
            faults.push(format!("{at}: {value} is not of type {}", schema["type"]));
        }
        if let Some(allowed) = schema["enum"].as_array() {
            // YAML 1.1 readers turn a bare `off` into false.
            let same = |one: &Value| one == value || (one == &json!(false) && value == "off");
            if !allowed.iter().any(same) {
                faults.push(format!("{at}: {value} is not one of {}", schema["enum"]));
            }
        }
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if value.is_object() && value.get(name).is_none() {
                faults.push(format!("{at}.{name}: missing"));
            }
        }
        if let (Some(properties), Some(fields)) = (schema["properties"].as_object(), value.as_object()) {
            for (name, field) in fields {
                if let Some(schema) = properties.get(name) {
                    faults.extend(self.faults(schema, field, &format!("{at}.{name}")));
                }
            }
        }
        for (index, item) in value.as_array().into_iter().flatten().enumerate() {
            if !schema["items"].is_null() {
                faults.extend(self.faults(&schema["items"], item, &format!("{at}[{index}]")));
            }
        }
        faults
    }

    fn answer(&self, template: &str, method: &Method, status: u16) -> Option<&Value> {
        let method = method.as_str().to_ascii_lowercase();
        let operation = &self.document["paths"][template][&method];
        let responses = &operation["responses"];
        let response = match &responses[status.to_string()] {
            Value::Null if status >= 400 => &responses["default"],
            found => found,
        };
        (!response.is_null()).then_some(response)
    }
}

struct Session {
    contract: Contract,
    http: reqwest::Client,
    url: String,
    checked: Vec<String>,
}

impl Session {
    /// Sends a request to a path of the description, with its `{…}` filled in, and checks the answer.
    async fn call(&mut self, method: Method, template: &str, path: &str, body: Value) -> (u16, Value) {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.url)).bearer_auth("secret");
        if !body.is_null() {
            request = request.json(&body);
        }
        let response = request.send().await.expect("an answer");
        let status = response.status().as_u16();
        let text = response.text().await.expect("a body");
        let value: Value = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).expect("JSON") };
        let described = self.contract.answer(template, &method, status);
        let described = described.unwrap_or_else(|| panic!("{method} {template}: {status} is not described"));
        let schema = &described["content"]["application/json"]["schema"];
        assert_eq!(schema.is_null(), value.is_null(), "{method} {template} {status}: a body or none");
        if !schema.is_null() {
            let faults = self.contract.faults(schema, &value, "");
            assert_eq!(faults, Vec::<String>::new(), "{method} {template} {status}: {value}");
        }
        self.checked.push(format!("{method} {template} {status}"));
        (status, value)
    }

    async fn settle(&mut self, action: &Value) {
        // A busy machine may stop a process, or delay its disk, for many seconds.
        for _ in 0..6000 {
            let (_, found) = self
                .call(Method::GET, "/v2/actions/{action_id}", &format!("/v2/actions/{}", action["id"]), Value::Null)
                .await;
            if found["action"]["status"] != "in-progress" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{action} did not end");
    }
}

#[tokio::test]
async fn every_answer_is_what_the_service_describes() {
    let Some(path) = std::env::var_os("MKIMG_OPENAPI") else {
        eprintln!("SKIPPED: MKIMG_OPENAPI does not name DigitalOcean's description of its API; nothing was checked");
        return;
    };
    let text = std::fs::read_to_string(path).expect("the description");
    let document: serde_yaml::Value = serde_yaml::from_str(&text).expect("YAML");
    let document = serde_json::to_value(document).expect("a document as JSON has them");
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir().expect("a folder");
    let config = Config {
        backend: BackendKind::NONE,
        timing: Timing::none(),
        ..Config::new("secret".to_owned().into(), folder.path().to_path_buf(), folder.path().join("cache"))
    };
    let running = start(config).await.expect("an emulator");
    let mut session = Session {
        contract: Contract { document },
        http: reqwest::Client::new(),
        url: running.url(),
        checked: Vec::new(),
    };
    let s = &mut session;
    let none = || Value::Null;
    let key = json!({"name": "me", "public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"});

    s.call(Method::GET, "/v2/account", "/v2/account", none()).await;
    let (_, key) = s.call(Method::POST, "/v2/account/keys", "/v2/account/keys", key).await;
    let key = format!("/v2/account/keys/{}", key["ssh_key"]["id"]);
    s.call(Method::GET, "/v2/account/keys", "/v2/account/keys", none()).await;
    let one_key = "/v2/account/keys/{ssh_key_identifier}";
    s.call(Method::GET, one_key, &key, none()).await;
    s.call(Method::PUT, one_key, &key, json!({"name": "you"})).await;
    for list in ["/v2/regions", "/v2/sizes", "/v2/images"] {
        s.call(Method::GET, list, &format!("{list}?per_page=3&page=2"), none()).await;
    }
    s.call(Method::GET, "/v2/images/{image_id}", "/v2/images/debian-12-x64", none()).await;

    let body = json!({"name": "one", "region": "nyc3", "size": "s-1vcpu-1gb", "image": "debian-12-x64", "tags": ["t"]});
    let (status, made) = s.call(Method::POST, "/v2/droplets", "/v2/droplets", body).await;
    assert_eq!(status, 202);
    let body = json!({"names": ["two", "three"], "region": "nyc3", "size": "s-1vcpu-1gb", "image": "debian-12-x64"});
    s.call(Method::POST, "/v2/droplets", "/v2/droplets", body).await;
    s.call(Method::POST, "/v2/droplets", "/v2/droplets", json!({"name": "_"})).await;
    s.settle(&made["links"]["actions"][0]).await;
    s.call(Method::GET, "/v2/droplets", "/v2/droplets?per_page=1", none()).await;
    let droplet = format!("/v2/droplets/{}", made["droplet"]["id"]);
    s.call(Method::GET, "/v2/droplets/{droplet_id}", &droplet, none()).await;
    s.call(Method::GET, "/v2/droplets/{droplet_id}", "/v2/droplets/1", none()).await;
    let actions = "/v2/droplets/{droplet_id}/actions";
    for body in
        [json!({"type": "power_off"}), json!({"type": "snapshot", "name": "s"}), json!({"type": "rename", "name": "n"})]
    {
        let (status, answer) = s.call(Method::POST, actions, &format!("{droplet}/actions"), body).await;
        assert_eq!(status, 201);
        s.settle(&answer["action"]).await;
        let action = format!("{droplet}/actions/{}", answer["action"]["id"]);
        s.call(Method::GET, "/v2/droplets/{droplet_id}/actions/{action_id}", &action, none()).await;
    }
    s.call(Method::POST, actions, &format!("{droplet}/actions"), json!({"type": "power_off"})).await;
    s.call(Method::GET, actions, &format!("{droplet}/actions"), none()).await;
    s.call(Method::POST, "/v2/droplets/actions", "/v2/droplets/actions?tag_name=t", json!({"type": "power_on"})).await;
    s.call(Method::GET, "/v2/actions", "/v2/actions", none()).await;
    s.call(Method::GET, "/v2/droplets/{droplet_id}", &droplet, none()).await;
    let (_, listed) =
        s.call(Method::GET, "/v2/droplets/{droplet_id}/snapshots", &format!("{droplet}/snapshots"), none()).await;
    s.call(Method::GET, "/v2/droplets/{droplet_id}/firewalls", &format!("{droplet}/firewalls"), none()).await;
    let id = &listed["snapshots"][0]["id"];
    let (image, snapshot) = (format!("/v2/images/{id}"), format!("/v2/snapshots/{id}"));
    s.call(Method::GET, "/v2/snapshots", "/v2/snapshots?resource_type=droplet", none()).await;
    s.call(Method::GET, "/v2/snapshots/{snapshot_id}", &snapshot, none()).await;
    s.call(Method::GET, "/v2/images/{image_id}", &image, none()).await;
    s.call(Method::PUT, "/v2/images/{image_id}", &image, json!({"name": "new"})).await;
    let transfer = json!({"type": "transfer", "region": "ams3"});
    let (_, action) =
        s.call(Method::POST, "/v2/images/{image_id}/actions", &format!("{image}/actions"), transfer).await;
    s.settle(&action["action"]).await;
    s.call(Method::GET, "/v2/images/{image_id}/actions", &format!("{image}/actions"), none()).await;
    s.call(Method::POST, "/v2/tags", "/v2/tags", json!({"name": "x:y"})).await;
    s.call(Method::GET, "/v2/tags", "/v2/tags", none()).await;
    let resources = json!({"resources": [{"resource_id": id.to_string(), "resource_type": "image"}]});
    s.call(Method::POST, "/v2/tags/{tag_id}/resources", "/v2/tags/x:y/resources", resources.clone()).await;
    s.call(Method::GET, "/v2/tags/{tag_id}", "/v2/tags/x:y", none()).await;
    s.call(Method::DELETE, "/v2/tags/{tag_id}/resources", "/v2/tags/x:y/resources", resources).await;
    s.call(Method::DELETE, "/v2/tags/{tag_id}", "/v2/tags/x:y", none()).await;
    s.call(Method::DELETE, "/v2/snapshots/{snapshot_id}", &snapshot, none()).await;
    s.call(Method::DELETE, one_key, &key, none()).await;
    assert!(s.checked.len() > 45, "{} answers were checked", s.checked.len());
}

#[test]
fn the_check_finds_faults() {
    let document = json!({"components": {"schemas": {"id": {"type": "integer"}}}});
    let contract = Contract { document };
    let schema = json!({"allOf": [
        {"type": "object", "properties": {"id": {"$ref": "#/components/schemas/id"}}, "required": ["id"]},
        {"properties": {"status": {"enum": ["new", false]}, "tags": {"type": "array", "items": {"type": "string"}}}},
    ]});
    let faults = |value: Value| contract.faults(&schema, &value, "");
    assert_eq!(faults(json!({"id": 1, "status": "off", "tags": ["a"]})), Vec::<String>::new());
    assert_eq!(faults(json!({"status": "new"})), [".id: missing"]);
    assert_eq!(faults(json!({"id": "1"})), [".id: \"1\" is not of type \"integer\""]);
    assert_eq!(faults(json!({"id": null})), [".id: null"]);
    assert_eq!(faults(json!({"id": 1, "status": "on"})).len(), 1);
    assert_eq!(faults(json!({"id": 1, "tags": [1]})), [".tags[0]: 1 is not of type \"string\""]);
}
