//! `mkimg bake` as a process against a service that was written apart from the emulator (`fake_api/service.py`): leaner
//! answers, other ids, one request a connection. All requests of a bake with the usual faults; a sample of them unless
//! `MKIMG_SWEEP` asks for `fake` or `all`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;

const MKIMG: &str = env!("CARGO_BIN_EXE_mkimg");
const TOKEN: &str = "secret-token-0123456789";
/// Those that differ in what the program makes of them when they last.
const LASTING: [&str; 7] = ["500", "429", "closed", "hang", "garbage", "404", "pending"];
const FAULTS: [&str; 13] =
    ["500", "502", "503", "429", "closed", "lost", "handled-500", "hang", "truncated", "garbage", "404", "401", "422"];

/// The service, as long as a case lasts.
struct Service {
    process: Child,
    url: String,
}

impl Service {
    fn start(options: &[String]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sweep/service.py");
        let mut command = Command::new("python3");
        command.arg("-B").arg(script).args(options).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().expect("python3 runs");
        let mut url = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut url).unwrap();
        assert!(url.starts_with("http://127.0.0.1:"), "{url}");
        Self { process, url: url.trim().to_owned() }
    }

    /// Asks what no client asks.
    fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.url.strip_prefix("http://").unwrap()).unwrap();
        stream.write_all(format!("{request} HTTP/1.0\r\n\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    /// What is really there.
    fn account(&self) -> Value {
        serde_json::from_str(&self.ask("GET /_account")).unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn project(home: &Path) {
    for folder in ["templates", "scripts"] {
        std::fs::create_dir(home.join(folder)).unwrap();
    }
    let template = "droplet: {image: debian-12-x64, region: nyc3, size: s-1vcpu-1gb}\nscripts: [scripts/*.sh]\nsnapshot: {name: baked, regions: [fra1], tags: [release]}\n";
    std::fs::write(home.join("templates/image.yaml"), template).unwrap();
    std::fs::write(home.join("scripts/01-nothing.sh"), "#!/bin/sh\ntrue\n").unwrap();
}

/// Exit status and standard error; a command that takes longer than the limit hangs.
fn mkimg(home: &Path, arguments: &[&str], limit: Duration) -> Result<(i32, String), String> {
    let mut command = Command::new(MKIMG);
    command.args(["-C", home.to_str().unwrap()]).args(arguments).env_clear().env("HOME", home);
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("XDG_STATE_HOME", home.join("state")).env("DIGITALOCEAN_API_TOKEN", TOKEN);
    let said = std::fs::File::create(home.join("stderr")).unwrap();
    let mut process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said).spawn().unwrap();
    let start = Instant::now();
    loop {
        if let Some(status) = process.try_wait().unwrap() {
            let said = std::fs::read_to_string(home.join("stderr")).unwrap();
            return status.code().map(|code| (code, said)).ok_or_else(|| "it was killed".to_owned());
        }
        if start.elapsed() > limit {
            process.kill().unwrap();
            process.wait().unwrap();
            return Err(format!("it hangs: {}", std::fs::read_to_string(home.join("stderr")).unwrap()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// How it ended, or what was wrong with that; and its requests.
fn play(options: &[String]) -> (Result<i32, String>, Vec<String>) {
    let home = tempfile::tempdir().unwrap();
    project(home.path());
    let service = Service::start(options);
    let limit = Duration::from_secs(300);
    // Only what hangs is waited for: where nothing does, an answer that a busy machine gives late is still the answer.
    let patience = if options.iter().any(|option| option.ends_with("hang")) { "2s" } else { "10s" };
    let bake = [
        "bake",
        "--marker",
        "poweroff",
        "--api-url",
        &service.url,
        "--poll-interval",
        "50ms",
        "--timeout-request",
        patience,
        "--no-verify",
    ];
    let ended = mkimg(home.path(), &bake, limit);
    let account = service.account();
    let requests: Vec<String> =
        account["requests"].as_array().unwrap().iter().map(|request| request.as_str().unwrap().to_owned()).collect();
    let (exit, said) = match ended {
        Ok(ended) => ended,
        Err(why) => return (Err(why), requests),
    };
    let wrong = |why: &str| Err(format!("{why}; exit {exit}; {account}\n{said}"));
    let (droplets, snapshots) = (account["droplets"].as_array().unwrap(), account["snapshots"].as_array().unwrap());
    let nothing = droplets.is_empty() && snapshots.is_empty();
    let judged = match exit {
        0 if is_the_product(&account) => Ok(exit),
        0 => wrong("a false success"),
        2 | 3 if nothing => Ok(exit),
        2 | 3 => wrong("a leak unsaid"),
        4 => {
            let named = |kind: &str, id: &str| {
                said.contains(&format!("still exists: {kind} {id} "))
                    || said.contains("still exists: possibly something")
            };
            let unnamed = droplets.iter().any(|id| !named("droplet", &id.to_string()))
                || snapshots.iter().any(|snapshot| !named("snapshot", snapshot["id"].as_str().unwrap()));
            let named = |what: &str| said.lines().find_map(|line| line.strip_prefix(what));
            let (remove, finish) = (named("help: remove it: mkimg "), named("help: finish the bake: mkimg "));
            match (remove, finish) {
                _ if unnamed => wrong("something is left and not named"),
                (None, _) => wrong("no command is named"),
                (Some(_), Some(command)) => {
                    service.ask("POST /_well");
                    let words: Vec<&str> = command.split_whitespace().collect();
                    let finished = mkimg(home.path(), &words, limit);
                    let after = service.account();
                    if matches!(finished, Ok((0, _))) && is_the_product(&after) {
                        Ok(exit)
                    } else {
                        wrong(&format!("`mkimg {command}` did not finish it: {finished:?}, {after}"))
                    }
                }
                (Some(command), None) => {
                    service.ask("POST /_well");
                    let words: Vec<&str> = command.split_whitespace().collect();
                    let removed = mkimg(home.path(), &words, limit);
                    let after = service.account();
                    let gone = after["droplets"].as_array().unwrap().is_empty()
                        && after["snapshots"].as_array().unwrap().is_empty();
                    if gone && matches!(removed, Ok((0, _))) {
                        Ok(exit)
                    } else {
                        wrong(&format!("`mkimg {command}` did not remove it: {removed:?}, {after}"))
                    }
                }
            }
        }
        _ => wrong("no such end"),
    };
    (judged, requests)
}

/// Whether there is the snapshot that was asked for, and nothing else.
fn is_the_product(account: &serde_json::Value) -> bool {
    let (droplets, snapshots) = (account["droplets"].as_array().unwrap(), account["snapshots"].as_array().unwrap());
    let [only] = snapshots.as_slice() else { return false };
    droplets.is_empty()
        && only["name"] == "baked"
        && only["tags"] == serde_json::json!(["release"])
        && only["regions"] == serde_json::json!(["fra1", "nyc3"])
}

/// How the bakes of each fault ended: how many with which exit status.
type Table = BTreeMap<String, BTreeMap<i32, usize>>;

/// Plays all, some at once; a line for each fault with how its bakes ended.
fn sweep(cases: Vec<Vec<String>>) {
    let total = cases.len();
    let cases = Mutex::new(cases);
    let ended: Mutex<(Table, Vec<String>)> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                loop {
                    let Some(case) = cases.lock().unwrap().pop() else { return };
                    let start = Instant::now();
                    let (judged, requests) = play(&case);
                    println!("{case:?}: {:.0} s", start.elapsed().as_secs_f64());
                    let mut ended = ended.lock().unwrap();
                    match judged {
                        Ok(exit) => {
                            let row = case[0].rsplit(':').next().unwrap().to_owned();
                            *ended.0.entry(row).or_default().entry(exit).or_default() += 1;
                        }
                        Err(why) => ended.1.push(format!("{case:?}: {why}\n  {}", requests.join("\n  "))),
                    }
                }
            });
        }
    });
    let (table, wrong) = ended.into_inner().unwrap();
    println!("{total} bakes, by fault and exit status: {table:#?}");
    assert!(wrong.is_empty(), "{} of {total}:\n{}", wrong.len(), wrong.join("\n"));
}

fn asked_for(what: &str) -> bool {
    std::env::var("MKIMG_SWEEP").is_ok_and(|asked| asked == what || asked == "all")
}

/// Method and path of a request, with `N` for numbers and for tags.
fn route(request: &str) -> String {
    let path = request.split('?').next().unwrap();
    let words = path.split('/').map(|word| {
        let named = word.starts_with("mkimg") || (!word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit()));
        if named { "N" } else { word }
    });
    words.collect::<Vec<_>>().join("/")
}

#[test]
fn every_request_with_every_fault_at_another_service() {
    let (ended, requests) = play(&[]);
    assert_eq!(ended, Ok(0), "{requests:#?}");
    assert!(requests.len() > 15, "{requests:#?}");
    let all = asked_for("fake");
    let mut cases = Vec::new();
    for number in 1..=requests.len() {
        for (index, fault) in FAULTS.iter().enumerate() {
            // The sample: every fault and every request, and not all of their pairs.
            if all || (number + index) % FAULTS.len() == 0 {
                cases.push(vec![format!("{number}:{fault}")]);
            }
        }
    }
    sweep(cases);
}

#[test]
fn services_that_differ_in_form() {
    let forms = [
        "lists=wide",
        "ids=text",
        "sizes=missing",
        "one=missing",
        "tags=missing",
        "actions=nested",
        "actions=empty",
        "status=200",
        "bodies=chunked",
        "headers=upper",
        "headers=lower",
        "snapshots=late",
    ];
    let mut cases: Vec<Vec<String>> = forms.iter().map(|&option| vec![option.to_owned()]).collect();
    cases.push(vec!["12:429".to_owned(), "limit=date".to_owned()]);
    cases.push(vec!["8:lost".to_owned(), "status=200".to_owned(), "bodies=chunked".to_owned()]);
    std::thread::scope(|scope| {
        for case in &cases {
            scope.spawn(move || {
                let (ended, requests) = play(case);
                assert_eq!(ended, Ok(0), "{case:?}: {requests:#?}");
            });
        }
    });
}

#[test]
fn an_action_that_fails_while_the_droplet_is_made_is_seen_before_the_limit() {
    let (ended, requests) = play(&["create=errored".to_owned(), "actions=listed".to_owned()]);
    assert_eq!(ended, Ok(3), "{requests:#?}");
}

#[test]
fn a_service_that_fails_for_good() {
    // Every route of a bake, for good, from its first request on and from its second; a sample of that unless all is asked
    // for. The limits are those that a bake has when nothing else is said.
    let (ended, requests) = play(&[]);
    assert_eq!(ended, Ok(0), "{requests:#?}");
    let routes: BTreeSet<String> = requests.iter().map(|request| route(request)).collect();
    assert!(routes.len() > 12, "{routes:?}");
    let all = asked_for("lasting");
    // An answer that says nothing, to a request that had no effect.
    let nothing_said = vec!["POST /v2/tags/release/resources#1:garbage".to_owned()];
    let mut cases =
        vec![nothing_said, vec!["12-:401".to_owned()], vec!["18-:closed".to_owned()], vec!["9-:hang".to_owned()]];
    let every = routes.iter().flat_map(|route| LASTING.iter().map(move |fault| (route, fault)));
    for (number, (route, fault)) in every.enumerate() {
        for from in [1, 2] {
            if all || number % 11 == from {
                cases.push(vec![format!("{route}#{from}-:{fault}")]);
            }
        }
    }
    sweep(cases);
}
