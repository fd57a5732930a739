"""nakama-setup backup and restore, against the stub of the database and a bucket that checks signatures."""

import hashlib
import hmac
import http.server
import io
import os
import sys
import tarfile
import threading
import unittest

import support
import machine

SECRET = "spaces-secret-key"
NOBODY = 65534
# A database that makes backups of one file of root's, and notes what a restore gives it.
HOSTILE = machine.DATABASE.replace("printf 'database_name", r"""
case "${statement:-}" in
    "SHOW node_id;") printf 'node_id\n1\n'; exit ;;
    "BACKUP "*)
        folder=${statement#*://1/} && folder=$ROOT/var/lib/cockroach/extern/${folder%%\'*}
        mkdir "$folder" && if [ -e "$STATE/link" ]; then ln -s /etc/passwd "$folder/data"; else echo x >"$folder/data"; fi ;;
    "RESTORE "*) find "$ROOT/" -path '*/restore-*' -printf '%U %m %P\n' >"$STATE/found" ;;
    *) ;;
esac
printf 'database_name""")


def as_root(test):
    """Skips a test that needs two users. It says so itself: the file must end with OK."""
    def checked(self):
        if os.geteuid():
            print("not tried, because it needs root: " + test.__name__, file=sys.stderr)
        else:
            test(self)
    return checked


