"""Shared by the runner's tests: the modules under test, and a machine whose root is a folder.

With MKIMG_RUNNER_PROGRAM the modules come from the joined program that droplets get, otherwise from the sources.
"""
import json
import os
import shutil
import sys
import tempfile
import types
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAM = os.environ.get("MKIMG_RUNNER_PROGRAM")
MODULES = ("progress", "system", "cloud_init", "packages", "directories", "artifacts", "image", "runner",
           "channel", "firewall", "seal", "wipe", "upload", "check", "verification", "bake")
if PROGRAM:
    # All modules share one namespace.
    with open(PROGRAM) as file:
        body, last = file.read().rstrip("\n").rsplit("\n", 1)
    assert last == "sys.exit(main())", last
    joined = types.ModuleType("joined")
    sys.modules.update(dict.fromkeys(MODULES, joined))
    exec(compile(body, PROGRAM, "exec"), joined.__dict__)
else:
    for half in ("install", "bake"):
        sys.path.insert(0, os.path.join(HERE, "..", "..", "src", "render", "runner", half))

from channel import PagedLog  # noqa: E402
from bake import Bake  # noqa: E402
from runner import BAKE, Runner  # noqa: E402
from seal import remove  # noqa: E402
from system import System  # noqa: E402

OWNER = "%d:%d" % (os.getuid(), os.getgid())


class Machine(System):
    """A machine in a folder. `asked` records commands; `answers` holds their results: a tuple or a function of argv."""

    def __init__(self, root, commands=("systemctl", "cloud-init", "apt-get", "dpkg", "fstrim", "shutdown")):
        System.__init__(self, root)
        self.commands = set(commands)
        self.asked = []
        self.answers = {}

    def which(self, name):
        return "/usr/bin/" + name if name in self.commands else None

    def remove(self, path):
        remove(self.root + path)

    def capture(self, argv, time_limit=60):
        self.asked.append(argv)
        answer = self.answers.get(argv[0], (0, ""))
        return answer(argv) if callable(answer) else answer

    def run(self, argv, line, time_limit, environment={}):
        """Runs scripts, but only records the machine's own commands."""
        if argv[0] in self.commands:
            status, output = self.capture(argv)
            for text in output.splitlines():
                line(text)
            return status
        return System.run(self, argv, line, time_limit, environment)


class Case(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="mkimg-runner-")
        self.addCleanup(shutil.rmtree, self.root)
        self.machine = Machine(self.root)
        self.log = PagedLog(self.root + "/run/log")
        self.lines = []

    def put(self, path, data, mode=0o644):
        target = self.root + path
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "wb") as file:
            file.write(data if isinstance(data, bytes) else data.encode())
        os.chmod(target, mode)
        return target

    def put_result(self, *errors):
        self.put("/run/cloud-init/result.json", json.dumps({"v1": {"datasource": "DataSourceConfigDrive", "errors": errors}}))

    def read(self, path):
        with open(self.root + path, "rb") as file:
            return file.read()

    def make_runner(self, pause=lambda _: None):
        """The half that a droplet would take."""
        if not self.exists(BAKE):
            return Runner(self.machine, pause)
        return Bake(self.machine, json.loads(self.read(BAKE)), pause)

    def exists(self, path):
        return os.path.lexists(self.root + path)
