"""Removes the traces of the build from the machine. `wipe` then makes deleted data unreadable."""
import contextlib
import glob
import json
import os
import re
import shutil
import stat

from channel import TLS_FILE
from firewall import Firewall
from system import require_success

# Stopped first: they write at shutdown, and two machines must not start with the same random seed.
LOG_WRITERS = ["rsyslog.service", "syslog.socket", "syslog-ng.service", "systemd-random-seed.service",
               "systemd-update-utmp.service", "wtmpdb-update-boot.service"]
BUILD_TRACES = ["/var/lib/mkimg", "/var/log/mkimg", "/var/lib/systemd/random-seed", TLS_FILE]
ROTATED_LOG = re.compile(r"\.gz$|\.xz$|\.[0-9]+$|\.old$|-[0-9]{8}$")
# The build droplet's addresses. cloud-init writes these files again for each new instance.
NETWORK_FILES = ["/etc/systemd/network/10-cloud-init-*.network", "/etc/netplan/50-cloud-init.yaml",
                 "/etc/network/interfaces.d/50-cloud-init*", "/etc/udev/rules.d/70-persistent-net.rules",
                 "/etc/NetworkManager/system-connections/cloud-init-*"]
CLOUD_SCRIPTS = "/var/lib/cloud/scripts"
KEPT_SCRIPTS = "/var/lib/mkimg-scripts"
FREQUENCIES = ("per-once", "per-boot", "per-instance")
JOURNALD_CONF = b"[Journal]\nStorage=volatile\n"


class Seal:
    def __init__(self, system):
        self.system = system

    def clean(self, line):
        self.system.capture(["systemctl", "stop"] + LOG_WRITERS)
        self.system.write_file("/run/systemd/journald.conf.d/mkimg.conf", JOURNALD_CONF)
        self.system.capture(["systemctl", "restart", "systemd-journald.service"])
        self._reset_hostname()
        # `cloud-init clean` deletes them, but new machines run them.
        self._move_scripts(CLOUD_SCRIPTS, KEPT_SCRIPTS)
        self._overwrite_files("/var/lib/cloud")
        self._clean_cloud_init(line)
        self._move_scripts(KEPT_SCRIPTS, CLOUD_SCRIPTS)
        # Must be an empty file: if it is missing or `uninitialized`, systemd resets all units to their presets.
        self.system.write_file("/etc/machine-id", b"", 0o444)
        copy = self.system.path("/var/lib/dbus/machine-id")
        if not os.path.islink(copy):
            remove(copy)
        for path in BUILD_TRACES:
            remove(self.system.path(path))
        for pattern in NETWORK_FILES:
            for path in glob.glob(self.system.path(pattern)):
                remove(path)
        Firewall(self.system, 0, None).remove_saved_rules()
        self._empty_logs(line)

    def _move_scripts(self, source, target):
        for frequency in FREQUENCIES:
            with contextlib.suppress(FileNotFoundError):
                os.renames(self.system.path("%s/%s" % (source, frequency)), self.system.path("%s/%s" % (target, frequency)))

    def _clean_cloud_init(self, line):
        for flags in (["--logs", "--machine-id", "--seed"], ["--logs", "--seed"]):
            argv = ["cloud-init", "clean"] + flags
            status = self.system.run(argv, line, 300)
            # 2 means an unknown flag: releases before 22.3 have no --machine-id.
            if status != 2:
                break
        require_success(status, " ".join(argv) + ": ")

    def _reset_hostname(self):
        """Resets the host name of the build droplet. A name that the template set stays."""
        try:
            with open(self.system.path("/run/cloud-init/instance-data.json")) as file:
                name = json.load(file)["v1"]["local_hostname"].split(".")[0]
            with open(self.system.path("/etc/hostname")) as file:
                if file.read().strip().split(".")[0] != name:
                    return
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            return
        self.system.write_file("/etc/hostname", b"localhost\n")
        try:
            with open(self.system.path("/etc/hosts")) as file:
                lines = file.readlines()
        except OSError:
            return
        kept = [line for line in lines if name not in [word.split(".")[0] for word in line.split("#")[0].split()[1:]]]
        self.system.write_file("/etc/hosts", "".join(kept).encode())

    def _overwrite_files(self, folder):
        """Overwrites cloud-init's copies of the user-data, which deleting alone leaves on the disk.

        With newlines, not zeros: `cloud-init clean` 24 and later warns if these files are not YAML.
        """
        for path, state in self._regular_files(folder):
            try:
                with open(path, "r+b") as file:
                    file.write(b"\n" * state.st_size)
                    file.flush()
                    os.fsync(file.fileno())
            except OSError:
                pass

    def _empty_logs(self, line):
        """Removes rotated logs and empties the others in place."""
        count = 0
        for path, state in self._regular_files("/var/log"):
            if ROTATED_LOG.search(path):
                os.unlink(path)
            elif state.st_size:
                os.truncate(path, 0)
            else:
                continue
            count += 1
        # Journal folders are named after the machine id. Their parent stays: without it no journal is kept.
        for path in glob.glob(self.system.path("/var/log/journal/*")):
            remove(path)
        line("%d log files emptied or removed" % count)

    def _regular_files(self, folder):
        for parent, _, names in os.walk(self.system.path(folder)):
            for name in names:
                path = os.path.join(parent, name)
                state = os.lstat(path)
                if stat.S_ISREG(state.st_mode):
                    yield path, state


def remove(path):
    """Removes a file or a tree, if it exists."""
    shutil.rmtree(path, ignore_errors=True)
    with contextlib.suppress(OSError):
        os.unlink(path)
