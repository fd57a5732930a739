"""A machine for nakama-setup: a folder as its root, and small stubs of systemd, ufw and the database.

`state/` beside the root says how they behave: `failed-UNIT`, `unhealthy` (the API answers 503), `no-database`, `restored` (only what a restore kept), `login`
(the HTTP status that a login gets); it also holds `ufw`, the profiles that are allowed, one a line, and `calls`, every call of
every program.
"""

import base64
import contextlib
import http.server
import json
import os
import threading
import time

import support

SETUP = os.path.join(support.PROJECT, "files/usr/local/sbin/nakama-setup")
MODULES = os.path.join(support.PROJECT, "files/usr/local/lib/nakama-setup")
INSTANCE = "/etc/nakama/instance.yml"
# How old a database must be before it is backed up, instead of ten seconds.
AGE = 0.3
SECRETS = {"console": ("username", "password", "signing_key"), "socket": ("server_key",), "session": ("encryption_key", "refresh_encryption_key"),
           "runtime": ("http_key",), "mfa": ("storage_encryption_key",)}
FIREWALL = r"""
case "$*" in
    status) echo "Status: active"; echo; while read -r profile; do printf '%-26s ALLOW       Anywhere\n' "$profile"; done <"$STATE/ufw" ;;
    "allow "*) shift; grep -qx "$*" "$STATE/ufw" || echo "$*" >>"$STATE/ufw" ;;
    "delete allow "*) shift 2; grep -vx "$*" "$STATE/ufw" >"$STATE/ufw.new"; mv "$STATE/ufw.new" "$STATE/ufw" ;;
    *) echo "ERROR: Invalid syntax"; exit 1 ;;
esac"""
SYSTEMD = r"""
case "$1" in
    start) if [ -e "$ROOT/usr/local/bin/nakama" ]; then
        # A program that says SICK does not come up, and neither does Nakama on such a database.
        if grep -qs SICK "$ROOT/usr/local/bin/nakama" "$ROOT/usr/local/bin/cockroach"; then touch "$STATE/unhealthy"; else rm -f "$STATE/unhealthy"; fi
    fi ;;
    is-active) if [ -e "$STATE/failed-$2" ]; then echo failed; exit 3; fi; echo active ;;
    *) ;;
esac"""
DATABASE = r"""
if [ -e "$STATE/no-database" ]; then echo "ERROR: cannot dial server." >&2; exit 1; fi
if [ -e "$STATE/restored" ]; then printf 'database_name\towner\nnakama_before_20260101t000000z\troot\n'; exit 0; fi
case "$*" in *--execute*) ;; *) statement=$(cat); echo "$statement" >>"$STATE/sql" ;; esac
case "${statement:-}" in "SHOW CLUSTER SETTING version;") printf 'version\n24.1\n'; exit ;; *) ;; esac
printf 'database_name\towner\ndefaultdb\troot\nnakama\tnakama\n'"""


class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        sick = os.path.exists(os.path.join(self.server.state, "unhealthy"))
        self.send_response(503 if sick else 200)
        self.end_headers()

    def do_POST(self):
        """A login that creates no account, as Nakama answers it while its database is there."""
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        key = base64.b64decode(self.headers["authorization"].removeprefix("Basic ")).decode()
        with contextlib.suppress(OSError), open(os.path.join(self.server.state, "login"), encoding="utf-8") as file:
            self.send_response(int(file.read()))
            self.end_headers()
            return
        if os.path.exists(os.path.join(self.server.state, "unhealthy")):
            status = 503
        elif self.path != "/v2/account/authenticate/device?create=false" or not 10 <= len(body["id"]) <= 128:
            status = 400
        else:
            status = 404 if key == "server_keysocket".ljust(32, "x") + ":" else 401
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_):
        pass


class Machine(support.Case):
    def setUp(self):
        super().setUp()
        self.make_machine()

    port = 1

    def make_machine(self):
        """The machine after its first boot."""
        for folder in ("root", "state", "bin"):
            support.shutil.rmtree(self.path(folder), ignore_errors=True)
        text = ""
        for section, names in SECRETS.items():
            text += section + ":\n" + "".join('  %s: "%s"\n' % (name, (name + section).ljust(32, "x")) for name in names)
        self.write("root" + INSTANCE, text + 'database:\n  address:\n    - "nakama@localhost:26257/nakama?sslmode=verify-full"\n', 0o640)
        for name in ("node.key", "client.root.key"):
            self.write("root/etc/cockroach/pki/node/" + name, "")
        for folder in ("lib", "tmp"):
            os.makedirs(self.path("root/var", folder))
        self.write("state/ufw", "22/tcp\nNakama\n")
        self.program("ufw", FIREWALL)
        self.program("systemctl", SYSTEMD)
        self.program("cockroach", DATABASE)
        self.program("nakama", "exit 0")
        self.health = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Health)
        self.health.state = self.path("state")
        threading.Thread(target=self.health.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.addCleanup(self.health.server_close)
        self.addCleanup(self.health.shutdown)

    def root(self, name):
        return self.path("root" + name)

    def program(self, name, text):
        self.write("bin/" + name, "#!/bin/sh\nSTATE='%s' ROOT='%s'\necho %s \"$@\" >>\"$STATE/calls\"\n%s\n" % (self.path("state"), self.path("root"), name, text), 0o755)

    def setup_(self, *words, status=0, **more):
        environment = dict(os.environ, NAKAMA_SETUP_ROOT=self.path("root"), PATH=self.path("bin") + ":" + os.environ["PATH"],
                           NAKAMA_SETUP_HEALTH="http://127.0.0.1:%d/" % self.health.server_address[1], NAKAMA_SETUP_PATIENCE="2", NAKAMA_SETUP_BACKUP_AGE=str(AGE),
                           NAKAMA_SETUP_DATABASE="localhost:%d" % self.port)
        environment.update(more)
        return self.run_(support.sys.executable, "-B", SETUP, *words, status=status, env=environment)

    def start_database(self):
        """The stub of CockroachDB, with its store and certificates where the machine has them."""
        support.shutil.rmtree(self.path("root/etc/cockroach"))
        certs = self.certificates(("root", "nakama"), "root/etc/cockroach/pki/node")
        os.unlink(self.path("bin/cockroach"))
        os.symlink(self.cockroach, self.path("bin/cockroach"))
        _, port, _ = self.database(certs, store="root/var/lib/cockroach")
        self.port, self.certs = port, certs
        self.query("CREATE DATABASE nakama; CREATE USER nakama; ALTER DATABASE nakama OWNER TO nakama; USE nakama; "
                   "CREATE TABLE users (id INT PRIMARY KEY, name STRING); INSERT INTO users VALUES (1, 'ann')")
        time.sleep(AGE)

    def query(self, text, user="root"):
        return self.sql(self.port, self.certs, text, user=user)

    def ufw(self):
        with open(self.path("state/ufw"), encoding="utf-8") as file:
            return file.read()

    def calls(self):
        with open(self.path("state/calls"), encoding="utf-8") as file:
            return file.read()
