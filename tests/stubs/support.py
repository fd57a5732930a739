"""What the tests of the image and its stubs share: built programs, free ports, processes that always end.

Run one file with `python3 tests/stubs/test_nakama.py`, all of them with `cargo test --test bake stubs`.
"""

import atexit
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import unittest

PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
STAND_INS = os.path.join(PROJECT, "fixtures", "stand-ins")
ONBOOT = os.path.join(PROJECT, "files/var/lib/cloud/scripts/per-instance/001_onboot")
sys.path.insert(0, os.path.join(STAND_INS, "shared"))

# The tests make hundreds of keys. EC keys take no time, and test_cockroach.py checks that RSA is the default.
os.environ["STAND_IN_KEYS"] = "ec"

_work = tempfile.mkdtemp(prefix="stand-ins-")
atexit.register(shutil.rmtree, _work, True)


def built():
    """The folder of the archives, built once for this process."""
    out = os.path.join(_work, "archives")
    if not os.path.isdir(out):
        subprocess.run([sys.executable, os.path.join(STAND_INS, "build"), out], check=True, stdout=subprocess.DEVNULL)
    return out


def programs():
    """Paths of the two programs, unpacked from their archives as a droplet unpacks them."""
    folder = os.path.join(_work, "bin")
    if not os.path.isdir(folder):
        os.mkdir(folder)
        for name in sorted(os.listdir(built())):
            if name.endswith(("gz", "tgz")):
                with tarfile.open(os.path.join(built(), name)) as archive:
                    for member in archive:
                        base = os.path.basename(member.name)
                        if base in ("nakama", "cockroach"):
                            path = os.path.join(folder, base)
                            with open(path, "wb") as file:
                                shutil.copyfileobj(archive.extractfile(member), file)
                            os.chmod(path, member.mode)
    return os.path.join(folder, "cockroach"), os.path.join(folder, "nakama")


# Ports that this process has chosen: abstract sockets of their names, which vanish with it.
_chosen = []


def _choose(port):
    """Fails when the port is taken, or another test has chosen it and its program does not listen yet."""
    if sys.platform == "linux":
        name = socket.socket(socket.AF_UNIX)
        try:
            name.bind("\0mkimg-tests-port-%d" % port)
        except OSError:
            name.close()
            raise
        _chosen.append(name)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", port))


def free_port(count=1):
    """The first of `count` neighbouring ports of loopback that are free, and that no other test chooses. Not one that the system gives to
    connections of other tests, which might take it in that moment."""
    for _ in range(200):
        first = random.randrange(20000, 32000)
        try:
            for port in range(first, first + count):
                _choose(port)
            return first
        except OSError:
            continue
    raise AssertionError("no %d free ports in a row" % count)


class Case(unittest.TestCase):
    """A test with a folder of its own; every process that it starts is ended with it."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(dir=_work)
        self.cockroach, self.nakama = programs()
        self.started = []
        self.addCleanup(self._end)

    def _end(self):
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.wait()
            process.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def write(self, name, text, mode=0o644):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, mode)
        return path

    def run_(self, *command, status=0, seconds=120, **more):
        """Run to its end; both outputs as one text. Fails when the exit status is another."""
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds, check=False,
                              stdin=subprocess.DEVNULL, text=True, cwd=self.folder, **more)
        self.assertEqual(done.returncode, status, "%s\n%s" % (" ".join(command), done.stdout))
        return done.stdout

    def start(self, *command, **more):
        log = open(self.path("log-%d" % len(self.started)), "w+", encoding="utf-8")
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=self.folder, **more)
        process.stdout = log
        self.started.append(process)
        return process

    def log(self, process):
        with open(process.stdout.name, encoding="utf-8") as file:
            return file.read()

    def until(self, what, probe, process=None, seconds=90):
        """Wait until `probe` answers with something true."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if process is not None and process.poll() is not None:
                self.fail("%s: ended with %d\n%s" % (what, process.returncode, self.log(process)))
            try:
                answer = probe()
            except OSError:
                answer = None
            if answer:
                return answer
            time.sleep(0.05)
        self.fail("%s: not within %d s\n%s" % (what, seconds, self.log(process) if process else ""))

    def terminate(self, process, expected=0, seconds=90):
        process.send_signal(signal.SIGTERM)
        process.wait(seconds)
        self.assertEqual(process.returncode, expected, self.log(process))

    # --- CockroachDB ---

    def certificates(self, users=("root",), folder="certs"):
        """A CA, a node certificate for localhost and one certificate for each user."""
        certs, key = self.path(folder), self.path("ca.key")
        common = ["--certs-dir=" + certs, "--ca-key=" + key]
        self.run_(self.cockroach, "cert", "create-ca", *common)
        self.run_(self.cockroach, "cert", "create-node", "localhost", "127.0.0.1", *common)
        for user in users:
            self.run_(self.cockroach, "cert", "create-client", user, *common)
        return certs

    def database(self, certs, store="store", port=None, command="start-single-node", more=()):
        """A running node that is ready; (process, SQL port, HTTP port)."""
        port, http = port or free_port(), free_port()
        security = ["--certs-dir=" + certs] if certs else ["--insecure"]
        process = self.start(self.cockroach, command, *security, "--store=" + self.path(store),
                             "--listen-addr=localhost:%d" % port, "--http-addr=localhost:%d" % http, *more)
        self.until("the node listens", lambda: "status:" in self.log(process), process)
        return process, port, http

    def sql(self, port, certs, text, status=0, user="root", **more):
        security = ["--certs-dir=" + certs] if certs else ["--insecure"]
        return self.run_(self.cockroach, "sql", *security, "--host=localhost:%d" % port, "--user=" + user, "-e", text, status=status, **more)
