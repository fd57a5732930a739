"""`backup` and `restore` of CockroachDB's database `nakama`.

`BACKUP DATABASE … INTO` takes a full, consistent backup while the server runs. It needs no licence since 20.2. It writes
to the node's folder; from there nakama-setup makes one archive and uploads it, so the database needs no network access.
`restore` fills a second database and swaps the names while Nakama is stopped. It never deletes data.
"""

import contextlib
import glob
import os
import re
import shutil
import tarfile
import tempfile
import time

from bucket import MAX_SECONDS, backup_settings, transfer_object
from machine import REFUSED, Failure, as_owner_of, exclusive_lock, uses_managed_database, path, run, say, sql, wait_healthy

FOLDER = "/var/backups/nakama"
STORE = "/var/lib/cockroach"
# `nodelocal` is this folder of the store.
EXTERN = STORE + "/extern"
INCOMING, BEFORE = "nakama_restored", "nakama_before_"
MAX_FILES = 100000
# A backup shows the database of this many seconds ago, as CockroachDB recommends: it then does not stop or repeat what players write.
AGE = float(os.environ.get("NAKAMA_SETUP_BACKUP_AGE") or 10)


def need_local():
    if uses_managed_database():
        raise Failure("the database is managed: its provider keeps the backups (DigitalOcean: daily, seven days)")


def timestamp():
    return time.strftime("%Y%m%dt%H%M%Sz", time.gmtime())


def nodelocal_url(name):
    return "'nodelocal://%s/%s'" % (sql("SHOW node_id")[0][0], name)


@contextlib.contextmanager
def open_extern():
    """The path of EXTERN, held open: it belongs to the database's user, who could put a link in its place."""
    folder = os.open(path(EXTERN), os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield "/proc/self/fd/%d/" % folder
    finally:
        os.close(folder)


def remove_temporary_files(*archives):
    """Removes temporary files, also of interrupted runs. The lock rules out that another run needs them."""
    with contextlib.suppress(OSError), open_extern() as top:
        for one in glob.glob(top + "nakama-*") + glob.glob(top + "restore-*"):
            shutil.rmtree(one, ignore_errors=True)
    for one in archives:
        os.unlink(one)


def archive_folder(to=""):
    """The folder of this machine's archives: `to`, or the one in backup.conf."""
    to = to or backup_settings().get("TO", "")
    return path(FOLDER) if not to or to.startswith("s3://") else to


def list_archives(folder):
    """Lists the archives in a folder, oldest first."""
    try:
        return sorted(name for name in os.listdir(folder) if re.fullmatch(r"nakama-\d{8}t\d{6}z\.tar\.gz", name))
    except FileNotFoundError:
        return []


def size(file):
    """The size of a file, or 0 if the database has removed it meanwhile."""
    try:
        return os.path.getsize(file)
    except OSError:
        return 0


def add_files(tar, top):
    """Adds a folder of the database. Follows no links: the database's user could replace a file with one."""
    for folder, _, names, at in os.fwalk(top):
        for name in names:
            with open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=at), "rb") as file:
                tar.addfile(tar.gettarinfo(arcname="backup%s/%s" % (folder[len(top):], name), fileobj=file), file)
    if not tar.getmembers():
        raise Failure("the database has not written a backup")


