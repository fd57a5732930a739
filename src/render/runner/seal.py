"""A bake's last steps: the machine forgets its build. What the disk then still holds is the business of `wipe`."""
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
