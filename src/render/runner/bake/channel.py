"""The status channel: an HTTPS server with the bake's certificate and bearer token.

It serves one request per connection. Each connection has a thread, and one deadline for handshake and request,
which a body with the token may exceed while it arrives. Above the connection limit, the oldest one of the address that has most is closed, so strangers cannot
block the controller; never one that has shown the token.
"""
import base64
import collections
import hmac
import http
import json
import os
import re
import socket
import ssl
import textwrap
import threading
import time

from progress import MAX_LOG_BYTES, Log

MAX_CONNECTIONS = 64
MAX_SECONDS = 15
MAX_HEAD_BYTES = 8 << 10
MAX_BODY_BYTES = 4 << 20
MAX_PAGE_BYTES = 64 << 10
TLS_FILE = "/run/mkimg/tls.pem"


class PagedLog(Log):
    """Also keeps the last 4 MiB in memory. Offsets count bytes from the start, including those that it has dropped."""

    def __init__(self, path):
        Log.__init__(self, path)
        self.lock = threading.Lock()
        self.buffer = bytearray()

    def write(self, data):
        with self.lock:
            Log.write(self, data)
            self.buffer += data
            if len(self.buffer) > MAX_LOG_BYTES:
                # Drop many lines at once, so that a busy log does not move its buffer for every line.
                del self.buffer[:self.buffer.find(b"\n", len(self.buffer) - MAX_LOG_BYTES + MAX_PAGE_BYTES) + 1]

    def read_page(self, offset):
        """At most 64 KiB of complete lines from byte `offset`, and where the next page begins."""
        with self.lock:
            size = len(self.buffer)
            dropped = self.size - size
            start = min(max(offset - dropped, 0), size)
            end = min(start + MAX_PAGE_BYTES, size)
            if end < size:
                end = self.buffer.rfind(b"\n", start, end) + 1 or end
            return {"next": dropped + end, "text": self.buffer[start:end].decode("utf-8", "replace")}

    def read_all(self):
        with self.lock:
            return bytes(self.buffer)