def make_backup(folder):
    """Makes a new archive in the folder and returns its path."""
    name = "nakama-" + timestamp()
    os.makedirs(folder, mode=0o700, exist_ok=True)
    unfinished = os.path.join(glob.escape(folder), "nakama-*.new")
    remove_temporary_files(*glob.glob(unfinished))
    store = sum(size(os.path.join(top, one)) for top, _, names in os.walk(path(STORE)) for one in names)
    free = min(shutil.disk_usage(one).free for one in (folder, path(STORE)))
    if free < store:
        raise Failure("not enough space for a backup: the database takes %d MB, %d MB are free" % (store >> 20, free >> 20))
    archive = os.path.join(folder, name + ".tar.gz")
    try:
        sql("BACKUP DATABASE nakama INTO %s AS OF SYSTEM TIME '-%gs'" % (nodelocal_url(name), AGE), MAX_SECONDS)
        descriptor = os.open(archive + ".new", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            # Fast compression: the tables are compressed already.
            with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as tar, open_extern() as top:
                add_files(tar, top + name)
            file.flush()
            os.fsync(descriptor)
        os.replace(archive + ".new", archive)
    finally:
        remove_temporary_files(*glob.glob(unfinished))
    return archive


def backup(options):
    with exclusive_lock(600):
        need_local()
        config = backup_settings()
        to = options.to or config.get("TO", "")
        folder = archive_folder(to)
        try:
            keep = max(1, int(config.get("KEEP", "7")))
        except ValueError:
            raise Failure("KEEP in /etc/nakama/backup.conf is not a number", 2) from None
        archive = make_backup(folder)
        say("%s, %.1f MB" % (archive, os.path.getsize(archive) / 1e6))
        for old in list_archives(folder)[:-keep]:
            os.unlink(os.path.join(folder, old))
        if to.startswith("s3://"):
            target = to.rstrip("/") + "/" + os.path.basename(archive)
            with open(archive, "rb") as file:
                transfer_object(target, file, upload=True)
            say(target)
    return 0


def open_archive(archive):
    """Opens an archive, which only root may be able to read, or downloads it."""
    if archive.startswith("s3://"):
        file = tempfile.TemporaryFile(dir=path("/var/tmp"))
        transfer_object(archive, file, upload=False)
        file.seek(0)
        return file
    if archive == "latest":
        archive = (list_archives(archive_folder()) or ["none"])[-1]
    return open(archive if "/" in archive else os.path.join(archive_folder(), archive), "rb")


def extract_archive(tar, folder):
    """Extracts an untrusted archive, which may only contain files and folders below `backup/`, without links and holes."""
    free = shutil.disk_usage(folder).free
    for count, one in enumerate(tar):
        parts, to = one.name.split("/"), os.path.join(folder, one.name)
        if not (one.isfile() or one.isdir()) or one.issparse() or one.size < 0 or parts[0] != "backup" or {"", ".", ".."} & set(parts):
            raise Failure("it is not an archive of nakama-setup backup")
        free -= one.size
        if free < 0 or count > MAX_FILES:
            raise Failure("it needs more space than there is")
        os.makedirs(to if one.isdir() else os.path.dirname(to), exist_ok=True)
        if one.isfile():
            with tar.extractfile(one) as source, open(to, "xb") as target:
                shutil.copyfileobj(source, target)


def databases():
    return sorted(row[0] for row in sql("SHOW DATABASES"))


def list_kept_databases():
    """Lists the databases that restores replaced, newest last."""
    return [name for name in databases() if name.startswith(BEFORE)]


def new_kept_name():
    """A name that sorts after all kept ones, even within one second or after the clock was set back."""
    name, last = BEFORE + timestamp(), (list_kept_databases() or [""])[-1]
    return name if name > last else last + "_"


def swap_in(incoming):
    """Renames `nakama` to the returned name and `incoming` to `nakama`. Undoes it if Nakama does not start."""
    kept = new_kept_name()
    run("systemctl", "stop", "nakama.service")
    renames = [("nakama", kept)] if "nakama" in databases() else []
    done = []
    try:
        for one, other in renames + [(incoming, "nakama")]:
            sql("ALTER DATABASE %s RENAME TO %s" % (one, other))
            done.append((other, one))
        run("systemctl", "start", "nakama.service", check=False)
        if not wait_healthy():
            raise Failure("Nakama does not start with the restored database")
    except Failure as failure:
        run("systemctl", "stop", "nakama.service", check=False)
        for other, one in reversed(done):
            sql("ALTER DATABASE %s RENAME TO %s" % (other, one))
        run("systemctl", "start", "nakama.service", check=False)
        raise Failure("%s\nThe previous database is in use again." % failure) from None
    finally:
        # The next backup must not show the database that had the name before. The caller's lock keeps it waiting.
        time.sleep(AGE)
    return kept if renames else ""


def restore(options):
    with exclusive_lock():
        need_local()
        earlier = list_kept_databases()
        if options.forget:
            for name in earlier:
                sql("DROP DATABASE %s CASCADE" % name)
                say("removed " + name)
            return 0
        if options.back:
            if not earlier:
                raise Failure("there is no database from before a restore")
            incoming = earlier[-1]
        elif not options.archive:
            raise Failure("which backup? Available: " + (", ".join(list_archives(archive_folder())) or "none"), 2)
        elif not options.yes and "nakama" in databases() and sql("SHOW TABLES FROM nakama"):
            raise Failure("the database contains data. It will be kept, but Nakama will use the backup instead: confirm with --yes", REFUSED)
        else:
            incoming = load_backup(options.archive)
        kept = swap_in(incoming)
        say("Nakama is running with %s" % (options.archive or incoming))
        if kept:
            say("the previous database is kept as %s: restore --back returns to it, restore --forget removes it" % kept)
    return 0


def load_backup(archive):
    """Restores an archive into the database INCOMING."""
    name = "restore-" + timestamp()
    folder = path(EXTERN + "/" + name)
    try:
        try:
            with open_archive(archive) as file, tarfile.open(fileobj=file, mode="r:gz") as tar, as_owner_of(STORE):
                os.makedirs(folder, mode=0o700)
                extract_archive(tar, folder)
        except (Failure, OSError, EOFError, ValueError, tarfile.TarError) as error:
            raise Failure("%s cannot be restored: %s" % (archive, error)) from None
        sql("DROP DATABASE IF EXISTS %s CASCADE" % INCOMING)
        sql("RESTORE DATABASE nakama FROM LATEST IN %s WITH new_db_name = '%s'" % (nodelocal_url(name + "/backup"), INCOMING), MAX_SECONDS)
        # A restore does not restore grants.
        for statement in ("ALTER DATABASE %s OWNER TO nakama", "GRANT ALL ON DATABASE %s TO nakama", "GRANT ALL ON SCHEMA %s.public TO nakama",
                          "GRANT ALL ON TABLE %s.public.* TO nakama"):
            sql(statement % INCOMING)
    finally:
        remove_temporary_files()
    return INCOMING


def add_backup(add):
    command = add("backup", backup, "back up the database, as the timer nakama-backup does every night")
    command.add_argument("--to", metavar="DIR|s3://BUCKET/PREFIX", help="override the target in /etc/nakama/backup.conf (default %s)" % FOLDER)
    command = add("restore", restore, "replace the database by a backup; the previous database is kept")
    command.add_argument("archive", nargs="?", metavar="FILE|s3://…|latest", help="an archive made by `backup`")
    command.add_argument("--yes", action="store_true", help="restore even if the database contains data")
    command.add_argument("--back", action="store_true", help="return to the database from before the last restore")
    command.add_argument("--forget", action="store_true", help="remove the databases kept by restores")
