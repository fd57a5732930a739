"""Checks a machine made from the snapshot: cloud-init, on-boot scripts, services, ports, commands."""
import functools
import os
import socket
import time

from cloud_init import CLOUD_INIT_RESULT, check_cloud_init, read_state
from progress import Step, StepFailed

POLL_SECONDS = 2
STABLE_SECONDS = 5
SEMAPHORES = {
    "per-instance": "/var/lib/cloud/instance/sem/config_scripts_per_instance",
    "per-once": "/var/lib/cloud/sem/config_scripts_per_once.once",
}


class Verification:
    def __init__(self, system, plan, pause):
        self.system = system
        self.plan = plan
        self.pause = pause
        self.ready_seconds = plan["time_limits"]["ready"]
        self.deadline = time.monotonic() + self.ready_seconds
        self.restarts = {}

    def steps(self):
        def each(kind, key, probe):
            return [Step("%s %s" % (kind, short_name(item)), functools.partial(self._wait_until_ready, probe, item))
                    for item in self.plan.get(key) or []]
        steps = [Step("cloud-init", functools.partial(self._wait_until_ready, self._check_cloud_init, None))]
        steps += each("on boot", "on_boot", self._check_on_boot)
        steps += each("service", "services", self._check_service)
        steps += each("port", "ports", self._check_port)
        steps += each("command", "commands", self._check_command)
        if self.plan.get("services") or self.plan.get("ports"):
            steps.append(Step("still up", self._check_still_up))
        return steps

    def _wait_until_ready(self, probe, item, line):
        """Runs the probe until it passes or the deadline has passed, at least once."""
        while True:
            problem = probe(item, line)
            if problem is None:
                return None
            if time.monotonic() >= self.deadline:
                raise StepFailed("not ready after %d s: %s" % (self.ready_seconds, problem))
            self.pause(POLL_SECONDS)

    def _check_cloud_init(self, _, line):
        if read_state(self.system, CLOUD_INIT_RESULT) is None:
            return "cloud-init has not finished"
        return check_cloud_init(self.system, line)

    def _check_on_boot(self, path, line):
        local = self.system.path(path)
        if not os.path.isfile(local):
            raise StepFailed("%s is not in the image" % path)
        if not os.access(local, os.X_OK):
            raise StepFailed("%s is not executable, so cloud-init skips it" % path)
        frequency = os.path.basename(os.path.dirname(path))
        semaphore = SEMAPHORES.get(frequency)
        if semaphore and not os.path.exists(self.system.path(semaphore)):
            return "cloud-init has not run %s (no %s)" % (path, semaphore)
        return None

    def _unit_properties(self, unit):
        _, output = self.system.capture(["systemctl", "show", "-p", "LoadState,ActiveState,SubState,Result,NRestarts", unit])
        return dict(text.split("=", 1) for text in output.splitlines() if "=" in text)

    def _check_service(self, unit, line):
        found = self._unit_properties(unit)
        state = found.get("ActiveState")
        if state == "active":
            self.restarts[unit] = found.get("NRestarts")
            return None
        problem = "it is %s (%s, result %s, %s restarts)" % (
            state, found.get("SubState"), found.get("Result"), found.get("NRestarts"))
        missing = found.get("LoadState") == "not-found"
        if missing or time.monotonic() >= self.deadline:
            self._log_journal(unit, line)
        if missing:
            raise StepFailed("%s is not in the image" % unit)
        return problem

    def _log_journal(self, unit, line):
        for text in self.system.capture(["journalctl", "--no-pager", "-n", "15", "-o", "cat", "-u", unit])[1].splitlines():
            line(text)

    def _check_port(self, port, line):
        try:
            socket.create_connection(("127.0.0.1", port), 5).close()
        except OSError as error:
            return "127.0.0.1:%d: %s" % (port, error.strerror or error)
        return None

    def _check_command(self, command, line):
        remaining = max(self.deadline - time.monotonic(), 10)
        status = self.system.run(["/bin/sh", "-c", command], line, remaining)
        return "exit status %d" % status if status else None

    def _check_still_up(self, line):
        """Checks that nothing was only up between two crashes."""
        self.pause(STABLE_SECONDS)
        for unit, before in self.restarts.items():
            found = self._unit_properties(unit)
            if found.get("ActiveState") != "active" or found.get("NRestarts") != before:
                self._log_journal(unit, line)
                raise StepFailed("%s did not stay up: it is %s, %s restarts (%s before)" % (
                    unit, found.get("ActiveState"), found.get("NRestarts"), before))
        for port in self.plan.get("ports") or []:
            problem = self._check_port(port, line)
            if problem:
                raise StepFailed("it stopped answering: %s" % problem)
        return None


def short_name(item):
    """Shortens a path or command: step names are part of every log line."""
    name = str(item)
    if name.startswith("/var/lib/cloud/scripts/"):
        name = name.rsplit("/", 1)[-1]
    return name if len(name) <= 40 else name[:39] + "\u2026"
