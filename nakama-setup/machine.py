"""What every command shares: where things are, how programs are run, how files are replaced, how it ends.

NAKAMA_SETUP_ROOT puts every path below another folder and leaves users and owners alone; NAKAMA_SETUP_DATABASE, _HEALTH
and _PATIENCE are the database's address, the API's URL and the seconds that it may take: all for tests.
"""

import contextlib
import fcntl
import os
import re
import subprocess
import time
import urllib.request

ROOT = os.environ.get("NAKAMA_SETUP_ROOT", "")
INSTANCE = "/etc/nakama/instance.yml"
CERTS = "/etc/cockroach/pki/node"
DATABASE = os.environ.get("NAKAMA_SETUP_DATABASE") or "localhost:26257"
HEALTH = os.environ.get("NAKAMA_SETUP_HEALTH") or "http://127.0.0.1:7350/healthcheck"
# Exit statuses: 0 done, 1 not well, 2 usage (argparse's), and these.
NEEDS_ROOT, REFUSED, BUSY = 3, 4, 5
# How often a wait looks again, and how long Nakama may take until it answers, in seconds.
PAUSE, PATIENCE = 0.5, float(os.environ.get("NAKAMA_SETUP_PATIENCE") or 120)


class Failure(Exception):
    """Ends the program with this text and exit status."""

    def __init__(self, text, status=1):
        super().__init__(text)
        self.status = status


def path(name):
    return ROOT + name


def say(text):
    print(text, flush=True)


def run(*argv, check=True, stdin=None, seconds=900):
    """A program with a clean environment; (exit status, its output; its errors too if it fails). Failure when it fails and `check`."""
    known = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "TERM") or ROOT}
    try:
        done = subprocess.run(argv, input=stdin or "", capture_output=True, text=True, check=False, timeout=seconds,
                              env=dict(known, LC_ALL="C.UTF-8", DEBIAN_FRONTEND="noninteractive", NEEDRESTART_SUSPEND="1"))
    except OSError as error:
        raise Failure("%s cannot be started: %s" % (argv[0], error.strerror)) from None
    except subprocess.TimeoutExpired:
        raise Failure("%s did not end within %d s" % (argv[0], seconds)) from None
    output = (done.stdout + done.stderr * bool(done.returncode)).strip()
    if check and done.returncode:
        raise Failure("%s failed with exit status %d:\n%s" % (" ".join(argv[:3]), done.returncode, output[-2000:]))
    return done.returncode, output


def need_root():
    if os.geteuid() != 0 and not ROOT:
        raise Failure("this needs root: sudo nakama-setup …", NEEDS_ROOT)


@contextlib.contextmanager
def alone(seconds=0):
    """One changing command at a time on this machine."""
    need_root()
    os.makedirs(path("/run"), exist_ok=True)
    # Who may open it may lock it.
    with open(os.open(path("/run/nakama-setup.lock"), os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as lock:
        until = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise Failure("another nakama-setup is at work: try again when it has ended", BUSY) from None
                time.sleep(PAUSE)
        yield


def read(name, default=""):
    try:
        with open(path(name), encoding="utf-8") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return default


def write(name, text, mode=0o644):
    """The whole file or the old one, whatever happens in between."""
    target = path(name)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    new = "%s.%d.new" % (target, os.getpid())
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), mode)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, target)


def remove(name):
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path(name))


def settings():
    """The scalars of instance.yml as {"console.password": …}: the form in which the first boot writes it."""
    need_root()
    found, section = {}, ""
    for line in read(INSTANCE).splitlines():
        match = re.match(r'(\s*)(?:(\w+):|-)\s*(?:"(.*)"|([^\s"#]\S*))?\s*$', line)
        if match and not match.group(1):
            section = match.group(2) or section
        elif match and (match.group(3) or match.group(4)):
            found[section + "." + (match.group(2) or "address")] = match.group(3) or match.group(4)
    if not found:
        raise Failure("%s is not there yet: the first boot is not over (journalctl -u cloud-final)" % INSTANCE)
    return found


def managed():
    """Whether a managed database is used, and CockroachDB is not."""
    return not os.path.exists(path(CERTS + "/node.key")) and os.path.exists(path(INSTANCE))


def sql(statement, seconds=900):
    """Rows of one statement, as root of CockroachDB, without the header. It travels on standard input, as it may hold secrets,
    and needs its semicolon there: without one `cockroach sql` refuses the last statement.
    """
    output = run("cockroach", "sql", "--certs-dir=" + path(CERTS), "--host=" + DATABASE, "--format=tsv", stdin=statement + ";\n", seconds=seconds)[1]
    return [line.split("\t") for line in output.splitlines()[1:]]


def active(unit):
    return run("systemctl", "is-active", unit, check=False, seconds=20)[1].split("\n")[0] or "unknown"


def healthy():
    try:
        with urllib.request.urlopen(HEALTH, timeout=5) as answer:
            return answer.status == 200
    except (OSError, ValueError):
        return False


def wait_healthy():
    """Nakama runs and answers, within PATIENCE."""
    until = time.monotonic() + PATIENCE
    while not (active("nakama.service") == "active" and healthy()):
        if time.monotonic() >= until:
            return False
        time.sleep(PAUSE)
    return True
