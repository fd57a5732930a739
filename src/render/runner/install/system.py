"""Files and child processes of the machine. Tests replace it or give it another root.

A child process never inherits the runner's environment, standard input or file descriptors.
"""
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading

from progress import StepFailed

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root", "USER": "root", "LOGNAME": "root", "SHELL": "/bin/sh", "LANG": "C.UTF-8", "TERM": "dumb",
    "DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1", "APT_CONFIG": "/run/mkimg/apt.conf",
}
CHILD = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "cwd": "/",
         "encoding": "utf-8", "errors": "replace"}
MAX_LINE = 8 << 10
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
            done = subprocess.run(argv, env=ENVIRONMENT, timeout=time_limit, **CHILD)
        except (OSError, subprocess.TimeoutExpired) as error:
            return 127, str(error)
        return done.returncode, done.stdout

    def run(self, argv, line, time_limit, environment={}):
        """Runs a command in a new session, passes each line of its output to `line`, returns its exit status.

        At the time limit its process group is killed. A background process that it leaves running delays the
        return by some seconds at most, and its output still goes to `line`.
        """
        try:
            child = subprocess.Popen(argv, env=dict(ENVIRONMENT, **environment), start_new_session=True, **CHILD)
        except OSError as error:
            raise StepFailed("%s cannot be started: %s" % (argv[0], error.strerror))
        reader = threading.Thread(target=read_lines, args=(child.stdout, line), daemon=True)
        reader.start()
        try:
            child.wait(time_limit)
        except subprocess.TimeoutExpired:
            for number in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                    os.killpg(child.pid, number)
                    child.wait(GRACE_SECONDS)
            raise StepFailed("killed at its time limit of %d s" % time_limit)
        finally:
            # A process that stays in the background keeps the pipe open.
            reader.join(1)
        return child.returncode

    def make_directory(self, path, owner):
        """Makes missing directories as `write_files` does: they belong to the file's owner."""
        target = self.path(path)
        if not os.path.isdir(target):
            self.make_directory(os.path.dirname(path), owner)
            os.mkdir(target, 0o755)
            shutil.chown(target, *ids(owner))

    def write_file(self, path, data, mode=0o644, owner=None):
        """Replaces a file at once. `data` is bytes or an open file."""
        target = self.path(path)
        folder = os.path.dirname(target)
        os.makedirs(folder, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".mkimg-", dir=folder)
        try:
            with open(handle, "wb") as file:
                if isinstance(data, bytes):
                    file.write(data)
                else:
                    shutil.copyfileobj(data, file)
                # Before the mode: changing the owner clears setuid.
                if owner:
                    shutil.chown(handle, *ids(owner))
                os.fchmod(handle, mode)
            os.rename(temporary, target)
        except LookupError as error:
            raise StepFailed("%s: %s: create it with `users`" % (path, error))
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)


def ids(owner):
    return [int(name) if name.isdigit() else name for name in owner.split(":")]


def read_lines(output, line):
    """Passes lines on. Progress bars rewrite theirs with a carriage return: each state is a line."""
    with output:
        for text in iter(lambda: output.readline(MAX_LINE), ""):
            line(text.rstrip("\n"))


def script_command(path):
    """Returns the command that the kernel would run: the scripts' folder is mounted `noexec`."""
    with open(path, "rb") as file:
        first = file.readline(256)
    if not first.startswith(b"#!"):
        raise StepFailed("%s has no #! line" % os.path.basename(path))
    return [os.fsdecode(word) for word in first[2:].strip().split(None, 1)] + [path]


def require_success(exit_status, name=""):
    if exit_status:
        message = "ended by signal %d" % -exit_status if exit_status < 0 else "exit status %d" % exit_status
        raise StepFailed(name + message, exit_status)
    return exit_status
