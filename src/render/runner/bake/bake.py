"""The main program of a bake: takes over from the runner when the document has a bake's entry.

A plan of kind `image` is installed, cleaned up and checked. A plan of kind `verification` checks a machine made from
a snapshot. The status is reported over the channel; a run that passed powers off.
"""
import functools
import json
import threading
import time

from channel import Channel, PagedLog, make_tls_context
from check import run_check
from firewall import Firewall
from image import Image
from progress import Status, Step, StepFailed
from runner import BAKE, Runner
from seal import Seal
from upload import Upload
from verification import Verification
from wipe import Wipe

BAKE_LOG = "/run/mkimg/log"


class Bake(Runner):
    def __init__(self, system, bake, pause=time.sleep):
        """Removes the secrets from the entry, so that scripts cannot read them. Cleanup scripts look for the file."""
        public = {key: value for key, value in bake.items() if key not in ("token", "certificate", "key", "runner")}
        system.write_file(BAKE, json.dumps(public).encode(), 0o600)
        self.system = system
        self.pause = pause
        self.bake = bake
        self.status = Status(PagedLog(system.path(BAKE_LOG)), bake["bake"], self.check_port)
        self.acknowledged = threading.Event()
        self.firewall = None
        self.upload = Upload(system, bake["upload"]) if "upload" in bake else None

    def check_port(self):
        if self.firewall:
            self.firewall.check_port()

    def run_plan(self):
        if self.bake["channel"] == "https":
            self.open_channel()
        plan = self.read_plan()
        if plan["kind"] == "verification":
            steps = self.file_steps() + Verification(self.system, plan, self.pause).steps()
            return self.status.run(self.add_steps(steps), keep_going=True)
        self.redirect_artifacts(plan["artifacts"])
        image = Image(self.system, plan, self.pause, MKIMG_BAKE=self.bake["bake"])
        cleanup = [image.script_step("cleanup", plan["cleanup"])] if plan["cleanup"] else []
        upload = [Step("upload", self.upload.receive)] if self.upload else []
        steps = self.document_steps() + upload + image.steps() + cleanup
        steps += [Step("clean", functools.partial(self.clean, image)), Step("trim", Wipe(self.system).wipe_free_space)]
        check = [Step("check " + plan["check"]["name"], functools.partial(run_check, image, self.status))] if plan["check"] else []
        self.add_steps(steps + check)
        with image.masked_power_off():
            passed = self.status.run(steps)
            if passed:
                self.status.set_state("complete")
            return self.status.run(check, passed)

    def clean(self, image, line):
        Seal(self.system).clean(line)
        image.restore_deferred_files(line)

    def open_channel(self):
        lock_memory()
        context = make_tls_context(self.system, self.bake.pop("certificate"), self.bake.pop("key"))
        Channel(self.status, self.acknowledged, self.bake["port"], self.bake.pop("token"), context,
                self.upload).start()
        self.firewall = Firewall(self.system, self.bake["port"], self.status.log)
        self.firewall.open_port()
        self.firewall.start()

    def redirect_artifacts(self, artifacts):
        """With --artifacts, all artifacts come from one server, by their sum."""
        url = self.bake.get("artifacts_url")
        for artifact in artifacts if url else []:
            if not artifact["sha256"]:
                raise StepFailed("%s is not locked, so it cannot come from %s: run `mkimg lock`" % (artifact["name"], url))
            artifact["url"] = "%s/sha256/%s" % (url.rstrip("/"), artifact["sha256"])

    def finish(self, passed):
        """After the final state, a bake that passed powers off. One that failed stays up until it is destroyed."""
        while not passed:
            time.sleep(3600)
        if self.bake["channel"] == "https" and self.acknowledged.wait(self.bake["power_off_after"]):
            # The answer has to reach the controller.
            time.sleep(0.5)
        if self.firewall:
            self.firewall.close_port()
        if self.system.capture(["systemctl", "--no-wall", "poweroff"])[0]:
            self.system.capture(["systemctl", "--no-wall", "--force", "poweroff"])
        time.sleep(600)
        return 1


def lock_memory():
    """Locks memory, so that token and key never reach a swap file, which would be part of the image."""
    try:
        import ctypes
        ctypes.CDLL(None).mlockall(1 | 2 | 4)
    except (ImportError, OSError, AttributeError):
        pass
