"""`connections` and `migrate`: what the machines that share Nakama's database have to agree on.

A managed database takes a limited number of connections. At each start of Nakama, `migrate` asks for the limit and writes this
machine's share to LIMIT, which Nakama reads before nakama.yml. Then it updates the schema, one machine at a time: Nakama itself
takes no lock, and of several machines that migrate an empty database at once, only one succeeds.
"""

import contextlib
import re
import subprocess
import time

from machine import HEALTH_SECONDS, INSTANCE, POLL_SECONDS, Failure, exclusive_lock, instance_settings, need_root, path, read, say, write
from postgres import Database, DatabaseError

SETTINGS = "/etc/nakama/database.conf"
LIMIT = "/run/nakama/database.yml"
CONFIGS = (LIMIT, "/etc/nakama/nakama.yml", INSTANCE)
# Nakama's own default, and what is left for a migration and an administrator. FALLBACK suits the smallest plan, 25 connections.
NAKAMA_DEFAULT, SPARE, FALLBACK = 100, 2, 20
# How long to wait for another machine's migration: half an hour. Nakama's unit has one hour.
MIGRATION_SECONDS = HEALTH_SECONDS * 15
LOCK_KEY = int.from_bytes(b"nakama", "big")
# Another machine has the row, made the table at the same moment, or came first.
BUSY_CODES = ("55P03", "40001", "42P07", "23505")
UNKNOWN_SETTING, UNKNOWN_TABLE = "42704", "42P01"


def database_settings():
    """Reads database.conf: nodes= and max_open_conns=, whole numbers from 1."""
    lines = [line.strip() for line in read(SETTINGS).splitlines() if line.strip() and not line.startswith("#")]
    found = [re.fullmatch("(nodes|max_open_conns)=([1-9][0-9]{0,4})", line) for line in lines]
    if not all(found):
        raise Failure(SETTINGS + " may contain nodes=NUMBER and max_open_conns=NUMBER, one per line", 2)
    return {match.group(1): int(match.group(2)) for match in found}


def show(database, name):
    """A setting of the database as a number, or 0 if it has no such setting."""
    try:
        return int(database.query("SHOW " + name)[0][0])
    except DatabaseError as error:
        if error.code != UNKNOWN_SETTING:
            raise
        return 0
    except (ValueError, IndexError):
        return 0


def allowed_connections(database):
    """How many connections the database takes from users who are not superusers, or None for any number (CockroachDB)."""
    total = show(database, "max_connections")
    if total <= 0:
        return None
    # reserved_connections is new in PostgreSQL 16.
    return max(1, total - show(database, "superuser_reserved_connections") - show(database, "reserved_connections"))


