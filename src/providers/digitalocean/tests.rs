//! The client against a scripted server on loopback that answers byte for byte what it is told, or does not answer.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use secrecy::SecretString;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::Client;
use crate::bake::ResourceId;
use crate::bake::ports::{
    ActionStatus, CreateDroplet, DropletAction, Provider, ProviderError, ProviderErrorKind as Kind,
};
use crate::providers::{ConnectError, Options};

const TOKEN: &str = "secret-token-0123456789";

/// One answer.
#[derive(Clone)]
enum Reply {
    /// These bytes, then the end of the connection.
    Bytes(Vec<u8>),
    /// No answer, for longer than any time limit.
    Hang,
    /// These bytes, then one more byte from time to time.
    Drip(Vec<u8>),
    /// The connection ends at once.
    Close,
}

fn reply(status: u16, headers: &str, body: &str) -> Reply {
    let text =
        format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
    Reply::Bytes(text.into_bytes())
}

fn json(status: u16, body: &str) -> Reply {
    reply(status, "content-type: application/json\r\n", body)
}

fn account() -> Reply {
    json(200, r#"{"account": {"email": "me@mail.example", "status": "active", "droplet_limit": 3}}"#)
}

/// A server that gives these answers in order, repeats the last one for ever, and records its
/// requests.
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        let task = tokio::spawn(async move {
            let mut number = 0;
            while let Ok((stream, _)) = listener.accept().await {
                let reply = replies[number.min(replies.len() - 1)].clone();
                number += 1;
                tokio::spawn(answer(stream, reply, log.clone()));
            }
        });
        Self { url, asked, task }
    }

    /// A client that does not time out on a busy machine, because the tests count its requests.
    fn client(&self) -> Client {
        self.client_that_waits(Duration::from_secs(60))
    }

    fn client_that_waits(&self, timeout: Duration) -> Client {
        let options = Options { timeout, ..Options::default() };
        Client::new(&self.url, &SecretString::from(TOKEN), options).unwrap()
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn answer(mut stream: TcpStream, reply: Reply, log: Arc<Mutex<Vec<String>>>) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&request);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                break;
            }
        }
        match stream.read(&mut buffer).await {
            Ok(read) if read > 0 => request.extend_from_slice(&buffer[..read]),
            _ => return,
        }
    }
    log.lock().unwrap().push(String::from_utf8(request).unwrap());
    // The client may have disconnected.
    match reply {
        Reply::Bytes(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
        Reply::Hang => tokio::time::sleep(Duration::from_secs(60)).await,
        Reply::Drip(bytes) => {
            let _ = stream.write_all(&bytes).await;
            for _ in 0..600 {
                tokio::time::sleep(Duration::from_millis(100)).await;
                if stream.write_all(b" ").await.is_err() {
                    return;
                }
            }
        }
        Reply::Close => {}
    }
}

async fn create(client: &Client) -> Result<crate::bake::ports::Droplet, ProviderError> {
    let spec = crate::bake::spec::DropletSpec {
        name: "n".into(),
        region: "nyc3".into(),
        size: "s-1vcpu-1gb".into(),
        image: "debian-12-x64".into(),
        vpc_uuid: None,
        ipv6: false,
        monitoring: false,
        droplet_agent: false,
        ssh_keys: vec!["17".into(), "aa:bb".into()],
        tags: vec![],
    };
    let user_data = SecretString::from("#cloud-config\n");
    let request =
        CreateDroplet { spec: &spec, name: "build", image: "4711", tags: vec!["mkimg".into()], user_data: &user_data };
    client.create_droplet(&request).await
}

const DROPLET: &str = r#"{"droplet": {"id": 7, "name": "build", "status": "new", "networks": {"v4": []}, "tags": []}}"#;

#[tokio::test]
async fn a_create_sends_what_the_service_wants() {
    let server = Server::start(vec![json(202, DROPLET)]).await;
    assert_eq!(create(&server.client()).await.unwrap().id, 7);
    let asked = server.asked();
    let (head, body) = asked[0].split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /v2/droplets HTTP/1.1"), "{head}");
    assert!(head.contains(&format!("Bearer {TOKEN}")) && head.contains("user-agent: mkimg/"), "{head}");
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["image"], 4711, "a number is sent as a number");
    assert_eq!(body["ssh_keys"], serde_json::json!([17, "aa:bb"]));
    assert_eq!((&body["with_droplet_agent"], &body["user_data"]), (&false.into(), &"#cloud-config\n".into()));
}

