"""What the runner knows of itself: the log, the steps, the state. Every other module reports here.

The log holds whole lines only. It is kept in memory (the last 4 MiB) and in a file (the first 4 MiB), never in the
journal. Offsets count bytes since the start, also of what memory has let go.
"""
import collections
import functools
import os
import threading
import time

LOG_LIMIT = 4 << 20
LOG_PAGE = 64 << 10


class StepFailed(Exception):
    """A step cannot go on. The message is for the person who wrote the template."""

    def __init__(self, message, exit=None):
        Exception.__init__(self, message)
        self.exit = exit


class Log:
    def __init__(self, path=None):
        self.lock = threading.Lock()
        self.began = time.monotonic()
        self.kept = bytearray()
        self.dropped = 0
        self.tail = collections.deque(maxlen=20)
        self.file = None
        if path:
            os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
            self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)

    def line(self, step, text):
        line = "%7.1f %s: %s\n" % (time.monotonic() - self.began, step, text)
        data = line.encode("utf-8", "replace")
        with self.lock:
            self.tail.append(text)
            if self.file is not None and self.dropped + len(self.kept) < LOG_LIMIT:
                try:
                    os.write(self.file, data)
                except OSError:
                    self.file = None
            self.kept += data
            if len(self.kept) > LOG_LIMIT:
                # Whole lines go, and more than one at a time, so that a busy log does not copy itself at every line.
                cut = self.kept.find(b"\n", len(self.kept) - LOG_LIMIT + LOG_PAGE) + 1
                del self.kept[:cut]
                self.dropped += cut

    def page(self, offset):
        """At most 64 KiB of whole lines from byte `offset`, and the offset to ask for next."""
        with self.lock:
            start = min(max(offset - self.dropped, 0), len(self.kept))
            end = min(start + LOG_PAGE, len(self.kept))
            if end < len(self.kept):
                end = self.kept.rfind(b"\n", start, end) + 1 or end
            return self.dropped + end, self.kept[start:end].decode("utf-8", "replace")

    def whole(self):
        with self.lock:
            return bytes(self.kept)


class Step:
    def __init__(self, name, work):
        self.name = name
        self.work = work
        self.state = "pending"
        self.began = None
        self.seconds = 0.0
        self.exit = None
        self.line = None

    def describe(self):
        seconds = time.monotonic() - self.began if self.state == "running" else self.seconds
        return {"name": self.name, "state": self.state, "seconds": round(seconds, 1), "exit": self.exit}


class Status:
    """The state of the whole run. `changed` is called after every change of a step or of the state."""

    def __init__(self, log, bake=None, changed=None):
        self.log = log
        self.bake = bake
        self.state = "running"
        self.steps = []
        self.check = None
        self.error = None
        self.changed = changed or (lambda: None)
        self.acknowledged = threading.Event()

    def describe(self, offset=0):
        next_offset, text = self.log.page(offset)
        return {"version": 1, "bake": self.bake, "state": self.state,
                "elapsed": round(time.monotonic() - self.log.began, 1),
                "steps": [step.describe() for step in list(self.steps)],
                "log": {"next": next_offset, "text": text}, "check": self.check, "error": self.error}

    def become(self, state):
        self.state = state
        self.log.line("mkimg", "state: %s" % state)
        self.changed()

    def fail(self, step, message, exit=None):
        """Keeps the first error: what fails after it is a consequence, or a further finding in the log."""
        self.log.line(step, "failed: %s" % message)
        if self.error is None:
            tail = list(self.log.tail)[:-1]
            self.error = {"step": step, "message": message, "exit": exit, "tail": "\n".join(tail)}

    def plan(self, steps):
        """Shows steps as pending."""
        self.steps.extend(steps)

    def run(self, steps, before=None, go_on=False):
        """Runs planned steps in order and says whether all passed. After a failure the rest is skipped, unless `go_on`."""
        failed = False
        for step in steps:
            if failed and not go_on:
                step.state = "skipped"
                continue
            if before:
                before()
            step.line = functools.partial(self.log.line, step.name)
            step.began = time.monotonic()
            step.state = "running"
            self.log.line(step.name, "started")
            self.log.tail.clear()
            self.changed()
            try:
                step.exit = step.work(step)
                state = "passed"
            except StepFailed as error:
                step.exit = error.exit
                self.fail(step.name, str(error), error.exit)
                state = "failed"
            except Exception as error:
                import traceback
                for line in traceback.format_exc().splitlines():
                    self.log.line(step.name, line)
                self.fail(step.name, "%s: %s" % (type(error).__name__, error))
                state = "failed"
            step.seconds = time.monotonic() - step.began
            step.state = state
            failed = failed or state == "failed"
            if state == "passed":
                self.log.line(step.name, "passed after %.1f s" % step.seconds)
            self.changed()
        return not failed