class Bucket(http.server.BaseHTTPRequestHandler):
    """S3's PUT and GET. The signature is worked out again from what arrived, as AWS documents it (Signature Version 4)."""

    def _authorized(self):
        fields = dict(part.split("=", 1) for part in self.headers["authorization"].split(" ", 1)[1].split(", "))
        _, day, region, service, _ = fields["Credential"].split("/")
        names = fields["SignedHeaders"].split(";")
        canonical = "%s\n%s\n\n%s\n\n%s\n%s" % (self.command, self.path, "\n".join("%s:%s" % (name, self.headers[name]) for name in names),
                                              ";".join(names), self.headers["x-amz-content-sha256"])
        key = b"AWS4" + SECRET.encode()
        for part in (day, region, service, "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        scope = "/".join((day, region, service, "aws4_request"))
        text = "\n".join(("AWS4-HMAC-SHA256", self.headers["x-amz-date"], scope, hashlib.sha256(canonical.encode()).hexdigest()))
        return hmac.digest(key, text.encode(), "sha256").hex() == fields["Signature"] and "host" in names

    def _answer(self, status, body=b""):
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if not self._authorized() or hashlib.sha256(body).hexdigest() != self.headers["x-amz-content-sha256"]:
            self._answer(403, b"<Error><Code>SignatureDoesNotMatch</Code><Message>no</Message></Error>")
            return
        self.server.objects[self.path] = body
        self._answer(200)

    def do_GET(self):
        self.server.asked.append(self.path)
        if self.path.startswith("/games/moved"):
            self.send_response(307)
            self.send_header("location", "http://127.0.0.1:%d/elsewhere" % self.server.server_address[1])
            self.send_header("content-length", "0")
            self.end_headers()
            return
        if not self._authorized() or self.path not in self.server.objects:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
            return
        self._answer(200, self.server.objects[self.path])

    def log_message(self, *_):
        pass


class Backup(machine.Machine):
    def setUp(self):
        super().setUp()
        self.start_database()

    def archives(self, folder=None):
        folder = folder or self.root("/var/backups/nakama")
        return sorted(os.listdir(folder)) if os.path.isdir(folder) else []

    def take(self, *words, **more):
        return self.setup_("backup", *words, **more).split(",")[0]

    def names(self):
        return self.query("USE nakama; SELECT name FROM users ORDER BY name").split()[2:]

    def kept(self):
        return [line.split("\t")[0] for line in self.query("SHOW DATABASES").splitlines() if line.startswith("nakama_before_")]

    def bucket(self):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
        server.objects, server.asked = {}, []
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        self.configure("S3_ENDPOINT=http://127.0.0.1:%d\nS3_ACCESS_KEY=AK\nS3_SECRET_KEY=%s\nTO=s3://games/my backups\n".replace(" backups", "-backups")
                       % (server.server_address[1], SECRET))
        return server

    def configure(self, text):
        self.write("root/etc/nakama/backup.conf", text, 0o600)

    def test_there_and_back(self):
        archive = self.take()
        self.assertEqual(os.stat(archive).st_mode & 0o777, 0o600)
        self.assertEqual(os.listdir(self.root("/var/lib/cockroach/extern")), [], "nothing stays in the database's own folder")
        self.query("USE nakama; DELETE FROM users; INSERT INTO users VALUES (2, 'bob')")
        self.assertIn("the database contains data", self.setup_("restore", archive, status=4))
        self.assertEqual(self.names(), ["bob"])
        self.assertIn("kept as nakama_before_", self.setup_("restore", "latest", "--yes"))
        self.assertEqual(self.names(), ["ann"])
        self.query("USE nakama; INSERT INTO users VALUES (3, 'eve')", user="nakama")
        self.setup_("restore", "--back")
        self.assertEqual(self.names(), ["bob"])
        self.assertEqual(len(self.kept()), 1)
        self.setup_("restore", "--forget")
        self.assertEqual(self.kept(), [])
        self.assertEqual(self.names(), ["bob"])
        self.setup_("restore", "--back", status=1)
        self.assertIn("backup       0 hours ago", self.setup_("status"))

    def test_what_a_backup_shows(self):
        """The database of ten seconds ago, and after a restore never the one that had its name before."""
        archive = self.take()
        self.query("USE nakama; DELETE FROM users; INSERT INTO users VALUES (2, 'bob')")
        # Long enough for the next command to begin within it.
        long = {"NAKAMA_SETUP_BACKUP_AGE": "4"}
        self.setup_("restore", archive, "--yes", **long)
        self.take(**long)
        self.setup_("restore", "--back")
        self.take()
        names = []
        for archive in self.archives():
            self.setup_("restore", archive, "--yes")
            names.append(self.names())
        self.assertEqual(names, [["ann"], ["ann"], ["bob"]])
        # Longer ago than there was a database.
        self.assertIn('database "nakama" does not exist', self.setup_("backup", status=1, NAKAMA_SETUP_BACKUP_AGE="3600"))
        self.assertEqual(len(self.archives()), 3)
        os.unlink(self.path("bin/cockroach"))
        self.program("cockroach", HOSTILE)
        self.setup_("backup", NAKAMA_SETUP_BACKUP_AGE="")
        with open(self.path("state/sql"), encoding="utf-8") as file:
            self.assertRegex(file.read(), r"(?m)^BACKUP DATABASE nakama INTO 'nodelocal://1/nakama-\w+' AS OF SYSTEM TIME '-10s';$")

    def test_a_folder_of_ones_own_is_where_the_latest_one_is(self):
        folder = self.path("elsewhere")
        self.configure("TO=%s\n" % folder)
        self.assertIn(folder + "/nakama-", self.take())
        self.assertEqual(self.archives(), [])
        self.assertIn("backup       0 hours ago\n", self.setup_("status"))
        self.assertIn("Available: nakama-", self.setup_("restore", status=2))
        self.query("USE nakama; DELETE FROM users")
        self.setup_("restore", "latest", "--yes")
        self.assertEqual(self.names(), ["ann"])

    def test_what_one_that_was_cut_off_has_left_goes(self):
        folder = self.root("/var/backups/nakama")
        self.write("root/var/lib/cockroach/extern/nakama-20200101t000000z/data", "x" * 1000)
        self.write("root/var/lib/cockroach/extern/restore-20200101t000000z/archive", "x" * 1000)
        self.write("root/var/lib/cockroach/extern/mine/data", "not ours")
        self.write("root/var/backups/nakama/nakama-20200101t000000z.tar.gz.new", "half")
        archive = self.take()
        self.assertEqual(os.listdir(folder), [os.path.basename(archive)])
        self.assertEqual(os.listdir(self.root("/var/lib/cockroach/extern")), ["mine"])

    def test_an_error_of_the_file_system_is_said_in_one_line(self):
        self.write("root/var/backups/nakama", "a file where the folder should be")
        self.assertRegex(self.setup_("backup", status=1), r"\Anakama-setup: .*File exists.*\n\Z")

    def test_what_was_last_is_returned_to_though_the_clock_went_back(self):
        archive = self.take()
        self.query("CREATE DATABASE nakama_before_29991231t000000z")
        self.query("USE nakama; DELETE FROM users; INSERT INTO users VALUES (2, 'bob')")
        self.setup_("restore", archive, "--yes")
        # Often in the same second: the backup that is kept must not have the name of the one that is restored.
        for names in ["bob"], ["ann"], ["bob"]:
            self.setup_("restore", "--back")
            self.assertEqual(self.names(), names)
        self.assertEqual(len(self.kept()), 2)

    def test_into_a_machine_without_data(self):
        archive = self.take()
        self.query("DROP DATABASE nakama CASCADE; CREATE DATABASE nakama")
        self.setup_("restore", os.path.basename(archive))
        self.assertEqual(self.names(), ["ann"])
        self.query("DROP DATABASE nakama CASCADE")
        self.setup_("restore", archive)
        self.assertEqual(self.names(), ["ann"])

    def test_nakama_does_not_come_up_with_it(self):
        archive = self.take()
        self.query("USE nakama; INSERT INTO users VALUES (2, 'bob')")
        self.write("state/unhealthy", "")
        self.assertIn("The previous database is in use again.", self.setup_("restore", archive, "--yes", status=1))
        self.assertEqual(self.names(), ["ann", "bob"])
        self.assertEqual(self.kept(), [])
        self.assertTrue(self.calls().rstrip().endswith("systemctl start nakama.service"), self.calls())

    def test_the_oldest_go(self):
        self.configure("KEEP=2\n")
        for name in ("20200101t000000z", "20210101t000000z", "20220101t000000z"):
            self.write("root/var/backups/nakama/nakama-%s.tar.gz" % name, "x")
        self.write("root/var/backups/nakama/mine.tar.gz", "x")
        archive = self.take()
        self.assertEqual(self.archives(), ["mine.tar.gz", "nakama-20220101t000000z.tar.gz", os.path.basename(archive)])

    def test_another_folder(self):
        archive = self.take("--to", self.path("volume"))
        self.assertEqual(os.path.dirname(archive), self.path("volume"))
        self.assertEqual(self.archives(), [])
        self.setup_("restore", archive, "--yes")

    def test_a_bucket(self):
        server = self.bucket()
        output = self.setup_("backup")
        key = "/games/my-backups/" + self.archives()[0]
        self.assertEqual(list(server.objects), [key])
        self.assertIn("s3:/" + key, output)
        self.assertNotIn(SECRET, output)
        self.query("USE nakama; INSERT INTO users VALUES (2, 'bob')")
        self.setup_("restore", "s3:/" + key, "--yes")
        self.assertEqual(self.names(), ["ann"])
        self.assertIn("HTTP 404 NoSuchKey", self.setup_("restore", "s3://games/none.tar.gz", "--yes", status=1))

    def test_a_signed_request_stays_with_its_service(self):
        server = self.bucket()
        output = self.setup_("restore", "s3://games/moved.tar.gz", "--yes", status=1)
        self.assertIn("the redirect to http://127.0.0.1:%d/elsewhere is refused" % server.server_address[1], output)
        self.assertEqual(server.asked, ["/games/moved.tar.gz"])

    def test_a_bucket_that_refuses(self):
        server = self.bucket()
        self.configure("TO=s3://games\nS3_ENDPOINT=http://127.0.0.1:%d\nS3_ACCESS_KEY=AK\nS3_SECRET_KEY=wrong\n" % server.server_address[1])
        output = self.setup_("backup", status=1)
        self.assertIn("HTTP 403 SignatureDoesNotMatch: no", output)
        self.assertNotIn("wrong", output)
        self.assertEqual((len(self.archives()), server.objects), (1, {}), "the local one stays")
        self.configure("TO=s3://games\n")
        self.assertIn("needs S3_ENDPOINT, S3_ACCESS_KEY, S3_SECRET_KEY", self.setup_("backup", status=2))

    def test_archives_that_are_none(self):
        def archive(name, member):
            with tarfile.open(self.path(name), "w:gz") as tar:
                tar.addfile(member, io.BytesIO(b"x" * member.size))
            return self.path(name)

        link = tarfile.TarInfo("backup/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/shadow"
        other, out = tarfile.TarInfo("elsewhere"), tarfile.TarInfo("backup/../../../etc/x")
        other.size = out.size = 1
        for name, member in (("a.tar.gz", link), ("b.tar.gz", other), ("c.tar.gz", out)):
            self.assertIn("cannot be restored: it is not an archive of nakama-setup", self.setup_("restore", archive(name, member), "--yes", status=1))
        self.assertIn("cannot be restored", self.setup_("restore", self.write("text.tar.gz", "text"), "--yes", status=1))
        self.assertIn("cannot be restored", self.setup_("restore", self.path("none.tar.gz"), "--yes", status=1))
        self.assertIn("which backup?", self.setup_("restore", status=2))
        self.assertEqual(self.names(), ["ann"])
        self.assertEqual(os.listdir(self.root("/var/lib/cockroach/extern")), [])

    def test_a_half_archive_is_refused_and_nothing_changes(self):
        archive = self.take()
        with open(archive, "r+b") as file:
            file.truncate(os.path.getsize(archive) // 2)
        self.assertIn("cannot be restored", self.setup_("restore", archive, "--yes", status=1))
        self.assertEqual(self.names(), ["ann"])

    def test_a_database_that_is_down_leaves_nothing(self):
        self.started[-1].kill()
        self.started[-1].wait()
        self.assertIn("cannot dial server", self.setup_("backup", status=1))
        self.assertEqual(self.archives(), [])

    def test_a_managed_database_is_its_providers(self):
        os.unlink(self.root("/etc/cockroach/pki/node/node.key"))
        for command in (("backup",), ("restore", "latest")):
            self.assertIn("its provider keeps the backups", self.setup_(*command, status=1))


class HostileDatabase(machine.Machine):
    """The database's user owns its folders, and plants links there for root to follow."""

    def setUp(self):
        super().setUp()
        self.program("cockroach", HOSTILE)
        self.store = self.root("/var/lib/cockroach")
        os.makedirs(self.store)
        if os.geteuid() == 0:
            os.chown(self.store, NOBODY, NOBODY)
            for folder in (os.path.dirname(self.folder), self.folder):
                os.chmod(folder, 0o711)
        with tarfile.open(self.path("good.tar.gz"), "w:gz") as tar:
            tar.add(self.write("good", "x"), arcname="backup/data")
        os.chmod(self.path("good.tar.gz"), 0o600)

    def extern(self, link=""):
        place = self.store + "/extern"
        if link:
            os.symlink(link, place)
        else:
            os.mkdir(place, 0o700)
        if os.geteuid() == 0:
            os.chown(place, NOBODY, NOBODY, follow_symlinks=False)

    def restore(self, status):
        return self.setup_("restore", self.path("good.tar.gz"), "--yes", status=status)

    def test_what_is_unpacked_belongs_to_the_database_alone(self):
        self.extern()
        self.assertIn("Nakama is running", self.restore(0))
        with open(self.path("state/found"), encoding="utf-8") as file:
            found = sorted(line.split() for line in file)
        owner = str(os.geteuid() or NOBODY)
        self.assertEqual([(one, int(mode, 8) & 0o7022) for one, mode, _ in found], [(owner, 0)] * 3)
        self.assertEqual(os.listdir(self.store + "/extern"), [])

    @as_root
    def test_root_unpacks_through_no_link(self):
        self.extern("../../../etc")
        self.assertIn("Permission denied", self.restore(1))
        self.assertFalse(os.path.exists(self.path("state/found")), "nothing was unpacked for the database")

    @as_root
    def test_root_removes_nothing_through_a_link(self):
        self.write("root/srv/restore-all/data", "kept")
        self.write("root/srv/nakama-site/data", "kept")
        self.extern("../../../srv")
        self.restore(1)
        self.assertEqual(sorted(os.listdir(self.root("/srv"))), ["nakama-site", "restore-all"])

    def test_root_reads_no_file_that_a_link_replaces(self):
        self.extern()
        self.write("root/etc/secret", "s\n", 0o600)
        # The moment between looking at a file and reading it.
        self.write("moment/sitecustomize.py", """
import glob, os, tarfile
look, folder = tarfile.TarFile.gettarinfo, %r
def look_and_replace(*words, **named):
    found = look(*words, **named)
    for data in glob.glob(folder + "/nakama-*/data"):
        os.unlink(data)
        os.symlink("../../../../../etc/secret", data)
    return found
tarfile.TarFile.gettarinfo = look_and_replace
""" % (self.store + "/extern"))
        archive = self.setup_("backup", PYTHONPATH=self.path("moment")).split(",")[0]
        with tarfile.open(archive) as tar:
            self.assertEqual([(one.name, tar.extractfile(one).read()) for one in tar if one.isfile()], [("backup/data", b"x\n")])
        # A link that was there before.
        self.write("state/link", "")
        self.assertIn("Too many levels of symbolic links", self.setup_("backup", "--to", self.path("more"), status=1))
        self.assertEqual(os.listdir(self.path("more")), [])

    def test_what_an_archive_must_not_contain(self):
        self.extern()

        def archive(*members):
            with tarfile.open(self.path("bad.tar.gz"), "w:gz") as tar:
                for name, more in members:
                    member = tarfile.TarInfo(name)
                    for key, value in more.items():
                        setattr(member, key, value)
                    tar.addfile(member, io.BytesIO(bytes(member.size)))
            return self.path("bad.tar.gz")

        link = {"type": tarfile.SYMTYPE, "linkname": "/etc"}
        # 118 bytes that become 3 GiB.
        sparse = {"pax_headers": {"GNU.sparse.size": str(3 << 30), "GNU.sparse.map": "0,0", "GNU.sparse.numblocks": "0"}}
        for members, text in (
            ([("backup/a", link)], "is not an archive"), ([("backup/a", link), ("backup/a/cron.d/x", {})], "is not an archive"),
            ([("backup/a", {"type": tarfile.LNKTYPE, "linkname": "backup/b"})], "is not an archive"),
            ([("backup/a", {"type": tarfile.FIFOTYPE})], "is not an archive"), ([("/etc/x", {})], "is not an archive"),
            ([("backup/../x", {})], "is not an archive"), ([("backup//x", {})], "is not an archive"), ([("backups", {})], "is not an archive"),
            ([("backup/s", sparse)], "is not an archive"), ([("backup/a", {}), ("backup/a", {})], "File exists"),
        ):
            with self.subTest(members=members):
                self.assertIn(text, self.setup_("restore", archive(*members), "--yes", status=1))
                self.assertEqual(os.listdir(self.store + "/extern"), [])
        self.assertFalse(os.path.exists(self.path("state/found")))


if __name__ == "__main__":
    unittest.main()
