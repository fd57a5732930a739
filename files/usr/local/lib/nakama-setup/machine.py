"""Shared by all commands: paths, running programs, replacing files, exit statuses.

For tests, NAKAMA_SETUP_ROOT puts every path below another folder and leaves users and owners alone.
NAKAMA_SETUP_DATABASE, _HEALTH and _PATIENCE set the database's address, the API's URL and how long to wait for it, and
NAKAMA_SETUP_BACKUP_AGE how old the state of a backup is.
"""

import contextlib
import fcntl
import http.client
import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request

ROOT = os.environ.get("NAKAMA_SETUP_ROOT", "")
INSTANCE = "/etc/nakama/instance.yml"
CERTS = "/etc/cockroach/pki/node"
DATABASE = os.environ.get("NAKAMA_SETUP_DATABASE") or "localhost:26257"
HEALTH = os.environ.get("NAKAMA_SETUP_HEALTH") or "http://127.0.0.1:7350/healthcheck"
# Exit statuses: 0 done, 1 not well, 2 usage (argparse's), and these.
NEEDS_ROOT, REFUSED, BUSY = 3, 4, 5
# The interval between health checks, and how long Nakama may take to become healthy.
POLL_SECONDS, HEALTH_SECONDS = 0.5, float(os.environ.get("NAKAMA_SETUP_PATIENCE") or 120)


class Failure(Exception):
    """Ends the program with a message and an exit status."""

    def __init__(self, text, status=1):
        super().__init__(text)
        self.status = status


class HttpFailure(Failure):
    """A server's answer that is an error, with its HTTP status."""

    def __init__(self, text, code):
        super().__init__(text)
        self.code = code


def path(name):
    return ROOT + name


def say(text):
    print(text, flush=True)


def run(*argv, check=True, stdin=None, seconds=900):
    """Runs a program with a clean environment.

    Returns its exit status and its output, with standard error if it failed. Raises Failure if it fails and `check` is set.
    """
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
def exclusive_lock(seconds=0):
    """Allows one changing command at a time."""
    need_root()
    os.makedirs(path("/run"), exist_ok=True)
    # Anyone who can open the file can lock it, so only root may open it.
    with open(os.open(path("/run/nakama-setup.lock"), os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as lock:
        until = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise Failure("another nakama-setup is running: try again when it has finished", BUSY) from None
                time.sleep(POLL_SECONDS)
        yield


@contextlib.contextmanager
def as_owner_of(name):
    """Acts as the user who owns this folder. Root would follow the links that a hostile service plants there."""
    is_root, owner, groups = os.geteuid() == 0, os.stat(path(name)), os.getgroups()
    if is_root:
        os.setgroups([])
        os.setegid(owner.st_gid)
        os.seteuid(owner.st_uid)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
            os.setegid(0)
            os.setgroups(groups)


def read(name, default=""):
    try:
        with open(path(name), encoding="utf-8") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return default


def write(name, text, mode=0o644):
    """Replaces a file atomically."""
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


def instance_settings():
    """Reads the scalars of instance.yml, as the first boot writes them, into {"console.password": …}."""
    # Nakama's own user can read it, too.
    if not os.access(path(INSTANCE), os.R_OK):
        need_root()
    found, section = {}, ""
    for line in read(INSTANCE).splitlines():
        match = re.match(r'(\s*)(?:(\w+):|-)\s*(?:"(.*)"|([^\s"#]\S*))?\s*$', line)
        if match and not match.group(1):
            section = match.group(2) or section
        elif match and (match.group(3) or match.group(4)):
            # Of a list, Nakama uses the first.
            found.setdefault(section + "." + (match.group(2) or "address"), match.group(3) or match.group(4))
    if not found:
        raise Failure("%s does not exist yet: the first boot is not finished (journalctl -u cloud-final)" % INSTANCE)
    return found


def uses_managed_database():
    """Whether a managed database is used instead of CockroachDB."""
    return not os.path.exists(path(CERTS + "/node.key")) and os.path.exists(path(INSTANCE))


def sql(statement, seconds=900):
    """Runs one statement as CockroachDB's root and returns its rows without the header.

    The statement may contain secrets, so it goes to standard input, where `cockroach sql` requires the semicolon.
    """
    output = run("cockroach", "sql", "--certs-dir=" + path(CERTS), "--host=" + DATABASE, "--format=tsv", stdin=statement + ";\n", seconds=seconds)[1]
    return [line.split("\t") for line in output.splitlines()[1:]]


def unit_state(unit):
    return run("systemctl", "is-active", unit, check=False, seconds=20)[1].split("\n")[0] or "unknown"


class Redirects(urllib.request.HTTPRedirectHandler):
    """https stays https, and a signed request stays with its service."""

    def redirect_request(self, request, file, code, message, headers, url):
        new = super().redirect_request(request, file, code, message, headers, url)
        if request.has_header("Authorization") or new.type not in ("https", request.type):
            raise urllib.error.HTTPError(request.full_url, code, "the redirect to %s is refused" % url, headers, file)
        return new


@contextlib.contextmanager
def open_url(request, seconds):
    """Opens a URL. The `with` block fails after this many seconds, even if the server sends slowly."""
    url = getattr(request, "full_url", request)

    def expire(*_):
        raise Failure("%s: not complete after %d s" % (url, seconds))

    signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        with urllib.request.build_opener(Redirects).open(request, timeout=60) as answer:
            yield answer
    except urllib.error.HTTPError as error:
        # The words of an S3 service.
        words = re.findall(r"<(?:Code|Message)>(.*?)<", error.read(4096).decode("utf-8", "replace"))
        raise HttpFailure("%s: HTTP %d %s" % (url, error.code, ": ".join(words) or error.reason), error.code) from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise Failure("%s: %s" % (url, error)) from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def copy_limited(source, target, limit):
    """Copies a file. Fails if it has more bytes than the limit."""
    while data := source.read(1 << 20):
        target.write(data)
        if target.tell() > limit:
            raise OSError("it is larger than %d bytes" % limit)


def is_healthy():
    try:
        with open_url(HEALTH, 5) as answer:
            return answer.status == 200
    except Failure:
        return False


def wait_healthy():
    """Waits until Nakama runs and answers. Returns False after HEALTH_SECONDS."""
    until = time.monotonic() + HEALTH_SECONDS
    while not (unit_state("nakama.service") == "active" and is_healthy()):
        if time.monotonic() >= until:
            return False
        time.sleep(POLL_SECONDS)
    return True
