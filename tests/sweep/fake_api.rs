//! `mkimg bake` against a service that was written independently of the emulator (`service.py`), with shorter answers, other ids
//! and one request per connection. By default a sample of requests and faults; `MKIMG_SWEEP=fake` (or `all`) plays them all.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{ChildGuard, Home, Process, TOKEN, python, sweep_includes, tests};

const TEMPLATE: &str = "droplet: {image: debian-12-x64, region: nyc3, size: s-1vcpu-1gb}\nscripts: [scripts/*.sh]\nsnapshot: {name: baked, regions: [fra1], tags: [release]}\n";
/// How long a command may take before it hangs.
const LIMIT: Duration = Duration::from_secs(300);
/// Faults that the program handles differently when they last.
const LASTING: [&str; 7] = ["500", "429", "closed", "hang", "garbage", "404", "pending"];
const FAULTS: [&str; 13] =
    ["500", "502", "503", "429", "closed", "lost", "handled-500", "hang", "truncated", "garbage", "404", "401", "422"];

/// The service, which ends with its case.
struct Service {
    url: String,
    _process: ChildGuard,
}

impl Service {
    fn start(options: &[String]) -> Self {
        let mut command = python();
        command.arg("-B").arg(tests("sweep/service.py")).args(options).env("MKIMG_TEST_TOKEN", TOKEN);
        let mut process =
            ChildGuard(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("python3 runs"));
        let mut url = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut url).unwrap();
        assert!(url.starts_with("http://127.0.0.1:"), "{url}");
        Self { url: url.trim().to_owned(), _process: process }
    }

    /// Sends a request to the control interface of the service.
    fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.url.strip_prefix("http://").unwrap()).unwrap();
        stream.write_all(format!("{request} HTTP/1.0\r\n\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    /// What is in the account.
    fn account(&self) -> Value {
        serde_json::from_str(&self.ask("GET /_account")).unwrap()
    }
}

/// Exit status and output; an error if the command hangs.
fn mkimg(home: &Home, arguments: &[&str]) -> Result<(i32, String), String> {
    Process::spawn(&mut home.command(arguments)).end_within(LIMIT)
}

/// Plays a case. Returns the exit status or what was wrong, and the requests.
fn play(options: &[String]) -> (Result<i32, String>, Vec<String>) {
    let home = Home::with_template(TEMPLATE);
    let service = Service::start(options);
    // The timeout is short only where a request hangs: a busy machine may answer late.
    let request_limit = if options.iter().any(|option| option.ends_with("hang")) { "2s" } else { "10s" };
    let bake = [
        "bake", "--marker", "poweroff", "--api-url", &service.url, "--poll-interval", "50ms", "--timeout-request",
        request_limit, "--no-verify",
    ];
    let ended = mkimg(&home, &bake);
    let account = service.account();
    let requests: Vec<String> =
        account["requests"].as_array().unwrap().iter().map(|request| request.as_str().unwrap().to_owned()).collect();
    let (exit, printed) = match ended {
        Ok(ended) => ended,
        Err(why) => return (Err(why), requests),
    };
    let wrong = |why: &str| Err(format!("{why}; exit {exit}; {account}\n{printed}"));
    let (droplets, snapshots) = (account["droplets"].as_array().unwrap(), account["snapshots"].as_array().unwrap());
    let nothing = droplets.is_empty() && snapshots.is_empty();
    let result = match exit {
        0 if is_the_product(&account) => Ok(exit),
        0 => wrong("a false success"),
        2 | 3 if nothing => Ok(exit),
        2 | 3 => wrong("a leak unsaid"),
        4 => {
            let named = |kind: &str, id: &str| {
                printed.contains(&format!("still exists: {kind} {id} "))
                    || printed.contains("still exists: possibly something")
            };
            let unnamed = droplets.iter().any(|id| !named("droplet", &id.to_string()))
                || snapshots.iter().any(|snapshot| !named("snapshot", snapshot["id"].as_str().unwrap()));
            let named = |what: &str| printed.lines().find_map(|line| line.strip_prefix(what));
            let (remove, finish) = (named("help: remove it: mkimg "), named("help: finish the bake: mkimg "));
            match (remove, finish) {
                _ if unnamed => wrong("something is left and not named"),
                (None, _) => wrong("no command is named"),
                (Some(_), Some(command)) => {
                    service.ask("POST /_well");
                    let words: Vec<&str> = command.split_whitespace().collect();
                    let finished = mkimg(&home, &words);
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
                    let removed = mkimg(&home, &words);
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
    (result, requests)
}

/// Whether the account holds the requested snapshot and nothing else.
fn is_the_product(account: &serde_json::Value) -> bool {
    let (droplets, snapshots) = (account["droplets"].as_array().unwrap(), account["snapshots"].as_array().unwrap());
    let [only] = snapshots.as_slice() else { return false };
    droplets.is_empty()
        && only["name"] == "baked"
        && only["tags"] == serde_json::json!(["release"])
        && only["regions"] == serde_json::json!(["fra1", "nyc3"])
}

/// For each fault, how many bakes ended with which exit status.
type Table = BTreeMap<String, BTreeMap<i32, usize>>;

/// Plays all cases, some at the same time, and prints a table of exit statuses.
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
                    let (mut result, requests) = play(&case);
                    // One request that fails for a moment must not fail the bake.
                    let transient = case[0].split_once(':').is_some_and(|(when, fault)| {
                        when.bytes().all(|byte| byte.is_ascii_digit()) && super::is_transient(fault)
                    });
                    if transient && result.as_ref().is_ok_and(|exit| *exit != 0) {
                        result = Err(format!("it ended with {result:?}, and could have succeeded"));
                    }
                    println!("{case:?}: {:.0} s", start.elapsed().as_secs_f64());
                    let mut ended = ended.lock().unwrap();
                    match result {
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
    let all = sweep_includes("fake");
    let mut cases = Vec::new();
    for number in 1..=requests.len() {
        for (index, fault) in FAULTS.iter().enumerate() {
            // The sample has every fault and every request, but not every pair of them.
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
        "lists=wide", "ids=text", "sizes=missing", "one=missing", "tags=missing", "actions=nested", "actions=empty",
        "status=200", "bodies=chunked", "headers=upper", "headers=lower", "snapshots=late",
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
    // Each route of a bake fails from its first or second request on; by default a sample of them. The time limits are the default
    // ones.
    let (ended, requests) = play(&[]);
    assert_eq!(ended, Ok(0), "{requests:#?}");
    let routes: BTreeSet<String> = requests.iter().map(|request| route(request)).collect();
    assert!(routes.len() > 12, "{routes:?}");
    let all = sweep_includes("lasting");
    // A meaningless answer to a request that had no effect.
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
