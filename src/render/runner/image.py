"""The steps of an image: packages, artifacts and scripts, then those of a bake or of an install."""
import os
import re

from artifacts import Artifacts
from packages import Packages
from power import Power
from progress import Step, StepFailed
from seal import Seal
from system import script_command
from wipe import Wipe

COLOR_CODE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
FINDING = re.compile(r"\[(PASS|WARN|FAIL)\]\s*(.*?)\s*(?=\[(?:PASS|WARN|FAIL)\]|$)")
# A sentence that mentions a marker ("see every [WARN]") has it neither at its start nor after a color code.
REPORT_LINE = re.compile(r"(?:^\s*|\x1b\[[0-9;]*m)\[(?:PASS|WARN|FAIL)\]")


class ImageSteps:
    def __init__(self, system, plan, bake, pause):
        limits = plan["time_limits"]
        self.system = system
        self.plan = plan
        self.script_limit = limits["script"]
        self.environment = dict(plan.get("environment") or {})
        if bake:
            self.environment["MKIMG_BAKE"] = bake["bake"]
        self.power = Power(system)
        self.packages = Packages(system, limits["packages"], pause)
        self.artifacts = Artifacts(system, limits["download"], pause, (bake or {}).get("artifacts_url"))
        self.seal = Seal(system)

    def steps(self):
        plan = self.plan
        steps = []
        if self.packages.has_apt():
            steps.append(Step("wait for apt", self.packages.prepare))
        if plan.get("upgrade"):
            steps.append(Step("upgrade", self.packages.upgrade))
        if plan.get("packages"):
            steps.append(Step("packages", lambda step: self.packages.install(step, plan["packages"])))
        for artifact in plan.get("artifacts") or []:
            steps.append(Step("artifact " + artifact["name"], lambda step, it=artifact: self.artifacts.install(step, it)))
        steps.extend(self._script_step("script", script) for script in plan.get("scripts") or [])
        return steps

    def bake_steps(self):
        steps = [self._script_step("cleanup", self.plan["cleanup"])] if self.plan.get("cleanup") else []
        steps.append(Step("clean", self.seal.clean))
        if self.plan.get("held_back"):
            steps.append(Step("on-boot scripts", self._place_deferred_files))
        steps.append(Step("trim", Wipe(self.system).wipe_free_space))
        return steps

    def check_steps(self, status):
        if not self.plan.get("check"):
            return []

        def check(step):
            lines = []

            def line(text):
                lines.append(text)
                step.line(text)
            path = self.system.path(self.plan["check"]["path"])
            exit_status = self.system.run(script_command(path), line, self.script_limit, self.environment)
            status.check = parse_check(lines, exit_status)
            failed = [finding["text"] for finding in status.check["findings"] if finding["level"] == "fail"]
            if failed:
                raise StepFailed("%d of the check's tests failed: %s" % (len(failed), "; ".join(failed)), exit_status)
            return require_success(exit_status)
        return [Step("check " + self.plan["check"]["name"], check)]

    def install_steps(self):
        """Does what cloud-init would have done with the deferred files, in the same order."""
        deferred = self.plan.get("held_back") or []
        steps = [Step("on-boot scripts", self._place_deferred_files)] if deferred else []
        for frequency in ("per-once", "per-boot", "per-instance"):
            folder = "/var/lib/cloud/scripts/%s/" % frequency
            for entry in sorted(deferred, key=lambda entry: entry["path"]):
                runnable = int(entry["mode"], 8) & 0o111
                if entry["path"].startswith(folder) and "/" not in entry["path"][len(folder):] and runnable:
                    steps.append(self._on_boot_step(entry["path"]))
        return steps

    def _on_boot_step(self, path):
        """Runs the file as cloud-init does: directly, without the template's environment."""
        def run_action(step):
            return require_success(self.system.run([self.system.path(path)], step.line, self.script_limit))
        return Step("on boot " + os.path.basename(path), run_action)

    def _script_step(self, kind, script):
        def run_action(step):
            line, refused = self.power.watch_output(step)
            argv = script_command(self.system.path(script["path"]))
            exit_status = self.system.run(argv, line, self.script_limit, self.environment)
            self.power.check_refused(refused)
            return require_success(exit_status)
        return Step("%s %s" % (kind, script["name"]), run_action)

    def _place_deferred_files(self, step):
        for entry in self.plan["held_back"]:
            with open(self.system.path(entry["staged"]), "rb") as file:
                self.system.write_file(entry["path"], file.read(), int(entry["mode"], 8), entry["owner"])
            step.line(entry["path"])
        return None


def require_success(exit_status):
    if exit_status:
        raise StepFailed("ended by signal %d" % -exit_status if exit_status < 0 else "exit status %d" % exit_status, exit_status)
    return exit_status


def parse_check(lines, exit_status):
    """Parses a check script's output: lines with [PASS], [WARN] or [FAIL], with or without colors."""
    findings = []
    counts = {"PASS": 0, "WARN": 0, "FAIL": 0}
    for text in filter(REPORT_LINE.search, lines):
        for level, message in FINDING.findall(COLOR_CODE.sub("", text)):
            counts[level] += 1
            if level != "PASS":
                findings.append({"level": level.lower(), "text": message})
    return {"exit": exit_status, "passed": counts["PASS"], "warnings": counts["WARN"], "failed": counts["FAIL"],
            "findings": findings}
