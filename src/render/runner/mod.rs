//! The first-boot runner: Python 3.8 or later, standard library only.
//!
//! Its modules are the `*.py` files of this folder. [`program`] joins them into one file, [`PATH`]
//! on the droplet; [`START`] is the `runcmd` entry that starts it. To add a module, add its file
//! and a line in [`MODULES`], after the modules that it imports. It must not have the name of a
//! module of the standard library.
//!
//! Scripts and deferred files can be embedded in the program, which writes them before it does
//! anything else. Compressed separately, each would need its own header and repeat what the others
//! contain. `tests/bake/runner.rs` runs the tests of the modules and of the joined program.

/// The runner's path on the droplet: a tmpfs, mounted `noexec`, empty after power-off.
pub const PATH: &str = "/run/mkimg/runner.py";

/// Name and source of each module, after the modules that it imports. The last one is the main
/// program.
pub const MODULES: &[(&str, &str)] = &[
    ("progress", include_str!("progress.py")),
    ("system", include_str!("system.py")),
    ("power", include_str!("power.py")),
    ("packages", include_str!("packages.py")),
    ("artifacts", include_str!("artifacts.py")),
    ("firewall", include_str!("firewall.py")),
    ("channel", include_str!("channel.py")),
    ("seal", include_str!("seal.py")),
    ("wipe", include_str!("wipe.py")),
    ("image", include_str!("image.py")),
    ("verification", include_str!("verification.py")),
    ("runner", include_str!("runner.py")),
];

/// The arguments of the `runcmd` entry: a transient unit that waits for cloud-init's last stage.
///
/// `-B` writes no bytecode; `-E` and `-s` ignore Python settings of the environment and the user.
/// Processes that a script leaves running outlive the runner (`KillMode=process`), as they would
/// outlive cloud-init.
pub const START: &[&str] = &[
    "systemd-run",
    "--quiet",
    "--no-block",
    "--collect",
    "--unit=mkimg-first-boot",
    "--description=mkimg's first-boot runner",
    "--property=After=cloud-final.service",
    "--property=KillMode=process",
    "--property=TasksMax=infinity",
    "--property=StandardOutput=null",
    "python3",
    "-BEs",
    PATH,
];

const PREAMBLE: &str = "\
# mkimg's first-boot runner: the modules of src/render/runner, joined and minified.
import sys
import types


def module(name, source):
    made = sys.modules[name] = types.ModuleType(name)
    exec(compile(source, name + '.py', 'exec'), made.__dict__)


";

/// The function that writes embedded files. No script starts before all files are complete.
const WRITER: &str = "\
import os


def carried(path, mode, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), 'wb') as file:
        os.fchmod(file.fileno(), mode)
        file.write(text.encode())


";

/// A file that is embedded in the program.
#[derive(Debug, Clone, Copy)]
pub struct EmbeddedFile<'a> {
    /// Absolute path on the machine.
    pub path: &'a str,
    /// Permission bits.
    pub mode: u32,
    pub text: &'a str,
}

/// Returns the runner as one Python file, about 16 KB when compressed. Each module is a string that
/// runs in its own namespace.
pub fn program() -> String {
    program_with_files(&[])
}

/// Returns the runner with embedded files, which it writes first.
pub fn program_with_files(files: &[EmbeddedFile<'_>]) -> String {
    let mut program = PREAMBLE.to_owned();
    if !files.is_empty() {
        program.push_str(WRITER);
        for file in files {
            let statement =
                format!("carried({}, 0o{:o}, {})\n", escaped(file.path), file.mode, python_literal(file.text));
            program.push_str(&statement);
        }
    }
    for (name, source) in MODULES {
        program.extend(["module('", name, "', r'''\n", &minify(source), "''')\n"]);
    }
    program.push_str("sys.exit(sys.modules['runner'].main())\n");
    program
}

/// Returns a Python literal: a raw string with line breaks where Python reads it back unchanged, so
/// that `mkimg diff` shows lines.
fn python_literal(text: &str) -> String {
    // Python converts CR and CR LF in its source to LF, and a source cannot contain NUL.
    let raw = !text.contains("'''") && !text.ends_with(['\'', '\\']) && !text.contains(['\r', '\0']);
    if raw { format!("r'''{text}'''") } else { escaped(text) }
}

/// JSON strings are also Python strings: the escapes are the same.
fn escaped(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Removes blank lines, comment lines and docstrings, and indents by one space instead of four.
/// This saves a quarter of the size.
///
/// This relies on the style of the modules: only a docstring starts a line with three quotes, and
/// no function consists of a docstring alone.
fn minify(source: &str) -> String {
    let mut kept = String::with_capacity(source.len());
    let mut in_docstring = false;
    for line in source.lines() {
        let text = line.trim();
        if in_docstring {
            in_docstring = !text.ends_with("\"\"\"");
        } else if let Some(rest) = text.strip_prefix("\"\"\"") {
            in_docstring = !rest.ends_with("\"\"\"");
        } else if !text.is_empty() && !text.starts_with('#') {
            let indentation = (line.len() - line.trim_start().len()) / 4;
            kept.extend(std::iter::repeat_n(' ', indentation));
            kept.push_str(line.trim_start());
            kept.push('\n');
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::{MODULES, minify, program, python_literal};

    #[test]
    fn docstrings_comments_blank_lines_and_indentation_are_removed() {
        let source =
            "\"\"\"One.\n\nTwo.\n\"\"\"\nimport os\n\n# Why.\ndef f():\n    \"\"\"Does.\"\"\"\n    return '#'\n";
        assert_eq!(minify(source), "import os\ndef f():\n return '#'\n");
    }

    #[test]
    fn no_module_ends_the_string_that_contains_it() {
        for (name, source) in MODULES {
            assert!(!source.contains("'''"), "{name}");
            assert!(!source.contains('\r') && !source.contains('\t'), "{name}");
        }
        assert_eq!(program().matches("\nmodule('").count(), MODULES.len());
    }

    #[test]
    fn modules_come_after_their_imports() {
        for (place, (name, source)) in MODULES.iter().enumerate() {
            for (later, _) in &MODULES[place..] {
                assert!(!source.contains(&format!("\nfrom {later} import")), "{name} imports {later}");
            }
        }
    }

    #[test]
    fn text_that_python_would_change_is_escaped() {
        assert_eq!(python_literal("#!/bin/sh\necho \\n 'a'\n"), "r'''#!/bin/sh\necho \\n 'a'\n'''");
        assert_eq!(python_literal(""), "r''''''");
        for text in ["a'''b", "a'", "a\\", "a\r\n", "a\0"] {
            assert!(python_literal(text).starts_with('"'), "{text:?}");
        }
    }
}
