//! Throughput of the linter and its YAML reader, in this process: `cargo bench`.
//!
//! `benches/validate.sh` measures the program as a whole, cold start included, beside cloud-init; `benches/bake_overhead.py`
//! measures a bake.

use std::fmt::Write as _;

use divan::Bencher;
use divan::counter::BytesCount;
use userdata_lint::{Options, lint_bytes};

const LINE: &str = "          a line of a configuration file = 1\n";

fn main() {
    divan::main();
}

/// A document of about 16 KiB, as people write them.
fn small() -> String {
    let mut text = "#cloud-config\npackages: [nginx, ufw]\nwrite_files:\n".to_owned();
    for number in 0..40 {
        let _ = write!(text, "  - path: /etc/app/{number}.conf\n    permissions: '0644'\n    content: |\n");
        text += &LINE.repeat(6);
    }
    text + "runcmd:\n  - systemctl restart nginx\n"
}

/// Nearly 2 MiB, most of it contents of files.
fn contents() -> String {
    let mut text = "#cloud-config\nwrite_files:\n".to_owned();
    for number in 0..30 {
        let _ = write!(text, "  - path: /etc/app/{number}.conf\n    content: |\n");
        text += &LINE.repeat(1_500);
    }
    text
}

/// A list of 50,000 short commands.
fn commands() -> String {
    let mut text = "#cloud-config\nruncmd:\n".to_owned();
    for number in 0..50_000 {
        let _ = writeln!(text, "  - ls {}", number % 1_000);
    }
    text
}

fn measure(bencher: Bencher<'_, '_>, text: &str, work: impl Fn(String) + Sync) {
    let bytes = text.len();
    bencher.with_inputs(|| text.to_owned()).input_counter(move |_: &String| BytesCount::new(bytes)).bench_values(work);
}

#[divan::bench(args = [small, contents, commands])]
fn parse_yaml(bencher: Bencher<'_, '_>, document: fn() -> String) {
    measure(bencher, &document(), |text| drop(divan::black_box(yaml11::parse(&text))));
}

#[divan::bench(args = [small, contents, commands])]
fn lint(bencher: Bencher<'_, '_>, document: fn() -> String) {
    let options = Options { providers: Vec::new(), ..Options::default() };
    measure(bencher, &document(), |text| drop(divan::black_box(lint_bytes("a.yaml", text.into_bytes(), &options))));
}
