//! Documents designed to exhaust resources. Each ends in a result or a clear error, in little time and memory.
//!
//! By default, small ones are linted in this process, which shows quadratic and recursive algorithms. With `MKIMG_BOUNDS=PROGRAM`
//! (an optimized `mkimg`), that program lints full-sized ones and may take 2 seconds and 200 MB.

use std::fmt::Write as _;
use std::io::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use diagnostics::{Format, Report};
use userdata_lint::{Options, lint_bytes};

/// A name, a document of about this many bytes, and a part of the message that it must get (empty for any).
type Case = (&'static str, fn(usize) -> Vec<u8>, &'static str);

/// A header, then a piece repeated up to the size.
fn repeated(head: &str, piece: &str, size: usize) -> Vec<u8> {
    (head.to_owned() + &piece.repeat(size / piece.len())).into_bytes()
}

fn numbered(head: &str, size: usize, piece: impl Fn(usize) -> String) -> Vec<u8> {
    let mut text = head.to_owned();
    let mut number = 0;
    while text.len() < size {
        text.push_str(&piece(number));
        number += 1;
    }
    text.into_bytes()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

/// Aliases of aliases: billions of values.
fn laughter(size: usize) -> Vec<u8> {
    let mut text = "#cloud-config\nl0: &l0 [ha, ha, ha, ha, ha, ha, ha, ha, ha, ha]\n".to_owned();
    for level in 1..(size / 100).clamp(12, 60) {
        let _ = writeln!(text, "l{level}: &l{level} [{}]", [format!("*l{}", level - 1).as_str(); 10].join(", "));
    }
    text.push_str("runcmd: *l11\nntp: {servers: *l11}\nwrite_files: *l11\n");
    text.into_bytes()
}

fn mime_in_mime(size: usize) -> Vec<u8> {
    let mut text = "MIME-Version: 1.0\n".to_owned();
    for depth in 0..(size / 60).min(50_000) {
        let _ = write!(text, "Content-Type: multipart/mixed; boundary=\"b{depth}\"\n\n--b{depth}\n");
    }
    text.push_str("Content-Type: text/cloud-config\n\n#cloud-config\n");
    text.into_bytes()
}

fn base64_in_base64(size: usize) -> Vec<u8> {
    let mut text = "#cloud-config\nruncmd: [ls]\n".to_owned();
    for _ in 0..50 {
        let next = STANDARD.encode(&text);
        if next.len() > size {
            break;
        }
        text = next;
    }
    text.into_bytes()
}

const CASES: &[Case] = &[
    ("laughter", laughter, ""),
    ("deep", |size| repeated("#cloud-config\nruncmd: ", "[", size.min(10_000)), "levels of nesting"),
    ("deep mappings", |size| repeated("#cloud-config\nruncmd: ", "{a: ", size.min(40_000)), "levels of nesting"),
    ("deep blocks", |size| repeated("#cloud-config\nruncmd:\n", "- ", size.min(20_000)), "levels of nesting"),
    ("one line", |size| repeated("#cloud-config\nfinal_message: ", "x", size), ""),
    ("one line of words", |size| repeated("#cloud-config\nfinal_message: ", "word ", size), ""),
    ("short lines", |size| repeated("#cloud-config\nruncmd:\n", "- a\n", size), ""),
    ("empty lines", |size| repeated("#cloud-config\n", "\n", size), ""),
    ("comments", |size| repeated("#cloud-config\n", "# mkimg: allow MK201 x\n", size), ""),
    (
        "comments in order",
        |size| numbered("#cloud-config\n", size, |n| format!("# mkimg: allow MK201 x\nk{n}: 1\n")),
        "",
    ),
    ("brackets", |size| repeated("#cloud-config\n", "[", size), ""),
    ("dashes", |size| repeated("#cloud-config\n", "- ", size), ""),
    ("quotes", |size| repeated("#cloud-config\na: ", "\"", size), ""),
    ("an open quote", |size| repeated("#cloud-config\na: \"", "x \n ", size), ""),
    ("anchors", |size| repeated("#cloud-config\na: ", "&a ", size), ""),
    ("many anchors", |size| numbered("#cloud-config\nruncmd:\n", size, |n| format!("- &a{n} x\n")), ""),
    ("keys", |size| numbered("#cloud-config\n", size.min(15_000_000), |n| format!("key{n}: 1\n")), ""),
    ("one key", |size| repeated("#cloud-config\n", "runcmd: 1\n", size.min(10_000_000)), ""),
    ("one key, as often as nodes may be", |size| repeated("#cloud-config\n", "runcmd: 1\n", size.min(4_900_000)), ""),
    ("aliases", |size| repeated("#cloud-config\na: &a x\nruncmd:\n", "- *a\n", size.min(5_000_000)), ""),
    ("aliases in a flow", |size| repeated("#cloud-config\na: &a [x]\nruncmd: [", "*a,", size), ""),
    ("merges", |size| repeated("#cloud-config\na: &a {b: 1, c: 2}\nntp:\n", "  <<: *a\n", size.min(5_000_000)), ""),
    ("faults", |size| repeated("#cloud-config\nusers:\n", "- {name: 1, uid: x, nope: 1}\n", size.min(5_000_000)), ""),
    ("faults in one line", |size| repeated("#cloud-config\nusers: [", "{name: 1, uid: x}, ", size.min(5_000_000)), ""),
    ("tabs", |size| repeated("#cloud-config\na:\n", "\t", size), ""),
    ("question marks", |size| repeated("#cloud-config\n", "? ", size), ""),
    ("colons", |size| repeated("#cloud-config\n", "a: ", size), ""),
    ("exclamation marks", |size| repeated("#cloud-config\na: ", "!", size), ""),
    ("a header only", |size| repeated("", "#cloud-config", size), ""),
    ("no header", |size| repeated("", "x", size), ""),
    ("zeros", |size| vec![0; size], ""),
    ("bytes", |size| vec![0xff; size], ""),
    ("carriage returns", |size| repeated("#cloud-config\n", "\r", size), ""),
    ("gzip", |size| gzip(&repeated("#cloud-config\nfinal_message: ", "x", size)), ""),
    ("gzip in gzip", |size| gzip(&gzip(&repeated("#cloud-config\nfinal_message: ", "x", size))), ""),
    ("gzip of keys", |size| gzip(&numbered("#cloud-config\n", size.min(15_000_000), |n| format!("k{n}: 1\n"))), ""),
    ("base64 in base64", base64_in_base64, ""),
    ("base64", |size| repeated("", "QUJD", size), ""),
    ("multi-part in multi-part", mime_in_mime, ""),
    (
        "many parts",
        |size| {
            repeated(
                "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n",
                "--b\n\n#cloud-config\na: 1\n",
                size,
            )
        },
        "",
    ),
    ("an archive of parts", |size| repeated("#cloud-config-archive\n", "- |\n  #cloud-config\n  a: 1\n", size), ""),
    ("archives in archives", |size| repeated("#cloud-config-archive\n- \"", "#cloud-config-archive\\n- ", size), ""),
    (
        "a template that loops",
        |size| {
            let loops = "{% for a in range(9999) %}".repeat((size / 100).clamp(2, 50));
            format!("## template: jinja\n#cloud-config\n{loops}x{}", "{% endfor %}".repeat((size / 100).clamp(2, 50)))
                .into_bytes()
        },
        "",
    ),
    ("a template of braces", |size| repeated("## template: jinja\n#cloud-config\n", "{{", size), ""),
    ("a deep expression", |size| repeated("## template: jinja\n#cloud-config\na: {{ ", "(", size), ""),
    ("many expressions", |size| repeated("## template: jinja\n#cloud-config\n", "a: {{ b }}\n", size), ""),
    ("a patch", |size| repeated("#cloud-config-jsonp\n", "[", size), ""),
    ("includes", |size| repeated("#include\n", "x y\n", size), ""),
    ("a script", |size| repeated("#!/bin/sh\n", "echo x\n", size), ""),
];

fn shown(report: &Report) -> usize {
    [Format::Human, Format::Json, Format::Github, Format::Sarif]
        .map(|format| report.render(format, false).len())
        .iter()
        .sum()
}

#[test]
fn small_documents_are_linted() {
    let options = Options::default();
    for (name, make, expected) in CASES {
        let report = lint_bytes(name, make(60_000), &options);
        assert_eq!(report.documents.len(), 1, "{name}");
        assert!(shown(&report) > 0, "{name}");
        let found = &report.documents[0].findings.diagnostics;
        assert!(expected.is_empty() || found.iter().any(|found| found.message.contains(expected)), "{name}: {found:?}");
    }
}

/// Runs a program on a file, and prints its exit status, seconds and peak memory in KiB.
const MEASURED: &str = r"
import resource, subprocess, sys, time
begun = time.monotonic()
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=100)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(done.returncode, used.ru_utime + used.ru_stime, used.ru_maxrss)
";

