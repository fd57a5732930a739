"""`nakama-setup join`: tokens, what it makes of a machine, and three nodes that become one cluster.

Each machine is a folder; its private address is a loopback address of its own. The test plays systemd: it runs what the
unit and its drop-in say, with the stand-in of CockroachDB.
"""

import base64
import ipaddress
import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import unittest

import support
from machine import SETUP

UNIT = "etc/systemd/system/cockroachdb.service"
NEW = {"etc/cockroach/pki/ca/ca.key": 0o600, "etc/cockroach/pki/node/ca.crt": 0o644, "etc/cockroach/pki/node/node.crt": 0o644,
       "etc/cockroach/pki/node/node.key": 0o600, "etc/cockroach/pki/node/client.root.crt": 0o644,
       "etc/cockroach/pki/node/client.root.key": 0o600, "etc/cockroach/pki/nakama/ca.crt": 0o640,
       "etc/cockroach/pki/nakama/client.nakama.crt": 0o640, "etc/cockroach/pki/nakama/client.nakama.key": 0o640,
       "etc/nakama/instance.yml": 0o640, "etc/nakama/cluster.conf": 0o600, UNIT + ".d/cluster.conf": 0o644,
       "etc/systemd/system/nakama.service.d/cluster.conf": 0o644}


class Machines(support.Case):
    def setUp(self):
        super().setUp()
        # Addresses at random: several runs of this test may be under way on one host.
        self.network = "127.%d.%d." % (random.randint(16, 63), random.randint(0, 255))

    def address(self, number):
        return self.network + str(number)

    def machine(self, number, conf=None, card="eth1"):
        """A machine from the image, before its first boot."""
        root = "m%d" % number
        shutil.copytree(os.path.join(support.PROJECT, "files/etc/systemd"), self.path(root, "etc/systemd"))
        os.makedirs(self.path(root, "var/lib/cockroach"))
        cards = [{"ifname": "lo", "addr_info": [{"local": "127.0.0.1", "prefixlen": 8}]}, {"ifname": "eth0"},
                 {"ifname": card, "addr_info": [{"local": self.address(number), "prefixlen": 24}]}]
        calls = self.path("calls-%d" % number)
        for name, text in (("ip", "echo '%s'" % json.dumps(cards)), ("ufw", ""), ("systemctl", "")):
            self.write("bin-%d/%s" % (number, name), "#!/bin/sh\necho %s \"$@\" >>%s\n%s\n" % (name, calls, text), 0o755)
        os.symlink(self.cockroach, self.path("bin-%d/cockroach" % number))
        if conf is not None:
            self.write(root + "/etc/nakama/cluster.conf", conf, 0o644)
        return root

    def environment(self, number):
        return dict(os.environ, NAKAMA_SETUP_ROOT=self.path("m%d" % number), ONBOOT_ROOT=self.path("m%d" % number), ONBOOT_COCKROACH=self.cockroach,
                    ONBOOT_SETUP=SETUP, NAKAMA_SETUP_DATABASE=self.address(number) + ":26257",
                    PATH=self.path("bin-%d" % number) + ":" + os.environ["PATH"])

    def join(self, number, *words, status=0, **more):
        return self.run_(sys.executable, "-B", SETUP, "join", *words, status=status, env=self.environment(number), **more)

    def boot(self, number, status=0):
        return self.run_("sh", support.ONBOOT, status=status, env=self.environment(number))

    def text(self, number, name):
        with open(self.path("m%d" % number, name), encoding="utf-8") as file:
            return file.read()

    def files(self, number):
        root = self.path("m%d" % number)
        return {os.path.relpath(os.path.join(top, name), root): os.stat(os.path.join(top, name)).st_mode & 0o777
                for top, _, names in os.walk(root) for name in names}

    def secrets(self, number):
        return dict(re.findall(r'^  (\w+): "([^"]+)"$', self.text(number, "etc/nakama/instance.yml"), re.M))

    def calls(self, number):
        with open(self.path("calls-%d" % number), encoding="utf-8") as file:
            return [line for line in file.read().splitlines() if not line.startswith("ip ")]

    def token(self):
        """Made with openssl alone, as the documentation says."""
        with open(os.path.join(support.PROJECT, "docs/image.md"), encoding="utf-8") as file:
            command = re.search(r"^    umask 077\n(?:    .*\n)+", file.read(), re.M).group()
        self.run_("sh", "-euc", command)
        with open(self.path("token"), encoding="utf-8") as file:
            return file.read().strip()


