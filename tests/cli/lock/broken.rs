//! Downloads that break, change, hang, or are sent elsewhere.

use super::project::{BODY, HALF, Project, TAG, bytes_from};
use crate::harness::{Answer, Request, Server};

#[test]
fn a_broken_download_goes_on_where_it_stopped() {
    let server = Server::start(|asked, before| match before {
        0 => Answer::cut(BODY, TAG, HALF),
        _ => Answer::ranged(asked, BODY, TAG),
    });
    let project = Project::of(&server.url("/tool"));
    project.pins(&[]);
    let asked = server.requests();
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

/// When a file changes during a download, the new version is downloaded completely, however the server handles `If-Range`.
/// A mixture of both is never pinned.
#[test]
fn a_file_that_changes_half_way_begins_again() {
    const NEW: &[u8] = b"ZYXWVUTSRQPONMLKJIHGFEDCBA9876543210\n";
    const LONGER: &[u8] = b"ZYXWVUTSRQPONMLKJIHGFEDCBA9876543210, and more\n";
    type Second = fn(&Request) -> Answer;
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
fn without_ranges_or_versions_the_whole_file_is_requested() {
    // A weak tag, and none.
    for tag in ["W/\"one\"", ""] {
        let server =
            Server::start(move |_, before| Answer::cut(BODY, tag, if before == 0 { HALF } else { BODY.len() }));
        let project = Project::of(&server.url("/tool"));
        project.pins(&[]);
        assert_eq!(server.ranges(), [None, None]);
        assert!(project.pins_only(BODY));
    }
    // It has a version, but ignores `Range`.
    let server = Server::start(|_, before| Answer::cut(BODY, TAG, if before == 0 { HALF } else { BODY.len() }));
    let project = Project::of(&server.url("/tool"));
    project.pins(&[]);
    assert_eq!(server.ranges(), [None, Some(bytes_from(HALF))]);
    assert!(project.pins_only(BODY));
    // A date identifies a version.
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
    let (exit, _, stderr) = project.run(&[]).into_parts();
    assert_eq!((exit, project.lock()), (2, None));
    // The end of the connection is noticed before the missing bytes are.
    assert!(stderr.starts_with(&format!("error: cannot download {url}: ")), "{stderr}");
    assert!(
        (5..=6).contains(&server.requests().len()),
        "the first attempt, which brings something, and then four or five"
    );
    // One more byte with each attempt is progress, so the download completes.
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
    assert_eq!(server.requests().len(), BODY.len());
}

#[test]
fn a_busy_server_is_retried() {
    let busy = |status: &str| Answer::new(status, &["retry-after: 0".to_owned(), "content-length: 0".to_owned()], b"");
    let server = Server::start(move |_, before| match before {
        0 => busy("503 Service Unavailable"),
        1 => busy("429 Too Many Requests"),
        _ => Answer::whole(BODY, ""),
    });
    let project = Project::of(&server.url("/tool"));
    project.pins(&[]);
    assert!(project.pins_only(BODY));
    // A server that asks for more than a minute is not retried.
    let server = Server::start(|_, _| Answer::new("503 Service Unavailable", &["retry-after: 3600".to_owned()], b""));
    let project = Project::of(&server.url("/tool"));
    project.fails(&[], &format!("error: {}: the server answers 503", server.url("/tool")));
    assert_eq!(server.requests().len(), 1);
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
fn a_silent_server_times_out() {
    let server = Server::start(|asked, _| match asked.path.as_str() {
        "/mute" => Answer::new("200 OK", &[], b"").and_hang(),
        _ => Answer::cut(BODY, TAG, HALF).and_hang(),
    });
    let url = server.url("/tool");
    let project = Project::of(&url);
    project.fails(&["--timeout-silence", "100ms"], &format!("error: cannot download {url}: operation timed out"));
    let (project, server) = (Project::of(&url), server);
    let printed =
        project.fails(&["--timeout-download", "300ms"], &format!("error: {url} is not complete after 300ms: "));
    assert!(printed.contains("with a longer --timeout-download"), "{printed}");
    assert!(server.requests().len() >= 2);
}
