"""A bake's last steps: the machine forgets its build, and the disk forgets what was deleted."""
import os
import re
import stat

from firewall import Firewall
from progress import StepFailed

# Stopped first: what they write at shutdown would be in the image. One random seed must not serve many machines.
WRITERS = ["rsyslog.service", "syslog.socket", "syslog-ng.service", "systemd-random-seed.service",
           "systemd-update-utmp.service"]
TRACES = ["/var/lib/mkimg", "/var/log/mkimg", "/var/lib/systemd/random-seed", "/run/mkimg/tls.pem"]
ROTATED = re.compile(r"\.gz$|\.xz$|\.[0-9]+$|\.old$|-[0-9]{8}$")
VOLATILE = b"[Journal]\nStorage=volatile\n"
CHUNK = 1 << 20
MARGIN = 64 << 20


class Seal:
    def __init__(self, system):
        self.system = system

    def clean(self, step):
        self.system.quiet(["systemctl", "stop"] + WRITERS)
        self.system.write("/run/systemd/journald.conf.d/mkimg.conf", VOLATILE)
        self.system.quiet(["systemctl", "restart", "systemd-journald.service"])
        self._overwrite("/var/lib/cloud")
        self._clean_cloud_init(step)
        # An empty file, not a missing one nor `uninitialized`: those make systemd reset every unit to its preset.
        self.system.write("/etc/machine-id", b"", 0o444)
        copy = self.system.path("/var/lib/dbus/machine-id")
        if os.path.isfile(copy) and not os.path.islink(copy):
            os.unlink(copy)
        for path in TRACES:
            self.system.remove(path)
        Firewall(self.system, 0, None).forget_saved()
        self._empty_logs(step)
        return None

    def _clean_cloud_init(self, step):
        for flags in (["--logs", "--machine-id", "--seed"], ["--logs", "--seed"]):
            argv = ["cloud-init", "clean"] + flags
            status = self.system.run(argv, step.line, 300)
            # 2 is an unknown flag: releases before 22.3 have no --machine-id.
            if status != 2:
                break
        if status:
            raise StepFailed("%s: exit status %d" % (" ".join(argv), status), status)

    def _overwrite(self, folder):
        """Zeros in place of what cloud-init kept of the user-data: deleting alone leaves it on the disk."""
        for path, state in self._files(folder):
            try:
                with open(path, "r+b") as file:
                    file.write(b"\0" * state.st_size)
                    file.flush()
                    os.fsync(file.fileno())
            except OSError:
                pass

    def _empty_logs(self, step):
        """The image's logs begin on the customer's machine. What was rotated goes, the rest is emptied in place."""
        count = 0
        for path, state in self._files("/var/log"):
            if "/journal/" in path or ROTATED.search(path):
                os.unlink(path)
            elif state.st_size:
                os.truncate(path, 0)
            else:
                continue
            count += 1
        step.line("%d log files emptied or removed" % count)

    def _files(self, folder):
        for parent, _, names in os.walk(self.system.path(folder)):
            for name in names:
                path = os.path.join(parent, name)
                state = os.lstat(path)
                if stat.S_ISREG(state.st_mode):
                    yield path, state

    def trim(self, step):
        os.sync()
        status, output = self.system.quiet(["fstrim", "-av"], 1800)
        for text in output.splitlines():
            step.line(text)
        for mount, device in self._mounts():
            if status or not self._discards(device):
                self._fill(step, mount)
        os.sync()
        return None

    def _mounts(self):
        """Mount points of real, writable file systems, each device once, as (path, major:minor)."""
        found = {}
        with open(self.system.path("/proc/self/mountinfo")) as file:
            for text in file:
                before, _, after = text.partition(" - ")
                fields, source = before.split(), after.split()
                if source[1].startswith("/dev/") and "rw" in source[2].split(",") and source[0] not in ("iso9660", "vfat"):
                    mount = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), fields[4])
                    if os.path.isdir(self.system.path(mount)):
                        found.setdefault(fields[2], mount)
        return [(mount, device) for device, mount in found.items()]

    def _discards(self, device):
        block = self.system.path("/sys/dev/block/" + device)
        for queue in (block + "/queue", block + "/../queue"):
            try:
                with open(queue + "/discard_max_bytes") as file:
                    return int(file.read()) > 0
            except (OSError, ValueError):
                continue
        return False

    def _fill(self, step, mount):
        path = os.path.join(self.system.path(mount), ".mkimg-zeros")
        zeros = b"\0" * CHUNK
        written = 0
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            while True:
                free = os.statvfs(path)
                if free.f_bavail * free.f_frsize < MARGIN + CHUNK:
                    break
                written += os.write(handle, zeros)
            os.fsync(handle)
        except OSError as error:
            step.line("%s: %s" % (mount, error.strerror))
        finally:
            os.close(handle)
            os.unlink(path)
        step.line("%s does not discard: %d MiB of its free space were overwritten with zeros" % (mount, written >> 20))
