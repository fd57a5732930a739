//! The first-boot runner: Python 3.8+, standard library only.
//!
//! Its modules are the `*.py` files of this folder. [`program`] joins them into the one file that the document carries,
//! [`PATH`]; [`START`] is the `runcmd` entry that starts it. To add a module, put it beside the others and name it in
//! [`MODULES`], after those that it imports. It must not have the name of a module of Python's own library.
//! `tests/bake/runner.rs` runs the tests of the modules and of the joined program.

mod carried;

pub use carried::Carried;

/// Where the runner stands on the droplet: a tmpfs, `noexec`, gone at power-off.
pub const PATH: &str = "/run/mkimg/runner.py";

/// Name and source of each module, every module after those that it imports. The last one is the program.
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

/// The `runcmd` entry, as a list of arguments: a transient unit that waits for cloud-init's last stage.
///
/// `-B` writes no bytecode, `-E` and `-s` ignore Python settings of the environment and of the user. What a script
/// leaves running outlives the runner (`KillMode=process`), as it would outlive cloud-init. Only a Python that cannot
/// start says anything to the journal.
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

/// The runner as one Python file of about 16 KB once gzipped: each module is a string that is executed in its own name space.
pub fn program() -> String {
    program_carrying(&[])
}

/// The runner with files that it writes first.
pub fn program_carrying(files: &[Carried<'_>]) -> String {
    let mut program = PREAMBLE.to_owned();
    if !files.is_empty() {
        program.push_str(carried::WRITER);
        program.extend(files.iter().map(carried::statement));
    }
    for (name, source) in MODULES {
        program.extend(["module('", name, "', r'''\n", &minify(source), "''')\n"]);
    }
    program.push_str("sys.exit(sys.modules['runner'].main())\n");
    program
}

/// Removes blank lines, comment lines and docstrings, and indents by one space instead of four. This saves a
/// quarter of the size.
///
/// It relies on the form of our own sources: only a docstring starts a line with three quotes, and no function has
/// only a docstring.
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
    use super::{MODULES, minify, program};

    #[test]
    fn docstrings_comments_blank_lines_and_indentation_are_removed() {
        let source =
            "\"\"\"One.\n\nTwo.\n\"\"\"\nimport os\n\n# Why.\ndef f():\n    \"\"\"Does.\"\"\"\n    return '#'\n";
        assert_eq!(minify(source), "import os\ndef f():\n return '#'\n");
    }

    #[test]
    fn the_program_holds_every_module_in_a_string_that_nothing_in_it_ends() {
        for (name, source) in MODULES {
            assert!(!source.contains("'''"), "{name}");
            assert!(!source.contains('\r') && !source.contains('\t'), "{name}");
        }
        assert_eq!(program().matches("\nmodule('").count(), MODULES.len());
    }

    #[test]
    fn a_module_comes_after_those_that_it_imports() {
        for (place, (name, source)) in MODULES.iter().enumerate() {
            for (later, _) in &MODULES[place..] {
                assert!(!source.contains(&format!("\nfrom {later} import")), "{name} imports {later}");
            }
        }
    }
}
