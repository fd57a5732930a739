"""A bake's last steps: the machine forgets its build. What the disk then still holds is the business of `wipe`."""
import glob
import json
import os
import re
import shutil
import stat

from firewall import Firewall
from progress import StepFailed

# Stopped first: what they write at shutdown would be in the image. One random seed must not serve many machines.
WRITERS = ["rsyslog.service", "syslog.socket", "syslog-ng.service", "systemd-random-seed.service",
           "systemd-update-utmp.service", "wtmpdb-update-boot.service"]
TRACES = ["/var/lib/mkimg", "/var/log/mkimg", "/var/lib/systemd/random-seed", "/run/mkimg/tls.pem"]
ROTATED = re.compile(r"\.gz$|\.xz$|\.[0-9]+$|\.old$|-[0-9]{8}$")
# The build droplet's addresses. cloud-init writes them for every new instance before its network starts.
NETWORK = ["/etc/systemd/network/10-cloud-init-*.network", "/etc/netplan/50-cloud-init.yaml",
           "/etc/network/interfaces.d/50-cloud-init*", "/etc/udev/rules.d/70-persistent-net.rules",
           "/etc/NetworkManager/system-connections/cloud-init-*"]
VOLATILE = b"[Journal]\nStorage=volatile\n"


class Seal:
    def __init__(self, system):
        self.system = system

    def clean(self, step):
        self.system.quiet(["systemctl", "stop"] + WRITERS)
        self.system.write("/run/systemd/journald.conf.d/mkimg.conf", VOLATILE)
        self.system.quiet(["systemctl", "restart", "systemd-journald.service"])
        self._forget_name()
        self._overwrite("/var/lib/cloud")
        self._clean_cloud_init(step)
        # An empty file, not a missing one nor `uninitialized`: those make systemd reset every unit to its preset.
        self.system.write("/etc/machine-id", b"", 0o444)
        copy = self.system.path("/var/lib/dbus/machine-id")
        if os.path.isfile(copy) and not os.path.islink(copy):
            os.unlink(copy)
        for path in TRACES:
            self.system.remove(path)
        for pattern in NETWORK:
            for path in glob.glob(self.system.path(pattern)):
                os.unlink(path)
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

    def _forget_name(self):
        """The name that the build droplet was given. One that the template gave to all its machines stays."""
        try:
            with open(self.system.path("/run/cloud-init/instance-data.json")) as file:
                name = json.load(file)["v1"]["local_hostname"].split(".")[0]
            with open(self.system.path("/etc/hostname")) as file:
                if file.read().strip().split(".")[0] != name:
                    return
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            return
        self.system.write("/etc/hostname", b"localhost\n")
        try:
            with open(self.system.path("/etc/hosts")) as file:
                lines = file.readlines()
        except OSError:
            return
        kept = [line for line in lines if name not in [word.split(".")[0] for word in line.split("#")[0].split()[1:]]]
        self.system.write("/etc/hosts", "".join(kept).encode())

    def _overwrite(self, folder):
        """Empty lines in place of what cloud-init kept of the user-data: deleting alone leaves it on the disk.

        Not zeros: `cloud-init clean` of 24 and newer reads some of these files, and warns of what is no YAML.
        """
        for path, state in self._files(folder):
            try:
                with open(path, "r+b") as file:
                    file.write(b"\n" * state.st_size)
                    file.flush()
                    os.fsync(file.fileno())
            except OSError:
                pass

    def _empty_logs(self, step):
        """The image's logs begin on the customer's machine. What was rotated goes, the rest is emptied in place."""
        count = 0
        for path, state in self._files("/var/log"):
            if ROTATED.search(path):
                os.unlink(path)
            elif state.st_size:
                os.truncate(path, 0)
            else:
                continue
            count += 1
        # A journal's folder has the name of the machine. The one that holds them stays: without it no journal is kept.
        for folder in glob.glob(self.system.path("/var/log/journal/*")):
            shutil.rmtree(folder, ignore_errors=True)
        step.line("%d log files emptied or removed" % count)

    def _files(self, folder):
        for parent, _, names in os.walk(self.system.path(folder)):
            for name in names:
                path = os.path.join(parent, name)
                state = os.lstat(path)
                if stat.S_ISREG(state.st_mode):
                    yield path, state
