//! Random changes to real documents. Whatever the bytes, the linter returns in time, and all spans are inside the text.
//!
//! The same seed gives the same documents. `MKIMG_MUTATIONS=1000000` tries more, `MKIMG_MUTATIONS_SEED` tries others, and
//! `MKIMG_MUTATIONS_SECONDS` stops after a time. Documents that failed go to `tests/mutations/`, which is part of the corpus.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use diagnostics::Format;
use userdata_lint::{Options, Version, lint_bytes, rules};

use crate::harness::repository;

/// The number of documents by default.
const MUTATIONS: u64 = 3_000;
/// The most processor time that an unoptimized build may take to lint a document and write its report in four formats. Wall time
/// would include other work of a busy machine.
const SLOWEST: Duration = Duration::from_secs(5);
/// Larger documents of the corpus are truncated.
const LARGEST: usize = 8 * 1024;

/// xorshift64*: enough to choose places.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap()
    }
}

/// Tokens with a meaning to one of the parsers.
const WORDS: &[&[u8]] = &[
    b"#cloud-config\n",
    b"#cloud-config-archive\n- |\n",
    b"## template: jinja\n",
    b"#cloud-config-jsonp\n[{\"op\": ",
    b"#include\n",
    b"Content-Type: multipart/mixed; boundary=\"b\"\nMIME-Version: 1.0\n\n",
    b"--b\n",
    b"--b--",
    b"\nContent-Transfer-Encoding: base64\n\n",
    b"{{ ",
    b" }}",
    b"{% for x in range(9) %}",
    b"{% endfor %}",
    b"{% raw %}",
    b"{{ ds.a.b }}",
    b"{#",
    b"-%}",
    b"<<: *a",
    b"&a ",
    b"*a",
    b"!!binary ",
    b"!!set {a, b}",
    b"!!timestamp 2001-01-01",
    b"? ",
    b": ",
    b"- ",
    b"[",
    b"]",
    b"{",
    b"}",
    b"|\n",
    b">-\n",
    b"|2\n",
    b"'",
    b"\"",
    b"\\x",
    b"\\ud800",
    b"\t",
    b"\r\n",
    b"\r",
    b"\n",
    b"\n\n",
    b"  ",
    b"#",
    b"---\n",
    b"...\n",
    b"%YAML 1.1\n",
    b"\xef\xbb\xbf",
    b"\xc2\x85",
    b"\xe2\x80\xa8",
    b"\xff",
    b"\0",
    b"\x1f\x8b",
    "é".as_bytes(),
    "日本".as_bytes(),
    "e\u{301}".as_bytes(),
    b"content: ",
    b"type: text/cloud-config\n",
    b"encoding: gz+b64\n",
    b"permissions: 0644\n",
    b"write_files:\n",
    b"users:\n",
    b"0o777",
    b"1e400",
    b"-99999999999999999999",
    b".nan",
    b"~",
    b"yes",
];

fn corpus() -> Vec<Vec<u8>> {
    let mut corpus: Vec<Vec<u8>> = Vec::new();
    for rule in rules::REGISTRY {
        corpus.extend(rule.bad.iter().chain(rule.good).map(|example| example.to_vec()));
    }
    let root = repository().join("tests");
    let mut folders = vec![root.join("cases/validate"), root.join("yaml_differential"), root.join("mutations")];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        let mut entries: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                folders.push(path);
            } else {
                let mut bytes = std::fs::read(&path).unwrap();
                bytes.truncate(LARGEST);
                corpus.push(bytes);
            }
        }
    }
    corpus
}

fn mutate(corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(6) {
        let at = random.below(bytes.len() + 1);
        match random.below(8) {
            0 | 1 => drop(bytes.splice(at..at, WORDS[random.below(WORDS.len())].iter().copied())),
            2 => drop(bytes.drain(at..(at + random.below(9)).min(bytes.len()))),
            3 if at < bytes.len() => bytes[at] = u8::try_from(random.below(256)).unwrap(),
            4 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            5 => bytes.truncate(at),
            // Repeats a piece of the document, or inserts one of another document.
            6 => {
                let end = (at + random.below(200)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                let to = random.below(bytes.len() + 1);
                drop(bytes.splice(to..to, piece));
            }
            _ => {
                let other = &corpus[random.below(corpus.len())];
                let from = random.below(other.len() + 1);
                let end = (from + random.below(200)).min(other.len());
                drop(bytes.splice(at..at, other[from..end].iter().copied()));
            }
        }
    }
    bytes.truncate(2 * LARGEST);
    bytes
}

/// Lints, writes the report in every format, and checks the spans. Returns the number of findings.
fn check_document(bytes: &[u8], version: Version) -> u32 {
    let report = lint_bytes("t", bytes, &Options { cloud_init: version, ..Options::default() });
    for document in &report.documents {
        let text = document.findings.source.text();
        for found in &document.findings.diagnostics {
            for span in found.span.iter().chain(found.related.iter().map(|(span, _)| span)) {
                assert!(span.start <= span.end, "{found:?}");
                assert!(text.get(span.start..span.end).is_some(), "no such place in the text: {found:?}");
            }
            assert!(!found.message.is_empty());
        }
    }
    for format in [Format::Human, Format::Json, Format::Github, Format::Sarif] {
        let shown = report.render(format, false);
        if matches!(format, Format::Json | Format::Sarif) {
            serde_json::from_str::<serde_json::Value>(&shown).unwrap();
        }
    }
    let findings = report.documents.iter().map(|document| document.findings.diagnostics.len()).sum::<usize>();
    u32::try_from(findings).unwrap()
}

/// The processor time of this thread, which lints the document.
fn spent() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap(), u32::try_from(time.tv_nsec).unwrap())
}

#[test]
fn no_bytes_stop_the_linter() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let count = number("MKIMG_MUTATIONS").unwrap_or(MUTATIONS);
    let seconds = number("MKIMG_MUTATIONS_SECONDS").map_or(Duration::from_secs(3600), Duration::from_secs);
    let mut random = Random(number("MKIMG_MUTATIONS_SEED").unwrap_or(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let corpus = corpus();
    assert!(corpus.len() > 80, "the corpus has only {} documents", corpus.len());
    let begun = Instant::now();
    let mut wrong = Vec::new();
    let mut tried = 0;
    for index in 0..count {
        if begun.elapsed() > seconds || wrong.len() > 20 {
            break;
        }
        let index = usize::try_from(index).unwrap();
        let bytes = if index < corpus.len() { corpus[index].clone() } else { mutate(&corpus, &mut random) };
        let version = if random.below(4) == 0 { Version::OLDEST } else { Version::LATEST };
        let before = spent();
        tried += 1;
        let result = catch_unwind(AssertUnwindSafe(|| check_document(&bytes, version)));
        let took = spent().saturating_sub(before);
        let shown = || String::from_utf8_lossy(&bytes).into_owned();
        match result {
            Err(_) => wrong.push(format!("document {index} panicked: {:?}", shown())),
            Ok(findings) if took > SLOWEST => {
                wrong.push(format!("document {index} took {took:?} for {findings} findings: {:?}", shown()));
            }
            Ok(_) => {}
        }
    }
    eprintln!("{tried} documents in {:?}", begun.elapsed());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
