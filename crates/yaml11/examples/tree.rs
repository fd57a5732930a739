//! Prints each scalar of a YAML document with its key path, byte span and value in YAML 1.1.
//!
//! Run: `cargo run -p yaml11 --example tree -- user-data.yaml` (or a document on standard input)

#![allow(clippy::disallowed_methods, reason = "an example reads files")]

use std::io::Read as _;
use std::process::ExitCode;

use yaml11::Node;

fn print(node: Node<'_>, path: &str) {
    if let Some(scalar) = node.scalar() {
        let span = node.used_at();
        println!("{path} at {}..{}: {scalar:?}", span.start, span.end);
    }
    for (index, item) in node.items().into_iter().flatten().enumerate() {
        print(item, &format!("{path}[{index}]"));
    }
    for (key, value) in node.entries().into_iter().flatten() {
        print(value, &format!("{path}.{}", key.as_str().unwrap_or("?")));
    }
}

fn main() -> ExitCode {
    let mut text = String::new();
    let read = match std::env::args().nth(1) {
        Some(file) => std::fs::read_to_string(file).map(|content| text = content),
        None => std::io::stdin().read_to_string(&mut text).map(drop),
    };
    if let Err(error) = read {
        eprintln!("cannot read the document: {error}");
        return ExitCode::from(2);
    }
    match yaml11::parse(&text) {
        Ok(tree) if tree.expanded_len() > 100_000 => eprintln!("the document is too large to print"),
        Ok(tree) => tree.root().into_iter().for_each(|root| print(root, "")),
        Err(error) => {
            eprintln!("byte {}: {error}", error.reported_span().start);
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
