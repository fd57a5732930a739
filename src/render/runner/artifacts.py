"""Downloads artifacts into a private folder, checks their sha256, then unpacks the named members.

Archives are untrusted: a member's content is copied to the path, owner and mode that the plan gives.
"""
import contextlib
import hashlib
import http.client
import os
import re
import shutil
import signal
import tarfile
import urllib.error
import urllib.request
import zipfile

from progress import StepFailed

DOWNLOADS = "/var/lib/mkimg/downloads"
MAX_ATTEMPTS = 5
CHUNK_BYTES = 256 << 10
READ_SECONDS = 30
MAX_DOWNLOAD_BYTES = 8 << 30
MAX_CHECKSUM_FILE_BYTES = 1 << 20
MAX_UNPACKED_BYTES = 4 << 30
MAX_MEMBERS = 100000


class Artifacts:
    def __init__(self, system, time_limit, pause, artifacts_url=None):
        self.system = system
        self.time_limit = time_limit
        self.pause = pause
        self.artifacts_url = artifacts_url

    def install(self, step, artifact):
        folder = self.system.path(DOWNLOADS)
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder, 0o700)
        try:
            path = os.path.join(folder, "download")
            with end_after(self.time_limit, artifact["name"]):
                sha256 = artifact.get("sha256") or self._fetch_published_sum(step, artifact)
                self._download(step, self._url(artifact), path, artifact.get("size"), sha256)
            for entry in self._find_members(path, artifact):
                self._unpack_member(step, *entry)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return None

    def _url(self, artifact):
        if not self.artifacts_url:
            return artifact["url"]
        if not artifact.get("sha256"):
            raise StepFailed("%s is not locked, so it cannot come from %s: run `mkimg lock`"
                             % (artifact["name"], self.artifacts_url))
        return "%s/sha256/%s" % (self.artifacts_url.rstrip("/"), artifact["sha256"])

    def _fetch_published_sum(self, step, artifact):
        """Reads the sum from the publisher's checksum file. Without such a file, only TLS protects the download."""
        if self.artifacts_url:
            return None
        voucher = artifact.get("checksum_url") or artifact["url"]
        if not voucher.startswith("https://"):
            raise StepFailed("%s has no sha256 and %s is not https, so nothing vouches for it: run `mkimg lock`"
                             % (artifact["name"], voucher))
        if artifact.get("checksum_url"):
            path = self.system.path(DOWNLOADS) + "/checksum"
            self._download(step, voucher, path, None, None, MAX_CHECKSUM_FILE_BYTES)
            with open(path, "rb") as file:
                text = file.read().decode("utf-8", "replace")
            return parse_checksum_file(text, artifact["url"].split("?")[0].rsplit("/", 1)[-1], voucher)
        step.line("warning: not locked; only TLS protects %s" % artifact["url"])
        return None

    def _download(self, step, url, path, size, sha256, limit=MAX_DOWNLOAD_BYTES):
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                count, found = download_once(url, path, size or limit)
            except urllib.error.HTTPError as error:
                problem = "HTTP status %d" % error.code
                if error.code < 500 and error.code not in (408, 425, 429):
                    raise StepFailed("%s: %s; check its URL in the template" % (url, problem))
            except (OSError, ValueError, http.client.HTTPException) as error:
                problem = str(getattr(error, "reason", None) or error or type(error).__name__)
                if "CERTIFICATE_VERIFY_FAILED" in problem or isinstance(error, ValueError):
                    raise StepFailed("%s: %s" % (url, problem))
            else:
                if size and count != size:
                    raise StepFailed("%s has %d bytes; mkimg.lock says %d" % (url, count, size))
                if sha256 and found != sha256.lower():
                    raise StepFailed("%s has sha256 %s; expected %s. Nothing was unpacked. If the publisher replaced it: "
                                     "mkimg lock --update" % (url, found, sha256))
                step.line("%s: %d bytes, sha256 %s" % (url, count, found))
                return
            if attempt == MAX_ATTEMPTS:
                raise StepFailed("%s: %s (%d attempts)" % (url, problem, attempt))
            step.line("attempt %d: %s: %s" % (attempt, url, problem))
            self.pause(2 ** attempt)

    def _find_members(self, path, artifact):
        """Pairs of (function that opens the member, plan entry). Every member is found before any is written."""
        entries = artifact["unpack"]
        if any(entry["member"] for entry in entries):
            archive = Archive(path, artifact["name"])
        return [((lambda: open(path, "rb")) if not entry["member"] else archive.find_member(entry["member"]), entry)
                for entry in entries]

    def _unpack_member(self, step, opened, entry):
        with opened() as source:
            self.system.replace_file(entry["to"], lambda file: shutil.copyfileobj(source, file, CHUNK_BYTES),
                              int(entry["mode"], 8), entry["owner"])
        step.line("%s (%s, %s)" % (entry["to"], entry["owner"], entry["mode"]))


