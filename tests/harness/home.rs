//! A user's home: a project to bake, the folders that mkimg writes to, and a token in the environment.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{Emulator, MKIMG, Process, Run, TOKEN};

/// The project of most bakes: a secret, a script, and a snapshot with a tag and a second region.
const TEMPLATE: &str = "variables:\n  password: {sensitive: true, value: none}\n  name: tested\n\
                        droplet: {image: debian-12-x64, region: nyc3, size: s-1vcpu-1gb}\n\
                        scripts: [scripts/*.sh]\nenvironment: {PASSWORD: \"{{ password }}\"}\n\
                        snapshot: {name: \"{{ name }}\", tags: [release], regions: [fra1]}\n";

/// Writes a project with this template and one script that does nothing.
pub(crate) fn create_project(folder: &Path, template: &str) {
    for name in ["templates", "scripts"] {
        std::fs::create_dir_all(folder.join(name)).unwrap();
    }
    std::fs::write(folder.join("templates/image.yaml"), template).unwrap();
    std::fs::write(folder.join("scripts/01-nothing.sh"), "#!/bin/sh\ntrue\n").unwrap();
}

/// A home folder that is a project, too.
pub(crate) struct Home(tempfile::TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        Self::with_template(TEMPLATE)
    }

    pub(crate) fn with_template(template: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        create_project(home.path(), template);
        Self(home)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Replaces the template.
    pub(crate) fn write_template(&self, template: &str) {
        std::fs::write(self.path().join("templates/image.yaml"), template).unwrap();
    }

    /// The folder with a folder for each bake.
    pub(crate) fn bakes(&self) -> PathBuf {
        self.path().join("state/mkimg/bakes")
    }

    /// How many bakes have begun.
    pub(crate) fn count_bakes(&self) -> usize {
        std::fs::read_dir(self.bakes()).map_or(0, Iterator::count)
    }

    /// The folder of the only bake; `None` before it has begun.
    pub(crate) fn folder(&self) -> Option<PathBuf> {
        Some(std::fs::read_dir(self.bakes()).ok()?.next()?.unwrap().path())
    }

    /// The name of the only bake.
    #[track_caller]
    pub(crate) fn bake(&self) -> String {
        assert!(self.count_bakes() <= 1, "several bakes have begun");
        self.folder().expect("a bake").file_name().unwrap().to_str().unwrap().to_owned()
    }

    /// The names of the journal's entries. A last line that is not complete is left out.
    pub(crate) fn entries(&self) -> Vec<String> {
        let Some(folder) = self.folder() else { return Vec::new() };
        let text = std::fs::read_to_string(folder.join("journal.jsonl")).unwrap_or_default();
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        complete
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["entry"].as_str().unwrap().to_owned())
            .collect()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.command_without_token(arguments);
        command.env("DIGITALOCEAN_API_TOKEN", TOKEN);
        command
    }

    pub(crate) fn command_without_token(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(MKIMG);
        self.set_environment(&mut command);
        command.env_remove("DIGITALOCEAN_API_TOKEN");
        command.args(["-C", self.path().to_str().unwrap()]).args(arguments);
        command
    }

    /// The environment of a user with a token.
    pub(crate) fn set_environment(&self, command: &mut Command) {
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        let home = self.path();
        command.env("HOME", home).env("XDG_STATE_HOME", home.join("state")).env("XDG_CONFIG_HOME", home.join("config"));
        command.env("DIGITALOCEAN_API_TOKEN", TOKEN);
    }

    /// Runs mkimg to its end, with a token.
    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        Run::of(&mut self.command(arguments))
    }

    pub(crate) fn run_without_token(&self, arguments: &[&str]) -> Run {
        Run::of(&mut self.command_without_token(arguments))
    }

    /// Runs mkimg to its end: exit status, standard output, standard error.
    pub(crate) fn mkimg(&self, arguments: &[&str]) -> (i32, String, String) {
        self.run(arguments).into_parts()
    }

    /// The arguments of a bake whose marker is that the droplet powers off.
    pub(crate) fn arguments<'a>(emulator: &'a Emulator, more: &[&'a str]) -> Vec<&'a str> {
        let mut arguments = vec!["bake", "--api-url", &emulator.url, "--marker", "poweroff", "--poll-interval", "50ms"];
        arguments.extend(more);
        arguments
    }

    /// Starts such a bake.
    pub(crate) fn start(&self, emulator: &Emulator, more: &[&str]) -> Process {
        Process::spawn(&mut self.command(&Self::arguments(emulator, more)))
    }

    /// Resumes the only bake.
    pub(crate) fn resume(&self) -> Process {
        Process::spawn(&mut self.command(&["resume", &self.bake()]))
    }
}
