//! The first-boot runner: Python 3.8 or later, standard library only.
//!
//! It has two halves. [`install_program`] is in every document: [`PATH`] on the droplet, started by
//! the `runcmd` entry [`START`]. [`bake_program`] travels in the entry that a bake adds, and the
//! installing half runs it in its own namespace.
//!
//! A half is made of the `*.py` files of its folder. They are joined into one file with one
//! namespace: tests import them as modules, droplets get them without the imports between them. So a
//! top-level name must be unique in all of them. To add a module, add its file and a line to
//! [`INSTALL`] or [`BAKE`], after the modules that it imports.

use std::collections::BTreeSet;

/// The runner's path on the droplet: a tmpfs, mounted `noexec`, empty after power-off.
pub const PATH: &str = "/run/mkimg/runner.py";

/// Name and source of each module of the installing half, after the modules that it imports.
pub const INSTALL: &[(&str, &str)] = &[
    ("progress", include_str!("install/progress.py")),
    ("system", include_str!("install/system.py")),
    ("cloud_init", include_str!("install/cloud_init.py")),
    ("packages", include_str!("install/packages.py")),
    ("directories", include_str!("install/directories.py")),
    ("artifacts", include_str!("install/artifacts.py")),
    ("image", include_str!("install/image.py")),
    ("runner", include_str!("install/runner.py")),
];

/// Name and source of each module of the bake half.
pub const BAKE: &[(&str, &str)] = &[
    ("channel", include_str!("bake/channel.py")),
    ("firewall", include_str!("bake/firewall.py")),
    ("seal", include_str!("bake/seal.py")),
    ("wipe", include_str!("bake/wipe.py")),
    ("upload", include_str!("bake/upload.py")),
    ("check", include_str!("bake/check.py")),
    ("verification", include_str!("bake/verification.py")),
    ("bake", include_str!("bake/bake.py")),
];

/// The modules of the installing half that not every plan needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// The plan upgrades or installs packages.
    pub packages: bool,
    /// The plan has artifacts.
    pub artifacts: bool,
    /// It unpacks directories of them.
    pub directories: bool,
}

impl Needs {
    /// A plan with everything.
    pub const ALL: Self = Self { packages: true, artifacts: true, directories: true };

    fn include(self, module: &str) -> bool {
        match module {
            "packages" => self.packages,
            "artifacts" => self.artifacts,
            "directories" => self.directories,
            _ => true,
        }
    }
}

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

const MAIN: &str = "import sys\nsys.exit(main())\n";

/// Returns the installing half with the modules that a plan needs, as one Python file.
#[must_use]
pub fn install_program(needs: Needs) -> String {
    let modules = INSTALL.iter().filter(|(name, _)| needs.include(name));
    join(modules.map(|(_, source)| *source)) + MAIN
}

/// Returns the bake half, which runs in the namespace of the installing half.
#[must_use]
pub fn bake_program(has_uploads: bool) -> String {
    let modules = BAKE.iter().filter(|(name, _)| has_uploads || *name != "upload");
    join(modules.map(|(_, source)| *source))
}

/// Joins modules into one namespace: the imports of the standard library first, each once, then the
/// code without comments and docstrings, indented by one space instead of four.
///
/// This relies on the style of the modules: imports are at the start of a line, only a docstring
/// starts a line with three double quotes, and no function consists of a docstring alone.
pub(super) fn join<'a>(sources: impl Iterator<Item = &'a str>) -> String {
    let mut imports = BTreeSet::new();
    let mut code = String::new();
    let mut in_docstring = false;
    for line in sources.flat_map(str::lines) {
        let text = line.trim();
        if in_docstring {
            in_docstring = !text.ends_with("\"\"\"");
        } else if let Some(rest) = text.strip_prefix("\"\"\"") {
            in_docstring = !rest.ends_with("\"\"\"");
        } else if line.starts_with("import ") {
            imports.insert(line);
        } else if !text.is_empty() && !text.starts_with('#') && !line.starts_with("from ") {
            let indentation = (line.len() - line.trim_start().len()) / 4;
            code.extend(std::iter::repeat_n(' ', indentation));
            code.push_str(line.trim_start());
            code.push('\n');
        }
    }
    imports.into_iter().flat_map(|line| [line, "\n"]).collect::<String>() + &code
}

#[cfg(test)]
mod tests {
    use super::{BAKE, INSTALL, Needs, bake_program, install_program, join};

    #[test]
    fn imports_come_once_and_first_without_docstrings_comments_and_blank_lines() {
        let one = "\"\"\"One.\n\nTwo.\n\"\"\"\nimport os\n\n# Why.\ndef f():\n    \"\"\"Does.\"\"\"\n    return '#'\n";
        let two = "import io\nimport os\n\nfrom one import f\n\nf()\n";
        assert_eq!(join([one, two].into_iter()), "import io\nimport os\ndef f():\n return '#'\nf()\n");
    }

    #[test]
    fn a_plan_gets_only_the_modules_that_it_needs() {
        let least = install_program(Needs { packages: false, artifacts: false, directories: false });
        assert!(!least.contains("\ndef apt_get(") && !least.contains("\ndef download("), "{least}");
        assert!(least.contains("APT_CONFIG") && least.contains("\nBOOT_JOBS"), "{least}");
        let most = install_program(Needs::ALL);
        assert!(most.contains("\ndef apt_get(") && most.contains("\ndef download("), "{most}");
        assert!(most.ends_with("\nimport sys\nsys.exit(main())\n") && !bake_program(true).contains("main()"));
    }

    #[test]
    fn modules_come_after_their_imports() {
        let modules: Vec<_> = INSTALL.iter().chain(BAKE).collect();
        for (place, (name, source)) in modules.iter().enumerate() {
            assert!(!source.contains('\r') && !source.contains('\t'), "{name}");
            for (later, _) in &modules[place..] {
                assert!(!source.contains(&format!("\nfrom {later} import")), "{name} imports {later}");
            }
        }
    }
}