#[test]
fn large_documents_stay_within_2_seconds_and_200_mb() {
    let Some(program) = std::env::var_os("MKIMG_BOUNDS") else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("document");
    let mut wrong = Vec::new();
    // Far over the limit, just over it, and just within it.
    for size in [100_000_000, 2_200_000, 2_000_000] {
        for (name, make, _) in CASES {
            std::fs::write(&file, make(size)).unwrap();
            for format in ["human", "sarif"] {
                let command = crate::harness::python()
                    .args(["-c", MEASURED])
                    .arg(&program)
                    .args(["validate", "--format", format])
                    .arg(&file)
                    .output()
                    .unwrap();
                let text = String::from_utf8(command.stdout).unwrap();
                let numbers: Vec<f64> = text.split_whitespace().map(|word| word.parse().unwrap()).collect();
                let [status, seconds, kibibytes] = numbers[..] else {
                    wrong.push(format!("{name}: {}", String::from_utf8_lossy(&command.stderr)));
                    continue;
                };
                eprintln!("{name}, {size}, {format}: status {status}, {seconds:.2} s, {:.0} MB", kibibytes / 1000.0);
                if !(0.0..=1.0).contains(&status) || seconds > 2.0 || kibibytes > 200_000.0 {
                    wrong.push(format!("{name}, {size}, {format}: status {status}, {seconds} s, {kibibytes} KiB"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