def own_connections(allowed, settings):
    """How many of them this machine's Nakama may open, or None for its default."""
    if "max_open_conns" in settings:
        return settings["max_open_conns"]
    if allowed is None:
        return None
    return max(1, min(NAKAMA_DEFAULT, (allowed - SPARE) // settings.get("nodes", 1)))


def write_limit(own):
    text = "# Written by nakama-setup at each start of Nakama. /etc/nakama/nakama.yml overrides it.\n"
    # No section without a value: Nakama would take an empty one for none at all.
    write(LIMIT, text + ("database:\n  max_open_conns: %d\n" % own if own else ""))


def describe(allowed, own, settings):
    if allowed is None:
        text = "the database does not limit connections"
    else:
        text = "the database allows %d connections" % allowed
        if settings.get("nodes", 1) > 1:
            text += " to %d machines" % settings["nodes"]
    return "%s; Nakama on this machine opens at most %d" % (text, own or NAKAMA_DEFAULT)


def database_address():
    address = instance_settings().get("database.address")
    if not address:
        raise Failure("%s does not contain database.address" % INSTANCE)
    return address


def check_managed():
    """For `status`: whether the database answers, and what it allows."""
    with Database(database_address(), 10) as database:
        allowed = allowed_connections(database)
    settings = database_settings()
    return True, "managed, reachable: " + describe(allowed, own_connections(allowed, settings), settings)


def connections(options):
    need_root()
    settings = database_settings()
    if options.nodes is not None or options.max is not None:
        with exclusive_lock():
            if options.nodes is not None:
                settings["nodes"] = options.nodes
            if options.max:
                settings["max_open_conns"] = options.max
            elif options.max is not None:
                settings.pop("max_open_conns", None)
            write(SETTINGS, "".join("%s=%d\n" % pair for pair in sorted(settings.items())))
            say("this applies after: systemctl restart nakama")
    with Database(database_address()) as database:
        allowed = allowed_connections(database)
    own = own_connections(allowed, settings)
    say(describe(allowed, own, settings))
    if allowed is not None and (own or NAKAMA_DEFAULT) * settings.get("nodes", 1) > allowed:
        say("that is more than the database allows: logins fail while all connections are in use")
    return 0


def try_advisory_lock(database):
    """PostgreSQL. This must not wait inside the database: a migration of Nakama runs CREATE INDEX CONCURRENTLY, which waits for all
    statements that began earlier, so also for one that waits for this lock. For the same reason, the transaction that holds the lock
    must hold no snapshot. A lock of a transaction also works through a pool of connections."""
    database.query("BEGIN ISOLATION LEVEL READ COMMITTED")
    database.query("SET LOCAL idle_in_transaction_session_timeout = 0")
    return database.query("SELECT pg_try_advisory_xact_lock(%d)" % LOCK_KEY)[0][0] == "t"


def try_row_lock(database):
    """CockroachDB, whose advisory locks do nothing: a row of our own table, locked in a transaction that stays open."""
    # Otherwise the lock is only in memory, and lost when the row's range moves to another node.
    with contextlib.suppress(DatabaseError):
        database.query("SET enable_durable_locking_for_serializable = true")
    for _ in range(2):
        database.query("BEGIN")
        try:
            if database.query("SELECT id FROM nakama_setup_lock WHERE id = 1 FOR UPDATE NOWAIT"):
                return True
        except DatabaseError as error:
            if error.code != UNKNOWN_TABLE:
                raise
        database.query("ROLLBACK")
        database.query("CREATE TABLE IF NOT EXISTS nakama_setup_lock (id INT PRIMARY KEY)")
        database.query("INSERT INTO nakama_setup_lock (id) VALUES (1) ON CONFLICT (id) DO NOTHING")
    return False


def take_migration_lock(database):
    """Waits until no other machine migrates. The lock lasts as long as the connection."""
    postgresql = database.query("SELECT version()")[0][0].startswith("PostgreSQL")
    begun, said = time.monotonic(), 0.0
    while True:
        try:
            if (try_advisory_lock if postgresql else try_row_lock)(database):
                return
        except DatabaseError as error:
            if error.code not in BUSY_CODES:
                raise
        with contextlib.suppress(DatabaseError):
            database.query("ROLLBACK")
        waited = time.monotonic() - begun
        if waited >= MIGRATION_SECONDS:
            raise Failure("another machine has been migrating the database for %d minutes: see journalctl -u nakama there" % (MIGRATION_SECONDS // 60))
        if waited >= said:
            said += 60
            say("waiting while another machine migrates the database")
        time.sleep(POLL_SECONDS)


def run_migrations():
    command = ["nakama", "migrate", "up"]
    for name in CONFIGS:
        command += ["--config", path(name)]
    try:
        # Not `run`: it may take an hour, and its log belongs into the journal as it is written.
        return subprocess.run(command, check=False, stdin=subprocess.DEVNULL).returncode
    except OSError as error:
        raise Failure("nakama cannot be started: %s" % error.strerror) from None


def migrate(_):
    settings = database_settings()
    with contextlib.ExitStack() as stack:
        try:
            database = stack.enter_context(Database(database_address()))
            allowed = allowed_connections(database)
        except Failure as failure:
            # Nakama makes a missing database, and may be able to log in where this program cannot. Otherwise it says why not.
            own = settings.get("max_open_conns", FALLBACK)
            say("%s. Nakama opens at most %d connections, and migrates without a lock" % (failure, own))
            write_limit(own)
            return run_migrations()
        own = own_connections(allowed, settings)
        say(describe(allowed, own, settings))
        write_limit(own)
        try:
            take_migration_lock(database)
        except DatabaseError as failure:
            say("%s. Nakama migrates without a lock" % failure)
        return run_migrations()


def positive(text):
    if not re.fullmatch("[1-9][0-9]{0,4}", text):
        raise ValueError(text)
    return int(text)


def add_database(add):
    command = add("connections", connections, "show or set how many connections Nakama opens to its database")
    command.add_argument("--nodes", metavar="N", type=positive, help="how many machines with a Nakama share the database")
    command.add_argument("--max", metavar="N|auto", type=lambda text: 0 if text == "auto" else positive(text),
                         help="open at most N connections instead of this machine's share; `auto` returns to the share")
    add("migrate", migrate, "update the database's schema, one machine at a time, as Nakama's unit does at each start")