class Archive:
    """A tar (plain, gzip, bzip2, xz) or zip archive, detected by its content."""

    def __init__(self, path, name):
        self.name = name
        self.files = []
        try:
            archive = tarfile.open(path, "r:*")
            self.files = [(member.name, _opener(archive.extractfile, member))
                          for member in self._limit(archive, "size") if member.isreg()]
        except (tarfile.TarError, EOFError, OSError) as error:
            if not zipfile.is_zipfile(path):
                raise StepFailed("%s is not a tar.gz, tar.xz, tar.bz2, tar or zip archive: %s" % (name, error))
            archive = zipfile.ZipFile(path)
            self.files = [(member.filename, _opener(archive.open, member)) for member in self._limit(archive.infolist(), "file_size")
                          if not member.is_dir() and (member.external_attr >> 28) in (0, 8)]

    def _limit(self, members, size):
        """Passes the members on. An archive of some bytes can unpack to terabytes; holes need none at all."""
        total = 0
        for count, member in enumerate(members):
            if getattr(member, "sparse", None) is not None:
                raise StepFailed("%s contains a sparse file, %s: pack it without holes" % (self.name, member.name))
            total += getattr(member, size)
            if getattr(member, size) < 0 or total > MAX_UNPACKED_BYTES or count >= MAX_MEMBERS:
                raise StepFailed("%s unpacks to more than %d bytes or %d files"
                                 % (self.name, MAX_UNPACKED_BYTES, MAX_MEMBERS))
            yield member

    def find_member(self, member):
        """Finds the one regular file with this path or, if there is none, with this file name."""
        names = [(name[2:] if name.startswith("./") else name, opened) for name, opened in self.files]
        found = [pair for pair in names if pair[0] == member] or \
                [pair for pair in names if pair[0].rsplit("/", 1)[-1] == member]
        if len(found) != 1:
            shown = ", ".join(sorted(name for name, _ in (found or names))[:10]) or "none"
            raise StepFailed("%s must contain exactly one file %s; found %d (%s: %s)" % (
                self.name, member, len(found), "matches" if found else "its files", shown))
        return found[0][1]


class Redirects(urllib.request.HTTPRedirectHandler):
    """https stays https."""
    def redirect_request(self, request, file, code, message, headers, url):
        new = urllib.request.HTTPRedirectHandler.redirect_request(self, request, file, code, message, headers, url)
        if new.type not in ("https", request.type):
            raise StepFailed("%s redirects to %s, which is refused" % (request.full_url, url))
        return new


@contextlib.contextmanager
def end_after(seconds, name):
    """Ends a download at its deadline, also one that a server sends byte by byte."""
    def expire(*_):
        raise StepFailed("%s: not complete after %d s" % (name, seconds))
    signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def download_once(url, path, limit):
    if not re.match("https?://", url):
        raise ValueError("only http and https URLs can be downloaded")
    request = urllib.request.Request(url, headers={"user-agent": "mkimg"})
    total = 0
    digest = hashlib.sha256()
    opener = urllib.request.build_opener(Redirects)
    with opener.open(request, timeout=READ_SECONDS) as answer, open(path, "wb") as file:
        announced = answer.headers.get("content-length")
        while True:
            data = answer.read(CHUNK_BYTES)
            if not data:
                break
            total += len(data)
            if total > limit:
                raise StepFailed("%s is larger than its limit of %d bytes" % (url, limit))
            digest.update(data)
            file.write(data)
    if announced and total != int(announced):
        raise OSError("the connection ended after %d of %s bytes" % (total, announced))
    return total, digest.hexdigest()


def parse_checksum_file(text, name, source):
    """Finds the sha256 of `name` in the forms `HEX  name`, `HEX *name`, `SHA256 (name) = HEX` or `HEX`."""
    found = set()
    for line in text.splitlines():
        line = line.strip()
        match = re.fullmatch(r"([0-9a-fA-F]{64})(?:\s+\*?(\S.*))?", line)
        if match and (match.group(2) is None or match.group(2).rsplit("/", 1)[-1] == name):
            found.add(match.group(1).lower())
        match = re.fullmatch(r"SHA256 ?\((.+)\) = ([0-9a-fA-F]{64})", line)
        if match and match.group(1).rsplit("/", 1)[-1] == name:
            found.add(match.group(2).lower())
    if len(found) != 1:
        raise StepFailed("%s has %d sha256 sums for %s; expected exactly one" % (source, len(found), name))
    return found.pop()


def _opener(function, member):
    return lambda: function(member)
