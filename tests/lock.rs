//! `mkimg lock` against servers that behave and servers that do not. What is waited for here is an event, never a time.

#![cfg(unix)]
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "edge: tests run the program on files")]

#[path = "lock/server.rs"]
mod server;

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use sha2::{Digest as _, Sha256};

use server::{Answer, Server};

const BODY: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz\n";
const HALF: usize = 17;
const TAG: &str = "\"one\"";

/// Exit status, standard output, standard error.
type Ended = (i32, String, String);

/// A project with artifacts only, and a cache of its own.
struct Project(tempfile::TempDir);

impl Project {
    fn new(artifacts: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("templates")).unwrap();
        let head = "variables: {version: '1.0', arch: amd64}\nsnapshot: {name: x}\nartifacts:\n";
        fs::write(folder.path().join("templates/image.yaml"), format!("{head}{artifacts}")).unwrap();
        Self(folder)
    }

    /// One artifact.
    fn of(url: &str) -> Self {
        Self::new(&format!("- {{url: '{url}', to: /usr/local/bin/tool}}\n"))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mkimg"));
        command.arg("lock").args(arguments).current_dir(self.0.path()).stdin(Stdio::null());
        command.env_clear().env("PATH", "/usr/bin:/bin").env("XDG_CACHE_HOME", self.0.path().join("cache"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        let output = self.command(arguments).args(["--retry-wait", "1ms"]).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    /// Runs to success; standard error.
    fn pins(&self, arguments: &[&str]) -> String {
        let (exit, stdout, stderr) = self.run(arguments);
        assert_eq!((exit, stdout.as_str()), (0, ""), "{stderr}");
        stderr
    }

    /// Runs to a failure that says this first.
    fn fails(&self, arguments: &[&str], said: &str) -> String {
        let (exit, stdout, stderr) = self.run(arguments);
        assert_eq!((exit, stdout.as_str()), (2, ""), "{stderr}");
        assert!(stderr.starts_with(said) && stderr.contains("\nhelp: "), "expected {said}, found {stderr}");
        stderr
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("mkimg.lock")
    }

    fn lock(&self) -> Option<String> {
        fs::read_to_string(self.path()).ok()
    }

    /// Whether the lock pins these bytes, and no others.
    fn pins_only(&self, bytes: &[u8]) -> bool {
        let text = self.lock().unwrap();
        let pin = format!("sha256: \"{}\"\n    size: {}\n", sha256(bytes), bytes.len());
        text.contains(&pin) && text.matches("sha256").count() == 1
    }

    /// The number of downloads that are remembered.
    fn remembered(&self) -> usize {
        fs::read_dir(self.0.path().join("cache/mkimg/downloads")).map_or(0, Iterator::count)
    }
}

fn sha256(bytes: &[u8]) -> String {
    mkimg::model::hexadecimal(&Sha256::digest(bytes))
}

fn bytes_from(offset: usize) -> String {
    format!("bytes={offset}-")
}

// --- What is pinned

#[test]
fn a_lock_pins_what_publishers_say_and_what_is_downloaded() {
    let archive = b"an archive\n".as_slice();
    let sums = format!("{}  other.tgz\n{} *archive-1.0.tgz\n", "0".repeat(64), sha256(archive));
    let server = Server::start(move |asked, _| match asked.path.as_str() {
        "/tool" => Answer::whole(BODY, ""),
        "/archive-1.0.tgz" => Answer::whole(archive, ""),
        "/sums" => Answer::whole(sums.as_bytes(), ""),
        _ => Answer::missing(),
    });
    let project = Project::new(&format!(
        "- {{url: '{}', to: /usr/local/bin/tool}}\n- {{url: '{}', checksum: '{}', unpack: {{a: /usr/local/bin/a}}}}\n",
        server.url("/tool"),
        server.url("/archive-{{ version }}.tgz"),
        server.url("/sums"),
    ));
    let listed = format!("{}\n{}\n", server.url("/tool"), server.url("/archive-1.0.tgz"));
    assert_eq!(project.run(&["--list"]), (0, listed.clone(), String::new()));
    let newer = listed.replace("1.0", "2.0");
    assert_eq!(project.run(&["--list", "templates/image.yaml", "--var", "version=2.0"]).1, newer);
    assert_eq!(project.run(&["--list", "--update"]).0, 2);
    assert_eq!((server.asked(), project.lock()), (Vec::new(), None));

    // Nothing but the result, in the template's order, where no terminal is.
    let pinned = format!(
        "note: {}  {} ({} bytes)\nnote: {}  {} (11 bytes)\nnote: mkimg.lock pins 2 artifacts\n",
        sha256(BODY),
        server.url("/tool"),
        BODY.len(),
        sha256(archive),
        server.url("/archive-1.0.tgz")
    );
    assert_eq!(project.pins(&[]), pinned);
    let lock = project.lock().unwrap();
    for (path, bytes) in [("/tool", BODY), ("/archive-1.0.tgz", archive)] {
        let pin = [server.url(path), sha256(bytes), format!("size: {}\n", bytes.len())];
        assert!(pin.iter().all(|part| lock.contains(part)), "{lock}");
    }
    let mut paths: Vec<String> = server.asked().into_iter().map(|asked| asked.path).collect();
    paths.sort();
    assert_eq!(paths, ["/archive-1.0.tgz", "/sums", "/tool"]);
    assert_eq!(project.pins(&[]), "note: mkimg.lock pins every artifact already\n");
    assert_eq!(server.asked(), [], "nothing is asked for again");
    project.pins(&["--update"]);
    assert_eq!((server.asked().len(), project.lock()), (3, Some(lock.clone())));
    project.fails(
        &["--var", "version=2.0"],
        &format!("error: {} holds no sha256 for archive-2.0.tgz\n", server.url("/sums")),
    );
    assert_eq!(server.asked().len(), 1, "the archive itself is not asked for then");
    assert_eq!(project.lock(), Some(lock), "a failure changes nothing");
}

#[test]
fn what_cannot_be_locked_is_explained_and_nothing_is_written() {
    let sums = format!("{}  tool\n", "0".repeat(64));
    let server = Server::start(move |asked, _| match asked.path.as_str() {
        "/tool" => Answer::whole(BODY, TAG),
        "/sums" => Answer::whole(sums.as_bytes(), ""),
        "/others" => Answer::whole(b"nothing here\n", ""),
        "/large" => Answer::whole(&vec![b' '; (1 << 20) + 1], ""),
        _ => Answer::missing(),
    });
    let closed = {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        format!("http://{}/tool", listener.local_addr().unwrap())
    };
    let (tool, sums) = (server.url("/tool"), server.url("/sums"));
    let (others, missing, large) = (server.url("/others"), server.url("/missing"), server.url("/large"));
    let cases = [
        (&missing, None, format!("error: {missing}: the server answers 404\nhelp: see whether the address")),
        (&tool, Some(&missing), format!("error: {missing}: the server answers 404\nhelp: see whether the address")),
        (&tool, Some(&others), format!("error: {others} holds no sha256 for tool\nhelp: see whether `checksum:`")),
        (&tool, Some(&large), format!("error: {large} is larger than 1048576 bytes\nhelp: ")),
        (
            &tool,
            Some(&sums),
            format!("error: {tool} has the sha256 {}, but its publisher's {sums} says 0000", sha256(BODY)),
        ),
        (&closed, None, format!("error: cannot download {closed}: Connection refused")),
    ];
    for (url, checksum, said) in cases {
        let checksum = checksum.map_or_else(String::new, |checksum| format!(", checksum: '{checksum}'"));
        let project = Project::new(&format!("- {{url: '{url}', to: /usr/local/bin/tool{checksum}}}\n"));
        project.fails(&[], &said);
        assert_eq!(project.lock(), None);
        assert_eq!(project.remembered(), 0, "{said}");
    }
}

/// All are tried and all faults are said; what did arrive is not fetched again.
#[test]
fn one_that_fails_keeps_the_lock_from_being_written() {
    let there = Arc::new(AtomicUsize::new(0));
    let now = Arc::clone(&there);
    let server = Server::start(move |asked, _| match asked.path.as_str() {
        "/b" => Answer::ranged(asked, BODY, TAG),
        _ if now.load(Ordering::SeqCst) == 1 => Answer::whole(b"here\n", ""),
        _ => Answer::missing(),
    });
    let artifact =
        |name: &str| format!("- {{url: '{}', to: /usr/local/bin/{name}}}\n", server.url(&format!("/{name}")));
    let project = Project::new(&["a", "b", "c"].map(artifact).concat());
    let (exit, _, stderr) = project.run(&[]);
    assert_eq!((exit, project.lock()), (2, None));
    for path in ["/a", "/c"] {
        assert!(stderr.contains(&format!("error: {}: the server answers 404\n", server.url(path))), "{stderr}");
    }
    assert_eq!(project.remembered(), 1);
    server.asked();
    there.store(1, Ordering::SeqCst);
    project.pins(&[]);
    let again = server.asked().into_iter().find(|asked| asked.path == "/b").unwrap();
    assert_eq!(again.range, Some(bytes_from(BODY.len() - 1)), "only whether it is the same still");
    assert!(project.lock().unwrap().contains(&sha256(BODY)));
    assert_eq!(project.remembered(), 0);
}

#[test]
fn several_architectures_are_pinned_side_by_side() {
    let server = Server::start(|asked, _| Answer::whole(asked.path.as_bytes(), ""));
    let project = Project::of(&server.url("/tool-{{ version }}-{{ arch }}"));
    let pinned = || {
        let text = project.lock().unwrap();
        let urls = text.lines().filter_map(|line| line.trim().strip_prefix("- url: "));
        urls.map(|url| url.trim_matches('"').rsplit('/').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    project.pins(&[]);
    let said = project.pins(&["--var", "arch=arm64"]);
    assert!(
        said.ends_with(
            "note: mkimg.lock pins 2 artifacts\nnote: 1 of them not asked for this time; --prune takes such out\n"
        ),
        "{said}"
    );
    assert_eq!(pinned(), ["tool-1.0-amd64", "tool-1.0-arm64"]);
    // A new version: both at once, and the old ones go.
    let said = project.pins(&["--matrix", "arch=amd64,arm64", "--var", "version=2.0", "--prune"]);
    assert!(said.ends_with("note: mkimg.lock pins 2 artifacts\n"), "{said}");
    assert_eq!(pinned(), ["tool-2.0-amd64", "tool-2.0-arm64"]);
    let listed = project.run(&["--matrix", "arch=amd64,arm64", "--list"]).1;
    assert_eq!(listed, format!("{}\n{}\n", server.url("/tool-1.0-amd64"), server.url("/tool-1.0-arm64")));
}

#[test]
fn a_file_that_its_publisher_has_replaced_is_said() {
    let server = Server::start(|_, before| Answer::whole(if before == 0 { BODY } else { b"new\n" }, ""));
    let project = Project::of(&server.url("/tool"));
    project.pins(&[]);
    let said = project.pins(&["--update"]);
    assert!(
        said.contains(&format!("warning: {} has changed: it was pinned with {}\n", server.url("/tool"), sha256(BODY))),
        "{said}"
    );
    assert!(project.pins_only(b"new\n"));
}

// --- Downloads that break

#[test]
fn a_broken_download_goes_on_where_it_stopped() {
    let server = Server::start(|asked, before| match before {
        0 => Answer::cut(BODY, TAG, HALF),
        _ => Answer::ranged(asked, BODY, TAG),
    });
    let project = Project::of(&server.url("/tool"));
    project.pins(&[]);
    let asked = server.asked();
    assert_eq!((asked[1].range.clone(), asked[1].if_range.as_deref()), (Some(bytes_from(HALF)), Some(TAG)));
    assert_eq!(asked.len(), 2);
    assert!(project.pins_only(BODY));
    assert_eq!(project.remembered(), 0);
}

#[test]
fn the_next_process_goes_on_where_this_one_stopped() {
    let server = Server::start(|asked, before| match before {
        0 => Answer::cut(BODY, TAG, HALF),
        1 => Answer::missing(),
        _ => Answer::ranged(asked, BODY, TAG),
    });
    let project = Project::of(&server.url("/tool"));
    project.fails(&[], &format!("error: {}: the server answers 404", server.url("/tool")));
    assert_eq!(project.remembered(), 1);
    project.pins(&[]);
    assert_eq!(server.ranges().last(), Some(&Some(bytes_from(HALF))));
    assert!(project.pins_only(BODY));
    assert_eq!(project.remembered(), 0);
}

/// A file of another version is fetched whole, whatever a server makes of `If-Range`; half of each is never pinned.
#[test]
fn a_file_that_changes_half_way_begins_again() {
    const NEW: &[u8] = b"ZYXWVUTSRQPONMLKJIHGFEDCBA9876543210\n";
    const LONGER: &[u8] = b"ZYXWVUTSRQPONMLKJIHGFEDCBA9876543210, and more\n";
    type Second = fn(&server::Asked) -> Answer;
    let cases: [(&[u8], Second); 5] = [
        (NEW, |asked| Answer::ranged(asked, NEW, "\"two\"")),
        (NEW, |_| Answer::rest(NEW, "\"two\"", HALF)),
        (LONGER, |_| Answer::rest(LONGER, TAG, HALF)),
        (NEW, |_| Answer::rest(NEW, TAG, HALF - 1)),
        (NEW, |_| Answer::new("416 Range Not Satisfiable", &[], b"")),
    ];
    for (number, (expected, second)) in cases.into_iter().enumerate() {
        let server = Server::start(move |asked, before| match before {
            0 => Answer::cut(BODY, TAG, HALF),
            1 => second(asked),
            _ => Answer::whole(expected, "\"two\""),
        });
        let project = Project::of(&server.url("/tool"));
        project.pins(&[]);
        assert!(project.pins_only(expected), "case {number}: {:?}", project.lock());
        let ranges = server.ranges();
        assert_eq!(ranges[..2], [None, Some(bytes_from(HALF))], "case {number}");
        assert_eq!(ranges.get(2).cloned().flatten(), None, "case {number}");
    }
}

#[test]
fn a_server_without_ranges_or_versions_is_asked_for_the_whole() {
    // A weak tag, and none.
    for tag in ["W/\"one\"", ""] {
        let server =
            Server::start(move |_, before| Answer::cut(BODY, tag, if before == 0 { HALF } else { BODY.len() }));
        let project = Project::of(&server.url("/tool"));
        project.pins(&[]);
        assert_eq!(server.ranges(), [None, None]);
        assert!(project.pins_only(BODY));
    }
    // It has a version, but does not heed `Range`.
    let server = Server::start(|_, before| Answer::cut(BODY, TAG, if before == 0 { HALF } else { BODY.len() }));
    let project = Project::of(&server.url("/tool"));
    project.pins(&[]);
    assert_eq!(server.ranges(), [None, Some(bytes_from(HALF))]);
    assert!(project.pins_only(BODY));
    // A date is a version.
    let date = "Sun, 01 Nov 2026 10:00:00 GMT";
    let server = Server::start(move |asked, _| {
        let whole = format!("content-length: {}", BODY.len());
        let header = format!("last-modified: {date}");
        if asked.if_range.as_deref() == Some(date) {
            let range = format!("content-range: bytes {HALF}-{}/{}", BODY.len() - 1, BODY.len());
            Answer::new("206 Partial Content", &[header, range], &BODY[HALF..])
        } else {
            Answer::new("200 OK", &[header, whole], &BODY[..HALF])
        }
    });
    let project = Project::of(&server.url("/tool"));
    project.pins(&[]);
    assert!(project.pins_only(BODY));
}

#[test]
fn a_server_that_breaks_every_time_is_given_up() {
    let server = Server::start(|_, _| Answer::cut(BODY, TAG, HALF));
    let url = server.url("/tool");
    let project = Project::of(&url);
    let (exit, _, stderr) = project.run(&[]);
    assert_eq!((exit, project.lock()), (2, None));
    // The connection's end says it before the count does.
    assert!(stderr.starts_with(&format!("error: cannot download {url}: ")), "{stderr}");
    assert!(
        (5..=6).contains(&server.asked().len()),
        "the first attempt, which brings something, and then four or five"
    );
    // One byte more each time is progress: it ends by itself.
    let server = Server::start(|asked, before| {
        let from = before.min(BODY.len() - 1);
        match asked.range {
            None => Answer::cut(BODY, TAG, 1),
            Some(_) => {
                let range = format!("content-range: bytes {from}-{}/{}", BODY.len() - 1, BODY.len());
                let headers = [range, format!("content-length: {}", BODY.len() - from), format!("etag: {TAG}")];
                Answer::new("206 Partial Content", &headers, &BODY[from..=from])
            }
        }
    });
    let project = Project::of(&server.url("/tool"));
    project.pins(&[]);
    assert!(project.pins_only(BODY));
    assert_eq!(server.asked().len(), BODY.len());
}

#[test]
fn a_server_that_is_busy_is_asked_again() {
    let busy = |status: &str| Answer::new(status, &["retry-after: 0".to_owned(), "content-length: 0".to_owned()], b"");
    let server = Server::start(move |_, before| match before {
        0 => busy("503 Service Unavailable"),
        1 => busy("429 Too Many Requests"),
        _ => Answer::whole(BODY, ""),
    });
    let project = Project::of(&server.url("/tool"));
    project.pins(&[]);
    assert!(project.pins_only(BODY));
    // Who asks for more than a minute is not waited for.
    let server = Server::start(|_, _| Answer::new("503 Service Unavailable", &["retry-after: 3600".to_owned()], b""));
    let project = Project::of(&server.url("/tool"));
    project.fails(&[], &format!("error: {}: the server answers 503", server.url("/tool")));
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn redirects_are_followed_with_their_ranges() {
    let server = Server::start(|asked, before| match asked.path.as_str() {
        "/tool" => Answer::new("302 Found", &["location: /elsewhere".to_owned()], b""),
        "/round" => Answer::new("302 Found", &["location: /round".to_owned()], b""),
        _ if before < 2 => Answer::cut(BODY, TAG, HALF),
        _ => Answer::ranged(asked, BODY, TAG),
    });
    let project = Project::of(&server.url("/tool"));
    project.pins(&[]);
    assert!(project.pins_only(BODY));
    assert_eq!(server.ranges(), [None, None, Some(bytes_from(HALF)), Some(bytes_from(HALF))]);
    let round = server.url("/round");
    let project = Project::of(&round);
    project.fails(&[], &format!("error: cannot download {round}: more than 10 redirects\n"));
}

#[test]
fn a_server_that_says_nothing_more_is_not_waited_for() {
    let server = Server::start(|asked, _| match asked.path.as_str() {
        "/mute" => Answer::new("200 OK", &[], b"").and_hang(),
        _ => Answer::cut(BODY, TAG, HALF).and_hang(),
    });
    let url = server.url("/tool");
    let project = Project::of(&url);
    project.fails(&["--timeout-silence", "100ms"], &format!("error: cannot download {url}: operation timed out"));
    let (project, server) = (Project::of(&url), server);
    let said = project.fails(&["--timeout-download", "300ms"], &format!("error: {url} is not complete after 300ms: "));
    assert!(said.contains("--timeout-download gives more time"), "{said}");
    assert!(server.asked().len() >= 2);
}

// --- Around it

/// The server answers only once both have asked.
#[test]
fn downloads_run_side_by_side() {
    let both = Arc::new((Mutex::new(0), Condvar::new()));
    let server = Server::start(move |_, _| {
        let (count, changed) = &*both;
        let mut count = count.lock().unwrap();
        *count += 1;
        changed.notify_all();
        while *count < 2 {
            count = changed.wait(count).unwrap();
        }
        Answer::whole(BODY, "")
    });
    let artifact =
        |name: &str| format!("- {{url: '{}', to: /usr/local/bin/{name}}}\n", server.url(&format!("/{name}")));
    let project = Project::new(&["a", "b"].map(artifact).concat());
    project.pins(&["--parallel", "2"]);
    assert_eq!(project.run(&["--parallel", "0"]).0, 2);
}

#[test]
fn an_interrupted_lock_writes_nothing_and_the_next_one_succeeds() {
    let (asked, arrived) = std::sync::mpsc::channel();
    let asked = Mutex::new(asked);
    let server = Server::start(move |request, before| {
        if before == 0 {
            asked.lock().unwrap().send(()).unwrap();
            return Answer::cut(BODY, TAG, HALF).and_hang();
        }
        Answer::ranged(request, BODY, TAG)
    });
    let project = Project::of(&server.url("/tool"));
    let child = project.command(&[]).stderr(Stdio::piped()).spawn().unwrap();
    arrived.recv().unwrap();
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(stderr.starts_with("error: interrupted: the lock is as it was\nhelp: the next `mkimg lock`"), "{stderr}");
    assert_eq!(project.lock(), None);
    project.pins(&[]);
    assert!(project.pins_only(BODY));
}

#[test]
fn a_cache_that_cannot_be_written_costs_nothing_but_resuming() {
    let server = Server::start(|asked, before| match before {
        0 => Answer::cut(BODY, TAG, HALF),
        _ => Answer::ranged(asked, BODY, TAG),
    });
    let project = Project::of(&server.url("/tool"));
    fs::write(project.0.path().join("cache"), "no folder").unwrap();
    project.pins(&[]);
    assert!(project.pins_only(BODY));
}

#[test]
fn a_lock_that_cannot_be_written_costs_no_download() {
    let server = Server::start(|asked, _| Answer::ranged(asked, BODY, TAG));
    let project = Project::of(&server.url("/tool"));
    let said = project.run(&["--lock", "nowhere/mkimg.lock"]);
    assert!(said.0 == 2 && said.2.contains("error: cannot write nowhere/mkimg.lock"), "{said:?}");
    assert_eq!(server.ranges(), [None]);
    project.pins(&[]);
    assert_eq!(server.ranges(), [Some(bytes_from(BODY.len() - 1))]);
    assert!(project.pins_only(BODY));
}
