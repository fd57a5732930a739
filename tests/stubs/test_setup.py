"""The operator's command, nakama-setup: each command against stubs of systemd, ufw and the rest."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

import support
import machine

INSTANCE = machine.INSTANCE


class Program(support.Case):
    def test_no_module_is_long_or_hides_one_of_pythons_own(self):
        names = os.listdir(machine.MODULES)
        self.assertIn("main.py", names)
        for name in names:
            self.assertTrue(name.endswith(".py") and name[:-3] not in sys.stdlib_module_names, name)
            with open(os.path.join(machine.MODULES, name), encoding="utf-8") as file:
                self.assertLessEqual(len(file.readlines()), 400, name)
        self.assertTrue(os.access(machine.SETUP, os.X_OK))


class CommandLine(machine.Machine):
    def test_help_names_every_command_and_each_has_its_own(self):
        text = self.setup_("--help")
        commands = [line.split()[0] for line in text.splitlines() if line.startswith("    ") and not line.startswith("     ")]
        self.assertGreaterEqual(len(commands), 4)
        for name in commands:
            self.assertIn("usage: nakama-setup " + name, self.setup_(name, "--help"))
        self.assertIn("exit status:", text)

    def test_usage_errors_are_2(self):
        for words in ((), ("nonsense",), ("console",), ("console", "ajar"), ("status", "--xml"), ("secrets", "no.such")):
            self.setup_(*words, status=2)

    def test_without_root(self):
        command = [sys.executable, machine.SETUP, "secrets"]
        if os.geteuid() == 0:
            # Another user may not be able to read this project.
            folder = tempfile.mkdtemp()
            self.addCleanup(shutil.rmtree, folder)
            os.chmod(folder, 0o755)
            shutil.copytree(os.path.join(support.PROJECT, "files/usr/local"), folder, dirs_exist_ok=True)
            command = ["setpriv", "--reuid=65534", "--clear-groups", "/usr/bin/python3", folder + "/sbin/nakama-setup", "secrets"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"]})
        self.assertEqual((done.returncode, done.stderr), (3, "nakama-setup: this needs root: sudo nakama-setup …\n"))


class Status(machine.Machine):
    def test_a_well_machine(self):
        lines = self.setup_("status").splitlines()
        self.assertEqual([line.split()[0] for line in lines], ["first", "cockroachdb", "nakama", "api", "database", "login", "disk", "backup", "certificate"])
        self.assertIn("database     reachable", lines)
        self.assertIn("login        Nakama reaches its database", lines)
        answer = json.loads(self.setup_("status", "--json"))
        self.assertTrue(answer["well"])
        self.assertEqual({check["name"]: check["ok"] for check in answer["checks"]},
                         {"first boot": True, "cockroachdb": True, "nakama": True, "api": True, "database": True, "login": True, "disk": True,
                          "backup": None, "certificate": None})

    def test_each_thing_that_is_not_well_is_named(self):
        for name, break_it in (
            ("cockroachdb", lambda: self.write("state/failed-cockroachdb.service", "")),
            ("nakama", lambda: self.write("state/failed-nakama.service", "")),
            ("api", lambda: self.write("state/unhealthy", "")),
            ("database", lambda: self.write("state/no-database", "")),
            ("database", lambda: self.write("state/restored", "")),
            ("first", lambda: os.unlink(self.root(INSTANCE))),
        ):
            with self.subTest(name=name):
                self.make_machine()
                break_it()
                found = [line for line in self.setup_("status", status=1).splitlines() if "NOT WELL" in line]
                self.assertEqual([line.split()[0] for line in found], [name])

    def test_a_database_that_cannot_be_asked_hides_nothing_else(self):
        os.unlink(self.path("bin/cockroach"))
        lines = self.setup_("status", status=1).splitlines()
        self.assertEqual([line for line in lines if "NOT WELL" in line],
                         ["database     NOT WELL: cockroach cannot be started: No such file or directory"])
        self.assertEqual(len(lines), 9)

    def test_what_a_login_says_of_the_database(self):
        """Nakama's health check answers 200 while the database is down."""
        for answer, ok, text in (
            (404, True, "Nakama reaches its database"), (200, True, "Nakama reaches its database"),
            (500, False, "Nakama does not reach its database: HTTP 500 Internal Server Error"),
            (401, None, "not known: HTTP 401 Unauthorized"), (403, None, "not known: HTTP 403 Forbidden"),
        ):
            with self.subTest(answer=answer):
                self.write("state/login", str(answer))
                checks = {check["name"]: check for check in json.loads(self.setup_("status", "--json", status=0 if ok is not False else 1))["checks"]}
                self.assertEqual((checks["api"]["ok"], checks["login"]["ok"], checks["login"]["text"]), (True, ok, text))
        os.unlink(self.path("state/login"))
        nowhere = "http://127.0.0.1:%d/healthcheck" % support.free_port()
        self.assertIn("login        not checked: the API does not answer", self.setup_("status", status=1, NAKAMA_SETUP_HEALTH=nowhere).splitlines())

    def test_with_a_managed_database(self):
        os.unlink(self.root("/etc/cockroach/pki/node/node.key"))
        self.write("state/failed-cockroachdb.service", "")
        # test_database.py has one that answers.
        lines = self.setup_("status", status=1).splitlines()
        self.assertIn("cockroachdb  not used: the database is managed", lines)
        self.assertEqual([line.split()[0] for line in lines if "NOT WELL" in line], ["database"])


