"""nakama-setup connections and migrate: what machines that share a database agree on, against the stubs and, where it is installed,
against PostgreSQL."""

import glob
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
import unittest

import support
import machine

LIMIT = "/run/nakama/database.yml"
SETTINGS = "/etc/nakama/database.conf"
NO_LIMIT = "# Written by nakama-setup at each start of Nakama. /etc/nakama/nakama.yml overrides it.\n"
# Asks with nakama-setup's client: the rows, or the error.
ASK = """
import json, sys
sys.path.insert(0, sys.argv[1])
import machine, postgres
try:
    with postgres.Database(sys.argv[2], 30) as database:
        print(json.dumps([database.query(text) for text in sys.argv[3:]][-1]))
except machine.Failure as failure:
    print("error:", failure)
"""
NAKAMA_CALLS = 'exit "$(cat "$STATE/nakama-exit" 2>/dev/null || echo 0)"'


class Database(machine.Machine):
    """A machine whose Nakama uses the stub of the database, with a password, as a managed one."""

    def setUp(self):
        super().setUp()
        certs = self.certificates(("root", "nakama"))
        self.process, self.port, _ = self.database(certs)
        self.certs = certs
        self.query("CREATE DATABASE nakama; CREATE USER nakama WITH PASSWORD 'p@ss'; ALTER DATABASE nakama OWNER TO nakama")
        self.use("nakama:p%%40ss@localhost:%d/nakama?sslmode=verify-full&sslrootcert=%s/ca.crt" % (self.port, certs))
        shutil.rmtree(self.root("/etc/cockroach"))
        self.program("nakama", NAKAMA_CALLS)

    def use(self, address):
        with open(self.root(machine.INSTANCE), encoding="utf-8") as file:
            text = file.read().split("database:")[0]
        self.write("root" + machine.INSTANCE, text + 'database:\n  address:\n    - "%s"\n' % address, 0o640)

    def allow(self, count):
        self.query("SET CLUSTER SETTING server.max_connections_per_gateway = %d" % count)

    def limit(self):
        with open(self.root(LIMIT), encoding="utf-8") as file:
            return file.read()


