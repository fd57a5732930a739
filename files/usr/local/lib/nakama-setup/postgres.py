"""A small client of PostgreSQL and CockroachDB, for the questions that nakama-setup has for Nakama's database.

It takes the address that Nakama takes (USER:PASSWORD@HOST:PORT/NAME?sslmode=…), and speaks version 3.0 of the protocol: simple
queries, values as text, TLS, and passwords in clear text, as MD5 and as SCRAM-SHA-256.
"""

import base64
import contextlib
import hashlib
import hmac
import os
import socket
import ssl
import struct
import urllib.parse

from machine import Failure

PROTOCOL, ASK_FOR_TLS = 196608, 80877103
MAX_MESSAGE_BYTES = 16 << 20


class DatabaseError(Failure):
    """An error of the server, with its SQLSTATE."""

    def __init__(self, body):
        fields = {chr(part[0]): part[1:].decode("utf-8", "replace") for part in body.split(b"\0") if part}
        super().__init__("the database says: " + fields.get("M", "an error without a message"))
        self.code = fields.get("C", "")


def parse_address(address):
    """Returns (host, port, user, password, name, options), with Nakama's defaults."""
    try:
        url = urllib.parse.urlsplit("postgresql://" + address.split("://", 1)[-1])
        options = dict(urllib.parse.parse_qsl(url.query))
        return (url.hostname or "localhost", url.port or 5432, urllib.parse.unquote(url.username or "root"),
                urllib.parse.unquote(url.password or ""), urllib.parse.unquote(url.path.lstrip("/")) or "nakama", options)
    except ValueError:
        # The message must not contain the password.
        raise Failure("the database's address cannot be read: it must be USER:PASSWORD@HOST:PORT/NAME") from None


def tls_context(mode, options):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = mode == "verify-full"
    root = options.get("sslrootcert")
    # As in libpq and pgx, `require` verifies the server if a root certificate is given.
    if mode.startswith("verify-") or root:
        context.load_verify_locations(root) if root else context.load_default_certs()
    else:
        context.verify_mode = ssl.CERT_NONE
    if options.get("sslcert"):
        context.load_cert_chain(options["sslcert"], options.get("sslkey"))
    return context


@contextlib.contextmanager
def as_failures():
    """Turns what can go wrong between two programs into one kind of error."""
    try:
        yield
    except (OSError, ValueError, KeyError, struct.error) as error:
        raise Failure("the database cannot be asked: %s" % (getattr(error, "strerror", None) or error)) from None


class Database:
    """A connection. `with Database(address) as database:` closes it, and the server ends what it began."""

    def __init__(self, address, seconds=15):
        with as_failures():
            self.open(seconds, *parse_address(address))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.send(b"X", b"")
        self.socket.close()

    def open(self, seconds, host, port, user, password, name, options):
        """An answer may take as long as the connection."""
        self.socket = socket.create_connection((host, port), timeout=seconds)
        try:
            mode = options.get("sslmode", "prefer")
            if mode not in ("disable", "allow"):
                self.socket.sendall(struct.pack("!II", 8, ASK_FOR_TLS))
                if self.read_exactly(1) == b"S":
                    self.socket = tls_context(mode, options).wrap_socket(self.socket, server_hostname=host)
                elif mode != "prefer":
                    raise Failure("the database does not offer TLS, which sslmode=%s requires" % mode)
            start = b"".join(text.encode() + b"\0" for text in ("user", user, "database", name, "client_encoding", "UTF8", ""))
            self.socket.sendall(struct.pack("!II", len(start) + 8, PROTOCOL) + start)
            self.log_in(user, password)
        except BaseException:
            self.socket.close()
            raise

    def read_exactly(self, count):
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                raise Failure("the database closed the connection")
            data += part
        return data

    def read_message(self):
        """Returns (type, body)."""
        kind, length = struct.unpack("!cI", self.read_exactly(5))
        if not 4 <= length <= MAX_MESSAGE_BYTES:
            raise Failure("the database does not speak PostgreSQL's protocol")
        return kind, self.read_exactly(length - 4)

    def send(self, kind, body):
        self.socket.sendall(kind + struct.pack("!I", len(body) + 4) + body)

    def log_in(self, user, password):
        scram = None
        while True:
            kind, body = self.read_message()
            if kind == b"E":
                raise DatabaseError(body)
            if kind == b"Z":
                return
            if kind != b"R":
                continue
            method = struct.unpack("!I", body[:4])[0]
            if method == 3:
                self.send(b"p", password.encode() + b"\0")
            elif method == 5:
                inner = hashlib.md5(password.encode() + user.encode()).hexdigest()
                self.send(b"p", b"md5" + hashlib.md5(inner.encode() + body[4:8]).hexdigest().encode() + b"\0")
            elif method == 10 and b"SCRAM-SHA-256" in body[4:].split(b"\0"):
                scram = Scram(password)
                first = b"n,," + scram.first
                self.send(b"p", b"SCRAM-SHA-256\0" + struct.pack("!I", len(first)) + first)
            elif method == 11 and scram:
                self.send(b"p", scram.answer(body[4:]))
            elif method == 12 and scram:
                scram.verify(body[4:])
            elif method != 0:
                raise Failure("the database wants a login that nakama-setup does not know (method %d)" % method)

    def query(self, text):
        """Returns the rows of a statement, with None for NULL."""
        rows, failure = [], None
        with as_failures():
            self.send(b"Q", text.encode() + b"\0")
            while True:
                kind, body = self.read_message()
                if kind == b"D":
                    rows.append(row_values(body))
                elif kind == b"E":
                    failure = failure or DatabaseError(body)
                elif kind == b"Z":
                    if failure:
                        raise failure
                    return rows


def row_values(body):
    values, at = [], 2
    for _ in range(struct.unpack("!H", body[:2])[0]):
        size = struct.unpack("!i", body[at:at + 4])[0]
        values.append(None if size < 0 else body[at + 4:at + 4 + size].decode("utf-8", "replace"))
        at += 4 + max(size, 0)
    return values


class Scram:
    """The client's part of SCRAM-SHA-256 (RFC 5802 and 7677), without channel binding."""

    def __init__(self, password):
        self.password, self.nonce = password.encode(), base64.b64encode(os.urandom(18))
        self.first, self.signature = b"n=,r=" + self.nonce, b""

    def answer(self, challenge):
        parts = dict(part.split(b"=", 1) for part in challenge.split(b","))
        if not parts[b"r"].startswith(self.nonce):
            raise Failure("the database answers another login than ours")
        salted = hashlib.pbkdf2_hmac("sha256", self.password, base64.b64decode(parts[b"s"]), int(parts[b"i"]))
        key = hmac.digest(salted, b"Client Key", "sha256")
        final = b"c=biws,r=" + parts[b"r"]
        message = b",".join((self.first, challenge, final))
        proof = bytes(a ^ b for a, b in zip(key, hmac.digest(hashlib.sha256(key).digest(), message, "sha256")))
        self.signature = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), message, "sha256")
        return final + b",p=" + base64.b64encode(proof)

    def verify(self, final):
        if not hmac.compare_digest(final, b"v=" + base64.b64encode(self.signature)):
            raise Failure("the database does not know the password either")
