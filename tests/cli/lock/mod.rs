//! `mkimg lock` against servers that work and servers that fail. The tests wait for events, never for a fixed time.

mod broken;
mod limits;
mod project;

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use crate::harness::{Answer, Server, sha256};
use project::{BODY, HALF, Project, TAG, bytes_from};

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
    project.run(&["--list"]).success().stdout_is(&listed).stderr_is("");
    let newer = listed.replace("1.0", "2.0");
    assert_eq!(project.run(&["--list", "templates/image.yaml", "--var", "version=2.0"]).stdout, newer);
    assert_eq!(project.run(&["--list", "--update"]).exit, 2);
    assert_eq!((server.requests(), project.lock()), (Vec::new(), None));

    // Without a terminal, only the result is printed, in the order of the template.
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
    let mut paths: Vec<String> = server.requests().into_iter().map(|asked| asked.path).collect();
    paths.sort();
    assert_eq!(paths, ["/archive-1.0.tgz", "/sums", "/tool"]);
    assert_eq!(project.pins(&[]), "note: mkimg.lock already pins every artifact\n");
    assert_eq!(server.requests(), [], "nothing is asked for again");
    project.pins(&["--update"]);
    assert_eq!((server.requests().len(), project.lock()), (3, Some(lock.clone())));
    project.fails(
        &["--var", "version=2.0"],
        &format!("error: {} contains no sha256 for archive-2.0.tgz\n", server.url("/sums")),
    );
    assert_eq!(server.requests().len(), 1, "the archive itself is not asked for then");
    assert_eq!(project.lock(), Some(lock), "a failure changes nothing");
}

#[test]
fn failures_to_lock_are_explained_and_nothing_is_written() {
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
        (&missing, None, format!("error: {missing}: the server answers 404\nhelp: check the address")),
        (&tool, Some(&missing), format!("error: {missing}: the server answers 404\nhelp: check the address")),
        (&tool, Some(&others), format!("error: {others} contains no sha256 for tool\nhelp: check that `checksum:`")),
        (&tool, Some(&large), format!("error: {large} is larger than 1048576 bytes\nhelp: ")),
        (
            &tool,
            Some(&sums),
            format!("error: {tool} has the sha256 {}, but its publisher's {sums} says 0000", sha256(BODY)),
        ),
        (&closed, None, format!("error: cannot download {closed}: Connection refused")),
    ];
    for (url, checksum, printed) in cases {
        let checksum = checksum.map_or_else(String::new, |checksum| format!(", checksum: '{checksum}'"));
        let project = Project::new(&format!("- {{url: '{url}', to: /usr/local/bin/tool{checksum}}}\n"));
        project.fails(&[], &printed);
        assert_eq!(project.lock(), None);
        assert_eq!(project.remembered(), 0, "{printed}");
    }
}

/// All downloads are tried and all failures are printed. What arrived is not downloaded again.
#[test]
fn one_failed_download_prevents_writing_the_lock() {
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
    let (exit, _, stderr) = project.run(&[]).into_parts();
    assert_eq!((exit, project.lock()), (2, None));
    for path in ["/a", "/c"] {
        assert!(stderr.contains(&format!("error: {}: the server answers 404\n", server.url(path))), "{stderr}");
    }
    assert_eq!(project.remembered(), 1);
    server.requests();
    there.store(1, Ordering::SeqCst);
    project.pins(&[]);
    let again = server.requests().into_iter().find(|asked| asked.path == "/b").unwrap();
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
    let printed = project.pins(&["--var", "arch=arm64"]);
    assert!(
        printed.ends_with(
            "note: mkimg.lock pins 2 artifacts\nnote: this run did not ask for 1 of them; --prune removes such pins\n"
        ),
        "{printed}"
    );
    assert_eq!(pinned(), ["tool-1.0-amd64", "tool-1.0-arm64"]);
    // A new version for both architectures at once; the old pins are removed.
    let printed = project.pins(&["--matrix", "arch=amd64,arm64", "--var", "version=2.0", "--prune"]);
    assert!(printed.ends_with("note: mkimg.lock pins 2 artifacts\n"), "{printed}");
    assert_eq!(pinned(), ["tool-2.0-amd64", "tool-2.0-arm64"]);
    // An artifact that several of the values ask for is one.
    let listed = project.run(&["--matrix", "version=1.0,2.0", "--matrix", "other=a"]).exits(2).stderr;
    assert!(listed.contains("the template has no variable `other`"), "{listed}");
    let both = Project::of(&server.url("/tool-{{ version }}"));
    let listed = both.run(&["--matrix", "arch=amd64,arm64", "--list"]).stdout;
    assert_eq!(listed, format!("{}\n", server.url("/tool-1.0")));
    let listed = project.run(&["--matrix", "arch=amd64,arm64", "--list"]).stdout;
    assert_eq!(listed, format!("{}\n{}\n", server.url("/tool-1.0-amd64"), server.url("/tool-1.0-arm64")));
}

