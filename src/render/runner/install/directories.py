"""Unpacks directories of an archive: all files below them, with their folders and links.

The archive was checked against its sum, and its limits, before. Links come last, so that no file is written through one.
"""
import functools
import os
import re
import stat
import tarfile
import zipfile

from progress import StepFailed


def unpack_directory(system, path, name, entry, line):
    """Unpacks what is below a member; `*` in it is one name, such as that of a directory with a version."""
    owner = entry["owner"]
    found = list(find_below(path, name, entry["member"]))
    if not found:
        raise StepFailed("%s contains nothing in %s" % (name, entry["member"]))
    for inside, kind, mode, content in found:
        target = "%s/%s" % (entry["to"].rstrip("/"), inside)
        system.make_directory(target if kind == "directory" else os.path.dirname(target), owner)
        if kind == "file":
            with content() as source:
                system.write_file(target, source, int(entry["mode"] or ("0755" if mode & 0o100 else "0644"), 8), owner)
    for inside, kind, _, content in found:
        if kind == "link":
            target = system.path("%s/%s" % (entry["to"].rstrip("/"), inside))
            if os.path.lexists(target):
                os.unlink(target)
            os.symlink(content, target)
    line("%s: %d entries (%s)" % (entry["to"], len(found), owner))


def find_below(path, name, directory):
    """Yields what is below a directory of an archive, with its path in it. What would lead out of it is an error."""
    pattern = re.compile(re.escape(re.sub(r"^\./", "", directory)).replace(r"\*", "[^/]+"))
    for member, kind, mode, content in read_entries(path):
        member = re.sub(r"^\./", "", member).rstrip("/")
        below = pattern.match(member)
        inside = member[below.end():] if below else ""
        if not inside or inside == ".":
            continue
        if {"", ".."} & set(inside.split("/")):
            raise StepFailed("%s contains %s, which leads out of its directory" % (name, member))
        if kind == "link":
            ups = re.match(r"(?:\.\./)*", content)[0].count("../")
            if content.startswith("/") or ups > inside.count("/") or ".." in content[3 * ups:].split("/"):
                raise StepFailed("%s contains the link %s to %s, which leads out of its directory" % (name, member, content))
        elif not kind:
            raise StepFailed("%s contains %s, which is not a file, a directory or a link" % (name, member))
        yield inside, kind, mode, content


def read_entries(path):
    """Yields path, kind, mode, and the content: an opener of a file, the text of a link."""
    if tarfile.is_tarfile(path):
        archive = tarfile.open(path)
        for member in archive:
            is_file = member.isreg() or member.islnk()
            kind = "file" if is_file else "directory" if member.isdir() else "link" if member.issym() else ""
            content = functools.partial(archive.extractfile, member) if is_file else member.linkname
            yield member.name, kind, member.mode, content
        return
    archive = zipfile.ZipFile(path)
    for member in archive.infolist():
        mode = member.external_attr >> 16
        is_link = stat.S_ISLNK(mode)
        is_file = not member.is_dir() and stat.S_IFMT(mode) in (0, stat.S_IFREG)
        kind = "file" if is_file else "directory" if member.is_dir() else "link" if is_link else ""
        content = archive.read(member).decode() if is_link else functools.partial(archive.open, member)
        yield member.filename, kind, mode, content
