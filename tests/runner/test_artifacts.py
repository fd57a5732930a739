from support import OWNER, Case  # first: it sets up the module path

import contextlib
import hashlib
import http.client
import http.server
import io
import os
import shutil
import tarfile
import threading
import time
import urllib.request
import zipfile
from unittest import mock

import artifacts
from artifacts import DOWNLOADS, install_artifact, parse_checksum_file
from progress import StepFailed

TOOL = b"#!/bin/sh\necho tool\n"


def tar(entries, mode="w:gz", member_mode=0o4777):
    """A tar archive of (name, content or TarInfo type, link target)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in entries:
            member = tarfile.TarInfo(name)
            member.mode = member_mode
            if isinstance(content, bytes):
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
            else:
                member.type, member.linkname = content
                archive.addfile(member)
    return buffer.getvalue()


class Site:
    """A download site on loopback: path → list of (status, body, headers); the last answer repeats."""

    def __init__(self, case):
        site = self
        self.answers = {}
        self.asked = []
        # What is sent at once, before one byte at a time.
        self.slow = {}

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                if self.path in site.slow:
                    with contextlib.suppress(OSError):
                        self.connection.sendall(site.slow[self.path])
                        while True:
                            self.connection.sendall(b"x")
                            time.sleep(0.05)
                    return
                site.asked.append(self.path)
                answers = site.answers.get(self.path, [(404, b"", {})])
                status, body, headers = answers.pop(0) if len(answers) > 1 else answers[0]
                self.send_response(status)
                for name, value in dict({"content-length": str(len(body))}, **headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        case.addCleanup(thread.join)
        case.addCleanup(server.server_close)
        case.addCleanup(server.shutdown)
        self.url = "http://127.0.0.1:%d" % server.server_address[1]

    def serve(self, path, body, status=200, **headers):
        self.answers.setdefault(path, []).append((status, body, headers))


class ArtifactTest(Case):
    def setUp(self):
        Case.setUp(self)
        self.site = Site(self)
        self.pauses = []

    def https(self):
        """The site's address as https://, which is served without TLS until the test ends."""
        patch = mock.patch.object(urllib.request.HTTPSHandler, "https_open",
                                  lambda handler, request: handler.do_open(http.client.HTTPConnection, request))
        patch.start()
        self.addCleanup(patch.stop)
        return self.site.url.replace("http:", "https:")

    def install(self, body, unpack=None, owner=OWNER, mode="0755", **changes):
        if body is not None:
            self.site.serve("/tool.tar.gz", body)
        artifact = {"name": "tool.tar.gz", "url": self.site.url + "/tool.tar.gz", "size": None, "checksum_url": None,
                    "sha256": hashlib.sha256(body or b"").hexdigest(),
                    "unpack": [{"member": member, "to": to, "owner": owner, "mode": mode}
                               for member, to in (unpack or {"tool": "/usr/local/bin/tool"}).items()]}
        artifact.update(changes)
        install_artifact(self.machine, 20, self.pauses.append, artifact, self.lines.append)

    def assert_nothing_was_unpacked(self):
        self.assertFalse(self.exists("/usr"))
        self.assertEqual(os.listdir(self.root + DOWNLOADS), [])

    def test_a_member_lands_with_the_plans_mode_and_not_the_archives(self):
        for mode in ("w:gz", "w:xz", "w:bz2", "w"):
            self.site.answers.clear()
            self.install(tar([("tool-1.0/tool", TOOL), ("tool-1.0/README", b"r")], mode))
            self.assertEqual(self.read("/usr/local/bin/tool"), TOOL)
            self.assertEqual(os.stat(self.root + "/usr/local/bin/tool").st_mode & 0o7777, 0o755)
            self.assertEqual(os.listdir(self.root + DOWNLOADS), [])
            os.unlink(self.root + "/usr/local/bin/tool")

    def test_a_member_lands_with_the_plans_owner(self):
        owners = []
        with mock.patch("os.chown", lambda _, *ids, **rest: owners.append(ids)):
            self.install(tar([("tool", TOOL)]), unpack={"tool": "/usr/local/bin/tool"}, owner="12:34")
        self.assertEqual(owners, [(12, 34)])

    def test_zip_and_a_download_that_is_the_file_itself(self):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("bin/", b"")
            archive.writestr("bin/tool", TOOL)
        self.install(buffer.getvalue())
        self.assertEqual(self.read("/usr/local/bin/tool"), TOOL)
        self.site.answers.clear()
        self.install(b"raw", {"": "/opt/raw"})
        self.assertEqual(self.read("/opt/raw"), b"raw")

    def test_a_full_path_wins_over_a_file_name(self):
        self.install(tar([("docs/tool", b"text"), ("./tool", TOOL), ("a-tool", b"x")]))
        self.assertEqual(self.read("/usr/local/bin/tool"), TOOL)

    def test_paths_outside_the_archive_are_ignored(self):
        outside = self.root + "/outside"
        self.install(tar([("../../../outside", b"evil"), (outside, b"evil"), ("x/tool", TOOL), ("x/other-tool", b"x")]))
        self.assertFalse(os.path.exists(outside))
        self.assertEqual(self.read("/usr/local/bin/tool"), TOOL)

    def test_links_and_devices_are_not_unpacked(self):
        for content in ((tarfile.SYMTYPE, "/etc/shadow"), (tarfile.LNKTYPE, "/etc/shadow"), (tarfile.CHRTYPE, ""),
                        (tarfile.FIFOTYPE, ""), (tarfile.DIRTYPE, "")):
            self.site.answers.clear()
            with self.assertRaisesRegex(StepFailed, "must contain exactly one file tool; found 0 .its files: other"):
                self.install(tar([("tool", content), ("other", b"")]))
            self.assert_nothing_was_unpacked()

    APP = [("app-1.0/", (tarfile.DIRTYPE, "")), ("app-1.0/bin/tool", TOOL), ("app-1.0/lib/one.so.1", b"library"),
           ("app-1.0/lib/one.so", (tarfile.SYMTYPE, "one.so.1")), ("app-1.0/lib/tool", (tarfile.SYMTYPE, "../bin/tool")),
           ("app-1.0/lib/same", (tarfile.LNKTYPE, "app-1.0/lib/one.so.1")), ("app-1.0/empty", (tarfile.DIRTYPE, "")),
           ("README", b"not below it")]

    def tree(self, below):
        """What is below a folder: path → content, target of a link, or None for an empty folder."""
        found = {}
        for folder, folders, files in os.walk(self.root + below):
            for name in folders + files:
                path = os.path.join(folder, name)
                if os.path.islink(path):
                    found[os.path.relpath(path, self.root + below)] = "-> " + os.readlink(path)
                elif os.path.isfile(path):
                    with open(path, "rb") as file:
                        found[os.path.relpath(path, self.root + below)] = file.read()
                elif not os.listdir(path):
                    found[os.path.relpath(path, self.root + below)] = None
        return found

    def test_a_directory_is_unpacked_with_all_below_it(self):
        app = {"bin/tool": TOOL, "lib/one.so.1": b"library", "lib/one.so": "-> one.so.1", "lib/tool": "-> ../bin/tool",
               "lib/same": b"library", "empty": None}
        below = {"app-1.0/" + path: content for path, content in app.items()}
        for member, expected in (("app-1.0/", app), ("./app-1.0/", app), ("*/", app), ("app-*/", app),
                                 ("*/bin/", {"tool": TOOL}), ("./", dict(below, README=b"not below it"))):
            for mode in ("w:gz", "w"):
                with self.subTest(member=member, mode=mode):
                    self.site.answers.clear()
                    self.install(tar(self.APP, mode), {member: "/opt/app"}, mode=None)
                    self.assertEqual(self.tree("/opt/app"), expected)
                    shutil.rmtree(self.root + "/opt")

    def test_modes_of_a_directory(self):
        self.install(tar(self.APP), {"*/": "/opt/app/"}, mode=None)
        mode = lambda path: os.stat(self.root + "/opt/app/" + path).st_mode & 0o7777  # noqa: E731
        # The archive's members are 4777.
        self.assertEqual((mode("bin/tool"), mode("bin"), mode("empty")), (0o755, 0o755, 0o755))
        self.install(None, {"*/": "/opt/app"}, mode="0640", sha256=hashlib.sha256(tar(self.APP)).hexdigest())
        self.assertEqual((mode("bin/tool"), mode("lib/one.so.1"), mode("bin")), (0o640, 0o640, 0o755))

    def test_what_its_owner_may_execute_is_executable(self):
        for member_mode, expected in ((0o750, 0o755), (0o700, 0o755), (0o640, 0o644), (0o611, 0o644)):
            self.site.answers.clear()
            self.install(tar([("app/tool", TOOL)], "w", member_mode), {"app/": "/opt/app"}, mode=None)
            self.assertEqual(os.stat(self.root + "/opt/app/tool").st_mode & 0o7777, expected)

    def test_owners_of_a_directory(self):
        owners = []
        with mock.patch("os.chown", lambda _, *ids, **rest: owners.append(ids)):
            self.install(tar(self.APP), {"app-1.0/bin/": "/opt/app"}, owner="12:34")
        # /opt, /opt/app, the tool.
        self.assertEqual(owners, [(12, 34)] * 3)

    def test_a_directory_of_a_zip(self):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("app/", b"")
            for name, mode, content in (("app/tool", 0o100755, TOOL), ("app/text", 0o100644, b"text"), ("app/link", 0o120777, b"text")):
                info = zipfile.ZipInfo(name)
                info.external_attr = mode << 16
                archive.writestr(info, content)
        self.install(buffer.getvalue(), {"app/": "/opt/app"}, mode=None)
        self.assertEqual(self.tree("/opt/app"), {"tool": TOOL, "text": b"text", "link": "-> text"})
        self.assertEqual([os.stat(self.root + "/opt/app/" + name).st_mode & 0o7777 for name in ("tool", "text")], [0o755, 0o644])

    def test_nothing_leads_out_of_a_directory(self):
        for entry, message in (
                (("app/../../evil", b"x"), "leads out"), (("app//etc/evil", b"x"), "leads out"),
                (("app/link", (tarfile.SYMTYPE, "/etc")), "the link app/link to /etc, which leads out"),
                (("app/a/link", (tarfile.SYMTYPE, "../../etc")), "leads out"),
                (("app/link", (tarfile.SYMTYPE, "a/../../etc")), "leads out"), (("app/link", (tarfile.SYMTYPE, "..")), "leads out"),
                (("app/null", (tarfile.CHRTYPE, "")), "app/null, which is not a file"),
                (("app/pipe", (tarfile.FIFOTYPE, "")), "app/pipe, which is not a file")):
            with self.subTest(entry=entry):
                self.site.answers.clear()
                with self.assertRaisesRegex(StepFailed, message):
                    self.install(tar([("app/good", b"x"), entry]), {"app/": "/opt/app"})
                self.assertFalse(self.exists("/opt"))
        self.site.answers.clear()
        # A link is made last: no file is written through it.
        with self.assertRaises((OSError, StepFailed)):
            self.install(tar([("app/a", (tarfile.SYMTYPE, "b")), ("app/a/file", b"x")]), {"app/": "/opt/app"})
        self.site.answers.clear()
        with self.assertRaisesRegex(StepFailed, "contains nothing in gone/"):
            self.install(tar(self.APP), {"gone/": "/opt/app"})

    def test_two_matches_are_an_error_that_names_them(self):
        with self.assertRaisesRegex(StepFailed, "found 2 .matches: a/tool, b/tool"):
            self.install(tar([("a/tool", TOOL), ("b/tool", TOOL)]))
        self.assert_nothing_was_unpacked()

    def test_one_missing_member_of_two_unpacks_neither(self):
        with self.assertRaisesRegex(StepFailed, "exactly one file gone"):
            self.install(tar([("tool", TOOL)]), {"tool": "/usr/local/bin/tool", "gone": "/usr/local/bin/gone"})
        self.assert_nothing_was_unpacked()

    def test_a_wrong_sum_or_size_fails_before_unpacking(self):
        with self.assertRaisesRegex(StepFailed, "expected %s. Nothing was unpacked" % ("0" * 64)):
            self.install(tar([("tool", TOOL)]), sha256="0" * 64)
        self.assert_nothing_was_unpacked()
        with self.assertRaisesRegex(StepFailed, r"larger than its limit of 10 bytes"):
            self.install(None, size=10)
        self.assert_nothing_was_unpacked()

    def test_other_files_are_not_archives(self):
        with self.assertRaisesRegex(StepFailed, "tool.tar.gz is not a tar.gz"):
            self.install(b"<html>not found</html>")
        with self.assertRaisesRegex(StepFailed, "tool.tar.gz is not a tar.gz"):
            self.site.answers.clear()
            self.install(tar([("tool", os.urandom(50000))])[:20000])

    def test_404_is_final_and_a_server_error_is_retried(self):
        with self.assertRaisesRegex(StepFailed, "HTTP Error 404"):
            self.install(None)
        self.assertEqual((self.site.asked, self.pauses), (["/tool.tar.gz"], []))
        self.site.serve("/tool.tar.gz", b"", 503)
        self.site.serve("/tool.tar.gz", b"half", 200, **{"content-length": "400"})
        self.install(tar([("tool", TOOL)]))
        self.assertEqual(self.read("/usr/local/bin/tool"), TOOL)
        self.assertEqual(self.pauses, [2, 4])

    def test_a_busy_server_is_tried_again(self):
        for status in (408, 425, 429, 500):
            self.site.serve("/tool.tar.gz", b"", status)
        self.install(tar([("tool", TOOL)]))
        self.assertEqual(self.pauses, [2, 4, 8, 16])

    def test_nobody_else_can_read_a_download(self):
        def fetch(url, path, *rest):
            self.assertEqual(os.stat(os.path.dirname(path)).st_mode & 0o7777, 0o700)
            open(path, "w").close()
            return "0" * 64
        with mock.patch("artifacts.download", fetch):
            self.install(None, {"": "/opt/raw"}, sha256="0" * 64)

    def test_retries_end(self):
        self.site.serve("/tool.tar.gz", b"", 500)
        with self.assertRaisesRegex(StepFailed, "HTTP Error 500"):
            self.install(None)

    def test_redirects_to_files_are_refused(self):
        self.site.serve("/tool.tar.gz", b"", 302, location="file:///etc/passwd")
        with self.assertRaises(StepFailed):
            self.install(None)
        self.assert_nothing_was_unpacked()

    def test_without_a_lock_the_publishers_sum_is_checked(self):
        body = tar([("tool", TOOL)])
        self.site.serve("/sums", b"%s  other\n%s  tool.tar.gz\n" % (b"1" * 64, hashlib.sha256(body).hexdigest().encode()))
        sums = self.https() + "/sums"
        self.install(body, sha256=None, checksum_url=sums)
        self.assertEqual(self.read("/usr/local/bin/tool"), TOOL)
        self.site.answers["/sums"] = [(200, b"%s  tool.tar.gz\n" % (b"2" * 64), {})]
        with self.assertRaisesRegex(StepFailed, "expected 2222"):
            self.install(None, sha256=None, checksum_url=sums)

    def test_without_any_sum_plain_http_is_refused(self):
        with self.assertRaisesRegex(StepFailed, "nothing vouches for it: run `mkimg lock`"):
            self.install(b"", sha256=None)
        with self.assertRaisesRegex(StepFailed, "http://sums.example/ is not https, so nothing vouches"):
            self.install(b"", sha256=None, checksum_url="http://sums.example/", url=self.https() + "/tool.tar.gz")
        self.assertEqual(self.site.asked, [])

    def test_https_stays_https(self):
        self.site.serve("/tool.tar.gz", tar([("tool", TOOL)]))
        sha256 = hashlib.sha256(tar([("tool", TOOL)])).hexdigest()
        begin = self.https()
        for hops in ((self.site.url, ), ("ftp" + self.site.url[4:], ), (begin, self.site.url)):
            self.site.answers["/0"] = self.site.answers["/1"] = [(404, b"", {})]
            for number, to in enumerate(hops):
                place = "/tool.tar.gz" if to is hops[-1] else "/1"
                self.site.answers["/%d" % number] = [(302, b"", {"location": to + place})]
            with self.assertRaisesRegex(StepFailed, "redirects to %s/tool.tar.gz, which is refused" % hops[-1]):
                self.install(None, url=begin + "/0", sha256=sha256)
        self.assert_nothing_was_unpacked()
        self.assertNotIn("/tool.tar.gz", self.site.asked)
        self.site.answers["/0"] = [(302, b"", {"location": begin + "/tool.tar.gz"})]
        self.install(None, url=self.site.url + "/0", sha256=sha256)
        self.assertEqual(self.read("/usr/local/bin/tool"), TOOL)

    def test_an_archive_must_not_unpack_to_more_than_the_limits(self):
        holes = tarfile.TarInfo("tool")
        holes.pax_headers = {"GNU.sparse.size": str(3 << 30), "GNU.sparse.map": "0,0", "GNU.sparse.numblocks": "0"}
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            archive.addfile(holes)
        with self.assertRaisesRegex(StepFailed, "contains a sparse file, tool"):
            self.install(buffer.getvalue())
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("tool", bytes(2000))
        for limit, body in (("BYTES", tar([("tool", bytes(2000))])), ("BYTES", buffer.getvalue()), ("MEMBERS", tar([("a", TOOL), ("tool", TOOL)]))):
            self.site.answers.clear()
            name = {"BYTES": "MAX_UNPACKED_BYTES", "MEMBERS": "MAX_MEMBERS"}[limit]
            with mock.patch.object(artifacts, name, 1000 if limit == "BYTES" else 1):
                with self.assertRaisesRegex(StepFailed, "unpacks to more than"):
                    self.install(body)
        self.assert_nothing_was_unpacked()

    def test_a_download_ends_at_the_deadline(self):
        # A server that sends one byte at a time: of the answer's head, of the body, of the checksum file.
        self.site.slow = {"/head": b"", "/body": b"HTTP/1.0 200 OK\r\n\r\n"}
        url = self.https()
        common = {"name": "t", "sha256": "0" * 64, "size": None, "checksum_url": None, "unpack": []}
        for artifact in ({"url": url + "/head"}, {"url": url + "/body"}, {"url": url + "/tool", "sha256": None, "checksum_url": url + "/body"}):
            with self.assertRaisesRegex(StepFailed, "t: not complete after 1 s"):
                install_artifact(self.machine, 1, time.sleep, dict(common, **artifact), self.lines.append)
            self.assertEqual(os.listdir(self.root + DOWNLOADS), [])
        # Pauses between attempts count too.
        with self.assertRaisesRegex(StepFailed, "t: not complete after 1 s"):
            self.site.serve("/busy", b"", 503)
            install_artifact(self.machine, 1, time.sleep, dict(common, url=url + "/busy"), self.lines.append)


class PublishedSumTest(Case):
    def test_common_formats(self):
        sha256 = "ab" * 32
        for text in (sha256, sha256 + "\n", sha256.upper() + "  tool\n", sha256 + " *dist/tool\n",
                     "SHA256 (tool) = %s\n" % sha256, "# note\n%s  other\n%s  tool\n" % ("0" * 64, sha256)):
            self.assertEqual(parse_checksum_file(text, "tool", "sums"), sha256, text)

    def test_none_or_two_sums_are_an_error(self):
        for text in ("", "<html>", "0" * 64 + "  other", "%s  tool\n%s  tool\n" % ("0" * 64, "1" * 64), "0" * 63 + "  tool"):
            with self.assertRaisesRegex(StepFailed, "sums has [02] sha256 sums for tool"):
                parse_checksum_file(text, "tool", "sums")
