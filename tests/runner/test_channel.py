from support import Case  # first: it sets up the module path

import base64
import json
import os
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from unittest import mock

import channel
from channel import Channel, make_tls_context
from progress import Status

TOKEN = "t" * 43
DNS_NAME = "test.mkimg.invalid"


def certificate(folder):
    """A certificate as the controller makes it: EC P-256, CA:FALSE, a DNS name. Returns its path, DER and the key's DER."""
    def openssl(*arguments):
        return subprocess.run(("openssl",) + arguments, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    key, cert = folder + "/key.pem", folder + "/cert.pem"
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-keyout", key, "-out", cert, "-subj", "/CN=" + DNS_NAME, "-addext", "subjectAltName=DNS:" + DNS_NAME,
            "-addext", "basicConstraints=critical,CA:FALSE")
    encode = lambda data: base64.b64encode(data).decode()  # noqa: E731
    return (cert, encode(openssl("x509", "-in", cert, "-outform", "DER")),
            encode(openssl("pkcs8", "-topk8", "-nocrypt", "-in", key, "-outform", "DER")))


class ChannelTest(Case):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.pinned, cls.certificate, cls.key = certificate(cls.folder.name)

    def setUp(self):
        Case.setUp(self)
        self.status = Status(self.log, "bake-1")
        self.acknowledged = threading.Event()
        self.channel = Channel(self.status, self.acknowledged, 0, TOKEN, make_tls_context(self.machine, self.certificate, self.key))
        self.channel.start()
        self.assertTrue(self.channel.listening.wait(60))
        self.addCleanup(self.channel.listener.close)

    def connect(self, timeout=60, source="127.0.0.1"):
        connection = socket.create_connection(("127.0.0.1", self.channel.port), timeout, (source, 0))
        self.addCleanup(connection.close)
        return connection

    def tls(self, raw=None):
        context = ssl.create_default_context(cafile=self.pinned)
        return context.wrap_socket(raw or self.connect(), server_hostname=DNS_NAME)

    def raw(self, request, over=None):
        with self.tls(over) as connection:
            connection.sendall(request)
            answer = b""
            while True:
                data = connection.recv(65536)
                if not data:
                    break
                answer += data
        head, _, body = answer.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:])
        self.assertEqual(int(headers["content-length"]), len(body))
        self.assertEqual(headers["connection"], "close")
        return int(lines[0].split()[1]), headers, body

    def ask(self, method, target, token=TOKEN, extra="", body=b"", over=None):
        head = "%s %s HTTP/1.1\r\nHost: x\r\n" % (method, target)
        if token is not None:
            head += "Authorization: Bearer %s\r\n" % token
        return self.raw((head + extra + "\r\n").encode() + body, over)

    def flood(self, sources):
        """Opens one connection from each address, and waits until the channel has accepted them all."""
        opened = [self.connect(source=source) for source in sources]
        until = time.monotonic() + 60
        while opened[-1].getsockname()[1] not in self.ports() and time.monotonic() < until:
            time.sleep(0.01)

    def ports(self):
        with self.channel.lock:
            return [connection.getpeername()[1] for connection in self.channel.connections]

    def test_the_status_from_an_offset(self):
        self.log.line("script a", "one")
        code, headers, body = self.ask("GET", "/v1/status?log=0")
        status = json.loads(body)
        self.assertEqual((code, headers["content-type"], status["bake"], status["state"]),
                         (200, "application/json", "bake-1", "running"))
        self.assertTrue(status["log"]["text"].endswith("script a: one\n"))
        self.log.line("script a", "two")
        again = json.loads(self.ask("GET", "/v1/status?log=%d" % status["log"]["next"])[2])
        self.assertTrue(again["log"]["text"].endswith("script a: two\n"))
        self.assertNotIn("one", again["log"]["text"])
        self.assertEqual(self.ask("GET", "/v1/status?log=-1")[0], 400)
        self.assertEqual(self.ask("GET", "/v1/status?log=%s" % ("9" * 40))[0], 400)
        self.assertEqual(self.ask("GET", "/v1/log")[2], self.log.read_all())

    def test_every_request_without_the_token_gets_the_same_401(self):
        right = "Authorization: Bearer " + TOKEN
        requests = [b"GET /v1/status HTTP/1.1\r\n\r\n", b"GET /nowhere HTTP/1.1\r\n\r\n", b"nonsense\r\n\r\n", b"\r\n\r\n",
                    b"DELETE / HTTP/1.1\r\nAuthorization: Bearer\r\n\r\n", b"\xff\xfe\r\n\r\n",
                    ("GET /v1/status HTTP/1.1\r\n%s\r\n%s\r\n\r\n" % (right, right)).encode(),
                    ("GET /v1/status HTTP/1.1\r\n%sx\r\n\r\n" % right).encode(),
                    ("GET /v1/status HTTP/1.1\r\n%s\r\n\r\n" % right[:-1]).encode(),
                    ("GET /v1/status HTTP/1.1\r\nAuthorization: Bearer %s\r\n\r\n" % TOKEN.swapcase()).encode(),
                    ("GET /v1/status HTTP/1.1\r\n%s\r\n\r\n" % right.replace("Bearer", "Basic")).encode()]
        answers = {(code, tuple(sorted(headers.items())), body) for code, headers, body in map(self.raw, requests)}
        self.assertEqual(len(answers), 1)
        self.assertEqual([(code, body) for code, _, body in answers], [(401, b"")])

    def test_methods_paths_and_bodies(self):
        self.assertEqual(self.ask("GET", "/v1/other")[0], 404)
        self.assertEqual(self.ask("POST", "/v1/status")[0], 405)
        self.assertEqual(self.ask("HEAD", "/v1/status")[0], 405)
        self.assertEqual(self.ask("GET", "/v1/acknowledge")[0], 405)
        self.assertEqual(self.ask("POST", "/v1/acknowledge", extra="Content-Length: 4194305\r\n")[0], 400)
        self.assertEqual(self.ask("POST", "/v1/acknowledge", extra="Content-Length: x\r\n")[0], 400)
        self.assertEqual(self.ask("POST", "/v1/acknowledge", extra="Transfer-Encoding: chunked\r\n", body=b"0\r\n\r\n")[0], 400)
        self.assertEqual(self.ask("GET", "/v1/status", extra="Content-Length: 3\r\n", body=b"abc")[0], 200)

    def test_only_a_passed_run_can_be_acknowledged(self):
        for state in ("running", "complete", "failed"):
            self.status.state = state
            self.assertEqual(self.ask("POST", "/v1/acknowledge")[0], 409)
            self.assertFalse(self.acknowledged.is_set())
        self.status.state = "passed"
        self.assertEqual(self.ask("POST", "/v1/acknowledge")[0], 202)
        self.assertTrue(self.acknowledged.wait(60))

    def test_idle_connections_do_not_block_and_the_oldest_is_closed(self):
        idle = [self.connect() for _ in range(channel.MAX_CONNECTIONS + 8)]
        self.assertEqual(self.ask("GET", "/v1/status")[0], 200)
        self.assertLessEqual(len(self.channel.connections), channel.MAX_CONNECTIONS)
        self.assertEqual(idle[0].recv(1), b"")

    def test_the_controller_is_answered_while_another_address_floods(self):
        # A controller that is slow to begin its handshake.
        controllers = [self.connect() for _ in range(4)]
        self.flood(["127.0.0.2"] * (3 * channel.MAX_CONNECTIONS))
        for controller in controllers:
            self.assertEqual(self.ask("GET", "/v1/status", over=controller)[0], 200)

    def test_a_flood_from_many_addresses_spares_one_that_has_shown_the_token(self):
        self.assertEqual(self.ask("GET", "/v1/status")[0], 200)
        controller = self.connect()
        self.flood("127.1.0.%d" % number for number in range(1, 2 * channel.MAX_CONNECTIONS))
        self.assertEqual(self.ask("GET", "/v1/status", over=controller)[0], 200)

    def test_a_connection_that_has_shown_the_token_is_never_closed(self):
        with self.tls() as connection:
            connection.sendall(b"GET /v1/log HTTP/1.1\r\nAuthorization: Bearer %s\r\nContent-Length: 1\r\n\r\n" % TOKEN.encode())
            until = time.monotonic() + 60
            while None not in list(self.channel.connections.values()) and time.monotonic() < until:
                time.sleep(0.01)
            self.flood(["127.0.0.1"] * (2 * channel.MAX_CONNECTIONS))
            connection.sendall(b"x")
            self.assertTrue(connection.recv(100).startswith(b"HTTP/1.1 200 "))

    def test_what_counts_as_one_stranger(self):
        self.assertEqual(channel.network("::ffff:192.0.2.1"), "::ffff:192.0.2.1")
        self.assertEqual(channel.network("192.0.2.1"), "192.0.2.1")
        self.assertEqual(channel.network("2001:db8::1"), channel.network("2001:db8::ffff:0:0:1"))
        self.assertNotEqual(channel.network("2001:db8:0:1::1"), channel.network("2001:db8:0:2::1"))
        self.assertEqual(len(channel.network("fe80::1%eth0")), 8)

    def test_parallel_requests_are_all_answered(self):
        codes = []
        threads = [threading.Thread(target=lambda: codes.append(self.ask("GET", "/v1/status")[0])) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        self.assertEqual(codes, [200] * 16)

    def test_slow_clients_are_cut_off_at_the_deadline(self):
        # Long enough for a handshake on a busy machine; the slow client would take more than a minute.
        with mock.patch.object(channel, "MAX_SECONDS", 3):
            silent = self.connect()
            self.addCleanup(silent.close)
            slow = self.tls()
            self.addCleanup(slow.close)
            began = time.monotonic()
            with self.assertRaises(OSError):
                for _ in range(700):
                    slow.sendall(b"G")
                    time.sleep(0.1)
            self.assertLess(time.monotonic() - began, 40)
            silent.settimeout(60)
            self.assertEqual(silent.recv(1), b"")
        until = time.monotonic() + 60
        while self.channel.connections and time.monotonic() < until:
            time.sleep(0.05)
        self.assertEqual(self.channel.connections, {})

    def test_an_endless_request_is_cut_off(self):
        # Far more than the socket buffers hold.
        with self.assertRaises(OSError):
            with self.tls() as connection:
                for _ in range(64 << 10):
                    connection.sendall(b"x" * 1024)

    def test_plain_http_gets_no_answer_and_no_log_line(self):
        with self.connect() as connection:
            connection.sendall(b"GET /v1/status HTTP/1.1\r\n\r\n")
            while True:
                try:
                    data = connection.recv(4096)
                except ConnectionResetError:
                    break
                self.assertNotIn(b"HTTP", data)
                if not data:
                    break
        self.assertEqual(self.log.read_all(), b"")
        self.assertEqual(self.ask("GET", "/v1/status")[0], 200)

    def test_old_versions_of_tls_are_refused(self):
        self.assertEqual(self.channel.context.minimum_version, ssl.TLSVersion.TLSv1_2)

    def test_the_key_file_is_removed(self):
        self.assertEqual(os.listdir(self.root + "/run/mkimg"), [])

    def test_a_port_in_use_is_logged_and_retried(self):
        other = Channel(self.status, self.acknowledged, self.channel.port, TOKEN, self.channel.context)
        with mock.patch.object(channel.time, "sleep", lambda _: time.monotonic() and self.channel.ended.wait(0.05)):
            self.channel.ended = threading.Event()
            other.start()
            until = time.monotonic() + 60
            while b"cannot be opened" not in self.log.read_all() and time.monotonic() < until:
                self.channel.ended.wait(0.05)
            self.assertIn(b"port %d cannot be opened, trying again" % self.channel.port, self.log.read_all())
            self.assertFalse(other.listening.is_set())
            _shut(self.channel.listener)
            self.assertTrue(other.listening.wait(60))
        self.addCleanup(other.listener.close)


def _shut(listener):
    try:
        listener.shutdown(socket.SHUT_RDWR)
    finally:
        listener.close()
