"""The log, the steps and the state of a run. All other modules report here."""
import collections
import functools
import os
import time
import traceback

MAX_LOG_BYTES = 4 << 20


class StepFailed(Exception):
    """Ends a step. The message is for the author of the template."""

    def __init__(self, message, exit_status=None):
        Exception.__init__(self, message)
        self.exit_status = exit_status


class Log:
    """Complete lines. The file keeps the first 4 MiB; nothing goes to the journal."""

    def __init__(self, path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self.started = time.monotonic()
        self.size = 0
        self.tail = collections.deque(maxlen=20)

    def line(self, step, text):
        self.tail.append(text)
        self.write(("%7.1f %s: %s\n" % (time.monotonic() - self.started, step, text)).encode("utf-8", "replace"))

    def write(self, data):
        try:
            if self.size < MAX_LOG_BYTES:
                os.write(self.file, data)
        except OSError:
            # A full disk must not end the thread that reads a script's output.
            pass
        self.size += len(data)


class Step:
    """`action` gets a function that logs a line. It returns an exit status or None."""

    def __init__(self, name, action):
        self.name = name
        self.action = action
        self.state = "pending"
        self.seconds = 0
        self.exit_status = None

    def describe(self):
        seconds = time.monotonic() - self.started if self.state == "running" else self.seconds
        return {"name": self.name, "state": self.state, "seconds": round(seconds, 1), "exit": self.exit_status}


class Status:
    """The state of a run. `changed` is called at each change of a step or of the state."""

    def __init__(self, log, bake=None, changed=lambda: None):
        self.log = log
        self.bake = bake
        self.changed = changed
        self.state = "running"
        self.steps = []
        self.check = self.error = None

    def describe(self):
        return {"version": 1, "bake": self.bake, "state": self.state,
                "elapsed": round(time.monotonic() - self.log.started, 1),
                "steps": [step.describe() for step in self.steps],
                "log": {"next": self.log.size, "text": ""}, "check": self.check, "error": self.error}

    def set_state(self, state):
        self.state = state
        self.log.line("mkimg", "state: " + state)
        self.changed()

    def record_failure(self, step, error):
        """Keeps the first error. Later ones are often consequences, and are only logged."""
        message = str(error)
        exit_status = getattr(error, "exit_status", None)
        if not isinstance(error, StepFailed):
            message = "%s: %s" % (type(error).__name__, error)
            for text in traceback.format_exc().splitlines():
                self.log.line(step, text)
        if not self.error:
            self.error = {"step": step, "message": message, "exit": exit_status, "tail": "\n".join(self.log.tail)}
        self.log.line(step, "failed: " + message)

    def run(self, steps, passed=True, keep_going=False):
        """Runs the steps in order; returns whether all passed. A failure skips the rest, unless `keep_going`."""
        for step in steps:
            if not (passed or keep_going):
                step.state = "skipped"
                continue
            step.started = time.monotonic()
            step.state = "running"
            self.changed()
            self.log.line(step.name, "started")
            self.log.tail.clear()
            try:
                step.exit_status = step.action(functools.partial(self.log.line, step.name))
                state = "passed"
            except Exception as error:
                self.record_failure(step.name, error)
                step.exit_status = getattr(error, "exit_status", None)
                state = "failed"
                passed = False
            step.seconds = time.monotonic() - step.started
            step.state = state
            self.log.line(step.name, "%s after %.1f s" % (state, step.seconds))
            self.changed()
        return passed
