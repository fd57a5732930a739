//! Files that travel inside the runner's program, which writes them before it does anything else.
//!
//! A gzip of its own for each script costs headers, and repeats what all of them say. Inside the program they share one. Only what
//! nobody but the runner needs is carried: its scripts, and what it keeps back until the image is finished.

/// The part of the program that writes files; as long as a file is not whole, no script is started.
pub(super) const WRITER: &str = "\
import os


def carried(path, mode, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), 'wb') as file:
        os.fchmod(file.fileno(), mode)
        file.write(text.encode())


";

/// A file that the program carries.
#[derive(Debug, Clone, Copy)]
pub struct Carried<'a> {
    /// Absolute, on the machine.
    pub path: &'a str,
    /// Permission bits.
    pub mode: u32,
    pub text: &'a str,
}

/// The statement that writes it.
pub(super) fn statement(file: &Carried<'_>) -> String {
    format!("carried({}, 0o{:o}, {})\n", escaped(file.path), file.mode, literal(file.text))
}

/// A Python literal. Raw and over several lines where Python reads that back unchanged, so that `mkimg diff` shows lines.
fn literal(text: &str) -> String {
    // Python reads CR and CR LF in its source as LF, and no source may hold NUL.
    let raw = !text.contains("'''") && !text.ends_with(['\'', '\\']) && !text.contains(['\r', '\0']);
    if raw { format!("r'''{text}'''") } else { escaped(text) }
}

/// JSON's strings are Python's too: the same escapes, and nothing beyond the basic plane is escaped.
fn escaped(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_python_would_read_otherwise_is_escaped() {
        assert_eq!(literal("#!/bin/sh\necho \\n 'a'\n"), "r'''#!/bin/sh\necho \\n 'a'\n'''");
        assert_eq!(literal(""), "r''''''");
        for text in ["a'''b", "a'", "a\\", "a\r\n", "a\0"] {
            assert!(literal(text).starts_with('"'), "{text:?}");
        }
    }
}
