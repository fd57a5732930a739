"""Downloads artifacts into a private folder, checks their sha256, then unpacks the named members.

Archives are untrusted: a member's content is copied to the path, owner and mode that the plan gives.
"""
import functools
import hashlib
import http.client
import os
import re
import signal
import tarfile
import tempfile
import urllib.request
import zipfile

from directories import unpack_directory
from progress import StepFailed

DOWNLOADS = "/var/lib/mkimg"
CHUNK_BYTES = 256 << 10
READ_SECONDS = 30
MAX_DOWNLOAD_BYTES = 8 << 30
MAX_CHECKSUM_FILE_BYTES = 1 << 20
MAX_UNPACKED_BYTES = 4 << 30
MAX_MEMBERS = 100000


def install_artifact(system, time_limit, pause, artifact, line):
    def expire(*_):
        raise StepFailed("%s: not complete after %d s" % (artifact["name"], time_limit))
    os.makedirs(system.path(DOWNLOADS), exist_ok=True)
    with tempfile.TemporaryDirectory(dir=system.path(DOWNLOADS)) as folder:
        path = folder + "/download"
        # Also ends a download that a server sends byte by byte.
        signal.signal(signal.SIGALRM, expire)
        signal.alarm(time_limit)
        try:
            sha256 = artifact["sha256"] or find_published_sum(artifact, path, pause, line)
            found = download(artifact["url"], path, artifact["size"] or MAX_DOWNLOAD_BYTES, pause, line)
        finally:
            signal.alarm(0)
        if sha256 and found != sha256.lower():
            raise StepFailed("%s has sha256 %s; expected %s. Nothing was unpacked. If the publisher replaced it: "
                             "mkimg lock --update" % (artifact["url"], found, sha256))
        line("%s: sha256 %s" % (artifact["url"], found))
        entries = artifact["unpack"]
        files = list_files(path, artifact["name"]) if any(entry["member"] for entry in entries) else []
        # Every member is found before any is written.
        openers = [find_member(files, entry["member"], artifact["name"]) if not entry["member"].endswith("/")
                   else None for entry in entries if entry["member"]] or [functools.partial(open, path, "rb")]
        for entry, opener in zip(entries, openers):
            if not opener:
                unpack_directory(system, path, artifact["name"], entry, line)
                continue
            with opener() as source:
                system.write_file(entry["to"], source, int(entry["mode"], 8), entry["owner"])
            line("%s (%s, %s)" % (entry["to"], entry["owner"], entry["mode"]))


def find_published_sum(artifact, path, pause, line):
    """Reads the sum from the publisher's checksum file. Without such a file, only TLS protects the download."""
    url, checksum_url = artifact["url"], artifact["checksum_url"]
    voucher = checksum_url or url
    if not voucher.startswith("https://"):
        raise StepFailed("%s has no sha256 and %s is not https, so nothing vouches for it: run `mkimg lock`"
                         % (artifact["name"], voucher))
    if not checksum_url:
        line("warning: not locked; only TLS protects " + url)
        return None
    download(checksum_url, path, MAX_CHECKSUM_FILE_BYTES, pause, line)
    with open(path, errors="replace") as file:
        return parse_checksum_file(file.read(), url.split("?")[0].rsplit("/", 1)[-1], checksum_url)


def parse_checksum_file(text, name, source):
    """Finds the sha256 of `name` in the forms `HEX  name`, `HEX *name`, `SHA256 (name) = HEX` or `HEX`."""
    found = set()
    for line in text.splitlines():
        match = re.fullmatch(r"(?:SHA256 ?\((.+)\) = )?([0-9a-fA-F]{64})(?:\s+\*?(\S.*))?", line.strip())
        if match and (match[1] or match[3] or name).rsplit("/", 1)[-1] == name:
            found.add(match[2].lower())
    if len(found) != 1:
        raise StepFailed("%s has %d sha256 sums for %s; expected exactly one" % (source, len(found), name))
    return found.pop()


class Redirects(urllib.request.HTTPRedirectHandler):
    """https stays https."""
    def redirect_request(self, request, *answer):
        new = super().redirect_request(request, *answer)
        if new.type not in ("https", request.type):
            raise StepFailed("%s redirects to %s, which is refused" % (request.full_url, new.full_url))
        return new


def download(url, path, limit, pause, line):
    """Returns the sha256. What another attempt may cure is tried five times."""
    for seconds in (2, 4, 8, 16, None):
        try:
            return download_once(url, path, limit)
        except (OSError, http.client.HTTPException) as error:
            problem = "%s: %s" % (url, error)
            status = getattr(error, "code", 500)
            if status < 500 and status not in (408, 425, 429):
                raise StepFailed(problem + "; check its URL in the template")
            if not seconds or "CERTIFICATE_VERIFY" in problem:
                raise StepFailed(problem)
        line(problem)
        pause(seconds)


def download_once(url, path, limit):
    request = urllib.request.Request(url, headers={"user-agent": "mkimg"})
    digest = hashlib.sha256()
    with urllib.request.build_opener(Redirects).open(request, timeout=READ_SECONDS) as answer, open(path, "wb") as file:
        for data in iter(lambda: answer.read(CHUNK_BYTES), b""):
            digest.update(data)
            file.write(data)
            if file.tell() > limit:
                raise StepFailed("%s is larger than its limit of %d bytes" % (url, limit))
        if answer.length:
            raise OSError("the connection ended, %d bytes are missing" % answer.length)
    return digest.hexdigest()


def read_members(path, name):
    """Yields path, size and opener of each member of a tar or zip archive; only regular files have an opener."""
    try:
        archive = tarfile.open(path)
        for member in archive:
            if member.issparse():
                raise StepFailed("%s contains a sparse file, %s: pack it without holes" % (name, member.name))
            yield member.name, member.size, member.isreg() and functools.partial(archive.extractfile, member)
    except (tarfile.TarError, EOFError, OSError) as error:
        if not zipfile.is_zipfile(path):
            raise StepFailed("%s is not a tar.gz, tar.xz, tar.bz2, tar or zip archive: %s" % (name, error))
        archive = zipfile.ZipFile(path)
        for member in archive.infolist():
            is_file = not member.is_dir() and member.external_attr >> 28 in (0, 8)
            yield member.filename, member.file_size, is_file and functools.partial(archive.open, member)


def list_files(path, name):
    """Pairs of path and opener. An archive of some bytes can unpack to terabytes, so there are limits."""
    files = []
    total = 0
    for count, (member, size, opener) in enumerate(read_members(path, name)):
        total += size
        if size < 0 or total > MAX_UNPACKED_BYTES or count >= MAX_MEMBERS:
            raise StepFailed("%s unpacks to more than %d bytes or %d files" % (name, MAX_UNPACKED_BYTES, MAX_MEMBERS))
        if opener:
            files.append((member[2:] if member.startswith("./") else member, opener))
    return files


def find_member(files, member, name):
    """Finds the one regular file with this path or, if there is none, with this file name."""
    found = [pair for pair in files if pair[0] == member] or [pair for pair in files if os.path.basename(pair[0]) == member]
    if len(found) != 1:
        raise StepFailed("%s must contain exactly one file %s; found %d (%s: %s)" % (
            name, member, len(found), "matches" if found else "its files",
            ", ".join(sorted(path for path, _ in found or files)[:10])))
    return found[0][1]
