"""The steps of an image: packages, artifacts, scripts and on-boot scripts.

Power-off is masked while they run, so that a script's shutdown fails its step instead of ending the run.
"""
import contextlib
import functools
import os
import re

from artifacts import install_artifact
from packages import package_steps
from progress import Step, StepFailed
from system import require_success, script_command

BOOT_JOBS = ["apt-daily.timer", "apt-daily-upgrade.timer", "apt-daily.service", "apt-daily-upgrade.service",
             "unattended-upgrades.service"]
# APT_CONFIG makes it apply to apt-get in scripts too.
APT_CONF = b'''DPkg::Lock::Timeout "600";
Acquire::Retries "3";
APT::Update::Error-Mode "any";
DPkg::Options { "--force-confdef"; "--force-confold"; };
'''
POWER_TARGETS = ["poweroff.target", "reboot.target", "halt.target", "kexec.target"]
SCHEDULED_SHUTDOWN = "/run/systemd/shutdown/scheduled"
# systemctl's messages differ between logind and systemd, and between releases.
REFUSED = re.compile(r"\b(?:poweroff|reboot|halt|kexec)\.target is masked|\bCall to (?:PowerOff|Reboot|Halt|KExec)\w* failed"
                     r"|\bFailed to (?:power off|reboot|halt|kexec) system")


class Image:
    def __init__(self, system, plan, pause, **environment):
        self.system = system
        self.plan = plan
        self.pause = pause
        self.limits = plan["time_limits"]
        self.environment = dict(plan["environment"], **environment)

    @contextlib.contextmanager
    def masked_power_off(self):
        self.system.capture(["systemctl", "mask", "--runtime"] + POWER_TARGETS)
        try:
            yield
        finally:
            self.system.capture(["systemctl", "unmask", "--runtime"] + POWER_TARGETS)

    def steps(self):
        plan = self.plan
        steps = [Step("wait for apt", self.stop_boot_jobs)] if self.system.which("apt-get") else []
        if plan["upgrade"] or plan["packages"]:
            steps += package_steps(self.system, plan, self.pause)
        for artifact in plan["artifacts"]:
            action = functools.partial(install_artifact, self.system, self.limits["download"], self.pause, artifact)
            steps.append(Step("artifact " + artifact["name"], action))
        steps += self.place_steps("")
        for script in plan["scripts"]:
            steps += [self.script_step("script", script)] + self.place_steps(script["name"])
        return steps

    def on_boot_steps(self):
        """Does what cloud-init would have done with the scripts of its folders, in the same order."""
        deferred = sorted(self.plan["deferred_files"], key=lambda entry: entry["path"])
        steps = []
        for frequency in ("once", "boot", "instance"):
            for entry in deferred:
                folder, name = os.path.split(entry["path"])
                if folder == "/var/lib/cloud/scripts/per-" + frequency and int(entry["mode"], 8) & 0o111:
                    steps.append(Step("on boot " + name, functools.partial(self.run_on_boot, entry["path"])))
        return steps

    def place_steps(self, script):
        """Returns the step that puts deferred files into their place: after a script, or before all."""
        files = [entry for entry in self.plan["deferred_files"] if entry["after"] == script]
        name = "files after " + script if script else "deferred files"
        return [Step(name, functools.partial(self.place_deferred_files, files))] if files else []

    def script_step(self, kind, script):
        return Step("%s %s" % (kind, script["name"]),
                    lambda line: require_success(self.run_script(script["path"], line)))

    def run_script(self, path, line):
        """Runs a script with the template's environment. An attempt to power off fails its step."""
        refused = []

        def watch(text):
            if REFUSED.search(text):
                refused.append(text.strip())
            line(text)
        status = self.system.run(script_command(self.system.path(path)), watch, self.limits["script"], self.environment)
        if os.path.exists(self.system.path(SCHEDULED_SHUTDOWN)):
            self.system.capture(["shutdown", "-c"])
            refused.append("shutdown canceled")
        if refused:
            raise StepFailed("it tried to power off or restart the machine (%s): leave that to mkimg" % refused[0])
        return status

    def run_on_boot(self, path, line):
        """Runs the file as cloud-init does: directly, without the template's environment."""
        return require_success(self.system.run([self.system.path(path)], line, self.limits["script"]))

    def place_deferred_files(self, files, line):
        for entry in files:
            self.system.make_directory(os.path.dirname(entry["path"]), entry["owner"])
            with open(self.system.path(entry["staged"]), "rb") as file:
                self.system.write_file(entry["path"], file, int(entry["mode"], 8), entry["owner"])
            line(entry["path"])

    def restore_deferred_files(self, line):
        """A cleanup script that runs `cloud-init clean` deletes them."""
        path = self.system.path
        self.place_deferred_files([entry for entry in self.plan["deferred_files"] if not os.path.lexists(path(entry["path"]))], line)

    def stop_boot_jobs(self, line):
        """Stops the distribution's first-boot package jobs, and repairs what a stopped job left unfinished."""
        self.system.write_file("/run/mkimg/apt.conf", APT_CONF)
        self.system.capture(["systemctl", "stop"] + BOOT_JOBS, 900)
        status = self.system.run(["dpkg", "--configure", "-a"], line, self.limits["packages"])
        return require_success(status, "dpkg --configure -a: ")
