"""The status channel: an HTTPS server with the bake's certificate and bearer token.

It serves one request per connection. Each connection has a thread, and one deadline for handshake, request
and response. Above the connection limit, the oldest one of the address that has most is closed, so strangers cannot
block the controller; never one that has shown the token.
"""
import base64
import collections
import hmac
import json
import socket
import ssl
import textwrap
import threading
import time

MAX_CONNECTIONS = 64
MAX_SECONDS = 15
MAX_HEAD_BYTES = 8 << 10
MAX_BODY_BYTES = 64 << 10
REASONS = {200: "OK", 202: "Accepted", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found",
           405: "Method Not Allowed", 409: "Conflict", 413: "Content Too Large", 501: "Not Implemented"}


def make_tls_context(system, certificate, key):
    """Makes a server context from base64 DER.

    Python reads certificates from files only: this one exists briefly, on a tmpfs, readable by root only.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    pem = ssl.DER_cert_to_PEM_cert(base64.b64decode(certificate))
    pem += "-----BEGIN PRIVATE KEY-----\n%s\n-----END PRIVATE KEY-----\n" % "\n".join(textwrap.wrap(key, 64))
    path = "/run/mkimg/tls.pem"
    system.write_file(path, pem.encode(), 0o600)
    try:
        context.load_cert_chain(system.path(path))
    finally:
        system.remove(path)
    return context


class Channel(threading.Thread):
    def __init__(self, status, port, token, context):
        threading.Thread.__init__(self, name="channel", daemon=True)
        self.status = status
        self.port = port
        self.expected_token = token.encode()
        self.context = context
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
        after = None
        try:
            connection.settimeout(MAX_SECONDS)
            # `connections` is keyed by the socket object, so TLS gets a duplicate.
            with self.context.wrap_socket(connection.dup(), server_side=True, do_handshake_on_connect=False) as tls:
                tls.settimeout(MAX_SECONDS)
                tls.do_handshake()
                head, rest = read_head(tls, deadline)
                code, content_type, body, after = self._handle_request(connection, head, rest, tls, deadline)
                tls.settimeout(MAX_SECONDS)
                tls.sendall(format_response(code, content_type, body))
                tls.settimeout(1)
                tls.unwrap()
        except (OSError, ValueError):
            # Port scanners and aborted connections are not worth a log line.
            pass
        finally:
            self._close(connection)
            if after:
                after()

    def _handle_request(self, connection, head, rest, tls, deadline):
        try:
            method, target, headers = parse_head(head)
        except ValueError:
            return 401, None, b"", None
        authorization = headers.get(b"authorization", b"")
        scheme, _, token = authorization.partition(b" ")
        if not (hmac.compare_digest(token.strip(), self.expected_token) and scheme.lower() == b"bearer"):
            return 401, None, b"", None
        with self.lock:
            if connection in self.connections:
                self.trusted.add(self.connections[connection])
                self.connections[connection] = None
        code = discard_body(tls, headers, len(rest), deadline)
        if code:
            return code, None, b"", None
        return self._route(method, target)

    def _route(self, method, target):
        path, _, query = target.partition("?")
        if path not in ("/v1/status", "/v1/log", "/v1/acknowledge"):
            return 404, None, b"", None
        if method != ("POST" if path == "/v1/acknowledge" else "GET"):
            return 405, None, b"", None
        if path == "/v1/log":
            return 200, "text/plain; charset=utf-8", self.status.log.read_all(), None
        if path == "/v1/acknowledge":
            passed = self.status.state == "passed"
            return (202 if passed else 409), None, b"", (self.status.acknowledged.set if passed else None)
        offset = "0"
        for pair in query.split("&"):
            name, _, value = pair.partition("=")
            if name == "log":
                offset = value
        if not (offset.isascii() and offset.isdigit() and len(offset) <= 15):
            return 400, None, b"", None
        return 200, "application/json", json.dumps(self.status.describe(int(offset))).encode(), None


def listen(port):
    """Listens on all addresses, on IPv4 only if the kernel has no IPv6."""
    try:
        listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        address = "::"
    except OSError:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        address = "0.0.0.0"
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener


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
    data = tls.recv(4096)
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


def discard_body(tls, headers, have, deadline):
    """Reads the body, so that closing does not reset the connection. Returns an error status or None."""
    if b"transfer-encoding" in headers:
        return 501
    length = headers.get(b"content-length", b"0")
    if not length.isdigit() or len(length) > 15:
        return 400
    if int(length) > MAX_BODY_BYTES:
        return 413
    while have < int(length):
        have += len(receive(tls, deadline))
    return None


def format_response(code, content_type, body):
    head = ["HTTP/1.1 %d %s" % (code, REASONS[code]), "content-length: %d" % len(body), "connection: close",
            "cache-control: no-store"]
    if content_type:
        head.append("content-type: " + content_type)
    if code == 401:
        head.append("www-authenticate: Bearer")
    if code == 405:
        head.append("allow: GET, POST")
    return "\r\n".join(head + ["", ""]).encode() + body


def _shut_down(connection):
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