class Connections(Database):
    def test_what_fits_the_plan(self):
        """DigitalOcean's plans have 25 connections for each GB, three of them reserved. 100 of 25 let every third login fail."""
        for count, nodes, expected in ((25, 1, 20), (25, 3, 6), (50, 1, 45), (100, 1, 95), (200, 1, 100), (200, 4, 48), (5, 1, 1), (6, 9, 1)):
            with self.subTest(count=count, nodes=nodes):
                self.allow(count)
                self.write("root" + SETTINGS, "nodes=%d\n" % nodes)
                self.setup_("migrate")
                self.assertEqual(self.limit(), NO_LIMIT + "database:\n  max_open_conns: %d\n" % expected)

    def test_one_without_a_limit(self):
        self.assertIn("the database does not limit connections; Nakama on this machine opens at most 100\n", self.setup_("migrate"))
        self.assertEqual(self.limit(), NO_LIMIT)
        # Nakama reads it, and so reads its other files.
        config = self.write("n.yml", "socket:\n  prot: 1\n")
        self.assertIn("unknown key socket.prot", self.run_(self.nakama, "--config", self.root(LIMIT), "--config", config, status=1))

    def test_it_is_shown_and_set(self):
        self.allow(25)
        self.assertEqual(self.setup_("connections"), "the database allows 22 connections; Nakama on this machine opens at most 20\n")
        self.assertFalse(os.path.exists(self.root(SETTINGS)))
        applies = "this applies after: systemctl restart nakama\n"
        shared = "the database allows 22 connections to 3 machines; Nakama on this machine opens at most %d\n"
        self.assertEqual(self.setup_("connections", "--nodes", "3"), applies + shared % 6)
        self.assertIn("opens at most 9\nthat is more than the database allows", self.setup_("connections", "--max", "9"))
        self.assertEqual(self.setup_("connections", "--max", "7"), applies + shared % 7)
        self.setup_("migrate")
        self.assertEqual(self.limit(), NO_LIMIT + "database:\n  max_open_conns: 7\n")
        self.assertEqual(self.setup_("connections", "--max", "auto"), applies + shared % 6)
        for words in (("--nodes", "0"), ("--nodes", "x"), ("--max", "-1"), ("--max", "all")):
            self.setup_("connections", *words, status=2)
        self.write("root" + SETTINGS, "# three machines\n\nnodes=3 \n")
        self.assertEqual(self.setup_("connections"), shared % 6)
        for text in ("nods=3\n", "nodes 3\n", "nodes=\n", "nodes=3,4\n"):
            self.write("root" + SETTINGS, text)
            for command in ("connections", "migrate"):
                self.assertIn(SETTINGS + " may contain nodes=NUMBER", self.setup_(command, status=2))

    def test_status_asks_a_managed_one(self):
        self.allow(25)
        expected = "database     managed, reachable: the database allows 22 connections; Nakama on this machine opens at most 20"
        self.assertIn(expected, self.setup_("status").splitlines())
        self.process.kill()
        self.process.wait()
        self.assertIn("database     NOT WELL: the database cannot be asked: Connection refused", self.setup_("status", status=1))

    def test_one_that_cannot_be_asked(self):
        """Nakama makes a missing database, and says itself what is wrong with its address."""
        for address, text in (
            ("nakama:p%%40ss@localhost:%d/none?sslmode=require" % self.port, 'the database says: database "none" does not exist'),
            ("nakama:wrong@localhost:%d/nakama?sslmode=require" % self.port, "password authentication failed"),
            ("nakama@localhost:%d/nakama?sslmode=disable" % self.port, "the database says: node is running secure mode"),
            ("nakama:p%%40ss@127.0.0.1:%d/nakama?sslmode=verify-full&sslrootcert=/etc/hostname" % self.port, "cannot be asked"),
            ("nakama:p%%40ss@localhost:%d/nakama" % support.free_port(), "Connection refused"),
            ("nakama:secret@localhost:port/nakama", "the database's address cannot be read"),
        ):
            with self.subTest(address=address):
                self.use(address)
                self.write("state/nakama-exit", "7")
                output = self.setup_("migrate", status=7)
                self.assertIn(text, output)
                self.assertIn("Nakama opens at most 20 connections, and migrates without a lock\n", output)
                self.assertNotRegex(output, "secret|wrong")
                self.assertEqual(self.limit(), NO_LIMIT + "database:\n  max_open_conns: 20\n")

    def test_a_database_that_says_nothing(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            self.use("nakama@127.0.0.1:%d/nakama?sslmode=disable" % silent.getsockname()[1])
            begun = time.monotonic()
            self.assertIn("cannot be asked: timed out", self.setup_("status", status=1))
            self.assertLess(time.monotonic() - begun, 60)


class Migrations(Database):
    def test_what_nakama_is_given(self):
        self.assertEqual(self.setup_("migrate"), "the database does not limit connections; Nakama on this machine opens at most 100\n")
        flags = " ".join("--config " + self.root(name) for name in (LIMIT, "/etc/nakama/nakama.yml", machine.INSTANCE))
        self.assertEqual([line for line in self.calls().splitlines() if line.startswith("nakama ")], ["nakama migrate up " + flags])
        self.write("state/nakama-exit", "1")
        self.setup_("migrate", status=1)

    def environment(self, **more):
        return dict(os.environ, NAKAMA_SETUP_ROOT=self.path("root"), PATH=self.path("bin") + ":" + os.environ["PATH"], **more)

    def begin(self, **more):
        return self.start(sys.executable, "-B", machine.SETUP, "migrate", env=self.environment(**more))

    def test_three_machines_migrate_an_empty_database(self):
        """Without the lock, two of three fail (test_nakama.py)."""
        os.unlink(self.path("bin/nakama"))
        os.symlink(self.nakama, self.path("bin/nakama"))
        self.write("root/etc/nakama/nakama.yml", "name: nakama\n")
        started = [self.begin() for _ in range(3)]
        self.assertEqual([process.wait(90) for process in started], [0, 0, 0], "\n".join(map(self.log, started)))
        applied = [json.loads(line)["count"] for process in started for line in self.log(process).splitlines() if "Successfully applied" in line]
        self.assertEqual(sorted(applied), [0, 0, 19])
        self.assertEqual(self.query("USE nakama; SELECT count(*) FROM migration_info").split()[-1], "19")

    def test_the_next_one_waits_until_the_first_has_ended(self):
        self.program("nakama", 'until [ -e "$STATE/go" ]; do sleep 0.05; done; exit 0')
        first = self.begin()
        self.until("the first migrates", lambda: "nakama migrate" in self.calls(), first)
        second = self.begin()
        self.until("the second waits", lambda: "waiting while another machine migrates the database\n" in self.log(second), second)
        # It is a power cut: nobody says that the migration has ended.
        first.kill()
        first.wait()
        self.until("the second migrates", lambda: self.calls().count("nakama migrate") == 2, second)
        self.write("state/go", "")
        self.assertEqual(second.wait(60), 0, self.log(second))
        self.assertEqual(self.log(second).count("waiting while"), 1)

    def test_the_wait_has_an_end(self):
        self.program("nakama", 'until [ -e "$STATE/go" ]; do sleep 0.05; done; exit 0')
        first = self.begin()
        self.until("the first migrates", lambda: "nakama migrate" in self.calls(), first)
        second = self.begin(NAKAMA_SETUP_PATIENCE="0.1")
        self.assertEqual(second.wait(60), 1)
        self.assertIn("nakama-setup: another machine has been migrating the database for 0 minutes", self.log(second))
        self.write("state/go", "")
        self.assertEqual(first.wait(60), 0)

    def test_a_lock_that_nobody_may_make(self):
        self.query("ALTER DATABASE nakama OWNER TO root")
        output = self.setup_("migrate")
        self.assertIn("does not have SELECT privilege on database nakama. Nakama migrates without a lock\n", output)
        self.assertIn("nakama migrate", self.calls())


def with_postgresql(test):
    """Skips a test where PostgreSQL is not installed. It says so itself: the file must end with OK."""
    def checked(self):
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
        if not found or os.geteuid() and not os.access(found[-1], os.X_OK):
            print("not tried, because it needs PostgreSQL: " + test.__name__, file=sys.stderr)
        else:
            test(self, found[-1])
    return checked


class PostgreSQL(machine.Machine):
    def begin(self, bin_folder, more=""):
        """A server with 25 connections, for which `nakama` needs a password. PostgreSQL does not run as root."""
        self.home = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.home, True)
        self.user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
        if self.user:
            os.chown(self.home, 65534, 65534)
        self.bin, data = bin_folder + "/", self.home + "/data"
        self.port = support.free_port()
        self.run_(*self.user, self.bin + "initdb", "--pgdata=" + data, "--auth=trust", "--username=admin", "--no-sync", "--locale=C")
        with open(data + "/postgresql.conf", "a", encoding="utf-8") as file:
            file.write("listen_addresses='localhost'\nport=%d\nunix_socket_directories=''\nmax_connections=25\nfsync=off\n%s" % (self.port, more))
        with open(data + "/pg_hba.conf", "w", encoding="utf-8") as file:
            file.write("host all admin localhost trust\nhost all nakama localhost scram-sha-256\nhost all old localhost md5\nhost all plain localhost password\n")
        self.server = self.start(*self.user, self.bin + "postgres", "-D", data)
        self.addCleanup(self.server.wait, 60)
        self.addCleanup(self.server.send_signal, signal.SIGQUIT)
        self.admin = "admin@localhost:%d/postgres" % self.port
        self.until("PostgreSQL answers", lambda: self.ask("SELECT 1") == [["1"]], self.server)
        for name in ("nakama", "plain"):
            self.assertEqual(self.ask("CREATE USER %s PASSWORD 'p@ss'" % name), [])
        self.assertEqual(self.ask("SET password_encryption = md5", "CREATE USER old PASSWORD 'p@ss'", "CREATE DATABASE nakama OWNER nakama"), [])
        self.write("root" + machine.INSTANCE, 'database:\n  address:\n    - "%s"\n' % self.address("nakama"), 0o640)

    def address(self, user, password="p%40ss", options=""):
        return "%s:%s@localhost:%d/nakama%s" % (user, password, self.port, options)

    def ask(self, *texts, address=None):
        answer = self.run_(sys.executable, "-B", "-c", ASK, machine.MODULES, address or self.admin, *texts)
        return answer if answer.startswith("error: ") else json.loads(answer)

    @with_postgresql
    def test_the_real_one(self, bin_folder):
        self.begin(bin_folder)
        for user in ("nakama", "old", "plain"):
            self.assertEqual(self.ask("SELECT current_user, NULL, ''", address=self.address(user)), [[user, None, ""]])
            self.assertIn("password authentication failed", self.ask("SELECT 1", address=self.address(user, "wrong")))
        without = self.ask("SELECT 1", address=self.address("nakama", options="?sslmode=require"))
        self.assertEqual(without, "error: the database does not offer TLS, which sslmode=require requires\n")
        self.assertEqual(self.setup_("connections"), "the database allows 22 connections; Nakama on this machine opens at most 20\n")

    @with_postgresql
    def test_the_lock_does_not_stop_an_index(self, bin_folder):
        """Nakama's last migration runs CREATE INDEX CONCURRENTLY, which waits for all statements that began earlier."""
        self.begin(bin_folder, "default_transaction_isolation='serializable'\nidle_in_transaction_session_timeout=2s\n")
        self.assertEqual(self.ask("CREATE TABLE users (name text)", address=self.address("nakama")), [])
        self.program("nakama", 'touch "$STATE/migrates-$$"; until [ -e "$STATE/go" ]; do sleep 0.05; done; exit 0')
        begin = lambda: self.start(sys.executable, "-B", machine.SETUP, "migrate",
                                   env=dict(os.environ, NAKAMA_SETUP_ROOT=self.path("root"), PATH=self.path("bin") + ":" + os.environ["PATH"]))
        first = begin()
        self.until("the first migrates", lambda: glob.glob(self.path("state/migrates-*")), first)
        others = [begin(), begin()]
        for other in others:
            self.until("it waits", lambda other=other: "waiting while" in self.log(other), other)
        # Longer than the server lets a transaction be idle.
        time.sleep(3)
        self.assertEqual(self.ask("CREATE INDEX CONCURRENTLY names ON users (name)", address=self.address("nakama")), [])
        self.assertEqual(len(glob.glob(self.path("state/migrates-*"))), 1)
        self.write("state/go", "")
        self.assertEqual([process.wait(60) for process in [first, *others]], [0, 0, 0], "\n".join(map(self.log, [first, *others])))
        self.assertEqual(len(glob.glob(self.path("state/migrates-*"))), 3)


if __name__ == "__main__":
    unittest.main()
