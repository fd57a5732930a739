"""Blocks power-off while steps run, so that a script's shutdown fails its step instead of ending the run."""
import os
import re

from progress import StepFailed

POWER_TARGETS = ["poweroff.target", "reboot.target", "halt.target", "kexec.target"]
SCHEDULED_SHUTDOWN = "/run/systemd/shutdown/scheduled"
# systemctl's messages differ between logind and systemd, and between releases.
REFUSED = re.compile(r"\b(?:poweroff|reboot|halt|kexec)\.target is masked|\bCall to (?:PowerOff|Reboot|Halt|KExec)\w* failed"
                     r"|\bFailed to (?:power off|reboot|halt|kexec) system")


class Power:
    def __init__(self, system):
        self.system = system
        self.masked = False

    def mask(self):
        self.masked = self.system.capture(["systemctl", "mask", "--runtime"] + POWER_TARGETS)[0] == 0

    def unmask(self):
        if self.masked:
            self.system.capture(["systemctl", "unmask", "--runtime"] + POWER_TARGETS)
            self.masked = False

    def watch_output(self, step):
        """Returns a callback for output lines, and the list in which it collects systemd's refusals."""
        refused = []

        def line(text):
            if self.masked and REFUSED.search(text):
                refused.append(text)
            step.line(text)
        return line, refused

    def check_refused(self, refused):
        if self.masked and os.path.exists(self.system.path(SCHEDULED_SHUTDOWN)):
            self.system.capture(["shutdown", "-c"])
            raise StepFailed("it scheduled a shutdown, which was canceled: leave powering off to the bake")
        if refused:
            raise StepFailed("it tried to power off or restart the machine (%s): leave that to the bake" % refused[0].strip())

    def power_off(self):
        self.unmask()
        status, output = self.system.capture(["systemctl", "--no-wall", "poweroff"])
        if status:
            self.system.capture(["systemctl", "--no-wall", "--force", "poweroff"])
        return status, output