#[test]
fn a_file_that_its_publisher_has_replaced_is_reported() {
    let server = Server::start(|_, before| Answer::whole(if before == 0 { BODY } else { b"new\n" }, ""));
    let project = Project::of(&server.url("/tool"));
    project.pins(&[]);
    let printed = project.pins(&["--update"]);
    assert!(
        printed.contains(&format!(
            "warning: {} has changed: it was pinned with {}\n",
            server.url("/tool"),
            sha256(BODY)
        )),
        "{printed}"
    );
    assert!(project.pins_only(b"new\n"));
}

/// What the first download brings is pinned, so whoever is on the way decides: a warning, and nothing else.
#[test]
fn plain_http_is_warned_of_except_on_this_machine() {
    let sums = format!("{}  tool\n", sha256(BODY));
    let server = Server::start(move |asked, _| match asked.path.as_str() {
        "/tool" => Answer::whole(BODY, ""),
        _ => Answer::whole(sums.as_bytes(), ""),
    });
    // Linux connects this address to itself, and it is not a loopback address.
    let beyond = |path: &str| server.url(path).replace("127.0.0.1", "0.0.0.0");
    for (url, checksum, warned) in [
        (server.url("/tool"), server.url("/sums"), vec![]),
        (beyond("/tool"), server.url("/sums"), vec![beyond("/tool")]),
        (server.url("/tool"), beyond("/sums"), vec![beyond("/sums")]),
        (beyond("/tool"), beyond("/sums"), vec![beyond("/tool"), beyond("/sums")]),
    ] {
        let artifact = format!("- {{url: '{url}', checksum: '{checksum}', to: /usr/local/bin/tool}}\n");
        let project = Project::new(&artifact);
        let printed = project.run(&["-q"]).success().stdout_is("").stderr;
        let warnings: Vec<&str> = printed.lines().collect();
        assert_eq!(warnings.len(), warned.len(), "{printed}");
        for (warning, url) in warnings.iter().zip(warned) {
            assert!(warning.starts_with(&format!("warning: {url} is plain http: anyone on the way can ")), "{printed}");
        }
        assert!(project.pins_only(BODY));
        // What is pinned already is not asked for again.
        assert_eq!(project.run(&["-q"]).success().stderr, "");
    }
}

/// The server answers only after both requests have arrived.
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
    assert_eq!(project.run(&["--parallel", "0"]).exit, 2);
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
    let child = project.mkimg(&[]).into_command().stderr(Stdio::piped()).spawn().unwrap();
    arrived.recv().unwrap();
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(
        stderr.starts_with("error: interrupted: the lock was not changed\nhelp: the next `mkimg lock`"),
        "{stderr}"
    );
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
    project.run(&["--lock", "nowhere/mkimg.lock"]).exits(2).stderr_has("error: cannot write nowhere/mkimg.lock");
    assert_eq!(server.ranges(), [None]);
    project.pins(&[]);
    assert_eq!(server.ranges(), [Some(bytes_from(BODY.len() - 1))]);
    assert!(project.pins_only(BODY));
}
