"""The first boot of a customer's machine: certificates, secrets, and what an interruption leaves."""

import os
import random
import re
import signal
import subprocess
import time
import unittest

import support

EIGHT = ("username", "password", "signing_key", "server_key", "encryption_key", "refresh_encryption_key", "http_key",
         "storage_encryption_key")
EXPECTED = {
    "etc/cockroach/pki/ca/ca.key": 0o600, "etc/cockroach/pki/node/ca.crt": 0o644, "etc/cockroach/pki/node/node.crt": 0o644,
    "etc/cockroach/pki/node/node.key": 0o600, "etc/cockroach/pki/node/client.root.crt": 0o644,
    "etc/cockroach/pki/node/client.root.key": 0o600, "etc/cockroach/pki/nakama/ca.crt": 0o640,
    "etc/cockroach/pki/nakama/client.nakama.crt": 0o640, "etc/cockroach/pki/nakama/client.nakama.key": 0o640,
    "etc/nakama/instance.yml": 0o640,
}
CREDENTIALS = """db_protocol="{protocol}"
db_username="doadmin"
db_password="p@ss/w:rd?&%1"
db_host="db-1.example"
db_port="25060"
db_database="defaultdb"
"""


class OnBoot(support.Case):
    def environment(self, root, **more):
        return dict(os.environ, ONBOOT_ROOT=root, ONBOOT_COCKROACH=self.cockroach, **more)

    def boot(self, name="root", status=0, **more):
        os.makedirs(self.path(name), exist_ok=True)
        return self.run_("sh", support.ONBOOT, status=status, env=self.environment(self.path(name), **more))

    def files(self, name="root"):
        found = {}
        for folder, _, names in os.walk(self.path(name)):
            for file_name in names:
                path = os.path.join(folder, file_name)
                with open(path, "rb") as file:
                    found[os.path.relpath(path, self.path(name))] = (os.stat(path).st_mode & 0o777, file.read())
        return found

    def secrets(self, name="root"):
        text = self.files(name)["etc/nakama/instance.yml"][1].decode()
        return dict(re.findall(r'^  (\w+): "([^"]+)"$', text, re.M)), text

    def assert_complete(self, name="root"):
        self.assertEqual({path: mode for path, (mode, _) in self.files(name).items()}, EXPECTED)
        values, _ = self.secrets(name)
        self.assertEqual(set(values), set(EIGHT))
        for key, value in values.items():
            self.assertRegex(value, r"^operator[0-9a-f]{8}$" if key == "username" else r"^[\w-]{32}$")
        self.assertEqual(len(set(values.values())), 8)
        for part, mode in (("ca", 0o700), ("node", 0o700), ("nakama", 0o750)):
            self.assertEqual(os.stat(self.path(name, "etc/cockroach/pki", part)).st_mode & 0o777, mode)

    def test_everything_is_made_and_nothing_is_printed(self):
        output = self.boot()
        self.assert_complete()
        values, _ = self.secrets()
        for value in values.values():
            self.assertNotIn(value, output)
        self.assertEqual(output, "".join("nakama first boot: %s\n" % text for text in (
            "making the database's certificates", "making Nakama's secrets", "done")))

    def test_a_second_run_changes_nothing(self):
        self.boot()
        before = self.files()
        self.assertEqual(self.boot(), "nakama first boot: done\n")
        self.assertEqual(before, self.files())

    def test_two_machines_have_no_secret_in_common(self):
        self.boot("one")
        self.boot("other")
        one, other = self.secrets("one")[0], self.secrets("other")[0]
        self.assertFalse(set(one.values()) & set(other.values()))
        keys = [{content for path, (_, content) in self.files(name).items() if path.endswith((".key", ".crt"))} for name in ("one", "other")]
        self.assertFalse(keys[0] & keys[1])

    def test_both_services_start_with_what_was_made(self):
        self.boot()
        node = self.path("root/etc/cockroach/pki/node")
        process, port, _ = self.database(node)
        self.sql(port, node, "CREATE DATABASE IF NOT EXISTS nakama; CREATE USER IF NOT EXISTS nakama; "
                             "ALTER DATABASE nakama OWNER TO nakama; GRANT ALL ON DATABASE nakama TO nakama")
        text = self.secrets()[1].replace("/etc/cockroach", self.path("root/etc/cockroach")).replace("26257", str(port))
        config, base = self.write("instance.yml", text), support.free_port(4)
        flags = ["--config", os.path.join(support.PROJECT, "files/etc/nakama/nakama.yml"), "--config", config,
                 "--socket.port=%d" % (base + 2), "--console.port=%d" % (base + 3), "--data_dir=" + self.path("data")]
        self.run_(self.nakama, "migrate", "up", *flags)
        server = self.start(self.nakama, *flags)
        self.until("Nakama is up", lambda: "Startup done" in self.log(server), server)
        self.assertNotIn("insecure default", self.log(server))
        self.terminate(server)
        self.terminate(process)

    def test_an_interruption_at_any_command_is_made_good(self):
        """Each external command in turn kills the script just before it would run: as a power cut would."""
        commands = ("cert create-ca", "cert create-node", "cert create-client root", "cert create-client nakama")
        fakes = self.path("fakes")
        os.mkdir(fakes)
        for name in ("chmod", "mv", "sync", "cp", "base64", "mkdir"):
            real = "/usr/bin/" + name
            self.write("fakes/" + name, '#!/bin/sh\necho "%s" >>"$COUNT"\nif [ "$(wc -l <"$COUNT")" -eq "$STOP" ]; then kill -9 "$PPID"; exit 9; fi\n'
                       'exec %s "$@"\n' % (name, real), 0o755)
        fake = self.write("cockroach", '#!/bin/sh\necho "$1 $2 $3" >>"$COUNT"\nif [ "$(wc -l <"$COUNT")" -eq "$STOP" ]; then kill -9 "$PPID"; exit 9; fi\n'
                          'exec %s "$@"\n' % self.cockroach, 0o755)
        stop, seen = 0, set()
        while True:
            stop += 1
            self.assertLess(stop, 60)
            root, count = self.path("r%d" % stop), self.path("count-%d" % stop)
            os.mkdir(root)
            environment = dict(os.environ, ONBOOT_ROOT=root, ONBOOT_COCKROACH=fake, COUNT=count, STOP=str(stop),
                               PATH=fakes + ":" + os.environ["PATH"])
            done = subprocess.run(["sh", support.ONBOOT], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
            if done.returncode == 0:
                break
            with open(count, encoding="utf-8") as file:
                seen.add(file.read().splitlines()[-1])
            # The steps that were finished before the cut are not repeated.
            kept = {path: entry for path, entry in self.files("r%d" % stop).items() if path in EXPECTED}
            environment["STOP"] = "0"
            subprocess.run(["sh", support.ONBOOT], env=environment, stdout=subprocess.DEVNULL, check=True)
            self.assert_complete("r%d" % stop)
            self.assertEqual(kept, {path: entry for path, entry in self.files("r%d" % stop).items() if path in kept})
        for command in commands:
            self.assertTrue(any(line.startswith(command[:17]) for line in seen), (command, seen))
        self.assertGreater(stop, 15)

    def test_a_kill_at_random_moments_is_made_good(self):
        moments = random.Random(4)
        for number in range(6):
            root = self.path("k%d" % number)
            os.mkdir(root)
            process = self.start("sh", support.ONBOOT, env=self.environment(root), start_new_session=True)
            time.sleep(moments.uniform(0.02, 0.6))
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
            self.boot("k%d" % number)
            self.assert_complete("k%d" % number)

    def test_a_failing_database_program_stops_it_and_leaves_no_half(self):
        os.makedirs(self.path("root"))
        environment = dict(os.environ, ONBOOT_ROOT=self.path("root"), ONBOOT_COCKROACH="/bin/false")
        self.run_("sh", support.ONBOOT, status=1, env=environment)
        self.assertFalse(os.path.exists(self.path("root/etc/cockroach/pki")))
        self.assertFalse(os.path.exists(self.path("root/etc/nakama/instance.yml")))

    def test_a_managed_database_is_used(self):
        for protocol in ("postgresql", "postgres://"):
            with self.subTest(protocol=protocol):
                name = "m-" + protocol.strip(":/")
                self.write(name + "/root/.digitalocean_dbaas_credentials", CREDENTIALS.format(protocol=protocol), 0o600)
                output = self.boot(name)
                self.assertIn("using the managed database; CockroachDB is not started", output)
                self.assertNotIn("p@ss", output)
                self.assertFalse(os.path.exists(self.path(name, "etc/cockroach/pki")))
                self.assertIn('    - "doadmin:p%40ss%2Fw%3Ard%3F%26%251@db-1.example:25060/defaultdb?sslmode=require"\n',
                              self.secrets(name)[1])
                before = self.files(name)
                os.unlink(self.path(name, "root/.digitalocean_dbaas_credentials"))
                before.pop("root/.digitalocean_dbaas_credentials")
                self.boot(name)
                self.assertEqual(before, self.files(name), "what was decided at first stays decided")

    def test_how_a_managed_database_is_reached(self):
        cases = (("localhost", "prefer"), ("127.0.0.1", "prefer"), ("10.116.0.2", "prefer"), ("172.20.0.9", "prefer"), ("192.168.1.5", "prefer"),
                 ("::1", "prefer"), ("fd00::5", "prefer"), ("postgres", "prefer"), ("172.32.0.9", "require"), ("203.0.113.7", "require"),
                 ("2001:db8::1", "require"), ("private-db-1.b.db.ondigitalocean.com", "require"))
        for number, (host, mode) in enumerate(cases):
            with self.subTest(host=host):
                self.write("m%d/root/.digitalocean_dbaas_credentials" % number, CREDENTIALS.format(protocol="postgresql").replace("db-1.example", host))
                self.boot("m%d" % number)
                self.assertIn("@%s:25060/defaultdb?sslmode=%s\"" % ("[%s]" % host if ":" in host else host, mode), self.secrets("m%d" % number)[1])
        self.write("ca/root/.digitalocean_dbaas_credentials", CREDENTIALS.format(protocol="postgresql").replace('"', "'"))
        authority = self.write("ca/etc/nakama/database-ca.crt", "x", 0o600)
        self.boot("ca")
        self.assertIn("@db-1.example:25060/defaultdb?sslmode=verify-full&sslrootcert=/etc/nakama/database-ca.crt\"", self.secrets("ca")[1])
        self.assertEqual(os.stat(authority).st_mode & 0o777, 0o640)

    def test_another_product_or_an_incomplete_file(self):
        self.write("mysql/root/.digitalocean_dbaas_credentials", CREDENTIALS.format(protocol="mysql"))
        self.assertIn("is not for PostgreSQL: using the local database", self.boot("mysql"))
        self.assertTrue(os.path.exists(self.path("mysql/etc/cockroach/pki/node/node.key")))
        self.write("half/root/.digitalocean_dbaas_credentials", 'db_protocol="postgresql"\ndb_username="x"\n')
        self.assertIn("is not complete", self.boot("half", status=1))
        self.assertFalse(os.path.exists(self.path("half/etc/nakama/instance.yml")))

    def test_the_managed_address_reads_back(self):
        self.write("m/root/.digitalocean_dbaas_credentials", CREDENTIALS.format(protocol="postgresql"))
        self.boot("m")
        answer = self.run_(self.nakama, "--config", self.path("m/etc/nakama/instance.yml"), status=1)
        self.assertIn("@db-1.example:25060/defaultdb", answer)
        self.assertIn("Error pinging database", answer)
        self.assertNotIn("insecure default", answer)


if __name__ == "__main__":
    unittest.main()
