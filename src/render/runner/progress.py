"""The log, the steps and the state of a run. All other modules report here.

The log contains complete lines. Memory keeps its last 4 MiB and the file its first 4 MiB; nothing goes to the
journal. Offsets count bytes from the start, including those that memory has dropped.
"""
import collections
import functools
import os
import threading
import time

MAX_LOG_BYTES = 4 << 20
MAX_PAGE_BYTES = 64 << 10


class StepFailed(Exception):
    """Ends a step. The message is for the author of the template."""

    def __init__(self, message, exit_status=None):
        Exception.__init__(self, message)
        self.exit_status = exit_status


class Log:
    def __init__(self, path=None):
        self.lock = threading.Lock()
        self.started = time.monotonic()
        self.buffer = bytearray()
        self.dropped_bytes = 0
        self.tail = collections.deque(maxlen=20)
        self.file = None
        if path:
            os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
            self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)

    def line(self, step, text):
        line = "%7.1f %s: %s\n" % (time.monotonic() - self.started, step, text)
        data = line.encode("utf-8", "replace")
        with self.lock:
            self.tail.append(text)
            if self.file is not None and self.dropped_bytes + len(self.buffer) < MAX_LOG_BYTES:
                try:
                    os.write(self.file, data)
                except OSError:
                    self.file = None
            self.buffer += data
            if len(self.buffer) > MAX_LOG_BYTES:
                # Drop many lines at once, so that a busy log does not move its buffer for every line.
                cut = self.buffer.find(b"\n", len(self.buffer) - MAX_LOG_BYTES + MAX_PAGE_BYTES) + 1
                del self.buffer[:cut]
                self.dropped_bytes += cut

    def read_page(self, offset):
        """Returns the next offset, and at most 64 KiB of complete lines from byte `offset`."""
        with self.lock:
            start = min(max(offset - self.dropped_bytes, 0), len(self.buffer))
            end = min(start + MAX_PAGE_BYTES, len(self.buffer))
            if end < len(self.buffer):
                end = self.buffer.rfind(b"\n", start, end) + 1 or end
            return self.dropped_bytes + end, self.buffer[start:end].decode("utf-8", "replace")

    def read_all(self):
        with self.lock:
            return bytes(self.buffer)


class Step:
    def __init__(self, name, run_action):
        self.name = name
        self.run_action = run_action
        self.state = "pending"
        self.started = None
        self.seconds = 0.0
        self.exit_status = None
        self.line = None

    def describe(self):
        seconds = time.monotonic() - self.started if self.state == "running" else self.seconds
        return {"name": self.name, "state": self.state, "seconds": round(seconds, 1), "exit": self.exit_status}


class Status:
    """The state of a run. `on_change` is called after each change of a step or of the state."""

    def __init__(self, log, bake=None, on_change=None):
        self.log = log
        self.bake = bake
        self.state = "running"
        self.steps = []
        self.check = None
        self.error = None
        self.on_change = on_change or (lambda: None)
        self.acknowledged = threading.Event()

    def describe(self, offset=0):
        next_offset, text = self.log.read_page(offset)
        return {"version": 1, "bake": self.bake, "state": self.state,
                "elapsed": round(time.monotonic() - self.log.started, 1),
                "steps": [step.describe() for step in list(self.steps)],
                "log": {"next": next_offset, "text": text}, "check": self.check, "error": self.error}

    def set_state(self, state):
        self.state = state
        self.log.line("mkimg", "state: %s" % state)
        self.on_change()

    def record_failure(self, step, message, exit_status=None):
        """Keeps the first error. Later ones are often consequences, and are only logged."""
        self.log.line(step, "failed: %s" % message)
        if self.error is None:
            tail = list(self.log.tail)[:-1]
            self.error = {"step": step, "message": message, "exit": exit_status, "tail": "\n".join(tail)}

    def add_steps(self, steps):
        """Adds steps as pending, so that they are visible before they run."""
        self.steps.extend(steps)

    def run(self, steps, before=None, keep_going=False):
        """Runs the steps in order; returns whether all passed. A failure skips the rest, unless `keep_going`."""
        failed = False
        for step in steps:
            if failed and not keep_going:
                step.state = "skipped"
                continue
            if before:
                before()
            step.line = functools.partial(self.log.line, step.name)
            step.started = time.monotonic()
            step.state = "running"
            self.log.line(step.name, "started")
            self.log.tail.clear()
            self.on_change()
            try:
                step.exit_status = step.run_action(step)
                state = "passed"
            except StepFailed as error:
                step.exit_status = error.exit_status
                self.record_failure(step.name, str(error), error.exit_status)
                state = "failed"
            except Exception as error:
                import traceback
                for line in traceback.format_exc().splitlines():
                    self.log.line(step.name, line)
                self.record_failure(step.name, "%s: %s" % (type(error).__name__, error))
                state = "failed"
            step.seconds = time.monotonic() - step.started
            step.state = state
            failed = failed or state == "failed"
            if state == "passed":
                self.log.line(step.name, "passed after %.1f s" % step.seconds)
            self.on_change()
        return not failed
