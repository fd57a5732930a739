"""The stub of CockroachDB: what it refuses, what it keeps, how it stops."""

import json
import os
import signal
import socket
import ssl
import subprocess
import time
import unittest
import urllib.error
import urllib.request

import support
import pgwire


class CommandLine(support.Case):
    def test_what_the_real_one_does_not_know_is_an_error(self):
        for arguments, text in (
            (("start-single-node", "--nonsense"), 'ERROR: unknown flag: --nonsense\nFailed running "start-single-node"'),
            (("start-single-node", "--join=a"), "unknown flag: --join"),
            (("start-single-node", "--store"), "flag needs an argument: --store"),
            (("start",), "no --join flags provided"),
            (("quit",), 'unknown command "quit" for "cockroach"'),
            (("cert", "nonsense"), 'unknown command "nonsense" for "cockroach cert"'),
            (("sql", "-x"), "unknown shorthand flag: 'x' in -x"),
            (("version", "--build-tag=perhaps"), 'invalid argument "perhaps" for "--build-tag" flag'),
            (("cert", "create-node", "--certs-dir=c", "--ca-key=k"), "requires at least 1 arg(s), only received 0"),
            (("cert", "create-client", "A B", "--certs-dir=c", "--ca-key=k"), "username is invalid"),
            (("cert", "create-client", "x", "--certs-dir=c", "--ca-key=k"), "no such file or directory"),
        ):
            with self.subTest(arguments=arguments):
                self.assertIn(text, self.run_(self.cockroach, *arguments, status=1))

    def test_a_statement_on_standard_input_needs_its_semicolon(self):
        for arguments, text, expected in ((("sql", "--insecure"), "SHOW node_id", "last statement was not executed: SHOW node_id"),
                                          (("sql", "--insecure", "--host=localhost:1"), "SHOW node_id;\n", "cannot dial server")):
            done = subprocess.run((self.cockroach,) + arguments, input=text, capture_output=True, text=True, check=False)
            self.assertEqual((done.returncode, expected in done.stderr), (1, True), done.stderr)

    def test_every_documented_flag_of_start_is_taken(self):
        flags = self.run_(self.cockroach, "start-single-node", "--help")
        for name in ("--certs-dir", "--store", "--listen-addr", "--http-addr", "--cache", "--max-sql-memory", "--log-config-file"):
            if name != "--log-config-file":
                self.assertIn(name + "\n", flags)
        # Known flags pass the parser, so the error is the missing certificate.
        answer = self.run_(self.cockroach, "start-single-node", "--certs-dir=none", "--cache=.25", "--max-sql-memory", ".25",
                           "--attrs=a", "--locality=region=x", "--log-dir=", status=1)
        self.assertIn("problem with CA certificate: not found", answer)

    def test_keys_are_rsa_unless_tests_ask_for_quick_ones(self):
        for keys, expected in (("", "Public-Key: (2048 bit)"), ("ec", "ASN1 OID: prime256v1")):
            folder = self.path("keys-" + (keys or "default"))
            common = ["--certs-dir=" + folder, "--ca-key=" + os.path.join(folder, "ca.key")]
            for command in (("create-ca",), ("create-node", "localhost")):
                self.run_(self.cockroach, "cert", *command, *common, env=dict(os.environ, STAND_IN_KEYS=keys))
            for name in ("ca.crt", "node.crt"):
                text = self.run_("openssl", "x509", "-in", os.path.join(folder, name), "-noout", "-text")
                self.assertIn(expected, text)

    def test_certificates_are_not_overwritten(self):
        certs = self.certificates()
        common = ["--certs-dir=" + certs, "--ca-key=" + self.path("ca.key")]
        self.assertIn("CA key %s exists, but key reuse is disabled" % self.path("ca.key"),
                      self.run_(self.cockroach, "cert", "create-ca", *common, status=1))
        self.assertIn("file exists", self.run_(self.cockroach, "cert", "create-node", "localhost", *common, status=1))
        before = os.stat(os.path.join(certs, "node.key")).st_ino
        self.run_(self.cockroach, "cert", "create-node", "localhost", "--overwrite", *common)
        self.assertNotEqual(before, os.stat(os.path.join(certs, "node.key")).st_ino)
        listed = self.run_(self.cockroach, "cert", "list", "--certs-dir=" + certs)
        for text in ("CA\tca.crt", "Node\tnode.crt\tnode.key", "Client\tclient.root.crt\tclient.root.key"):
            self.assertIn(text, listed)
        for name in ("node.key", "client.root.key"):
            self.assertEqual(os.stat(os.path.join(certs, name)).st_mode & 0o777, 0o600)