class Join(Machines):
    def test_a_first_boot_with_addresses_makes_all_that_a_node_needs(self):
        token = self.token()
        conf = "token=%s\njoin=%s\n" % (token, ",".join(self.address(n) for n in (2, 3, 4)))
        self.machine(2, conf)
        output = self.boot(2)
        self.assertIn("joined the cluster %s as %s" % (", ".join(self.address(n) for n in (2, 3, 4)), self.address(2)), output)
        found = self.files(2)
        for name, mode in NEW.items():
            self.assertEqual((name, found.get(name)), (name, mode))
        # The token is not kept, the lock is empty, and nothing else is there but what the image had.
        made = set(found) - set(NEW) - {"run/nakama-setup.lock", UNIT}
        self.assertEqual({name for name in made if not name.startswith("etc/systemd/system/")}, set())
        self.assertEqual(self.text(2, "etc/nakama/cluster.conf"), "join=%s\njoined=%s\n" % (conf.split("join=")[1].strip(), self.address(2)))
        for part, mode in (("ca", 0o700), ("node", 0o700), ("nakama", 0o750)):
            self.assertEqual(os.stat(self.path("m2/etc/cockroach/pki", part)).st_mode & 0o777, mode)
        self.assertIn("ufw allow in on eth1 from %s0/24 to any port 26257 proto tcp" % self.network, self.calls(2))
        name = "nakama-%08x" % int(ipaddress.ip_address(self.address(2)))
        self.assertLessEqual(len(name), 16)
        self.assertIn('name: "%s"\n' % name, self.text(2, "etc/nakama/instance.yml"))
        before = {name: self.text(2, name) for name in NEW}
        self.assertEqual(self.boot(2), "nakama first boot: done\n")
        self.assertEqual(before, {name: self.text(2, name) for name in NEW})

    def test_no_secret_is_printed_and_none_is_in_arguments(self):
        token = self.token()
        self.machine(2, "token=%s\njoin=self\n" % token)
        self.write("bin-2/openssl", "#!/bin/sh\necho openssl \"$@\" >>%s\nexec /usr/bin/openssl \"$@\"\n" % self.path("calls-2"), 0o755)
        output = self.boot(2) + "\n".join(self.calls(2))
        self.assertIn("openssl x509", output)
        for secret in [token[:40], *self.secrets(2).values()]:
            self.assertNotIn(secret, output)
        bad = self.machine(3, "token=%s!\njoin=self\n" % token) and self.boot(3, status=2)
        self.assertIn("the token is incomplete", bad)
        self.assertNotIn(token[:40], bad)
        self.machine(4, "%s\n" % token)
        bad = self.boot(4, status=2)
        self.assertIn("cluster.conf may contain token=, join=, expect=NUMBER and address=", bad)
        self.assertNotIn(token[:40], bad)

    def test_machines_of_one_token_share_their_secrets_and_others_do_not(self):
        token = self.token()
        for number in (2, 3):
            self.machine(number, "token=%s\njoin=%s\n" % (token, self.address(2)))
            self.boot(number)
        self.assertEqual(self.secrets(2), self.secrets(3))
        self.assertEqual(len(set(self.secrets(2).values())), 8)
        self.assertEqual({len(value) for name, value in self.secrets(2).items() if name != "username"}, {32})
        self.machine(4)
        other = self.join(4, "--new-token").strip()
        self.write("other", other + "\n", 0o600)
        self.join(4, "--token-file", self.path("other"), "self")
        self.assertFalse(set(self.secrets(2).values()) & set(self.secrets(4).values()))
        # A token made on a node works for further nodes.
        again = self.join(2, "--token").strip()
        self.machine(5, "token=%s\njoin=%s\n" % (again, self.address(2)))
        self.boot(5)
        self.assertEqual(self.secrets(2), self.secrets(5))
        self.assertEqual(self.text(2, "etc/cockroach/pki/node/ca.crt"), self.text(5, "etc/cockroach/pki/node/ca.crt"))

    def test_without_addresses_nothing_starts_until_the_operator_joins_it(self):
        self.machine(2, "token=%s\n" % self.token())
        self.assertIn("no addresses yet", self.boot(2))
        self.assertNotIn("etc/nakama/instance.yml", self.files(2))
        self.assertIn("no addresses yet", self.boot(2))
        self.join(2, self.address(2), self.address(3), "--expect=3")
        self.assertIn("systemctl start --no-block cockroachdb.service nakama.service", self.calls(2))
        self.assertIn("expect=3\n", self.text(2, "etc/nakama/cluster.conf"))

    def test_a_database_is_put_aside_with_yes_only(self):
        self.machine(2)
        self.boot(2)
        self.write("m2/var/lib/cockroach/data", "of players")
        before, token = self.secrets(2), self.write("given", self.token(), 0o600)
        words = ("--token-file", token, self.address(2), self.address(3))
        self.assertIn("this machine already has a database", self.join(2, *words, status=4))
        self.assertEqual(self.secrets(2), before)
        self.assertNotIn("etc/nakama/cluster.conf", self.files(2))
        self.join(2, *words, "--yes")
        self.assertNotEqual(self.secrets(2), before)
        kept = [name for name in self.files(2) if ".before-" in name]
        self.assertTrue(any(re.fullmatch(r"var/lib/cockroach\.before-\w+/data", name) for name in kept), kept)
        self.assertTrue(any(re.fullmatch(r"etc/cockroach/pki\.before-\w+/ca/ca\.key", name) for name in kept), kept)
        self.assertTrue(any(re.fullmatch(r"etc/nakama/instance\.yml\.before-\w+", name) for name in kept), kept)
        # A member that is joined again, with another list, keeps its data and needs no token.
        self.write("m2/var/lib/cockroach/data", "of the cluster")
        self.join(2, self.address(3), self.address(2))
        self.assertEqual(self.text(2, "var/lib/cockroach/data"), "of the cluster")
        self.assertEqual([name for name in self.files(2) if ".before-" in name], kept)
        self.assertIn("--join=%s,%s " % (self.address(3), self.address(2)), self.text(2, UNIT + ".d/cluster.conf"))
        # Another cluster's token does not fit this data.
        self.write("other", self.join(2, "--new-token"), 0o600)
        self.join(2, "--token-file", self.path("other"), self.address(2), status=4)

    def test_what_is_refused(self):
        self.machine(2, card="eth5")
        token = self.write("given", self.token(), 0o600)
        for words, status, text in (
            ((self.address(2),), 2, "a token is needed"),
            (("--token-file", self.path("none"), self.address(2)), 2, "No such file"),
            (("--token-file", self.write("text", "hello"), self.address(2)), 2, "the token is incomplete"),
            (("--token-file", token, self.address(3)), 1, "not this machine, which has 127.0.0.1, " + self.address(2)),
            (("--token-file", token, self.address(2) + ":26257"), 2, "without ports"),
            (("--token-file", token, "a;b"), 2, "private IPv4 addresses or names"),
            (("--token-file", token, "self", "--address=10.9.8.7"), 1, "10.9.8.7: not this machine"),
            (("--token-file", token, self.address(2), "--expect=many"), 2, "invalid int value"),
        ):
            with self.subTest(words=words):
                self.assertIn(text, self.join(2, *words, status=status))
                self.assertNotIn("etc/cockroach/pki/node/node.key", self.files(2))
        self.network = "9.9.9."
        self.machine(9)
        self.assertIn("is a public address", self.join(9, "--token-file", token, "self", status=1))

    def test_a_token_with_anything_else_in_it_is_refused(self):
        self.machine(2)
        good = base64.b64decode(self.token()).decode()
        certificate, key = good.split("-----BEGIN PRIVATE")
        key = "-----BEGIN PRIVATE" + key
        login = "console.username=ann\n"
        for text in (
            good + 'console.password=a"b\n', good + "console.password=a\\b\n", good + "console.password=a b\n", good + "console.password=a\x07\n",
            good + "console.password=é\n", good + "console.password=\n", good + "database.address=x\n", good + login + login, good + login.strip(),
            good + "# more\n", certificate, key + certificate, certificate + key.replace("\n", "\n#", 1), certificate + key + key,
        ):
            with self.subTest(text=text[len(certificate):]):
                token = self.write("given", base64.b64encode(text.encode()).decode(), 0o600)
                self.assertIn("the token is incomplete or wrong", self.join(2, "--token-file", token, "self", status=2))
                self.assertNotIn("etc/cockroach/pki/node/node.key", self.files(2))
        token = self.write("given", base64.b64encode((good + login + "console.password=a'#:{[%=~]}\n").encode()).decode(), 0o600)
        self.join(2, "--token-file", token, "self")
        self.assertEqual((self.secrets(2)["username"], self.secrets(2)["password"]), ("ann", "a'#:{[%=~]}"))
        self.write("m2/etc/nakama/instance.yml", self.text(2, "etc/nakama/instance.yml").replace("a'#", "a #"))
        self.assertIn("console.password: a token takes only printable ASCII", self.join(2, "--token", status=1))

    def test_an_interruption_at_any_program_is_made_good(self):
        token = self.token()
        conf = "token=%s\njoin=self\n" % token
        stop = 0
        while True:
            stop += 1
            self.assertLess(stop, 30)
            self.machine(2, conf)
            for name in ("cockroach", "ufw", "ip"):
                real = self.cockroach if name == "cockroach" else ":"
                if name == "ip":
                    with open(self.path("bin-2/ip"), encoding="utf-8") as file:
                        real = file.read().splitlines()[2] + "; exit 0; :"
                os.unlink(self.path("bin-2", name))
                self.write("bin-2/" + name, "#!/bin/sh\necho %s >>%s\nif [ \"$(wc -l <%s)\" -eq %d ]; then kill -9 \"$PPID\"; exit 9; fi\n%s \"$@\"\n" % (
                    name, self.path("count"), self.path("count"), stop, real), 0o755)
            self.write("count", "")
            done = subprocess.run([sys.executable, "-B", SETUP, "join", "--first-boot"], env=self.environment(2), stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL, check=False)
            if done.returncode == 0:
                break
            self.assertEqual(done.returncode, -9)
            self.boot(2)
            self.assertEqual({name: mode for name, mode in self.files(2).items() if name in NEW}, NEW)
            self.assertFalse([name for name in self.files(2) if name.endswith(".new")])
            shutil.rmtree(self.path("m2"))
            shutil.rmtree(self.path("bin-2"))
        self.assertEqual(stop, 6)

    def test_the_unit_stays_hardened(self):
        self.machine(2, "token=%s\njoin=self\n" % self.token())
        self.boot(2)
        for name in ("nakama.service", "cockroachdb.service"):
            done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=20", "--root=" + self.path("m2"), name],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stdout)
        merged = subprocess.run(["systemd-analyze", "cat-config", "--root=" + self.path("m2"), "systemd/system/cockroachdb.service"],
                                stdout=subprocess.PIPE, text=True, check=True).stdout
        self.assertIn("IPAddressAllow=%s0/24" % self.network, merged)


