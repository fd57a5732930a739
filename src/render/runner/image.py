"""The steps of an image: packages, artifacts, scripts; then what a bake adds, or an install."""
import os
import re

from artifacts import Artifacts
from packages import Packages
from power import Power
from progress import Step, StepFailed
from seal import Seal
from system import interpreter
from wipe import Wipe

COLOUR = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
FINDING = re.compile(r"\[(PASS|WARN|FAIL)\]\s*(.*?)\s*(?=\[(?:PASS|WARN|FAIL)\]|$)")
# A sentence that only speaks of them ("look at every [WARN]") has its marker neither at its start nor in colour.
REPORTS = re.compile(r"(?:^\s*|\x1b\[[0-9;]*m)\[(?:PASS|WARN|FAIL)\]")


class Image:
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
        if self.packages.have_apt():
            steps.append(Step("wait for apt", self.packages.settle))
        if plan.get("upgrade"):
            steps.append(Step("upgrade", self.packages.upgrade))
        if plan.get("packages"):
            steps.append(Step("packages", lambda step: self.packages.install(step, plan["packages"])))
        for artifact in plan.get("artifacts") or []:
            steps.append(Step("artifact " + artifact["name"], lambda step, it=artifact: self.artifacts.install(step, it)))
        steps.extend(self._script("script", script) for script in plan.get("scripts") or [])
        return steps

    def bake_steps(self):
        steps = [self._script("cleanup", self.plan["cleanup"])] if self.plan.get("cleanup") else []
        steps.append(Step("clean", self.seal.clean))
        if self.plan.get("held_back"):
            steps.append(Step("on-boot scripts", self._place_held_back))
        steps.append(Step("trim", Wipe(self.system).trim))
        return steps

    def check_step(self, status):
        if not self.plan.get("check"):
            return []

        def check(step):
            lines = []

            def line(text):
                lines.append(text)
                step.line(text)
            path = self.system.path(self.plan["check"]["path"])
            exit = self.system.run(interpreter(path), line, self.script_limit, self.environment)
            status.check = parse_check(lines, exit)
            failed = [finding["text"] for finding in status.check["findings"] if finding["level"] == "fail"]
            if failed:
                raise StepFailed("%d of the check's tests failed: %s" % (len(failed), "; ".join(failed)), exit)
            return succeeded(exit)
        return [Step("check " + self.plan["check"]["name"], check)]

    def install_steps(self):
        """What cloud-init would have done with the held-back files, in its own order."""
        held = self.plan.get("held_back") or []
        steps = [Step("on-boot scripts", self._place_held_back)] if held else []
        for frequency in ("per-once", "per-boot", "per-instance"):
            folder = "/var/lib/cloud/scripts/%s/" % frequency
            for entry in sorted(held, key=lambda entry: entry["path"]):
                runnable = int(entry["mode"], 8) & 0o111
                if entry["path"].startswith(folder) and "/" not in entry["path"][len(folder):] and runnable:
                    steps.append(self._on_boot(entry["path"]))
        return steps

    def _on_boot(self, path):
        """As cloud-init runs it: the file itself, without the template's environment."""
        def work(step):
            return succeeded(self.system.run([self.system.path(path)], step.line, self.script_limit))
        return Step("on boot " + os.path.basename(path), work)

    def _script(self, kind, script):
        def work(step):
            line, refused = self.power.watch(step)
            argv = interpreter(self.system.path(script["path"]))
            exit = self.system.run(argv, line, self.script_limit, self.environment)
            self.power.judge(refused)
            return succeeded(exit)
        return Step("%s %s" % (kind, script["name"]), work)

    def _place_held_back(self, step):
        for entry in self.plan["held_back"]:
            with open(self.system.path(entry["staged"]), "rb") as file:
                self.system.write(entry["path"], file.read(), int(entry["mode"], 8), entry["owner"])
            step.line(entry["path"])
        return None


def succeeded(exit):
    if exit:
        raise StepFailed("ended by signal %d" % -exit if exit < 0 else "exit status %d" % exit, exit)
    return exit


def parse_check(lines, exit):
    """The check's own report: lines with [PASS], [WARN] or [FAIL], coloured or not."""
    findings = []
    counts = {"PASS": 0, "WARN": 0, "FAIL": 0}
    for text in filter(REPORTS.search, lines):
        for level, message in FINDING.findall(COLOUR.sub("", text)):
            counts[level] += 1
            if level != "PASS":
                findings.append({"level": level.lower(), "text": message})
    return {"exit": exit, "passed": counts["PASS"], "warnings": counts["WARN"], "failed": counts["FAIL"],
            "findings": findings}