#[tokio::test]
async fn transient_failures_are_retried_except_for_a_post() {
    let html = reply(502, "content-type: text/html\r\n", "<html><title>502 Bad\n Gateway</title></html>");
    let cut = Reply::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"account\": {".to_vec());
    let cases = [
        (
            json(500, r#"{"id": "server_error", "message": "Server Error", "request_id": "r-9"}"#),
            "Server Error (request r-9)",
        ),
        (html, "an HTML page instead of JSON: 502 Bad Gateway"),
        (reply(503, "", ""), "503: Service Unavailable"),
        (reply(408, "", ""), "408: Request Timeout"),
        (reply(504, "", ""), "504: Gateway Timeout"),
        (cut, "the answer is cut short"),
        (json(200, "{\"account\": 17}"), "the answer cannot be read"),
        (reply(200, "", "<!doctype html><p>hello"), "an HTML page instead of JSON"),
        (Reply::Close, "no answer"),
        (Reply::Bytes(b"\x00\xffSSH-2.0-nonsense\r\n\r\n".to_vec()), "no answer"),
        (Reply::Hang, "no answer within 3s"),
    ];
    for (bad, text) in cases {
        // A server that never answers costs the whole limit. It is as short as it can be with an
        // answer that even a busy machine gives in time.
        let client = |server: &Server| match bad {
            Reply::Hang => server.client_that_waits(Duration::from_secs(3)),
            _ => server.client(),
        };
        let server = Server::start(vec![bad.clone(), account()]).await;
        let found = client(&server).account().await.unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!((found.name.as_str(), server.asked().len()), ("me@mail.example", 2), "{text}");

        let server = Server::start(vec![bad.clone()]).await;
        let error = create(&client(&server)).await.unwrap_err();
        assert_eq!((error.kind, server.asked().len()), (Kind::Unanswered, 1), "{text}: {error}");
        assert!(error.is_ambiguous() && error.to_string().contains(text), "{error}");
        assert!(error.to_string().starts_with("POST /v2/droplets: ") && !error.to_string().contains(TOKEN), "{error}");
    }
}

#[tokio::test]
async fn a_get_is_given_up_after_four_tries_and_a_drip_has_a_limit() {
    let server = Server::start(vec![json(500, "{}")]).await;
    let error = server.client().account().await.unwrap_err();
    assert_eq!((error.kind, server.asked().len()), (Kind::Unanswered, 4));
    let server = Server::start(vec![Reply::Drip(b"HTTP/1.1 202 OK\r\ncontent-length: 900\r\n\r\n{".to_vec())]).await;
    let start = Instant::now();
    let error = create(&server.client_that_waits(Duration::from_secs(1))).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unanswered, "{error}");
    // The answer drips for twice as long as the limit.
    assert!(start.elapsed() < Duration::from_secs(30), "the limit is one of the whole request: {:?}", start.elapsed());
}

#[tokio::test]
async fn too_many_requests_wait_as_long_as_they_are_told() {
    let limited = |seconds: u64| {
        reply(
            429,
            &format!("retry-after: {seconds}\r\n"),
            r#"{"id": "too_many_requests", "message": "API Rate limit exceeded."}"#,
        )
    };
    let server = Server::start(vec![limited(1), json(202, DROPLET)]).await;
    let start = Instant::now();
    assert_eq!(create(&server.client()).await.unwrap().id, 7, "a 429 had no effect: a POST is sent again");
    assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
    // The client does not silently wait for an hour.
    let server = Server::start(vec![limited(3600)]).await;
    let error = server.client().account().await.unwrap_err();
    assert_eq!((error.kind, server.asked().len()), (Kind::RateLimited, 1));
    assert!(error.is_transient());
    // `ratelimit-reset` in the past, none remaining: at once.
    let past = reply(429, "ratelimit-remaining: 0\r\nratelimit-reset: 1\r\n", "{}");
    let server = Server::start(vec![past, account()]).await;
    assert!(server.client().account().await.is_ok());
}

