"""`backup` and `restore` of CockroachDB's database `nakama`.

`BACKUP DATABASE … INTO` takes a full, consistent backup while the server runs; full ones need no licence (20.2 and later).
It goes into the node's own folder, becomes one archive, and travels from there: the database itself reaches no network.
`restore` fills a database beside the one in use and swaps their names while Nakama is down. Nothing is ever deleted by it.
"""

import glob
import os
import re
import shutil
import tarfile
import time

from bucket import backup_settings, transfer
from machine import REFUSED, ROOT, Failure, alone, managed, path, run, say, sql, wait_healthy

FOLDER = "/var/backups/nakama"
STORE = "/var/lib/cockroach"
# `nodelocal` is this folder of the store.
EXTERN = STORE + "/extern"
INCOMING, BEFORE = "nakama_restored", "nakama_before_"
# What a BACKUP or a RESTORE may take: as the unit of the nightly one.
HOURS = 3 * 3600


def need_local():
    if managed():
        raise Failure("the database is a managed one: its provider keeps the backups (DigitalOcean: daily, seven days)")


def now():
    return time.strftime("%Y%m%dt%H%M%Sz", time.gmtime())


def place(name):
    return "'nodelocal://%s/%s'" % (sql("SHOW node_id")[0][0], name)


def clear(*archives):
    """Removes what a backup or a restore leaves beside its result, one that was cut off too: `alone`, there is no other."""
    for one in glob.glob(path(EXTERN + "/nakama-*")) + glob.glob(path(EXTERN + "/restore-*")):
        shutil.rmtree(one, ignore_errors=True)
    for one in archives:
        os.unlink(one)


def own_folder(to=""):
    """Where this machine keeps its archives, `to` or what backup.conf says."""
    to = to or backup_settings().get("TO", "")
    return path(FOLDER) if not to or to.startswith("s3://") else to


def backups(folder):
    """Archives in a folder, the oldest first."""
    try:
        return sorted(name for name in os.listdir(folder) if re.fullmatch(r"nakama-\d{8}t\d{6}z\.tar\.gz", name))
    except FileNotFoundError:
        return []


def size(file):
    """0 for one that is gone by now: the database removes files at any time."""
    try:
        return os.path.getsize(file)
    except OSError:
        return 0


