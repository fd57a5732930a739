"""mkimg's first-boot runner: does on the machine what /run/mkimg/plan.json says, and tells how it went.

A plan of the kind `image` is baked when /run/mkimg/bake.json is there, and installed when it is not; one of the kind
`verification` proves a machine made from a snapshot. docs/design/first-boot.md of mkimg describes the three documents.
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
        self.installs = self.bake is None
        log = Log(system.path(INSTALL_LOG if self.installs else LOG))
        self.status = Status(log, (self.bake or {}).get("bake"), self._save if self.installs else None)
        self.firewall = None
        self.power = None

    def _save(self):
        self.system.write(INSTALL_STATUS, json.dumps(self.status.describe(1 << 50), indent=1).encode() + b"\n")

    def run(self):
        """Runs the plan to its final state. Whatever goes wrong ends in a state that can be asked for."""
        try:
            if not self.installs and self.bake["channel"] == "https":
                self._open_channel()
            with open(self.system.path(PLAN)) as file:
                plan = json.load(file)
            if plan.get("version") != 1:
                raise ValueError("this runner reads plans of version 1, and found %r" % plan.get("version"))
            passed = self._verify(plan) if plan["kind"] == "verification" else self._image(plan)
        except Exception as error:
            import traceback
            for line in traceback.format_exc().splitlines():
                self.status.log.line("mkimg", line)
            self.status.fail("mkimg", "%s: %s" % (type(error).__name__, error))
            passed = False
        self.status.become("passed" if passed else "failed")
        if self.power:
            self.power.unmask()
        return passed

    def _open_channel(self):
        from channel import Channel, tls_context
        from firewall import Firewall
        lock_memory()
        context = tls_context(self.system, self.bake.pop("certificate"), self.bake.pop("key"))
        Channel(self.status, self.bake["port"], self.bake.pop("token"), context).start()
        self.firewall = Firewall(self.system, self.bake["port"], self.status.log)
        self.firewall.ensure()
        self.firewall.start()

    def _image(self, plan):
        from image import Image
        image = Image(self.system, plan, self.bake, self.pause)
        self.power = image.power
        self.power.mask()
        before = self.firewall.before_step if self.firewall else None
        if self.installs:
            steps = image.steps() + image.install_steps()
            self.status.plan(steps)
            passed = self.status.run(steps)
            image.packages.resume_jobs()
            return passed
        steps = image.steps() + image.bake_steps()
        check = image.check_step(self.status)
        self.status.plan(steps + check)
        if not self.status.run(steps, before):
            for step in check:
                step.state = "skipped"
            return False
        self.status.become("complete")
        return self.status.run(check, before)

    def _verify(self, plan):
        from verification import Verification
        steps = Verification(self.system, plan, self.pause).steps()
        self.status.plan(steps)
        return self.status.run(steps, go_on=True)

    def finish(self, passed):
        """After the final state: a bake that passed powers off, one that failed stays until it is destroyed."""
        if self.installs:
            return 0 if passed else 1
        if not passed:
            while True:
                time.sleep(3600)
        if self.bake["channel"] == "https" and self.status.acknowledged.wait(self.bake["power_off_after"]):
            time.sleep(0.5)
        if self.firewall:
            self.firewall.remove()
        from power import Power
        (self.power or Power(self.system)).off()
        time.sleep(600)
        return 1


def read_bake(system):
    """Reads the bake's entry and leaves it without its secrets: no script needs to find them, cleanup scripts look for it."""
    try:
        with open(system.path(BAKE)) as file:
            bake = json.load(file)
    except FileNotFoundError:
        return None
    public = {key: value for key, value in bake.items() if key not in ("token", "certificate", "key")}
    system.write(BAKE, json.dumps(public).encode(), 0o600)
    return bake


def lock_memory():
    """Keeps the token and the key out of a swap file, which would be in the image. Pages are locked once in use."""
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
