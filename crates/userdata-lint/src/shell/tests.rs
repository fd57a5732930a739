use super::{Dialect, parse};

/// The message of the parser; "" for none.
fn error_message(text: &str, dialect: Dialect) -> String {
    parse(text, dialect).error.map(|error| error.message).unwrap_or_default()
}

/// Accepted by both dialects.
const LEGAL: &[&str] = &[
    "",
    "# only a comment",
    "a=1 b=2 cmd arg >out 2>&1 <in",
    "if a; then b; elif c; then d; else e; fi >log",
    "if (a) then { b; } fi",
    "for x in 1 2 3; do echo $x; done",
    "for x do echo $x; done",
    "for x\nin a b\ndo\necho; done",
    "while read -r line; do echo \"$line\"; done < file | sort",
    "case $x in a|b) echo;; (c) ;; *) echo esac\nesac",
    "case x in esac",
    "f() { echo hi; }; f",
    "f ()\n{\n  return 1\n}",
    "a && b || ! c | d &",
    "cat <<EOF\nit's $( not parsed\nEOF\necho done",
    "cat <<-'E O F'\n\ttext\n\tE O F\necho",
    "cat <<A <<B\na\nA\nb\nB\n",
    "x=$(cat <<EOF\n)\nEOF\n)",
    "echo \"$(echo \"a b\" 'c)')\" `echo it` ${x:-\"}\"} ${x%\"}\"}",
    "echo \"${x:-it's}\" \"it's\" a\\'b",
    "echo $((1 + (2 * 3))) \"$(( $(nproc) / 2 ))\"",
    "echo $# ${#} ${#x} $$ foo#bar # comment with ' quote",
    "echo if then fi done; echo }",
    "[ \"$a\" = b ] && { echo; }",
    "echo a\\\n b; \\\necho c",
    "test -z \"${x+x}\" || exit 1",
    "echo ${x#'}'} end",
    "{ a; } 2>/dev/null & wait",
];

/// Accepted by bash only.
const BASH: &[&str] = &[
    "a=(1 2 'x y' $(z)); a+=(3)\nb[1 + 2]=c; declare -A m=([k]=v)",
    "[[ $a == b* && ( -f x || $c =~ ^(a|b)+$ ) ]] && echo",
    "[[ $x =~ ([0-9]+)\\ (a) ]] || [[ ! $y < z ]]",
    "for ((i = 0; i < 3; i++)); do echo $i; done",
    "for ((;;)) { break; }",
    "while read -r x; do :; done < <(sort file)",
    "cat <<< \"$x\"; a |& b",
    "function f { echo; }; function g() { echo; }",
    "case $x in @(a|b)) ;;& *) ;& c) ;; esac",
    "echo !(a|b) x+(y)",
    "select x in a b; do break; done",
    "diff <(a) >(b)",
];

/// Rejected by both, with a part of the message.
const BROKEN: &[(&str, &str)] = &[
    ("if a; then b", "this `if` is not closed"),
    ("if a; b; fi", "expected `then`, found `fi`"),
    ("if a; then fi", "expected a command after `then`"),
    ("fi", "found `fi` without `if`"),
    ("while a; do b; fi", "expected `done`, found `fi`"),
    ("for x in a b; echo; done", "expected `do`, found `echo`"),
    ("case x in a) b", "this `case` is not closed"),
    ("case x in a b) c;; esac", "expected `)` after the pattern"),
    ("echo 'it", "this quote is not closed"),
    ("echo \"it", "this quote is not closed"),
    ("echo $(date", "this `$(` is not closed"),
    ("echo $((1", "is not closed"),
    ("echo $((1 + 2)", "is not closed"),
    ("x=$((1 + (2 * 3)", "is not closed"),
    ("echo \"$((1 + 2)\"", "is not closed"),
    ("echo ${x", "this `${` is not closed"),
    ("echo hello (world)", "expected an argument, found `(`"),
    ("(a", "this `(` is not closed"),
    ("a )", "found `)` without `(`"),
    ("{ a", "this group is not closed"),
    ("a | | b", "expected a command, found `|`"),
    ("a &&", "expected a command, found the end of the script"),
    ("a >", "expected the name of a file after `>`"),
    ("; a", "expected a command, found `;`"),
    ("a;; b", "found `;;` without `case`"),
    ("f() { echo", "this group is not closed"),
    ("( )", "expected a command after `(`"),
    ("echo } ; }", "found `}` without `{`"),
];

#[test]
fn valid_scripts_are_accepted() {
    for text in LEGAL {
        for dialect in [Dialect::Posix, Dialect::Bash] {
            assert_eq!(error_message(text, dialect), "", "{dialect:?}: {text}");
        }
    }
}

#[test]
fn bash_syntax_is_distinguished() {
    for text in BASH {
        assert_eq!(error_message(text, Dialect::Bash), "", "{text}");
    }
    for text in ["a=(1 2)", "cat <<< x", "for ((;;)); do :; done", "sort <(a)", "a |& b", "function f() { :; }"] {
        assert_ne!(error_message(text, Dialect::Posix), "", "{text}");
    }
    assert_eq!(error_message("cat <<< x", Dialect::Posix), "expected `<<` and a here-document, found `<<<`");
}

#[test]
fn broken_scripts_have_a_message() {
    for (text, message) in BROKEN {
        for dialect in [Dialect::Posix, Dialect::Bash] {
            let found = error_message(text, dialect);
            assert!(found.contains(message), "{dialect:?}: {text}: {found:?}");
        }
    }
}

#[test]
fn here_documents_end_at_their_delimiter() {
    let script = parse("cat <<EOF\nhello\n  EOF\n", Dialect::Posix);
    let found: Vec<_> = script.here_documents.iter().map(|one| (one.delimiter.as_str(), one.is_closed)).collect();
    assert_eq!(found, [("EOF", false)]);
    let text = "cat <<\\EOF <<-'A B'\nhello\nEOF\n\tx\n\tA B\n";
    let script = parse(text, Dialect::Posix);
    let bodies: Vec<_> = script.here_documents.iter().map(|one| &text[one.body.start..one.body.end]).collect();
    assert_eq!(bodies, ["hello\n", "\tx\n"]);
    assert!(script.here_documents.iter().all(|one| one.is_closed && one.quoted));
}

#[test]
fn hostile_scripts_are_parsed_quickly() {
    for text in [
        "(".repeat(100_000),
        "$(".repeat(100_000),
        "if true; then ".repeat(50_000),
        "((".repeat(100_000),
        "echo \"$(".repeat(50_000),
        "$((".repeat(80) + &") )".repeat(80),
        "${a:-".repeat(50_000),
        "@(".repeat(50_000),
        "a=(".repeat(50_000),
        "case x in a) ".repeat(50_000),
    ] {
        for dialect in [Dialect::Posix, Dialect::Bash] {
            // Either error is correct; the test only checks that the parser returns.
            let script = parse(&text, dialect);
            assert!(script.here_documents.is_empty());
        }
    }
    assert_eq!(
        error_message(&("(".repeat(99) + "true" + &")".repeat(98)), Dialect::Posix),
        "this `(` is not closed: the script ends without `)`"
    );
    assert_eq!(error_message(&("(".repeat(500) + "true"), Dialect::Posix), "", "deeper than it looks");
}