#[tokio::test]
async fn refusals_are_told_apart_and_not_repeated() {
    let body = |message: &str| format!(r#"{{"id": "x", "message": "{message}", "request_id": "r-1"}}"#);
    let cases = [
        (401, "Unable to authenticate you", Kind::Unauthorized, "the token is not valid"),
        (403, "You are not authorized to perform this operation", Kind::Forbidden, "`droplet:update`"),
        (404, "The resource you were accessing could not be found.", Kind::NotFound, ""),
        (422, "Droplet already has a pending event.", Kind::Pending, "wait until it is over"),
        (422, "creating this/these droplet(s) will exceed your droplet limit", Kind::Refused, "mkimg gc"),
        (422, "Size is not available in this region.", Kind::Refused, "another size or region"),
        (422, "You specified an invalid image for Droplet creation.", Kind::Refused, "another base image"),
        (422, "Snapshot transfer already in progress", Kind::Pending, ""),
        (422, "This Droplet is currently locked.", Kind::Pending, ""),
        (422, "User data is too long (maximum is 64 KiB).", Kind::Refused, "largest files smaller"),
        (403, "You have reached the limit of droplets", Kind::Forbidden, "mkimg gc"),
        (400, "bad", Kind::Refused, ""),
        (409, "conflict", Kind::Refused, ""),
        (423, "The resource is locked.", Kind::Pending, ""),
    ];
    for (status, message, kind, advice) in cases {
        let server = Server::start(vec![json(status, &body(message))]).await;
        let error = server.client().droplet_action(7, DropletAction::Shutdown).await.unwrap_err();
        assert_eq!((error.kind, error.status, server.asked().len()), (kind, Some(status), 1), "{message}");
        assert_eq!(error.to_string(), format!("POST /v2/droplets/7/actions: {status}: {message} (request r-1)"));
        assert!(error.advice.clone().unwrap_or_default().contains(advice), "{message}: {:?}", error.advice);
    }
}

#[tokio::test]
async fn a_body_is_bounded_and_a_refusal_stays_one() {
    let huge = " ".repeat(9 * 1024 * 1024);
    let server = Server::start(vec![json(202, &huge)]).await;
    let error = create(&server.client()).await.unwrap_err();
    assert!(error.kind == Kind::Unanswered && error.message.contains("longer than 8388608 bytes"), "{error}");
    let server = Server::start(vec![reply(401, "", &huge)]).await;
    assert_eq!(create(&server.client()).await.unwrap_err().kind, Kind::Unauthorized);
}

#[tokio::test]
async fn pages_are_followed_at_our_own_address_and_lists_end() {
    let page = |number: u64, next: &str| {
        json(
            200,
            &format!(
                r#"{{"snapshots": [{{"id": {number}, "name": "s{number}", "resource_id": "9"}}], "links": {{"pages": {{{next}}}}}, "meta": {{"total": 2}}}}"#
            ),
        )
    };
    let elsewhere = Server::start(vec![account()]).await;
    let next = format!(r#""next": "{}/v2/snapshots?page=2""#, elsewhere.url);
    let server = Server::start(vec![page(1, &next), page(2, "")]).await;
    let all = server.client().snapshots().await.unwrap();
    assert_eq!(all.iter().map(|s| (s.id.as_str(), s.droplet)).collect::<Vec<_>>(), [("1", Some(9)), ("2", Some(9))]);
    assert!(server.asked()[1].starts_with("GET /v2/snapshots?resource_type=droplet&per_page=200&page=2 "));
    assert!(elsewhere.asked().is_empty(), "an address in an answer is no place to send a token to");
    // A server that always announces another page.
    let server = Server::start(vec![page(1, &next)]).await;
    let error = server.client().snapshots().await.unwrap_err();
    assert!(error.message.contains("more than 1000 pages"), "{error}");
}

#[tokio::test]
async fn droplets_of_others_are_left_out_though_the_server_lists_them() {
    let body = r#"{"droplets": [{"id": 1, "status": "active", "tags": ["other"]}, {"id": 2, "status": "active", "tags": ["mkimg:bake:x:1"]}]}"#;
    let server = Server::start(vec![json(200, body)]).await;
    let found = server.client().droplets_tagged("mkimg:bake:x:1").await.unwrap();
    assert_eq!(found.iter().map(|droplet| droplet.id).collect::<Vec<_>>(), [2]);
}

#[tokio::test]
async fn the_token_goes_to_https_or_this_machine_only_and_follows_no_redirect() {
    let client = |url: &str| Client::new(url, &SecretString::from(TOKEN), Options::default()).map(drop);
    for url in ["https://api.example", "http://127.0.0.1:1", "http://localhost:1/v2/", "http://[::1]:1"] {
        assert!(client(url).is_ok(), "{url}");
    }
    for url in [
        "http://api.example", "http://localhost.example", "http://127.0.0.1.example", "http://127.0.0.1@api.example",
        "http://0.0.0.0", "http://192.0.2.1",
    ] {
        let error = client(url).unwrap_err();
        assert!(matches!(error, ConnectError::Insecure(_)) && !error.to_string().contains(TOKEN), "{url}: {error}");
    }
    assert!(
        crate::providers::is_on_this_machine("http://127.0.0.1:80/v2")
            && crate::providers::is_on_this_machine("https://localhost")
    );
    assert!(
        !crate::providers::is_on_this_machine("https://localhost.example")
            && !crate::providers::is_on_this_machine("localhost")
    );
    assert!(matches!(client("ftp://api.example"), Err(ConnectError::Unreadable(..))));
    assert!(matches!(client("api.example"), Err(ConnectError::Unreadable(..))));
    let broken = Client::new("https://api.example", &SecretString::from("a\nb"), Options::default()).err().unwrap();
    assert!(matches!(broken, ConnectError::BadToken));

    let elsewhere = Server::start(vec![account()]).await;
    let moved = reply(307, &format!("location: {}/v2/account\r\n", elsewhere.url), "");
    let server = Server::start(vec![moved]).await;
    let error = server.client().account().await.unwrap_err();
    assert_eq!((error.kind, server.asked().len(), elsewhere.asked().len()), (Kind::Refused, 1, 0));
    assert!(error.advice.clone().unwrap_or_default().contains("the API itself"), "{error}: {:?}", error.advice);
}

#[tokio::test]
async fn a_refused_connection_is_reported() {
    // Nothing listens on this port. The test keeps it bound, so that no other process can take it.
    let held = tokio::net::TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", held.local_addr().unwrap());
    let client = Client::new(&url, &SecretString::from(TOKEN), Options::default()).unwrap();
    let error = create(&client).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unreachable);
    assert!(error.message.starts_with(&format!("no connection to {url}: ")), "{error}");
    assert_eq!(client.requests_sent(), 4, "it was never sent: it is sent again");
}

#[tokio::test]
async fn an_action_is_found_with_its_resource() {
    let missing = json(404, r#"{"id": "not_found", "message": "no such thing"}"#);
    let found = json(200, r#"{"action": {"id": 9, "status": "completed", "type": "snapshot"}}"#);
    for (of, path) in [
        (ResourceId::Droplet(3), "GET /v2/droplets/3/actions/9 "),
        (ResourceId::Snapshot("7".into()), "GET /v2/images/7/actions/9 "),
    ] {
        // Another process sent the request, so this one remembers nothing.
        let server = Server::start(vec![missing.clone(), found.clone()]).await;
        assert_eq!(server.client().action(9, &of).await.unwrap().status, ActionStatus::Completed);
        assert!(server.asked()[1].starts_with(path), "{:?}", server.asked());
        let server = Server::start(vec![missing.clone()]).await;
        assert_eq!(server.client().action(9, &of).await.unwrap_err().request, "GET /v2/actions/9");
    }
}

#[tokio::test]
async fn a_snapshot_is_found_and_deleted_where_a_service_shows_it() {
    let missing = || json(404, r#"{"id": "not_found", "message": "no such thing"}"#);
    let first = |server: &Server| -> Vec<String> {
        server
            .asked()
            .iter()
            .map(|request| request.lines().next().unwrap_or_default().replace(" HTTP/1.1", ""))
            .collect()
    };
    // The snapshot is shown only as an image.
    let image = r#"{"image": {"id": 7, "name": "golden", "regions": ["nyc3"], "tags": ["a"], "type": "snapshot"}}"#;
    let server = Server::start(vec![missing(), missing(), json(200, image)]).await;
    let found = server.client().snapshot("7").await.unwrap();
    assert_eq!((found.id.as_str(), found.name.as_str(), found.droplet), ("7", "golden", None));
    assert_eq!(first(&server).last().unwrap(), "GET /v2/images/7");
    let server = Server::start(vec![missing(), reply(204, "", "")]).await;
    server.client().delete_snapshot("7").await.unwrap();
    assert_eq!(first(&server), ["DELETE /v2/snapshots/7", "DELETE /v2/images/7"]);
    let server = Server::start(vec![missing()]).await;
    assert_eq!(server.client().delete_snapshot("7").await.unwrap_err().kind, Kind::NotFound);
    assert_eq!(server.client().snapshot("7").await.unwrap_err().request, "GET /v2/snapshots/7");
    // Only in the list of all snapshots. Those of another droplet, or without a droplet, are left
    // out.
    let all = r#"{"snapshots": [{"id": 7, "resource_id": 3}, {"id": 8, "resource_id": "4"}, {"id": 9}]}"#;
    let server = Server::start(vec![missing(), json(200, all)]).await;
    let found = server.client().droplet_snapshots(4).await.unwrap();
    assert_eq!(found.iter().map(|snapshot| snapshot.id.as_str()).collect::<Vec<_>>(), ["8"]);
    // The droplet does not exist, so every answer is 404.
    let server = Server::start(vec![missing(), json(200, all)]).await;
    assert_eq!(server.client().droplet_snapshots(5).await.unwrap_err().kind, Kind::NotFound);
}

/// A 503 is retried once its `retry-after` is over. A delay that is too long to wait for is passed
/// on.
#[tokio::test]
async fn an_unavailable_service_is_given_the_time_it_asks_for() {
    let unavailable = |seconds: u64| reply(503, &format!("retry-after: {seconds}\r\n"), "");
    let server = Server::start(vec![unavailable(1), account()]).await;
    let start = Instant::now();
    assert!(server.client().account().await.is_ok());
    assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
    let server = Server::start(vec![unavailable(600)]).await;
    let error = server.client().account().await.unwrap_err();
    assert_eq!((error.kind, server.asked().len()), (Kind::Unanswered, 1));
    assert_eq!(error.retry_after, Some(Duration::from_secs(600)));
    // A 503 to a POST may have taken effect.
    let server = Server::start(vec![unavailable(0), json(202, DROPLET)]).await;
    assert!(create(&server.client()).await.unwrap_err().is_ambiguous());
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_transfer_names_its_snapshot_and_region() {
    let action = r#"{"action": {"id": 9, "status": "in-progress", "type": "transfer"}}"#;
    let server = Server::start(vec![json(201, action)]).await;
    assert_eq!(server.client().transfer("7", "fra1").await.unwrap().id, 9);
    let asked = server.asked();
    let (head, body) = asked[0].split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /v2/images/7/actions HTTP/1.1"), "{head}");
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body, serde_json::json!({"type": "transfer", "region": "fra1"}));
}

/// The request of each call: method, path and body.
#[tokio::test]
async fn each_call_sends_its_own_request() {
    async fn sent<T>(call: impl AsyncFnOnce(&Client) -> T) -> String {
        let server = Server::start(vec![json(200, "{}")]).await;
        let client = server.client();
        call(&client).await;
        let asked = server.asked();
        let (head, body) = asked[0].split_once("\r\n\r\n").unwrap();
        format!("{} {body}", head.lines().next().unwrap().trim_end_matches(" HTTP/1.1")).trim_end().to_owned()
    }
    let droplet = ResourceId::Droplet(7);
    let resource = r#"{"resources":[{"resource_id":"77","resource_type":"image"}]}"#;
    for (found, expected) in [
        (sent(async |client| client.account().await).await, "GET /v2/account"),
        (sent(async |client| client.droplet_count().await).await, "GET /v2/droplets?per_page=1"),
        (sent(async |client| client.sizes().await).await, "GET /v2/sizes?per_page=200"),
        (sent(async |client| client.regions().await).await, "GET /v2/regions?per_page=200"),
        (sent(async |client| client.image("a b/c").await).await, "GET /v2/images/a%20b%2Fc"),
        (sent(async |client| client.vpc_region("u-1").await).await, "GET /v2/vpcs/u-1"),
        (sent(async |client| client.has_ssh_key("aa:bb").await).await, "GET /v2/account/keys/aa:bb"),
        (sent(async |client| client.snapshots().await).await, "GET /v2/snapshots?resource_type=droplet&per_page=200"),
        (sent(async |client| client.snapshot("77").await).await, "GET /v2/snapshots/77"),
        (sent(async |client| client.droplet(7).await).await, "GET /v2/droplets/7"),
        (sent(async |client| client.droplets_tagged("a:b").await).await, "GET /v2/droplets?tag_name=a:b&per_page=200"),
        (sent(async |client| client.droplet_actions(7).await).await, "GET /v2/droplets/7/actions?per_page=200"),
        (sent(async |client| client.action(9, &droplet).await).await, "GET /v2/actions/9"),
        (sent(async |client| client.droplet_snapshots(7).await).await, "GET /v2/droplets/7/snapshots?per_page=200"),
        (
            sent(async |client| client.droplet_action(7, DropletAction::Shutdown).await).await,
            r#"POST /v2/droplets/7/actions {"type":"shutdown"}"#,
        ),
        (
            sent(async |client| client.droplet_action(7, DropletAction::PowerOff).await).await,
            r#"POST /v2/droplets/7/actions {"type":"power_off"}"#,
        ),
        (
            sent(async |client| client.droplet_action(7, DropletAction::Snapshot("s")).await).await,
            r#"POST /v2/droplets/7/actions {"type":"snapshot","name":"s"}"#,
        ),
        (
            sent(async |client| client.tag_snapshot("77", "a:b").await).await,
            &format!("POST /v2/tags/a:b/resources {resource}"),
        ),
        (
            sent(async |client| client.untag_snapshot("77", "a:b").await).await,
            &format!("DELETE /v2/tags/a:b/resources {resource}"),
        ),
        (sent(async |client| client.delete_tag("a:b").await).await, "DELETE /v2/tags/a:b"),
        (sent(async |client| client.delete_droplet(7).await).await, "DELETE /v2/droplets/7"),
        (sent(async |client| client.delete_snapshot("77").await).await, "DELETE /v2/snapshots/77"),
    ] {
        assert_eq!(found, expected);
    }
}

/// What the template asks of the droplet, field by field.
#[tokio::test]
async fn a_create_sends_each_field_of_the_template() {
    let server = Server::start(vec![json(202, DROPLET)]).await;
    let spec = crate::bake::spec::DropletSpec {
        name: "not sent".into(),
        region: "fra1".into(),
        size: "s-2".into(),
        image: "not sent".into(),
        vpc_uuid: Some("u-1".into()),
        ipv6: true,
        monitoring: true,
        droplet_agent: true,
        ssh_keys: vec![],
        tags: vec!["not sent".into()],
    };
    let user_data = SecretString::from("#cloud-config\n");
    let tags = vec!["mkimg".into(), "mine".into()];
    let request = CreateDroplet { spec: &spec, name: "n", image: "debian-12-x64", tags, user_data: &user_data };
    server.client().create_droplet(&request).await.unwrap();
    let asked = server.asked();
    let body: serde_json::Value = serde_json::from_str(asked[0].split_once("\r\n\r\n").unwrap().1).unwrap();
    let expected = serde_json::json!({
        "name": "n", "region": "fra1", "size": "s-2", "image": "debian-12-x64", "ssh_keys": [], "backups": false,
        "ipv6": true, "monitoring": true, "tags": ["mkimg", "mine"], "user_data": "#cloud-config\n",
        "with_droplet_agent": true, "vpc_uuid": "u-1",
    });
    assert_eq!(body, expected);
}

/// Services write accounts and refusals in several ways.
#[tokio::test]
async fn each_form_of_an_answer_is_read() {
    for (body, name, status, limit) in [
        (
            r#"{"email": "me@x", "status": "locked", "status_message": "unpaid", "droplet_limit": "3"}"#,
            "me@x",
            "locked",
            3,
        ),
        (r#"{"email": "me@x", "team": {"name": "us"}, "droplet_limit": 3}"#, "me@x (team us)", "active", 3),
        (r#"{"email": "me@x", "team": {"name": ""}}"#, "me@x", "active", 0),
        (r#"{"email": "me@x", "team": null, "status": ""}"#, "me@x", "active", 0),
    ] {
        let server = Server::start(vec![json(200, &format!("{{\"account\": {body}}}"))]).await;
        let found = server.client().account().await.unwrap();
        assert_eq!((found.name.as_str(), found.status.as_str(), found.droplet_limit), (name, status, limit), "{body}");
    }
    for (status, body, expected) in [
        (422, r#"{"id": "unprocessable_entity", "message": "no\tsuch\nsize"}"#, "no such size"),
        (422, r#"{"id": "unprocessable_entity"}"#, "unprocessable_entity"),
        (422, "{}", "an answer that is not JSON: {}"),
        (404, "", "Not Found"),
        (404, "  ", "Not Found"),
        (499, "", "no reason given"),
        (403, "<html><title>Access \n denied</title></html>", "an HTML page instead of JSON: Access denied"),
        (403, "plain\u{7}", "an answer that is not JSON: plain"),
    ] {
        let server = Server::start(vec![json(status, body)]).await;
        let error = server.client().droplet(7).await.unwrap_err();
        assert_eq!((error.status, error.message.as_str()), (Some(status), expected), "{status} {body}");
    }
    let long = format!(r#"{{"message": "{}"}}"#, "m".repeat(1_000));
    let server = Server::start(vec![json(422, &long)]).await;
    assert_eq!(server.client().droplet(7).await.unwrap_err().message.len(), 300);
}

/// What does not exist is told apart from what cannot be read: the list that is asked next answers, or does not.
#[tokio::test]
async fn what_does_not_exist_is_not_found() {
    let missing = || json(404, r#"{"id": "not_found", "message": "no such resource"}"#);
    let list = || json(200, "{}");
    for second in [list(), missing()] {
        let is_list = matches!(&second, Reply::Bytes(bytes) if bytes.starts_with(b"HTTP/1.1 200"));
        let servers = [
            Server::start(vec![missing(), second.clone()]).await,
            Server::start(vec![missing(), second.clone()]).await,
            Server::start(vec![missing(), second]).await,
        ];
        let key = servers[0].client().has_ssh_key("17").await;
        let vpc = servers[1].client().vpc_region("u-1").await;
        let image = servers[2].client().image("none").await.map(|found| found.is_some());
        if is_list {
            assert_eq!((key.unwrap(), vpc.unwrap(), image.unwrap()), (false, None, false));
        } else {
            let kinds = [key.unwrap_err().kind, vpc.unwrap_err().kind, image.unwrap_err().kind];
            assert_eq!(kinds, [Kind::NotFound; 3]);
        }
    }
    let server = Server::start(vec![json(200, r#"{"ssh_key": {"id": 17}}"#)]).await;
    assert!(server.client().has_ssh_key("17").await.unwrap());
}

/// A tag is created when it is needed. Another bake may create it at the same moment.
#[tokio::test]
async fn a_missing_tag_is_created_before_it_is_used() {
    let (missing, done) = (json(404, "{}"), reply(204, "", ""));
    for (created, ends, requests) in [
        (json(201, r#"{"tag": {"name": "a"}}"#), true, 3),
        (json(422, r#"{"message": "it exists"}"#), true, 3),
        (json(403, r#"{"message": "this token must not"}"#), false, 2),
    ] {
        let server = Server::start(vec![missing.clone(), created, done.clone()]).await;
        assert_eq!(server.client().tag_snapshot("77", "a").await.is_ok(), ends);
        let asked: Vec<String> =
            server.asked().iter().map(|request| request.lines().next().unwrap().replace(" HTTP/1.1", "")).collect();
        let expected = ["POST /v2/tags/a/resources", "POST /v2/tags", "POST /v2/tags/a/resources"];
        assert_eq!(asked, expected[..requests]);
    }
}

/// The public address, whatever comes first.
#[tokio::test]
async fn a_droplets_public_address_is_used() {
    let droplet = r#"{"droplet": {"id": 7, "name": "x", "status": "active", "locked": false, "tags": [], "networks": {"v4": [
        {"ip_address": "10.0.0.2", "type": "private"}, {"ip_address": "203.0.113.7", "type": "public"}]}}}"#;
    let server = Server::start(vec![json(200, droplet)]).await;
    let address = server.client().droplet(7).await.unwrap().address;
    assert_eq!(address.map(|address| address.to_string()).as_deref(), Some("203.0.113.7"));
}