class Cluster(Machines):
    def unit(self, number, key):
        """The commands of the unit as the drop-in leaves them, for this host: each node on its own address."""
        commands = []
        for text in (self.text(number, UNIT), self.text(number, UNIT + ".d/cluster.conf")):
            for value in re.findall(r"^%s=(.*)$" % key, text, re.M):
                commands = commands + [value] if value else []
        for old, new in (("/usr/local/sbin/nakama-setup", "%s -B %s" % (sys.executable, SETUP)), ("/usr/local/bin/cockroach", self.cockroach),
                         ("/etc/cockroach", self.path("m%d/etc/cockroach" % number)), ("/var/lib/cockroach", self.path("m%d/var/lib/cockroach" % number)),
                         ("--listen-addr=:", "--listen-addr=%s:" % self.address(number)), ("localhost:26257", self.address(number) + ":26257"),
                         ("localhost:8080", "localhost:%d" % support.free_port())):
            commands = [command.replace(old, new) for command in commands]
        return [shlex.split(command) for command in commands]

    def up(self, number):
        """(the database, the shell that runs what comes after its start)."""
        (command,) = self.unit(number, "ExecStart")
        database = self.start(*command)
        self.until("it listens", lambda: "status:" in self.log(database), database)
        after = "; ".join("%s || exit 1" % shlex.join(command) for command in self.unit(number, "ExecStartPost"))
        return database, self.start("sh", "-c", after, env=self.environment(number))

    def check(self, number):
        done = subprocess.run([sys.executable, "-B", SETUP, "status", "--json"], env=self.environment(number), stdout=subprocess.PIPE, text=True, check=False)
        return next((one["ok"], one["text"]) for one in json.loads(done.stdout)["checks"] if one["name"] == "cluster")

    def test_three_machines_become_one_cluster(self):
        conf = "token=%s\njoin=%s\n" % (self.token(), ",".join(self.address(n) for n in (2, 3, 4)))
        running = {}
        # The first of the list comes last: the others wait for it.
        for number in (4, 3):
            self.machine(number, conf)
            self.boot(number)
            running[number] = self.up(number)
        self.assertEqual(self.check(3)[0], False)
        self.machine(2, conf)
        self.boot(2)
        running[2] = self.up(2)
        for number in (2, 3, 4):
            self.assertEqual(running[number][1].wait(120), 0, self.log(running[number][1]))
        for number in (2, 3, 4):
            self.until("all are members", lambda number=number: self.check(number) == (True, "3 of 3 nodes live"))
        self.assertEqual(sum("Cluster successfully" in self.log(after) for _, after in running.values()), 0)
        certs = self.path("m3/etc/cockroach/pki/node")
        init = self.run_(self.cockroach, "init", "--certs-dir=" + certs, "--host=%s:26257" % self.address(3), status=1)
        self.assertIn("already been initialized", init)
        # Nakama's user reaches the database through its own node, and what one node was told is there on the others.
        for number in (3, 4):
            self.run_(self.cockroach, "sql", "--certs-dir=" + self.path("m%d/etc/cockroach/pki/nakama" % number), "--user=nakama",
                      "--host=%s:26257" % self.address(number), "--database=nakama", "-e", "CREATE TABLE IF NOT EXISTS t (id INT); INSERT INTO t VALUES (%d)" % number,
                      env=dict(os.environ, COCKROACH_SKIP_KEY_PERMISSION_CHECK="1"))
        count = [self.cockroach, "sql", "--certs-dir=" + certs, "--database=nakama", "-e", "SELECT count(*) FROM t"]
        self.assertIn("2", self.run_(*count, "--host=%s:26257" % self.address(2)))
        self.migrate_at_once((2, 3, 4))
        # One dies, is missed, and comes back by the same commands, without a second init.
        running[4][0].send_signal(signal.SIGKILL)
        self.until("it is missed", lambda: self.check(2) == (False, "2 of 3 nodes live"))
        running[4] = self.up(4)
        self.assertEqual(running[4][1].wait(120), 0, self.log(running[4][1]))
        self.until("it is back", lambda: self.check(4) == (True, "3 of 3 nodes live"))
        self.assertIn("2", self.run_(*count, "--host=%s:26257" % self.address(4)))

    def migrate_at_once(self, numbers):
        """Their Nakamas migrate the empty database one after the other, each through its own node."""
        started = []
        for number in numbers:
            text = self.text(number, "etc/nakama/instance.yml").replace("localhost:26257", self.address(number) + ":26257")
            self.write("m%d/etc/nakama/instance.yml" % number, text.replace("=/etc", "=" + self.path("m%d/etc" % number)), 0o640)
            self.write("m%d/etc/nakama/nakama.yml" % number, "logger:\n  level: info\n")
            os.symlink(self.nakama, self.path("bin-%d/nakama" % number))
            started.append(self.start(sys.executable, "-B", SETUP, "migrate", env=self.environment(number)))
        self.assertEqual([process.wait(120) for process in started], [0, 0, 0], "\n".join(map(self.log, started)))
        logs = "".join(map(self.log, started))
        self.assertNotIn("without a lock", logs)
        self.assertEqual(sorted(re.findall(r'"Successfully applied migration", "count": (\d+)', logs)), ["0", "0", "19"])

    def test_one_begins_and_others_come_later(self):
        """As on DigitalOcean, where an address is known only after its droplet is there; and a first one that is made anew."""
        token = self.token()
        self.machine(2, "token=%s\njoin=self\nexpect=2\n" % token)
        self.boot(2)
        _, after = self.up(2)
        self.assertEqual(after.wait(120), 0, self.log(after))
        self.until("it lives alone", lambda: self.check(2) == (False, "1 of 2 nodes live"))
        self.machine(3, "token=%s\njoin=%s\nexpect=2\n" % (token, self.address(2)))
        self.boot(3)
        _, after = self.up(3)
        self.assertEqual(after.wait(120), 0, self.log(after))
        self.until("both are members", lambda: self.check(2) == (True, "2 of 2 nodes live"))
        # Another one whose list begins with itself, but names a node of a cluster: it joins that.
        self.machine(4, "token=%s\njoin=%s,%s\n" % (token, self.address(4), self.address(2)))
        self.boot(4)
        _, after = self.up(4)
        self.assertEqual(after.wait(120), 0, self.log(after))
        self.until("it is a member", lambda: self.check(4) == (True, "3 of 3 nodes live"))


if __name__ == "__main__":
    unittest.main()