class Secrets(machine.Machine):
    def test_the_login_and_the_keys(self):
        text = self.setup_("secrets")
        self.assertEqual([line.split()[0] for line in text.splitlines()],
                         ["console.username", "console.password", "socket.server_key", "runtime.http_key"])
        values = dict(line.split() for line in self.setup_("secrets", "--all").splitlines())
        self.assertEqual(len(values), 8)
        self.assertEqual(self.setup_("secrets", "socket.server_key"), values["socket.server_key"] + "\n")
        self.assertNotIn("sslmode", self.setup_("secrets", "--all"))

    def test_before_the_first_boot_is_over(self):
        os.unlink(self.root(INSTANCE))
        self.assertIn("the first boot is not finished", self.setup_("secrets", status=1))


class Firewall(machine.Machine):
    def test_open_close_status(self):
        for command, profile in (("console", "Nakama Console"), ("grpc", "Nakama gRPC")):
            self.assertEqual(self.setup_(command, "status"), profile + ": closed\n")
            self.assertEqual(self.setup_(command, "open"), profile + ": open\n")
            self.assertEqual(self.setup_(command, "open"), profile + ": open\n")
            self.assertEqual(self.setup_(command, "status"), profile + ": open\n")
            self.assertEqual(self.setup_(command, "close"), profile + ": closed\n")
            self.assertEqual(self.setup_(command, "close"), profile + ": closed\n")
            self.assertIn("\nNakama\n", self.ufw(), "the API stays open")

    def test_a_firewall_that_fails(self):
        self.program("ufw", 'echo "ERROR: problem running"; exit 1')
        self.assertIn("ufw allow Nakama Console failed with exit status 1:\nERROR: problem running", self.setup_("console", "open", status=1))

    def test_nobody_else_can_hold_it_up(self):
        self.setup_("console", "status")
        self.assertEqual(os.stat(self.root("/run/nakama-setup.lock")).st_mode & 0o777, 0o600)

    def test_one_at_a_time(self):
        os.makedirs(self.root("/run"))
        import fcntl
        with open(self.root("/run/nakama-setup.lock"), "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.assertIn("another nakama-setup is running", self.setup_("console", "open", status=5))
        self.assertNotIn("Console", self.ufw())


if __name__ == "__main__":
    unittest.main()
