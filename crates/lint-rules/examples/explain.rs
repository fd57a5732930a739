//! Prints the page of a rule: `cargo run -p lint-rules --example explain unknown-key`

fn main() {
    let written = std::env::args().nth(1).unwrap_or_else(|| "MK101".to_owned());
    match (lint_rules::find(&written), lint_rules::similar(&written)) {
        (Some(rule), _) => print!("{}", rule.page),
        (None, Some(similar)) => eprintln!("no rule `{written}`; did you mean `{similar}`?"),
        (None, None) => eprintln!("no rule `{written}`"),
    }
}
