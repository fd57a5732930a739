"""Files and child processes of the machine. Tests replace it or give it another root.

A child process never inherits the runner's environment, standard input or file descriptors.
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
MAX_LINE_BYTES = 8 << 10
GRACE_SECONDS = 5


class System:
    def __init__(self, root=""):
        self.root = root

    def path(self, path):
        return self.root + path

    def which(self, name):
        return shutil.which(name, path=ENVIRONMENT["PATH"])

    def capture(self, argv, time_limit=60):
        """Runs a short command and returns its exit status and output."""
        try:
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  env=ENVIRONMENT, cwd="/", timeout=time_limit)
        except FileNotFoundError:
            return 127, "%s: not found" % argv[0]
        except subprocess.TimeoutExpired:
            return 124, "%s: no result within %d s" % (argv[0], time_limit)
        return done.returncode, done.stdout.decode("utf-8", "replace")

    def run(self, argv, line, time_limit, environment=None):
        """Runs a command in a new session, passes each line of its output to `line`, returns its exit status.

        At the time limit its process group is killed. A background process that it leaves running does not
        delay the return, and its output still goes to `line`.
        """
        try:
            child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                     env=dict(ENVIRONMENT, **(environment or {})), cwd="/", start_new_session=True)
        except OSError as error:
            raise StepFailed("%s cannot be started: %s" % (argv[0], error.strerror))
        pipe = child.stdout.fileno()
        reader = threading.Thread(target=_read_lines, args=(child.stdout, line), daemon=True)
        reader.start()
        try:
            child.wait(time_limit)
        except subprocess.TimeoutExpired:
            _end_process_group(child)
            raise StepFailed("killed at its time limit of %d s" % time_limit)
        finally:
            until = time.monotonic() + GRACE_SECONDS
            reader.join(0.2)
            while reader.is_alive() and _has_unread_output(pipe) and time.monotonic() < until:
                reader.join(0.1)
        return child.returncode

    def write_file(self, path, data, mode=0o644, owner=None):
        """Replaces a file atomically."""
        def fill(file):
            file.write(data)
        self.replace_file(path, fill, mode, owner)

    def replace_file(self, path, fill, mode, owner=None):
        target = self.path(path)
        folder = os.path.dirname(target)
        os.makedirs(folder, 0o755, exist_ok=True)
        if os.path.isdir(target) and not os.path.islink(target):
            raise StepFailed("%s is a directory, not a file" % path)
        ids = resolve_owner(owner) if owner else None
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
        """Removes a file or a tree, if it exists."""
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


def resolve_owner(owner):
    """Returns the ids of `user:group` or `user` (with its primary group); both may be numbers."""
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


def script_command(path):
    """Returns the command that the kernel would run: the scripts' folder is mounted `noexec`."""
    with open(path, "rb") as file:
        first = file.readline(256)
    words = first[2:].strip().split(None, 1) if first.startswith(b"#!") else []
    if not words:
        raise StepFailed("%s has no #! line" % os.path.basename(path))
    if first.endswith(b"\r\n"):
        raise StepFailed("%s has CRLF line endings" % os.path.basename(path))
    return [os.fsdecode(word) for word in words] + [path]


def _read_lines(stream, line):
    with stream:
        rest = b""
        while True:
            try:
                data = os.read(stream.fileno(), 64 << 10)
            except OSError:
                data = b""
            if not data:
                break
            # Progress bars rewrite their line with \r: log each state as a line.
            *lines, rest = (rest + data).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
            while len(rest) > MAX_LINE_BYTES:
                lines.append(rest[:MAX_LINE_BYTES])
                rest = rest[MAX_LINE_BYTES:]
            for text in lines:
                line(text.decode("utf-8", "replace"))
        if rest:
            line(rest.decode("utf-8", "replace"))


def _has_unread_output(pipe):
    count = array.array("i", [0])
    try:
        fcntl.ioctl(pipe, termios.FIONREAD, count)
    except OSError:
        return False
    return count[0] > 0


def _end_process_group(child):
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, number)
        except ProcessLookupError:
            pass
        try:
            child.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            continue
    child.wait()
