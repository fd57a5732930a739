"""The proof of a snapshot on a machine made from it: cloud-init, on-boot scripts, services, ports, commands."""
import json
import os
import socket
import time

from progress import Step, StepFailed

PAUSE = 2
STAYS = 5
SEMAPHORES = {
    "per-instance": "/var/lib/cloud/instance/sem/config_scripts_per_instance",
    "per-once": "/var/lib/cloud/sem/config_scripts_per_once.once",
}


class Verification:
    def __init__(self, system, plan, pause):
        self.system = system
        self.plan = plan
        self.pause = pause
        self.limit = plan["time_limits"]["ready"]
        self.deadline = time.monotonic() + self.limit
        self.restarts = {}

    def steps(self):
        def each(kind, key, probe):
            return [Step("%s %s" % (kind, short(item)), lambda step, it=item: self._wait(step, probe, it))
                    for item in self.plan.get(key) or []]
        steps = [Step("cloud-init", lambda step: self._wait(step, self._cloud_init, None))]
        steps += each("on boot", "on_boot", self._on_boot)
        steps += each("service", "services", self._service)
        steps += each("port", "ports", self._port)
        steps += each("command", "commands", self._command)
        if self.plan.get("services") or self.plan.get("ports"):
            steps.append(Step("still up", self._still_up))
        return steps

    def _wait(self, step, probe, item):
        """Asks until the answer is yes or the time has passed, and at least once."""
        while True:
            problem = probe(step, item)
            if problem is None:
                return None
            if time.monotonic() >= self.deadline:
                raise StepFailed("not ready after %d s: %s" % (self.limit, problem))
            self.pause(PAUSE)

    def _cloud_init(self, step, _):
        try:
            with open(self.system.path("/run/cloud-init/result.json")) as file:
                result = json.load(file)["v1"]
        except (OSError, ValueError, KeyError):
            return "cloud-init has not finished"
        if result.get("errors"):
            raise StepFailed("cloud-init reports errors: %s" % "; ".join(map(str, result["errors"])))
        step.line("datasource %s, no errors" % result.get("datasource"))
        return None

    def _on_boot(self, step, path):
        local = self.system.path(path)
        if not os.path.isfile(local):
            raise StepFailed("%s is not in the image" % path)
        if not os.access(local, os.X_OK):
            raise StepFailed("%s is not executable, so cloud-init passes over it" % path)
        frequency = os.path.basename(os.path.dirname(path))
        semaphore = SEMAPHORES.get(frequency)
        if semaphore and not os.path.exists(self.system.path(semaphore)):
            return "cloud-init has not run %s (no %s)" % (path, semaphore)
        return None

    def _show(self, unit):
        _, output = self.system.quiet(["systemctl", "show", "-p", "LoadState,ActiveState,SubState,Result,NRestarts", unit])
        return dict(text.split("=", 1) for text in output.splitlines() if "=" in text)

    def _service(self, step, unit):
        found = self._show(unit)
        state = found.get("ActiveState")
        if state == "active":
            self.restarts[unit] = found.get("NRestarts")
            return None
        problem = "it is %s (%s, result %s, %s restarts)" % (
            state, found.get("SubState"), found.get("Result"), found.get("NRestarts"))
        missing = found.get("LoadState") == "not-found"
        if missing or time.monotonic() >= self.deadline:
            self._journal(step, unit)
        if missing:
            raise StepFailed("%s is not in the image" % unit)
        return problem

    def _journal(self, step, unit):
        for text in self.system.quiet(["journalctl", "--no-pager", "-n", "15", "-o", "cat", "-u", unit])[1].splitlines():
            step.line(text)

    def _port(self, step, port):
        try:
            socket.create_connection(("127.0.0.1", port), 5).close()
        except OSError as error:
            return "127.0.0.1:%d: %s" % (port, error.strerror or error)
        return None

    def _command(self, step, command):
        left = max(self.deadline - time.monotonic(), 10)
        status = self.system.run(["/bin/sh", "-c", command], step.line, left)
        return "exit status %d" % status if status else None

    def _still_up(self, step):
        """What answered once must not be a service between two crashes."""
        self.pause(STAYS)
        for unit, before in self.restarts.items():
            found = self._show(unit)
            if found.get("ActiveState") != "active" or found.get("NRestarts") != before:
                self._journal(step, unit)
                raise StepFailed("%s did not stay up: it is %s, %s restarts (%s before)" % (
                    unit, found.get("ActiveState"), found.get("NRestarts"), before))
        for port in self.plan.get("ports") or []:
            problem = self._port(step, port)
            if problem:
                raise StepFailed("it answered before, and does not now: %s" % problem)
        return None


def short(item):
    """The name of a step stands before every line of its log: a script's path or a long command is cut for it."""
    name = str(item)
    if name.startswith("/var/lib/cloud/scripts/"):
        name = name.rsplit("/", 1)[-1]
    return name if len(name) <= 40 else name[:39] + "\u2026"
