"""mkimg's first-boot runner: installs /run/mkimg/plan.json on this server and keeps the result.

docs/design/first-boot.md describes the plan. With a bake's entry, the entry's own program takes over.
"""
import base64
import functools
import json
import lzma
import os
import time

from cloud_init import check_cloud_init
from image import BOOT_JOBS, Image
from progress import Log, Status, Step, StepFailed
from system import System

PLAN = "/run/mkimg/plan.json"
BAKE = "/run/mkimg/bake.json"
UNBUNDLED = "/run/mkimg/unbundle.json"
INSTALL_LOG = "/var/log/mkimg/first-boot.log"
INSTALL_STATUS = "/var/lib/mkimg/status.json"


class Runner:
    def __init__(self, system, pause=time.sleep):
        self.system = system
        self.pause = pause
        self.status = Status(Log(system.path(INSTALL_LOG)), changed=self.save_status)

    def save_status(self):
        self.system.write_file(INSTALL_STATUS, json.dumps(self.status.describe(), indent=1).encode() + b"\n")

    def run(self):
        """Runs the plan to its final state, which every error reaches. Returns whether it passed."""
        try:
            passed = self.run_plan()
        except Exception as error:
            self.status.record_failure("mkimg", error)
            passed = False
        self.status.set_state("passed" if passed else "failed")
        return passed

    def run_plan(self):
        image = Image(self.system, self.read_plan(), self.pause)
        steps = self.add_steps(self.document_steps() + image.steps() + image.on_boot_steps())
        with image.masked_power_off():
            passed = self.status.run(steps)
        self.system.capture(["systemctl", "start", "--no-block"] + BOOT_JOBS[:2])
        return passed

    def read_plan(self):
        """Without a plan, cloud-init did not write all files. Its own result says why."""
        try:
            return self.read_json(PLAN)
        except FileNotFoundError:
            self.status.run(self.add_steps(self.document_steps()))
            raise

    def add_steps(self, steps):
        """Adds steps as pending, so that they are visible before they run."""
        self.status.steps += steps
        return steps

    def document_steps(self):
        """Whether everything that the document says happened, before more is built on it."""
        return self.file_steps() + [Step("cloud-init", functools.partial(check_cloud_init, self.system))]

    def file_steps(self):
        """Returns a step that fails, if files of the bundle could not be written."""
        if not os.path.exists(self.system.path(UNBUNDLED)):
            return []
        failed = self.read_json(UNBUNDLED)["failed"]

        def fail(line):
            raise StepFailed("not written: " + "; ".join("%s: %s" % (path, message) for path, message in failed))
        return [Step("files", fail)] if failed else []

    def finish(self, passed):
        return 0 if passed else 1

    def read_json(self, path):
        with open(self.system.path(path)) as file:
            return json.load(file)


def make_runner(system):
    try:
        with open(system.path(BAKE)) as file:
            bake = json.load(file)
    except FileNotFoundError:
        return Runner(system)
    exec(compile(lzma.decompress(base64.b85decode(bake.pop("runner"))), "bake.py", "exec"), globals())
    return Bake(system, bake)  # noqa: F821


def main():
    os.umask(0o022)
    runner = make_runner(System())
    return runner.finish(runner.run())
