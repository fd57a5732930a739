"""`upgrade`: installs another version of Nakama or CockroachDB, and returns to the previous one.

The current program is kept as NAME.previous, and used again if the new version does not start. Nakama migrates its
schema at each start; an older Nakama runs on a newer schema with a warning. CockroachDB keeps the previous version's
data format until `--finish`.
"""

import json
import os
import re
import shutil
import tarfile
import tempfile

from backup import make_backup, archive_folder
from bucket import sha256
from machine import REFUSED, ROOT, Failure, copy_limited, exclusive_lock, open_url, uses_managed_database, path, run, say, sql, wait_healthy

PROGRAMS = {
    "nakama": ("https://github.com/heroiclabs/nakama/releases/download/v{0}/nakama-{0}-linux-{1}.tar.gz", "--version"),
    "cockroach": ("https://binaries.cockroachdb.com/cockroach-v{0}.linux-{1}.tgz", "version"),
}
DOWNLOAD_SECONDS = 1800
# Of an archive, and of the program in it.
MAX_BYTES = 2 << 30
RELEASES = "https://api.github.com/repos/heroiclabs/nakama/releases/tags/v"
# The last build of each line before 2024-11-18, when the licence changed.
LAST_FREE_PATCH = {(23, 1): 28, (23, 2): 14, (24, 1): 6, (24, 2): 4}


def is_free_version(version):
    number = tuple(int(part) for part in version.split("."))
    return number < (23, 1) or number[2] <= LAST_FREE_PATCH.get(number[:2], -1)


def version_of(program, word):
    found = re.search(r"\d+\.\d+\.\d+", run(program, word, seconds=60)[1])
    return found.group() if found else "unknown"


def fetch(url):
    if not url.startswith(("https://", "file:///")) and not ROOT:
        raise Failure("%s: only https:// and file:/// are allowed" % url, 2)
    return open_url(url, DOWNLOAD_SECONDS)


def published_sum(name, version, url):
    """Fetches the publisher's sha256: CockroachDB's checksum file, or GitHub's list of Nakama releases."""
    if name == "cockroach":
        with fetch(url + ".sha256sum") as answer:
            found = answer.read(4096).decode("ascii", "replace").split()
    else:
        with fetch(RELEASES + version) as answer:
            assets = json.loads(answer.read(1 << 22)).get("assets", [])
        found = [(one.get("digest") or "").replace("sha256:", "") for one in assets if one.get("name") == url.rsplit("/", 1)[1]]
    if not found or not re.fullmatch(r"[0-9a-f]{64}", found[0]):
        raise Failure("the publisher has no sha256 for %s: pass it with --sha256" % url)
    return found[0]


def download(name, options, new):
    """Downloads the program, checks its sum and writes it to `new`."""
    arch = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    url = options.url or PROGRAMS[name][0].format(options.version, arch)
    expected = options.sha256 or published_sum(name, options.version, url)
    with tempfile.TemporaryFile(dir=path("/var/tmp")) as file:
        try:
            with fetch(url) as answer:
                copy_limited(answer, file, MAX_BYTES)
            file.seek(0)
            found = sha256(file)
            if found != expected.lower():
                raise Failure("%s: sha256 is %s, expected %s" % (url, found, expected))
            with tarfile.open(fileobj=file) as tar:
                source = next((tar.extractfile(one) for one in tar
                               if one.isfile() and not one.issparse() and os.path.basename(one.name) == name), None)
                if source is None:
                    raise Failure("%s does not contain the program %s" % (url, name))
                with open(new, "wb") as target:
                    copy_limited(source, target, MAX_BYTES)
                    os.fchmod(target.fileno(), 0o755)
                    os.fsync(target.fileno())
        except (OSError, EOFError, tarfile.TarError) as error:
            raise Failure("%s: %s" % (url, error)) from None


def replace_program(name, new):
    """Installs `new` and keeps the old program as NAME.previous. The program exists at all times."""
    program = path("/usr/local/bin/" + name)
    os.rename(new, new + ".next")
    if os.path.exists(new + ".old"):
        os.unlink(new + ".old")
    os.link(program, new + ".old")
    os.rename(new + ".next", program)
    os.rename(new + ".old", program + ".previous")


def restart_with(name, new):
    run("systemctl", "stop", "nakama.service", check=False)
    if name == "cockroach":
        run("systemctl", "stop", "cockroachdb.service", check=False)
    replace_program(name, new)
    try:
        if name == "cockroach":
            run("systemctl", "start", "cockroachdb.service", check=False)
        run("systemctl", "start", "nakama.service", check=False)
    except Failure:
        # A migration can take longer than `run` allows.
        return False
    return wait_healthy()


def upgrade(options):
    name = options.program
    program, word = path("/usr/local/bin/" + name), PROGRAMS[name][1]
    previous = program + ".previous"
    if sum(map(bool, (options.version, options.back, options.finish))) != 1 or not re.fullmatch(r"\d+\.\d+\.\d+", options.version or "0.0.0"):
        raise Failure("give one of: a version such as 3.40.0, --back, --finish", 2)
    with exclusive_lock():
        if name == "cockroach" and uses_managed_database():
            raise Failure("the database is managed: its provider upgrades it")
        if options.finish:
            sql("RESET CLUSTER SETTING cluster.preserve_downgrade_option")
            say("the database can now use this version's format; you cannot return to the previous version")
            return 0
        if name == "cockroach" and options.version and not is_free_version(options.version) and not options.accept_license:
            raise Failure("CockroachDB %s is under the CockroachDB Software License: it needs a licence key for production. "
                          "If you have one: --accept-license" % options.version, REFUSED)
        if options.back and not os.path.exists(previous):
            raise Failure("there is no previous %s to return to" % name)
        new = path("/usr/local/bin/.%s.new" % name)
        if options.back:
            shutil.copy2(previous, new)
        else:
            download(name, options, new)
        try:
            wanted, present = version_of(new, word), version_of(program, word)
            if options.version and wanted != options.version:
                raise Failure("the archive contains %s %s, not %s" % (name, wanted, options.version))
            if not uses_managed_database() and not options.no_backup:
                say("backup: " + make_backup(archive_folder()))
            if name == "cockroach" and not options.back:
                sql("SET CLUSTER SETTING cluster.preserve_downgrade_option = '%s'" % sql("SHOW CLUSTER SETTING version")[0][0])
            say("%s %s replaces %s" % (name, wanted, present))
            if not restart_with(name, new):
                shutil.copy2(previous, new)
                well = restart_with(name, new)
                raise Failure("%s %s does not start. %s is back, and %s"
                              % (name, wanted, present, "well" if well else "NOT WELL either: nakama-setup status"))
        finally:
            if os.path.exists(new):
                os.unlink(new)
    say("well. nakama-setup upgrade %s --back returns to %s" % (name, present))
    return 0


def add_upgrade(add):
    command = add("upgrade", upgrade, "install another version of Nakama or CockroachDB; undone if it does not start")
    command.add_argument("program", choices=sorted(PROGRAMS))
    command.add_argument("version", nargs="?", help="such as 3.40.0")
    command.add_argument("--url", help="download the archive from here instead of the publisher")
    command.add_argument("--sha256", help="expected sum of the archive")
    command.add_argument("--back", action="store_true", help="return to the previous version")
    command.add_argument("--finish", action="store_true", help="cockroach: let the database use the new format; cannot be undone")
    command.add_argument("--accept-license", action="store_true", help="cockroach: you have a licence key for versions after 2024-11-18")
    command.add_argument("--no-backup", action="store_true", help="do not take a backup first")
