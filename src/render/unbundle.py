"""Writes the files of a bundle, as cloud-init's `write_files` would. `bundle` is defined when this runs.

A bundle is this program, NUL, an index of one line of JSON, and the contents one after the other. `bootcmd` runs it,
just before `write_files`. Files of users that cloud-init has yet to create are written by a second run,
in a unit between cloud-init's stages. What could not be written is in unbundle.json, which the runner reads.
"""
import json
import os
import shutil
import subprocess
import sys

ROOT = sys.argv[2] if len(sys.argv) > 2 else ""
IS_SECOND_RUN = len(sys.argv) > 3
FOLDER = ROOT + "/run/mkimg/"
REPORT = FOLDER + "unbundle.json"
BUNDLE = FOLDER + "bundle"
SECOND_RUN = ["systemd-run", "--quiet", "--no-block", "--collect", "--unit=mkimg-files", "--property=Type=oneshot",
              "--property=After=cloud-config.service", "--property=Before=cloud-final.service", "python3", "-BEsc",
              "bundle=open('%s','rb').read();exec(bundle[:bundle.index(b'\\0')])" % BUNDLE, "", ROOT, "second"]


def write(path, mode, owner, content):
    target = ROOT + path
    user, _, group = owner.partition(":")
    missing = []
    folder = os.path.dirname(target)
    while not os.path.isdir(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    for folder in reversed(missing):
        os.mkdir(folder, 0o755)
        shutil.chown(folder, user, group or None)
    with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    shutil.chown(target, user, group or None)
    os.chmod(target, int(mode, 8))


def main():
    os.umask(0o022)
    program = bundle.index(b"\0")
    start = bundle.index(b"\n", program) + 1
    written = []
    failed = []
    waiting = []
    for path, mode, owner, size, is_deferred in json.loads(bundle[program + 1:start].decode()):
        if is_deferred and not IS_SECOND_RUN:
            waiting.append([path, "the unit mkimg-files did not write it"])
        elif is_deferred == IS_SECOND_RUN:
            try:
                write(path, mode, owner, bundle[start:start + size])
                written.append(ROOT + path)
            except (OSError, LookupError) as error:
                failed.append([path, str(error)])
        start += size
    if IS_SECOND_RUN:
        os.unlink(BUNDLE)
        with open(REPORT) as file:
            failed += [entry for entry in json.load(file)["failed"] if "mkimg-files" not in entry[1]]
    elif waiting:
        write("/run/mkimg/bundle", "0600", "root:root", bundle)
    write("/run/mkimg/unbundle.json", "0600", "root:root", json.dumps({"failed": failed + waiting}).encode())
    if shutil.which("restorecon"):
        subprocess.run(["restorecon"] + written)
    if waiting:
        subprocess.run(SECOND_RUN, check=True)
    sys.exit(1 if failed else 0)


main()