def make_tls_context(system, certificate, key):
    """Makes a server context from base64 DER.

    Python reads certificates from files only: this one exists briefly, on a tmpfs, readable by root only.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    pem = ssl.DER_cert_to_PEM_cert(base64.b64decode(certificate))
    pem += "-----BEGIN PRIVATE KEY-----\n%s\n-----END PRIVATE KEY-----\n" % "\n".join(textwrap.wrap(key, 64))
    system.write_file(TLS_FILE, pem.encode(), 0o600)
    try:
        context.load_cert_chain(system.path(TLS_FILE))
    finally:
        os.unlink(system.path(TLS_FILE))
    return context


class Channel(threading.Thread):
    def __init__(self, status, acknowledged, port, token, context, upload=None):
        threading.Thread.__init__(self, name="channel", daemon=True)
        self.status = status
        self.acknowledged = acknowledged
        self.port = port
        self.expected_token = token.encode()
        self.context = context
        self.upload = upload
        self.lock = threading.Lock()
        # Each with its address, or None if it has shown the token.
        self.connections = {}
        self.trusted = set()
        self.listener = None
        self.listening = threading.Event()

    def run(self):
        while self.listener is None:
            try:
                self.listener = listen(self.port)
            except OSError as error:
                self.status.log.line("mkimg", "port %d cannot be opened, trying again: %s" % (self.port, error))
                time.sleep(5)
        self.port = self.listener.getsockname()[1]
        self.listening.set()
        while True:
            try:
                connection, address = self.listener.accept()
            except OSError:
                time.sleep(0.1)
                continue
            self._accept(connection, network(address[0]))

    def _accept(self, connection, address):
        with self.lock:
            self.connections[connection] = address
            if len(self.connections) > MAX_CONNECTIONS:
                counts = collections.Counter(self.connections.values())
                closed = max((item for item in self.connections.items() if item[1]),
                             key=lambda item: (item[1] not in self.trusted, counts[item[1]]))[0]
                del self.connections[closed]
                _shut_down(closed)
        try:
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()
        except RuntimeError:
            self._close(connection)

    def _close(self, connection):
        with self.lock:
            self.connections.pop(connection, None)
        connection.close()

    def _serve(self, connection):
        deadline = time.monotonic() + MAX_SECONDS
        code = None
        try:
            connection.settimeout(MAX_SECONDS)
            # `connections` is keyed by the socket object, so TLS gets a duplicate.
            with self.context.wrap_socket(connection.dup(), server_side=True, do_handshake_on_connect=False) as tls:
                tls.settimeout(MAX_SECONDS)
                tls.do_handshake()
                head, rest = read_head(tls, deadline)
                code, body = self._handle_request(connection, head, rest, tls)
                tls.settimeout(MAX_SECONDS)
                tls.sendall(format_response(code, body))
                tls.settimeout(1)
                tls.unwrap()
        except (OSError, ValueError):
            # Port scanners and aborted connections are not worth a log line.
            pass
        finally:
            self._close(connection)
            if code == 202:
                self.acknowledged.set()

    def _handle_request(self, connection, head, body, tls):
        try:
            method, target, headers = parse_head(head)
        except ValueError:
            return 401, b""
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        if not (hmac.compare_digest(token.strip(), self.expected_token) and scheme.lower() == b"bearer"):
            return 401, b""
        with self.lock:
            if connection in self.connections:
                self.trusted.add(self.connections[connection])
                self.connections[connection] = None
        # The whole body is read, so that closing does not reset the connection.
        length = headers.get(b"content-length", b"0")
        if b"transfer-encoding" in headers or not re.fullmatch(b"[0-9]{1,7}", length) or int(length) > MAX_BODY_BYTES:
            return 400, b""
        body = bytearray(body)
        while len(body) < int(length):
            # The controller may have a slow line.
            body += receive(tls, time.monotonic() + MAX_SECONDS)
        return self._route(method, target, body[:int(length)])

    def _route(self, method, target, body):
        path, _, query = target.partition("?")
        if path not in ("/v1/status", "/v1/log", "/v1/acknowledge", "/v1/upload"):
            return 404, b""
        if method != ("GET" if path in ("/v1/status", "/v1/log") else "POST"):
            return 405, b""
        if path == "/v1/log":
            return 200, self.status.log.read_all()
        if path == "/v1/acknowledge":
            return 202 if self.status.state == "passed" else 409, b""
        offset = query.partition("=")[2] or "0"
        if not re.fullmatch("[0-9]{1,15}", offset):
            return 400, b""
        if path == "/v1/upload":
            return 200, {"next": self.upload and self.upload.accept(int(offset), body)}
        return 200, dict(self.status.describe(), log=self.status.log.read_page(int(offset)),
                         upload=self.upload and self.upload.next)


def listen(port):
    """Listens on all addresses, on IPv4 only if the kernel has no IPv6."""
    dual = socket.has_dualstack_ipv6()
    return socket.create_server(("", port), family=socket.AF_INET6 if dual else socket.AF_INET, backlog=128, dualstack_ipv6=dual)


def network(host):
    """What a stranger has of addresses: one of IPv4 (also mapped to IPv6), or 64 bits of IPv6."""
    return host if "." in host else socket.inet_pton(socket.AF_INET6, host.partition("%")[0])[:8]


def read_head(tls, deadline):
    data = b""
    while b"\r\n\r\n" not in data:
        if len(data) > MAX_HEAD_BYTES:
            raise ValueError("request too long")
        data += receive(tls, deadline)
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def receive(tls, deadline):
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise OSError("deadline passed")
    tls.settimeout(remaining)
    data = tls.recv(1 << 16)
    if not data:
        raise OSError("connection closed")
    return data


def parse_head(head):
    request, *lines = head.split(b"\r\n")
    method, target, version = request.decode("ascii").split(" ")
    if version not in ("HTTP/1.1", "HTTP/1.0"):
        raise ValueError("not HTTP/1")
    headers = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        name = name.lower()
        if not colon or not name or name != name.strip() or name in headers and name in (b"authorization", b"content-length"):
            raise ValueError("bad header")
        headers[name] = value.strip()
    return method, target, headers


def format_response(code, body):
    """The body is bytes of text, or an object for JSON."""
    content_type = "text/plain; charset=utf-8"
    if isinstance(body, dict):
        content_type, body = "application/json", json.dumps(body).encode()
    return b"HTTP/1.1 %d %s\r\ncontent-length: %d\r\ncontent-type: %s\r\nconnection: close\r\ncache-control: no-store\r\n\r\n%s" % (
        code, http.HTTPStatus(code).phrase.encode(), len(body), content_type.encode(), body)


def _shut_down(connection):
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
