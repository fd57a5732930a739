"""The stub of Nakama: its flags and files, what it refuses, what it answers."""

import base64
import concurrent.futures
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import unittest

import support

SECRETS = {"console.username": "ops", "console.password": "console-pass", "console.signing_key": "s", "socket.server_key": "server-key",
           "session.encryption_key": "e", "session.refresh_encryption_key": "r", "runtime.http_key": "h",
           "mfa.storage_encryption_key": "0123456789abcdef0123456789abcdef"}


def messages(text):
    """The parsed log lines."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


class Settings(support.Case):
    def test_flags_are_gos(self):
        answer = self.run_(self.nakama, "--nonsense", status=2)
        self.assertIn("flag provided but not defined: -nonsense\nUsage of nakama", answer)
        self.assertIn("flag needs an argument: -name", self.run_(self.nakama, "--name", status=2))
        self.assertIn('invalid value "x" for flag -socket.port: parse error', self.run_(self.nakama, "-socket.port=x", status=2))
        self.assertIn("flag provided but not defined: -limit", self.run_(self.nakama, "--limit", "1", status=2))
        self.assertIn("Unrecognized migrate subcommand", self.run_(self.nakama, "migrate", "sideways", status=1))
        self.assertIn("Migrate requires a subcommand", self.run_(self.nakama, "migrate", status=1))
        self.assertIn("-session.refresh_encryption_key", self.run_(self.nakama, "--help"))

    def test_files_that_cannot_be_used(self):
        cases = (
            ("socket:\n  prot: 1\n", "unknown key socket.prot"), ("socket: 3\n", "socket is not a mapping"),
            ("socket:\n  port: text\n", "cannot unmarshal socket.port"), ("party: 1\n", "party is not a mapping"), ("socket:\n  port: [1\n", "Could not parse config file"),
        )
        for text, expected in cases:
            with self.subTest(text=text):
                path = self.write("n.yml", text)
                self.assertIn(expected, self.run_(self.nakama, "--config", path, status=1))
        self.assertIn("Could not read config file", self.run_(self.nakama, "--config", "missing.yml", status=1))

    def test_values_that_the_real_one_refuses(self):
        for flags, expected in (
            (["--session.encryption_key=same", "--session.refresh_encryption_key=same"], "cannot match"),
            (["--mfa.storage_encryption_key=short"], "has to be 32 bytes long"),
            (["--name=two words"], "Node name can only contain"),
            (["--name=nakama-10-108-0-2"], "Name must be 1-16 characters"),
            (["--socket.ping_period_ms=9", "--socket.pong_wait_ms=9"], "Ping period value must be less"),
            (["--console.password="], "Console password must be set"),
            (["--console.username=with-hyphen"], "Console username must be set and valid"),
            (["--logger.level=loud"], "Logger level invalid"),
            (["--socket.close_ack_wait_ms=0"], "Socket close ack timeout milliseconds must be >= 1"),
            (["--party.label_update_interval_ms=0"], "Party label update interval milliseconds must be > 0"),
            (["--satori.cache_mode=never"], "cache_mode must be 'context' or 'time'"),
            (["--satori.cache_ttl_sec=0"], "cache_ttl_sec must be greater than 0"),
            (["--satori.http_timeout_ms=0"], "http_timeout_ms must be greater than 0"),
            (["--satori.retry_count=4"], "retry_count must be a value between 0 and 3"),
        ):
            with self.subTest(flags=flags):
                self.assertIn(expected, self.run_(self.nakama, *flags, status=1))

    def test_the_settings_of_3_40(self):
        """Those that came with the last versions: each is a flag, and a key with the right kind of value."""
        values = {"metrics.custom_scope_limit": 100, "socket.close_ack_wait_ms": 1000, "socket.proxy_count": 2,
                  "console.disable_display_name_search": True, "console.mfa.storage_encryption_key": "",
                  "console.mfa.admin_account_enabled": True, "iap.samsung.package_name": "game", "satori.cache_disabled": True,
                  "satori.cache_mode": "time", "satori.cache_ttl_sec": 60, "satori.http_timeout_ms": 5000, "satori.server_key": "k",
                  "satori.retry_count": 3, "party.label_update_interval_ms": 500, "party.idle_check_interval_ms": 10000,
                  "mfa.storage_encryption_key": ""}
        usage = self.run_(self.nakama, "--help")
        for name, value in values.items():
            self.assertIn("  -%s\n" % name, usage)
            *sections, key = name.split(".")
            text = "".join("  " * depth + part + ":\n" for depth, part in enumerate(sections))
            path = self.write("n.yml", text + "  " * len(sections) + "%s: %s\n" % (key, json.dumps(value)))
            address = "--database.address=root@localhost:%d?sslmode=disable" % support.free_port()
            with self.subTest(name=name):
                # The database is all that is missing.
                self.assertIn("Error pinging database", self.run_(self.nakama, "--config", path, address, status=1))

    def test_each_insecure_default_is_warned_of(self):
        address = "--database.address=root@localhost:%d?sslmode=disable" % support.free_port()

        def warned(*flags):
            log = messages(self.run_(self.nakama, address, *flags, status=1))
            return [line["param"] for line in log if line["msg"].startswith("WARNING: insecure default parameter value")]

        self.assertEqual(warned(), [name for name in SECRETS if name != "mfa.storage_encryption_key"])
        self.assertEqual(warned("--runtime.http_key=x", "--console.username=yy"),
                         ["console.password", "console.signing_key", "socket.server_key", "session.encryption_key",
                          "session.refresh_encryption_key"])
        self.assertEqual(warned(*("--%s=%s" % pair for pair in SECRETS.items())), [])

    def test_the_reader_without_pyyaml_reads_our_files_alike(self):
        """In a process whose `yaml` cannot be imported, the subset reader gives what PyYAML gives."""
        instance = self.path("etc/nakama/instance.yml")
        self.run_("sh", support.ONBOOT, env=dict(os.environ, ONBOOT_ROOT=self.folder, ONBOOT_COCKROACH=self.cockroach))
        script = ("import sys, json; sys.path[:0] = sys.argv[1:3]\nif sys.argv[3] == 'without': sys.modules['yaml'] = None\n"
                  "import settings; print(json.dumps([settings.read_yaml(path) for path in sys.argv[4:]], sort_keys=True))")
        files = [os.path.join(support.PROJECT, "files/etc/nakama/nakama.yml"), instance,
                 self.write("more.yml", 'a: 1\nb:\n  c: true  # note\n  d: "x # y"\n  e:\n    - one\n    - "two"\n  f: [1, 2]\ng:\nh:\n- z\ni: plain text\n')]
        folders = [os.path.join(support.STAND_INS, "nakama"), os.path.join(support.STAND_INS, "shared")]
        run = lambda how: json.loads(self.run_("/usr/bin/python3", "-B", "-c", script, *folders, how, *files))
        without = run("without")
        self.assertEqual(set(without[1]), {"console", "socket", "session", "runtime", "mfa", "database"})
        self.assertEqual(without[2], {"a": 1, "b": {"c": True, "d": "x # y", "e": ["one", "two"], "f": [1, 2]}, "g": None,
                                      "h": ["z"], "i": "plain text"})
        if subprocess.run(["/usr/bin/python3", "-c", "import yaml"], stderr=subprocess.DEVNULL, check=False).returncode == 0:
            self.assertEqual(without, run("with"))
        for bad in ("a: 'single'\n", "a: |\n  block\n", "a: {b: 1}\n", "a: &x 1\n", "? a\n"):
            with self.subTest(bad=bad), self.assertRaises(AssertionError):
                files[:] = [self.write("bad.yml", bad)]
                run("without")


class Server(support.Case):
    def setUp(self):
        super().setUp()
        self.certs = self.certificates(("root", "nakama"))
        self.process, self.port, _ = self.database(self.certs)
        self.sql(self.port, self.certs, "CREATE DATABASE nakama; CREATE USER nakama; ALTER DATABASE nakama OWNER TO nakama")
        self.base = support.free_port(4)  # console gRPC, gRPC, API, console: 7348 to 7351 elsewhere
        self.flags = ["--%s=%s" % pair for pair in SECRETS.items()] + [
            "--data_dir=" + self.path("data"), "--socket.port=%d" % (self.base + 2), "--console.port=%d" % (self.base + 3),
            "--database.address=nakama@localhost:%d/nakama?sslmode=verify-full&sslrootcert=%s/ca.crt&sslcert=%s/client.nakama.crt"
            "&sslkey=%s/client.nakama.key" % (self.port, self.certs, self.certs, self.certs)]
        self.api, self.console = self.base + 2, self.base + 3

    def up(self):
        server = self.start(self.nakama, *self.flags, env=dict(os.environ, NAKAMA_TELEMETRY="0"))
        self.until("Nakama is up", lambda: "Startup done" in self.log(server), server)
        return server

    def login(self, query="", key="server-key", device="a-device-of-a-player"):
        token = base64.b64encode((key + ":").encode()).decode()
        return self.ask(self.api, "POST", "/v2/account/authenticate/device" + query, json.dumps({"id": device}), {"authorization": "Basic " + token})

    def ask(self, port, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("localhost", port, timeout=60)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text

    def test_it_needs_a_database_and_its_schema(self):
        log = messages(self.run_(self.nakama, *self.flags, status=1))
        self.assertEqual(log[-1]["msg"], "Could not get migration records, run `nakama migrate up`")
        self.run_(self.nakama, "migrate", "up", "--limit", "3", *self.flags)
        log = messages(self.run_(self.nakama, *self.flags, status=1))
        self.assertEqual((log[-1]["level"], log[-1]["msg"]), ("fatal", "DB schema outdated, run `nakama migrate up`"))
        missing = [flag.replace("/nakama?", "/nowhere?") for flag in self.flags]
        self.assertIn("Database schema not found, run `nakama migrate up`", self.run_(self.nakama, *missing, status=1))
        self.terminate(self.process)
        begun = time.monotonic()
        self.assertIn("Error pinging database", self.run_(self.nakama, *self.flags, status=1))
        self.assertLess(time.monotonic() - begun, 15)

    def test_a_database_that_says_nothing_is_given_up_after_15_seconds(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            begun = time.monotonic()
            log = self.run_(self.nakama, "--database.address=root@127.0.0.1:%d" % silent.getsockname()[1], status=1)
        self.assertIn("Error pinging database", log)
        # The upper bound is for a program that does not give up; a busy machine takes its time, too.
        self.assertTrue(14 < time.monotonic() - begun < 60)

    def test_migrations(self):
        run = lambda *words: messages(self.run_(self.nakama, "migrate", *words, *self.flags))
        self.assertEqual(run("up")[-1]["count"], 19)
        self.assertEqual(run("up")[-1]["count"], 0)
        self.assertEqual(run("down")[-1]["count"], 1)
        self.assertEqual([line["applied"] != "" for line in run("status")[-19:]], [True] * 18 + [False])
        self.assertEqual(run("up")[-1]["count"], 1)
        self.assertEqual([line["count"] for line in run("redo") if "count" in line], [1, 1])

    def test_three_that_migrate_at_once(self):
        """As with the real one, only one gets through. nakama-setup migrate takes care of that."""
        started = [self.start(self.nakama, "migrate", "up", *self.flags) for _ in range(3)]
        statuses = [process.wait(60) for process in started]
        # On a busy machine, one may begin when another has finished.
        self.assertEqual(set(statuses), {0, 1})
        for process, status in zip(started, statuses):
            self.assertIn("Failed to apply migrations" if status else "Successfully applied migration", self.log(process))

    def test_the_happy_way(self):
        self.run_(self.nakama, "migrate", "up", *self.flags)
        server = self.up()
        self.assertEqual(self.ask(self.api, "GET", "/healthcheck"), (200, "{}"))
        self.assertIn("healthcheck ok", self.run_(self.nakama, "healthcheck", str(self.api)))
        self.assertIn("healthcheck failed", self.run_(self.nakama, "healthcheck", str(support.free_port()), status=1))
        for port in range(self.base, self.base + 4):
            socket.create_connection(("localhost", port), 60).close()

        authenticate = lambda **fields: self.ask(self.console, "POST", "/v2/console/authenticate", json.dumps(fields))
        status, text = authenticate(username="ops", password="console-pass")
        self.assertEqual((status, len(json.loads(text)["token"].split("."))), (200, 3))
        self.assertEqual(authenticate(username="ops", password="password")[0], 401)
        self.assertEqual(authenticate(username="admin", password="console-pass")[0], 401)
        self.assertEqual(authenticate(username="ops")[0], 400)
        status, text = self.ask(self.console, "GET", "/")
        self.assertEqual((status, "STAND-IN" in text), (200, True))

        self.assertEqual(self.login(key="defaultkey")[0], 401)
        self.assertEqual(self.login("?create=true")[0], 501)
        self.assertEqual(self.login(device="short")[0], 400)
        self.assertNotIn("console-pass", self.log(server))
        self.terminate(server)
        self.assertIn("Shutdown complete", self.log(server))

        # The database dies and comes back; so does the server: the schema is still there.
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process, _, _ = self.database(self.certs, port=self.port)
        server = self.up()
        self.assertNotIn("insecure default", self.log(server))
        self.assertNotIn("telemetry", self.log(server))
        self.terminate(server)

    def test_a_login_asks_the_database(self):
        self.run_(self.nakama, "migrate", "up", *self.flags)
        server = self.up()
        self.assertEqual(self.login("?create=false"), (404, '{"error": "User account not found.", "message": "User account not found.", "code": 5}'))
        self.terminate(self.process)
        status, text = self.login("?create=false")
        self.assertEqual((status, json.loads(text)["code"]), (500, 13))
        self.assertEqual(self.ask(self.api, "GET", "/healthcheck"), (200, "{}"))
        self.process, _, _ = self.database(self.certs, port=self.port)
        self.assertEqual(self.login("?create=false")[0], 404)
        self.terminate(server)

    def test_logins_share_the_connections(self):
        self.run_(self.nakama, "migrate", "up", *self.flags)
        self.sql(self.port, self.certs, "SET CLUSTER SETTING server.max_connections_per_gateway = 5")
        server = self.up()

        def statuses(query="?create=false"):
            with concurrent.futures.ThreadPoolExecutor(30) as pool:
                return {status for status, _ in pool.map(lambda _: self.login(query), range(60))}

        self.assertIn(500, statuses(), "100 connections, of which the database takes 2")
        self.terminate(server)
        self.flags.append("--database.max_open_conns=2")
        server = self.up()
        self.assertEqual(statuses(), {404})
        self.terminate(server)

    def test_a_port_that_is_taken(self):
        self.run_(self.nakama, "migrate", "up", *self.flags)
        with socket.create_server(("::", self.api), family=socket.AF_INET6, dualstack_ipv6=True):
            self.assertIn("address already in use", self.run_(self.nakama, *self.flags, status=1))

    def test_passwords_in_addresses_are_not_logged(self):
        answer = self.run_(self.nakama, "--database.address=u:s3cret@localhost:%d/db?sslmode=require" % support.free_port(), status=1)
        self.assertNotIn("s3cret", answer)
        self.assertIn("u:xxxxx@localhost", answer)


if __name__ == "__main__":
    unittest.main()
