"""nakama-setup upgrade: archives from a loopback server, programs that say their version, one that does not come up."""

import contextlib
import hashlib
import http.server
import io
import itertools
import os
import tarfile
import threading
import time
import unittest

import machine


# Serves https:// without TLS, and lets time limits of half an hour pass in two seconds.
LOOPBACK = """
import http.client, signal, urllib.request
urllib.request.HTTPSHandler.https_open = lambda self, request: self.do_open(http.client.HTTPConnection, request)
limit = signal.setitimer
signal.setitimer = lambda which, seconds: limit(which, seconds / 900 if seconds > 60 else seconds)
"""


class Archives(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("location", self.path[len("/to/"):])
            self.end_headers()
            return
        if self.path.startswith("/slow"):
            with contextlib.suppress(OSError):
                for byte in itertools.chain(b"HTTP/1.0 200 OK\r\n\r\n" if self.path == "/slow-body" else b"", itertools.repeat(120)):
                    self.connection.sendall(bytes([byte]))
                    time.sleep(0 if byte != 120 else 0.05)
            return
        body = self.server.files.get(self.path)
        self.send_response(200 if body is not None else 404)
        self.send_header("content-length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_):
        pass


def program(version, more=""):
    return "#!/bin/sh\necho '%s'\n# %s\n" % (version, more)


class Upgrade(machine.Machine):
    def setUp(self):
        super().setUp()
        self.write("root/usr/local/bin/nakama", program("3.40.0+abc"), 0o755)
        self.write("root/usr/local/bin/cockroach", program("Build Tag:  v24.1.5"), 0o755)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Archives)
        self.server.files = {}
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)

    def offer(self, name, text, top=""):
        """Flags for an archive that holds this program."""
        packed, content = io.BytesIO(), text.encode()
        with tarfile.open(fileobj=packed, mode="w:gz") as tar:
            member = tarfile.TarInfo(top + name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        place = "/%d.tgz" % len(self.server.files)
        self.server.files[place] = packed.getvalue()
        url = "http://127.0.0.1:%d%s" % (self.server.server_address[1], place)
        return ["--url", url, "--sha256", hashlib.sha256(packed.getvalue()).hexdigest(), "--no-backup"]

    def installed(self, name="nakama"):
        folder = self.root("/usr/local/bin")
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            text = file.read()
        self.assertTrue(os.access(os.path.join(folder, name), os.X_OK))
        self.assertEqual([one for one in os.listdir(folder) if one.startswith(".")], [], "nothing half is left")
        return text.split("'")[1]

    def test_forth_and_back(self):
        flags = self.offer("nakama", program("3.41.0+def"))
        self.assertIn("nakama 3.41.0 replaces 3.40.0\nwell.", self.setup_("upgrade", "nakama", "3.41.0", *flags))
        self.assertEqual(self.installed(), "3.41.0+def")
        self.assertIn("systemctl stop nakama.service\nsystemctl start nakama.service\n", self.calls())
        self.setup_("upgrade", "nakama", "--back", "--no-backup")
        self.assertEqual(self.installed(), "3.40.0+abc")
        self.setup_("upgrade", "nakama", "--back", "--no-backup")
        self.assertEqual(self.installed(), "3.41.0+def")

    def test_one_that_does_not_come_up_is_replaced_at_once(self):
        flags = self.offer("nakama", program("3.41.0", "SICK"))
        self.assertIn("3.41.0 does not start. 3.40.0 is back, and well",
                      self.setup_("upgrade", "nakama", "3.41.0", *flags, status=1))
        self.assertEqual(self.installed(), "3.40.0+abc")
        self.setup_("status")

    def test_what_is_not_as_it_should_be_changes_nothing(self):
        url, _, digest, last = self.offer("nakama", program("3.41.0"))[1:]
        other = self.offer("another", program("3.41.0"))
        self.server.files["/b.tgz"] = b"no archive"
        base = url.rsplit("/", 1)[0]
        no_sum = ["--sha256", hashlib.sha256(b"no archive").hexdigest(), last]
        for flags, text in (
            (["3.41.0", "--url", url, "--sha256", "0" * 64, last], "expected 0000"),
            (["3.41.0", *other], "does not contain the program nakama"),
            (["3.42.0", *self.offer("nakama", program("3.41.0"))], "the archive contains nakama 3.41.0, not 3.42.0"),
            (["3.41.0", "--url", base + "/none.tgz", "--sha256", digest, last], "HTTP 404"),
            (["3.41.0", "--url", base + "/b.tgz", *no_sum], "/b.tgz: "),
            (["--back"], "no previous nakama"),
        ):
            with self.subTest(text=text):
                self.assertIn(text, self.setup_("upgrade", "nakama", *flags, status=1))
                self.assertEqual(self.installed(), "3.40.0+abc")
        self.assertNotIn("systemctl stop", self.calls() if os.path.exists(self.path("state/calls")) else "")

    def test_what_an_upgrade_that_was_cut_off_has_left_is_in_nobodys_way(self):
        for name in ("new", "new.next", "new.old"):
            self.write("root/usr/local/bin/.nakama." + name, "half")
        self.setup_("upgrade", "nakama", "3.41.0", *self.offer("nakama", program("3.41.0")))
        self.assertEqual(self.installed(), "3.41.0")
        self.assertEqual(sorted(os.listdir(self.root("/usr/local/bin"))), ["cockroach", "nakama", "nakama.previous"])

    def test_https_stays_https(self):
        http_url, digest = self.offer("nakama", program("3.41.0"))[1:4:2]
        url = http_url.replace("http:", "https:")
        begin = url.rsplit("/", 1)[0] + "/to/"
        loopback = os.path.dirname(self.write("loopback/sitecustomize.py", LOOPBACK))
        words = ("upgrade", "nakama", "3.41.0", "--no-backup", "--sha256", digest, "--url")
        for to in (http_url, "ftp" + http_url[4:], begin + http_url):
            self.assertIn("the redirect to %s is refused" % to.replace(begin, ""), self.setup_(*words, begin + to, status=1, PYTHONPATH=loopback))
        self.assertIn("is refused", self.setup_(*words, begin.replace("https", "http") + "ftp" + http_url[4:], status=1))
        self.assertEqual(self.installed(), "3.40.0+abc")
        self.setup_(*words, begin + url, PYTHONPATH=loopback)
        self.assertEqual(self.installed(), "3.41.0")

    def test_a_server_that_sends_one_byte_at_a_time_is_given_up(self):
        flags = self.offer("nakama", program("3.41.0"))
        loopback = os.path.dirname(self.write("loopback/sitecustomize.py", LOOPBACK))
        for place in ("/slow-head", "/slow-body"):
            flags[1] = flags[1].rsplit("/", 1)[0] + place
            self.assertIn("%s: not complete after 1800 s" % flags[1], self.setup_("upgrade", "nakama", "3.41.0", *flags, status=1, PYTHONPATH=loopback))
        self.assertEqual(self.installed(), "3.40.0+abc")

    def test_usage(self):
        for words in ((), ("latest",), ("3.41.0", "--back"), ("--back", "--finish"), ("3.41",), ("../../x",)):
            self.setup_("upgrade", "nakama", *words, status=2)

    def test_the_publishers_sum(self):
        """CockroachDB's is beside the archive, and must be the archive's."""
        flags = self.offer("cockroach", program("v24.1.6"), "cockroach-v24.1.6.linux-amd64/")
        url, digest = flags[1], flags[3]
        self.assertIn("HTTP 404", self.setup_("upgrade", "cockroach", "24.1.6", "--url", url, "--no-backup", status=1))
        self.server.files["/0.tgz.sha256sum"] = b"no sum"
        self.assertIn("has no sha256", self.setup_("upgrade", "cockroach", "24.1.6", "--url", url, "--no-backup", status=1))
        self.server.files["/0.tgz.sha256sum"] = (digest + "  a.tgz\n").encode()
        self.setup_("upgrade", "cockroach", "24.1.6", "--url", url, "--no-backup")
        self.assertEqual(self.installed("cockroach"), "v24.1.6")
        with open(self.path("state/sql"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "SHOW CLUSTER SETTING version;\nSET CLUSTER SETTING cluster.preserve_downgrade_option = '24.1';\n")
        calls = [line for line in self.calls().splitlines() if line.startswith(("systemctl start", "systemctl stop"))]
        self.assertEqual(calls, ["systemctl stop nakama.service", "systemctl stop cockroachdb.service", "systemctl start cockroachdb.service",
                                 "systemctl start nakama.service"])
        self.setup_("upgrade", "cockroach", "--finish")
        with open(self.path("state/sql"), encoding="utf-8") as file:
            self.assertIn("RESET CLUSTER SETTING cluster.preserve_downgrade_option", file.read())

    def test_the_licence(self):
        flags = self.offer("cockroach", program("v24.1.7"))
        self.assertIn("is under the CockroachDB Software License", self.setup_("upgrade", "cockroach", "24.1.7", *flags, status=4))
        self.assertEqual(self.installed("cockroach"), "Build Tag:  v24.1.5")
        self.setup_("upgrade", "cockroach", "24.1.7", "--accept-license", *flags)
        for version, status in (("24.3.0", 4), ("25.1.1", 4), ("23.2.15", 4), ("23.2.14", 1), ("22.2.19", 1)):
            self.setup_("upgrade", "cockroach", version, *flags, status=status)

    def test_a_backup_is_taken_before(self):
        self.start_database()
        flags = self.offer("nakama", program("3.41.0"))[:-1]
        output = self.setup_("upgrade", "nakama", "3.41.0", *flags)
        self.assertRegex(output, r"\Abackup: \S+/var/backups/nakama/nakama-\w+\.tar\.gz\nnakama 3\.41\.0 replaces 3\.40\.0\n")

    def test_a_managed_database_is_its_providers(self):
        os.unlink(self.root("/etc/cockroach/pki/node/node.key"))
        self.assertIn("its provider upgrades it", self.setup_("upgrade", "cockroach", "24.1.6", status=1))
        flags = self.offer("nakama", program("3.41.0"))[:-1]
        self.assertNotIn("backup", self.setup_("upgrade", "nakama", "3.41.0", *flags))


if __name__ == "__main__":
    unittest.main()