class Server(support.Case):
    def test_missing_and_too_open_certificates(self):
        start = [self.cockroach, "start-single-node", "--store=s", "--certs-dir=certs"]
        self.assertIn("problem with CA certificate: not found", self.run_(*start, status=1))
        certs = self.certificates()
        os.rename(os.path.join(certs, "node.crt"), self.path("kept"))
        self.assertIn("problem with node certificate: not found", self.run_(*start, status=1))
        os.rename(self.path("kept"), os.path.join(certs, "node.crt"))
        os.chmod(os.path.join(certs, "node.key"), 0o644)
        self.assertIn("key file node.key has permissions -rw-r--r--, exceeds -rwx------", self.run_(*start, status=1))
        self.assertFalse(os.path.exists(self.path("s")), "a server that refuses its certificates leaves its store alone")

    def test_state_survives_kill_and_sigterm(self):
        certs = self.certificates()
        process, port, _ = self.database(certs)
        self.sql(port, certs, "CREATE DATABASE game; USE game; CREATE TABLE t (id INT PRIMARY KEY, name TEXT); "
                              "INSERT INTO t VALUES (1, 'it''s'), (2, 'two')")
        process.send_signal(signal.SIGKILL)
        process.wait()
        process, port, _ = self.database(certs)
        self.assertIn("restarted pre-existing node", self.log(process))
        self.sql(port, certs, "USE game; DELETE FROM t WHERE id = 2")
        self.terminate(process)
        self.assertIn("server drained and shutdown completed", self.log(process))
        process, port, _ = self.database(certs)
        self.assertEqual(self.sql(port, certs, "USE game; SELECT name FROM t"), "SET\nname\nit's\n")
        self.terminate(process)

    def test_one_process_per_store(self):
        process, port, _ = self.database(None)
        answer = self.run_(self.cockroach, "start-single-node", "--insecure", "--store=" + self.path("store"),
                           "--listen-addr=localhost:%d" % support.free_port(), "--http-addr=localhost:%d" % support.free_port(), status=1)
        self.assertIn("LOCK: resource temporarily unavailable", answer)
        other = self.run_(self.cockroach, "start-single-node", "--insecure", "--store=" + self.path("other"),
                          "--listen-addr=localhost:%d" % port, status=1)
        self.assertIn("bind: address already in use", other)
        self.terminate(process)

    def test_how_many_may_enter(self):
        """Like a managed database: what is reserved for superusers is refused to others."""
        certs = self.certificates(("root", "nakama"))
        process, port, _ = self.database(certs)
        self.sql(port, certs, "CREATE USER nakama")
        self.assertEqual(self.sql(port, certs, "SHOW max_connections"), "max_connections\n-1\n")
        self.sql(port, certs, "SET CLUSTER SETTING server.max_connections_per_gateway = 5")
        self.assertEqual(self.sql(port, certs, "SHOW max_connections; SHOW superuser_reserved_connections", user="nakama").split()[1::2], ["5", "3"])
        options = {"sslmode": "require", "sslcert": certs + "/client.nakama.crt", "sslkey": certs + "/client.nakama.key"}
        enter = lambda: pgwire.Client("localhost", port, "nakama", "defaultdb", options=options)
        clients = [enter(), enter()]
        with self.assertRaises(pgwire.ServerError) as refused:
            enter()
        self.assertEqual((refused.exception.code, refused.exception.message), ("53300", "sorry, too many clients already"))
        self.sql(port, certs, "SELECT 1")
        clients.pop().close()
        self.until("there is room again", lambda: "1" in self.sql(port, certs, "SELECT 1", user="nakama"))
        clients.pop().close()
        self.terminate(process)

    def test_a_locked_row(self):
        """A lock lasts until its transaction or its connection ends."""
        process, port, _ = self.database(None)
        self.sql(port, None, "CREATE DATABASE game; USE game; CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1), (2)")
        enter = lambda: pgwire.Client("localhost", port, "root", "game", options={"sslmode": "disable"})
        one, other = enter(), enter()
        lock = "SELECT id FROM t WHERE id = 1 FOR UPDATE NOWAIT"
        self.assertEqual(other.query(lock)[0].rows, [["1"]])
        for end in (lambda: one.query("ROLLBACK"), lambda: one.query("COMMIT"), one.close):
            one.query("BEGIN")
            self.assertEqual(one.query(lock)[0].rows, [["1"]])
            self.assertEqual(other.query("SELECT id FROM t WHERE id = 2 FOR UPDATE NOWAIT; SELECT id FROM t WHERE id = 1")[1].rows, [["1"]])
            with self.assertRaises(pgwire.ServerError) as refused:
                other.query(lock)
            self.assertEqual(refused.exception.code, "55P03")
            end()
            self.until("the row is free", lambda: self.answers(other, lock))
        with self.assertRaises(pgwire.ServerError):
            other.query("SELECT id FROM t FOR UPDATE")
        other.close()
        self.terminate(process)

    @staticmethod
    def answers(client, text):
        try:
            return client.query(text)[0].rows
        except pgwire.ServerError:
            return None

    def test_who_may_enter(self):
        certs = self.certificates(("root", "nakama"))
        process, port, _ = self.database(certs)
        self.assertIn("password authentication failed for user nakama", self.sql(port, certs, "SELECT 1", status=1, user="nakama"))
        self.sql(port, certs, "CREATE USER nakama; CREATE DATABASE nakama; CREATE DATABASE other")
        self.assertIn("does not have CREATE privilege", self.sql(port, certs, "USE other; CREATE TABLE t (id INT)", status=1, user="nakama"))
        self.assertIn("permission denied to create database", self.sql(port, certs, "CREATE DATABASE mine", status=1, user="nakama"))
        self.sql(port, certs, "ALTER DATABASE nakama OWNER TO nakama")
        self.sql(port, certs, "USE nakama; CREATE TABLE t (id INT); INSERT INTO t VALUES (1)", user="nakama")

        plain = {"sslmode": "disable"}
        with self.assertRaisesRegex(pgwire.ServerError, "secure mode, SSL connection required"):
            pgwire.Client("localhost", port, "root", "defaultdb", options=plain)
        wrong = {"sslmode": "verify-full", "sslrootcert": certs + "/ca.crt", "sslcert": certs + "/client.nakama.crt",
                 "sslkey": certs + "/client.nakama.key"}
        with self.assertRaisesRegex(pgwire.ServerError, "requested user is root, but certificate is for nakama"):
            pgwire.Client("localhost", port, "root", "defaultdb", options=wrong)
        no_certificate = {"sslmode": "verify-full", "sslrootcert": certs + "/ca.crt"}
        with self.assertRaisesRegex(pgwire.ServerError, "password authentication failed for user root"):
            pgwire.Client("localhost", port, "root", "defaultdb", "guess", no_certificate)
        self.sql(port, certs, "CREATE USER p WITH PASSWORD 'right'")
        with self.assertRaisesRegex(pgwire.ServerError, "password authentication failed"):
            pgwire.Client("localhost", port, "p", "defaultdb", "wrong", no_certificate)
        client = pgwire.Client("localhost", port, "p", "defaultdb", "right", no_certificate)
        self.assertEqual(client.query("SELECT current_user()")[0].rows, [["p"]])
        client.close()
        with self.assertRaisesRegex(pgwire.ServerError, "does not exist"):
            pgwire.Client("localhost", port, "p", "nowhere", "right", no_certificate)
        self.terminate(process)

    def test_another_ca_is_not_trusted(self):
        certs = self.certificates()
        process, port, http = self.database(certs)
        os.rename(self.path("ca.key"), self.path("first.key"))
        other = self.certificates(folder="other")
        self.assertIn("CERTIFICATE_VERIFY_FAILED", self.sql(port, other, "SELECT 1", status=1))
        with self.assertRaises(urllib.error.URLError):
            urllib.request.urlopen("https://localhost:%d/health" % http, context=ssl.create_default_context(cafile=other + "/ca.crt"))
        self.assertIn("1", self.sql(port, certs, "SELECT 1"), "the refused client disturbed nobody")
        self.terminate(process)

    def test_health_and_hostile_connections(self):
        certs = self.certificates()
        process, port, http = self.database(certs)
        context = ssl.create_default_context(cafile=certs + "/ca.crt")
        idle = [socket.create_connection(("localhost", target)) for target in (port, http) for _ in range(20)]
        garbage = socket.create_connection(("localhost", port))
        garbage.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with urllib.request.urlopen("https://localhost:%d/health?ready=1" % http, context=context, timeout=60) as answer:
            self.assertEqual((answer.status, json.load(answer)), (200, {}))
        self.assertIn("1", self.sql(port, certs, "SELECT 1"))
        for connection in idle + [garbage]:
            connection.close()
        self.assertIsNone(process.poll())
        self.terminate(process)

    def test_transactions(self):
        process, port, _ = self.database(None)
        client = pgwire.Client("localhost", port, "root", "defaultdb", options={"sslmode": "disable"})
        client.query("CREATE TABLE t (id INT PRIMARY KEY)")
        client.query("BEGIN; INSERT INTO t VALUES (1); ROLLBACK")
        self.assertEqual(client.query("SELECT count(*) FROM t")[0].rows, [["0"]])
        client.query("BEGIN; INSERT INTO t VALUES (1)")
        with self.assertRaisesRegex(pgwire.ServerError, "duplicate key"):
            client.query("INSERT INTO t VALUES (1)")
        with self.assertRaisesRegex(pgwire.ServerError, "current transaction is aborted"):
            client.query("SELECT 1")
        self.assertEqual(client.query("COMMIT")[0].tag, "ROLLBACK")
        client.query("BEGIN; INSERT INTO t VALUES (2); COMMIT")
        self.assertEqual(client.query("SELECT id FROM t")[0].rows, [["2"]])
        for bad in ("EXPLAIN SELECT 1", "SELECT 'open", "SELECT 1 FROM", "CREATE INDEX i ON t (id)", "INSERT INTO t VALUES (1, 2)"):
            with self.subTest(bad=bad), self.assertRaises(pgwire.ServerError):
                client.query(bad)
        client.close()
        self.terminate(process)

    def test_it_tells_systemd_when_it_is_ready(self):
        path = self.path("notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
            receiver.bind(path)
            receiver.settimeout(90)
            process = self.start(self.cockroach, "start-single-node", "--insecure", "--store=s",
                                 "--listen-addr=localhost:%d" % support.free_port(), "--http-addr=localhost:%d" % support.free_port(),
                                 env=dict(os.environ, NOTIFY_SOCKET=path))
            self.assertEqual(receiver.recv(100), b"READY=1")
            process.send_signal(signal.SIGTERM)
            self.assertEqual(receiver.recv(100), b"STOPPING=1")
            process.wait(90)

    def test_three_nodes_become_a_cluster(self):
        certs = self.certificates(("root", "node"))
        ports = [support.free_port() for _ in range(3)]
        join = "--join=" + ",".join("localhost:%d" % port for port in ports)
        nodes = [self.database(certs, "store%d" % n, port, "start", (join,)) for n, port in enumerate(ports)]
        self.assertIn("not initialised", self.sql(ports[1], certs, "SELECT 1", status=1))
        context = ssl.create_default_context(cafile=certs + "/ca.crt")
        with self.assertRaises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen("https://localhost:%d/health?ready=1" % nodes[0][2], context=context)
        self.assertEqual(refused.exception.code, 503)
        refused.exception.close()
        init = [self.cockroach, "init", "--certs-dir=" + certs, "--host=localhost:%d" % ports[0]]
        self.assertIn("Cluster successfully initialized", self.run_(*init))
        self.assertIn("cluster has already been initialized", self.run_(*init, status=1))
        self.sql(ports[0], certs, "CREATE DATABASE game; USE game; CREATE TABLE t (id INT)")
        for port in ports[1:]:
            deadline = time.monotonic() + 90
            while time.monotonic() < deadline and self._count(port, certs) is None:
                time.sleep(0.1)
            self.sql(port, certs, "USE game; INSERT INTO t VALUES (1)")
        for port in ports:
            self.assertEqual(self._count(port, certs), "2")
        self.assertIn("cluster has already been initialized", self.run_(*init[:-1], "--host=localhost:%d" % ports[1], status=1))
        # On a busy machine, a node's heartbeat may be late.
        self.until("all of them live", lambda: self.live(ports[1], certs) == ["true"] * 3)
        nodes[2][0].kill()
        self.until("its lease ends", lambda: sorted(self.live(ports[0], certs)) == ["false", "true", "true"])
        nodes[2] = self.database(certs, "store2", ports[2], "start", (join,))
        self.until("it is back under its number", lambda: self.live(ports[2], certs) == ["true"] * 3)
        self.assertEqual(self._count(ports[2], certs), "2")
        for process, _, _ in nodes:
            self.terminate(process)

    def test_a_member_does_not_change_its_cluster(self):
        certs = self.certificates()
        ports = [support.free_port() for _ in range(3)]
        for number in (0, 1):
            self.database(certs, "store%d" % number, ports[number], "start", ("--join=localhost:%d" % ports[number],))
            self.run_(self.cockroach, "init", "--certs-dir=" + certs, "--host=localhost:%d" % ports[number])
        member, _, _ = self.database(certs, "store2", ports[2], "start", ("--join=localhost:%d" % ports[0],))
        self.until("it is a member", lambda: len(self.live(ports[2], certs)) == 2)
        self.terminate(member)
        member, _, _ = self.database(certs, "store2", ports[2], "start", ("--join=localhost:%d" % ports[1],))
        self.until("it refuses", lambda: "this node belongs to cluster" in self.log(member), member)

    def live(self, port, certs):
        """What `node status` says of each member; empty while it says nothing."""
        done = subprocess.run([self.cockroach, "node", "status", "--certs-dir=" + certs, "--host=localhost:%d" % port, "--format=tsv"],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
        return [line.split("\t")[8] for line in done.stdout.splitlines()[1:]]

    def _count(self, port, certs):
        options = {"sslmode": "verify-full", "sslrootcert": certs + "/ca.crt", "sslcert": certs + "/client.root.crt",
                   "sslkey": certs + "/client.root.key"}
        try:
            client = pgwire.Client("localhost", port, "root", "game", options=options)
            count = client.query("SELECT count(*) FROM t")[0].rows[0][0]
            client.close()
            return count
        except (pgwire.ServerError, pgwire.ProtocolError, OSError):
            return None


if __name__ == "__main__":
    unittest.main()