def make_backup(folder):
    """The path of a new archive in this folder."""
    name = "nakama-" + now()
    os.makedirs(folder, mode=0o700, exist_ok=True)
    unfinished = os.path.join(glob.escape(folder), "nakama-*.new")
    clear(*glob.glob(unfinished))
    store = sum(size(os.path.join(top, one)) for top, _, names in os.walk(path(STORE)) for one in names)
    free = min(shutil.disk_usage(one).free for one in (folder, path(STORE)))
    if free < store:
        raise Failure("not enough room for a backup: the database takes %d MB, %d MB are free" % (store >> 20, free >> 20))
    archive = os.path.join(folder, name + ".tar.gz")
    try:
        sql("BACKUP DATABASE nakama INTO " + place(name), HOURS)
        descriptor = os.open(archive + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as file:
            # The tables are compressed already.
            with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as tar:
                tar.add(path(EXTERN + "/" + name), arcname="backup")
            file.flush()
            os.fsync(descriptor)
        os.replace(archive + ".new", archive)
    finally:
        clear(*glob.glob(unfinished))
    return archive


def backup(options):
    with alone(600):
        need_local()
        config = backup_settings()
        to = options.to or config.get("TO", "")
        folder = own_folder(to)
        try:
            keep = max(1, int(config.get("KEEP", "7")))
        except ValueError:
            raise Failure("KEEP in /etc/nakama/backup.conf is no number", 2) from None
        archive = make_backup(folder)
        say("%s, %.1f MB" % (archive, os.path.getsize(archive) / 1e6))
        for old in backups(folder)[:-keep]:
            os.unlink(os.path.join(folder, old))
        if to.startswith("s3://"):
            target = to.rstrip("/") + "/" + os.path.basename(archive)
            transfer(target, archive, upload=True)
            say(target)
    return 0


def extract(archive, folder):
    """Plain files and folders below `backup/` only: an archive may come from anywhere."""
    try:
        with tarfile.open(archive, "r:gz") as tar:
            members = list(tar)
            if not all((one.isfile() or one.isdir()) and re.match(r"backup(/|$)", one.name) and ".." not in one.name.split("/") for one in members):
                raise Failure("%s is not an archive of nakama-setup backup" % archive)
            # Python 3.12 warns where none is set.
            tar.extraction_filter = getattr(tarfile, "data_filter", None)
            tar.extractall(folder, members)
    except (OSError, EOFError, tarfile.TarError) as error:
        raise Failure("%s cannot be read: %s" % (archive, error)) from None


def databases():
    return sorted(row[0] for row in sql("SHOW DATABASES"))


def kept_databases():
    """Those of before a restore, the last one last."""
    return [name for name in databases() if name.startswith(BEFORE)]


def name_to_keep():
    """Comes after every kept one in order, also within one second or when the clock went back."""
    name, last = BEFORE + now(), (kept_databases() or [""])[-1]
    return name if name > last else last + "_"


def swap(incoming):
    """`incoming` becomes `nakama`; what was `nakama` is kept under the name that is returned. As before when Nakama does not come up."""
    kept = name_to_keep()
    run("systemctl", "stop", "nakama.service")
    renames = [("nakama", kept)] if "nakama" in databases() else []
    done = []
    try:
        for one, other in renames + [(incoming, "nakama")]:
            sql("ALTER DATABASE %s RENAME TO %s" % (one, other))
            done.append((other, one))
        run("systemctl", "start", "nakama.service", check=False)
        if not wait_healthy():
            raise Failure("Nakama does not come up with the database that was put in")
    except Failure as failure:
        run("systemctl", "stop", "nakama.service", check=False)
        for other, one in reversed(done):
            sql("ALTER DATABASE %s RENAME TO %s" % (other, one))
        run("systemctl", "start", "nakama.service", check=False)
        raise Failure("%s\nThe database is the same as before." % failure) from None
    return kept if renames else ""


def restore(options):
    with alone():
        need_local()
        earlier = kept_databases()
        if options.forget:
            for name in earlier:
                sql("DROP DATABASE %s CASCADE" % name)
                say("removed " + name)
            return 0
        if options.back:
            if not earlier:
                raise Failure("there is no database of before a restore")
            incoming = earlier[-1]
        elif not options.archive:
            raise Failure("which backup? Here are: " + (", ".join(backups(own_folder())) or "none"), 2)
        elif not options.yes and "nakama" in databases() and sql("SHOW TABLES FROM nakama"):
            raise Failure("there is data in the database. It will be kept beside, but Nakama will see that of the backup: give --yes", REFUSED)
        else:
            incoming = load_backup(options.archive)
        kept = swap(incoming)
        say("Nakama is up with %s" % (options.archive or incoming))
        if kept:
            say("the database of before is kept as %s: restore --back returns to it, restore --forget removes it" % kept)
    return 0


def load_backup(archive):
    """Fills the database INCOMING."""
    source = (backups(own_folder()) or ["none"])[-1] if archive == "latest" else archive
    if "/" not in source:
        source = os.path.join(own_folder(), source)
    name = "restore-" + now()
    folder = path(EXTERN + "/" + name)
    os.makedirs(folder, mode=0o700)
    try:
        if archive.startswith("s3://"):
            source = folder + "/archive"
            transfer(archive, source, upload=False)
        extract(source, folder)
        if not ROOT:
            run("chown", "-R", "cockroach:cockroach", path(EXTERN))
        sql("DROP DATABASE IF EXISTS %s CASCADE" % INCOMING)
        sql("RESTORE DATABASE nakama FROM LATEST IN %s WITH new_db_name = '%s'" % (place(name + "/backup"), INCOMING), HOURS)
        # A restored database has lost its grants.
        for statement in ("ALTER DATABASE %s OWNER TO nakama", "GRANT ALL ON DATABASE %s TO nakama", "GRANT ALL ON SCHEMA %s.public TO nakama",
                          "GRANT ALL ON TABLE %s.public.* TO nakama"):
            sql(statement % INCOMING)
    finally:
        clear()
    return INCOMING


def add_backup(add):
    command = add("backup", backup, "a backup of the database, which the timer nakama-backup takes every night")
    command.add_argument("--to", metavar="DIR|s3://BUCKET/PREFIX", help="instead of what /etc/nakama/backup.conf says (%s)" % FOLDER)
    command = add("restore", restore, "puts a backup in the place of the database, which is kept beside")
    command.add_argument("archive", nargs="?", metavar="FILE|s3://…|latest", help="an archive that backup has written")
    command.add_argument("--yes", action="store_true", help="even though there is data in the database")
    command.add_argument("--back", action="store_true", help="return to the database of before the last restore")
    command.add_argument("--forget", action="store_true", help="remove the databases of before the restores")
