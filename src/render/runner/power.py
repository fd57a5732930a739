"""Off, and not off: while steps are at work, a script's stray shutdown is a failed step and not an end."""
import os
import re

from progress import StepFailed

TARGETS = ["poweroff.target", "reboot.target", "halt.target", "kexec.target"]
SCHEDULED = "/run/systemd/shutdown/scheduled"
# systemctl's words, which differ between its ways to ask: through logind, through systemd, in older and newer releases.
REFUSED = re.compile(r"\b(?:poweroff|reboot|halt|kexec)\.target is masked|\bCall to (?:PowerOff|Reboot|Halt|KExec)\w* failed"
                     r"|\bFailed to (?:power off|reboot|halt|kexec) system")


class Power:
    def __init__(self, system):
        self.system = system
        self.masked = False

    def mask(self):
        self.masked = self.system.quiet(["systemctl", "mask", "--runtime"] + TARGETS)[0] == 0

    def unmask(self):
        if self.masked:
            self.system.quiet(["systemctl", "unmask", "--runtime"] + TARGETS)
            self.masked = False

    def watch(self, step):
        """A `line` function for a script's output that notices systemd's refusal, and what it has noticed."""
        refused = []

        def line(text):
            if self.masked and REFUSED.search(text):
                refused.append(text)
            step.line(text)
        return line, refused

    def judge(self, refused):
        if self.masked and os.path.exists(self.system.path(SCHEDULED)):
            self.system.quiet(["shutdown", "-c"])
            raise StepFailed("it scheduled a shutdown, which was cancelled: leave powering off to the bake")
        if refused:
            raise StepFailed("it tried to power off or restart the machine (%s): leave that to the bake" % refused[0].strip())

    def off(self):
        self.unmask()
        status, output = self.system.quiet(["systemctl", "--no-wall", "poweroff"])
        if status:
            self.system.quiet(["systemctl", "--no-wall", "--force", "poweroff"])
        return status, output
