"""The status channel: HTTPS with the bake's own certificate, for the bearer of the bake's token alone.

One request a connection. Every connection has its own thread and one deadline for handshake, request and answer; when
there are too many, the oldest is closed, so that idle ones block nobody.
"""
import base64
import hmac
import json
import socket
import ssl
import textwrap
import threading
import time

CONNECTIONS = 32
DEADLINE = 15
REQUEST_LIMIT = 8 << 10
BODY_LIMIT = 64 << 10
REASONS = {200: "OK", 202: "Accepted", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found",
           405: "Method Not Allowed", 409: "Conflict", 413: "Content Too Large", 501: "Not Implemented"}


def tls_context(system, certificate, key):
    """A server's context from base64 DER. Python wants files: they exist for a moment, in memory, for root alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    pem = ssl.DER_cert_to_PEM_cert(base64.b64decode(certificate))
    pem += "-----BEGIN PRIVATE KEY-----\n%s\n-----END PRIVATE KEY-----\n" % "\n".join(textwrap.wrap(key, 64))
    path = "/run/mkimg/tls.pem"
    system.write(path, pem.encode(), 0o600)
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
        self.expected = token.encode()
        self.context = context
        self.lock = threading.Lock()
        self.connections = {}
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
                connection, _ = self.listener.accept()
            except OSError:
                time.sleep(0.1)
                continue
            self._admit(connection)

    def _admit(self, connection):
        with self.lock:
            if len(self.connections) >= CONNECTIONS:
                oldest = next(iter(self.connections))
                del self.connections[oldest]
                _hang_up(oldest)
            self.connections[connection] = True
        try:
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()
        except RuntimeError:
            self._forget(connection)

    def _forget(self, connection):
        with self.lock:
            self.connections.pop(connection, None)
        connection.close()

    def _serve(self, connection):
        deadline = time.monotonic() + DEADLINE
        then = None
        try:
            connection.settimeout(DEADLINE)
            # The socket stays in `connections` under its own object; TLS runs on a second handle of it.
            with self.context.wrap_socket(connection.dup(), server_side=True, do_handshake_on_connect=False) as tls:
                tls.settimeout(DEADLINE)
                tls.do_handshake()
                head, rest = read_head(tls, deadline)
                code, kind, body, then = self._answer(head, rest, tls, deadline)
                tls.settimeout(DEADLINE)
                tls.sendall(response(code, kind, body))
                tls.settimeout(1)
                tls.unwrap()
        except (OSError, ValueError):
            # Strangers who speak no TLS, or hang up, are nobody's business: no line in the log.
            pass
        finally:
            self._forget(connection)
            if then:
                then()

    def _answer(self, head, rest, tls, deadline):
        try:
            method, target, headers = parse_head(head)
        except ValueError:
            return 401, None, b"", None
        given = headers.get(b"authorization", b"")
        scheme, _, token = given.partition(b" ")
        if not (hmac.compare_digest(token.strip(), self.expected) and scheme.lower() == b"bearer"):
            return 401, None, b"", None
        code = read_body(tls, headers, len(rest), deadline)
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
            return 200, "text/plain; charset=utf-8", self.status.log.whole(), None
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
    """A listener on every address of both families, or of IPv4 alone where the kernel has no IPv6."""
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


def read_head(tls, deadline):
    data = b""
    while b"\r\n\r\n" not in data:
        if len(data) > REQUEST_LIMIT:
            raise ValueError("the request is too long")
        data += receive(tls, deadline)
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def receive(tls, deadline):
    left = deadline - time.monotonic()
    if left <= 0:
        raise OSError("the deadline has passed")
    tls.settimeout(left)
    data = tls.recv(4096)
    if not data:
        raise OSError("the other side has hung up")
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
            raise ValueError("a bad header")
        headers[name] = value.strip()
    return method, target, headers


def read_body(tls, headers, have, deadline):
    """Takes the body off the line, so that the answer arrives; returns a status for one that is refused."""
    if b"transfer-encoding" in headers:
        return 501
    length = headers.get(b"content-length", b"0")
    if not length.isdigit() or len(length) > 15:
        return 400
    if int(length) > BODY_LIMIT:
        return 413
    while have < int(length):
        have += len(receive(tls, deadline))
    return None


def response(code, kind, body):
    head = ["HTTP/1.1 %d %s" % (code, REASONS[code]), "content-length: %d" % len(body), "connection: close",
            "cache-control: no-store"]
    if kind:
        head.append("content-type: " + kind)
    if code == 401:
        head.append("www-authenticate: Bearer")
    if code == 405:
        head.append("allow: GET, POST")
    return "\r\n".join(head + ["", ""]).encode() + body


def _hang_up(connection):
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
