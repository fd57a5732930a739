"""The machine: files below a root, and child processes. Tests replace it, or give it another root.

A child never gets the runner's own environment, standard input or descriptors.
"""
import array
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import termios
import threading
import time

from progress import StepFailed

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root", "USER": "root", "LOGNAME": "root", "SHELL": "/bin/sh", "LANG": "C.UTF-8", "TERM": "dumb",
    "DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1", "APT_CONFIG": "/run/mkimg/apt.conf",
}
LINE_LIMIT = 8 << 10
GRACE = 5


class System:
    def __init__(self, root=""):
        self.root = root

    def path(self, path):
        return self.root + path

    def which(self, name):
        return shutil.which(name, path=ENVIRONMENT["PATH"])

    def quiet(self, argv, time_limit=60):
        """Exit status and output of a short command whose output nobody needs to follow."""
        try:
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  env=ENVIRONMENT, cwd="/", timeout=time_limit)
        except FileNotFoundError:
            return 127, "%s: not found" % argv[0]
        except subprocess.TimeoutExpired:
            return 124, "%s: no answer within %d s" % (argv[0], time_limit)
        return done.returncode, done.stdout.decode("utf-8", "replace")

    def run(self, argv, line, time_limit, environment=None):
        """Runs a command in a session of its own, hands every line of its output to `line`, returns its exit status.

        At the time limit its process group is ended. A child that it leaves in the background does not hold it up:
        the lines of such a child still go to `line`.
        """
        try:
            child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                     env=dict(ENVIRONMENT, **(environment or {})), cwd="/", start_new_session=True)
        except OSError as error:
            raise StepFailed("%s cannot be started: %s" % (argv[0], error.strerror))
        pipe = child.stdout.fileno()
        reader = threading.Thread(target=_lines, args=(child.stdout, line), daemon=True)
        reader.start()
        try:
            child.wait(time_limit)
        except subprocess.TimeoutExpired:
            _end_group(child)
            raise StepFailed("the time limit of %d s has passed; it was ended" % time_limit)
        finally:
            until = time.monotonic() + GRACE
            reader.join(0.2)
            while reader.is_alive() and _waiting(pipe) and time.monotonic() < until:
                reader.join(0.1)
        return child.returncode

    def write(self, path, data, mode=0o644, owner=None):
        """Writes a whole file: temporary name in the same folder, owner, mode, sync, rename."""
        def fill(file):
            file.write(data)
        self.place(path, fill, mode, owner)

    def place(self, path, fill, mode, owner=None):
        target = self.path(path)
        folder = os.path.dirname(target)
        os.makedirs(folder, 0o755, exist_ok=True)
        if os.path.isdir(target) and not os.path.islink(target):
            raise StepFailed("%s is a directory, so no file can be put there" % path)
        ids = owner_ids(owner) if owner else None
        handle, temporary = tempfile.mkstemp(prefix=".mkimg-", dir=folder)
        try:
            with os.fdopen(handle, "wb") as file:
                fill(file)
                file.flush()
                if ids:
                    os.fchown(file.fileno(), *ids)
                os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
            os.rename(temporary, target)
        except BaseException:
            os.unlink(temporary)
            raise
        sync_folder(folder)

    def remove(self, path):
        """Removes a file or a tree; what is not there is fine."""
        target = self.path(path)
        if os.path.isdir(target) and not os.path.islink(target):
            shutil.rmtree(target, ignore_errors=True)
        elif os.path.lexists(target):
            os.unlink(target)


def sync_folder(folder):
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def owner_ids(owner):
    """The ids of `user:group`, `user` (with its own group) or of numbers."""
    import grp
    import pwd
    user, _, group = owner.partition(":")
    try:
        entry = None if user.isdigit() else pwd.getpwnam(user)
        if group:
            gid = int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
        else:
            gid = entry.pw_gid if entry else int(user)
        return (entry.pw_uid if entry else int(user)), gid
    except KeyError:
        raise StepFailed("the owner %s does not exist on this machine: create it with `users`" % owner)


def interpreter(path):
    """How the kernel would start this script: the folder of the scripts is `noexec`."""
    with open(path, "rb") as file:
        first = file.readline(256)
    words = first[2:].strip().split(None, 1) if first.startswith(b"#!") else []
    if not words:
        raise StepFailed("%s has no #! line" % os.path.basename(path))
    if first.endswith(b"\r\n"):
        raise StepFailed("%s has CRLF line ends" % os.path.basename(path))
    return [os.fsdecode(word) for word in words] + [path]


def _lines(stream, line):
    with stream:
        rest = b""
        while True:
            try:
                data = os.read(stream.fileno(), 64 << 10)
            except OSError:
                data = b""
            if not data:
                break
            # A progress bar rewrites its line with \r: each of its states is a line here.
            *whole, rest = (rest + data).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
            while len(rest) > LINE_LIMIT:
                whole.append(rest[:LINE_LIMIT])
                rest = rest[LINE_LIMIT:]
            for text in whole:
                line(text.decode("utf-8", "replace"))
        if rest:
            line(rest.decode("utf-8", "replace"))


def _waiting(pipe):
    count = array.array("i", [0])
    try:
        fcntl.ioctl(pipe, termios.FIONREAD, count)
    except OSError:
        return False
    return count[0] > 0


def _end_group(child):
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, number)
        except ProcessLookupError:
            pass
        try:
            child.wait(GRACE)
        except subprocess.TimeoutExpired:
            continue
    child.wait()
