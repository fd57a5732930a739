"""mkimg's first-boot runner: carries out /run/mkimg/plan.json and reports the result.

A plan of kind `image` is baked if /run/mkimg/bake.json exists, and installed otherwise. A plan of kind
`verification` checks a machine made from a snapshot. docs/design/first-boot.md describes the documents.
"""
import json
import os
import sys
import time

from progress import Log, Status
from system import System

PLAN = "/run/mkimg/plan.json"
BAKE = "/run/mkimg/bake.json"
LOG = "/run/mkimg/log"
INSTALL_LOG = "/var/log/mkimg/first-boot.log"
INSTALL_STATUS = "/var/lib/mkimg/status.json"


class Runner:
    def __init__(self, system, pause=time.sleep):
        self.system = system
        self.pause = pause
        self.bake = read_bake(system)
        self.is_install = self.bake is None
        log = Log(system.path(INSTALL_LOG if self.is_install else LOG))
        self.status = Status(log, (self.bake or {}).get("bake"), self._save_status if self.is_install else None)
        self.firewall = None
        self.power = None

    def _save_status(self):
        self.system.write_file(INSTALL_STATUS, json.dumps(self.status.describe(1 << 50), indent=1).encode() + b"\n")

    def run(self):
        """Runs the plan to its final state. Every error ends in a state that the channel can report."""
        try:
            if not self.is_install and self.bake["channel"] == "https":
                self._open_channel()
            with open(self.system.path(PLAN)) as file:
                plan = json.load(file)
            if plan.get("version") != 1:
                raise ValueError("expected a plan of version 1, found %r" % plan.get("version"))
            passed = self._run_verification(plan) if plan["kind"] == "verification" else self._run_image(plan)
        except Exception as error:
            import traceback
            for line in traceback.format_exc().splitlines():
                self.status.log.line("mkimg", line)
            self.status.record_failure("mkimg", "%s: %s" % (type(error).__name__, error))
            passed = False
        self.status.set_state("passed" if passed else "failed")
        if self.power:
            self.power.unmask()
        return passed

    def _open_channel(self):
        from channel import Channel, make_tls_context
        from firewall import Firewall
        lock_memory()
        context = make_tls_context(self.system, self.bake.pop("certificate"), self.bake.pop("key"))
        Channel(self.status, self.bake["port"], self.bake.pop("token"), context).start()
        self.firewall = Firewall(self.system, self.bake["port"], self.status.log)
        self.firewall.open_port()
        self.firewall.start()

    def _run_image(self, plan):
        from image import ImageSteps
        image = ImageSteps(self.system, plan, self.bake, self.pause)
        self.power = image.power
        self.power.mask()
        before = self.firewall.check_before_step if self.firewall else None
        if self.is_install:
            steps = image.steps() + image.install_steps()
            self.status.add_steps(steps)
            passed = self.status.run(steps)
            image.packages.restart_jobs()
            return passed
        steps = image.steps() + image.bake_steps()
        check = image.check_steps(self.status)
        self.status.add_steps(steps + check)
        if not self.status.run(steps, before):
            for step in check:
                step.state = "skipped"
            return False
        self.status.set_state("complete")
        return self.status.run(check, before)

    def _run_verification(self, plan):
        from verification import Verification
        steps = Verification(self.system, plan, self.pause).steps()
        self.status.add_steps(steps)
        return self.status.run(steps, keep_going=True)

    def finish(self, passed):
        """After the final state, a bake that passed powers off. One that failed stays up until it is destroyed."""
        if self.is_install:
            return 0 if passed else 1
        if not passed:
            while True:
                time.sleep(3600)
        if self.bake["channel"] == "https" and self.status.acknowledged.wait(self.bake["power_off_after"]):
            time.sleep(0.5)
        if self.firewall:
            self.firewall.close_port()
        from power import Power
        (self.power or Power(self.system)).power_off()
        time.sleep(600)
        return 1


def read_bake(system):
    """Reads the bake's entry and removes its secrets from the file, so that scripts cannot read them.

    The file itself stays: cleanup scripts check that it exists.
    """
    try:
        with open(system.path(BAKE)) as file:
            bake = json.load(file)
    except FileNotFoundError:
        return None
    public = {key: value for key, value in bake.items() if key not in ("token", "certificate", "key")}
    system.write_file(BAKE, json.dumps(public).encode(), 0o600)
    return bake


def lock_memory():
    """Locks memory, so that token and key never reach a swap file, which would be part of the image."""
    try:
        import ctypes
        ctypes.CDLL(None).mlockall(1 | 2 | 4)
    except (ImportError, OSError, AttributeError):
        pass


def main():
    os.umask(0o022)
    runner = Runner(System())
    return runner.finish(runner.run())


if __name__ == "__main__":
    sys.exit(main())
