"""90-cleanup.sh in a mount namespace of its own, on a machine with everything that a build leaves behind."""

import os
import unittest

import support
from test_image import FakeMachine

SHADOW = "root:$6$a:1:0:99999:7:::\ndaemon:*:1:::::\nann:!$6$b:1:0:99999:7:::\ncy::1:0:99999:7:::\n"
PASSWD = ("root:x:0:0::/root:/bin/bash\ndaemon:x:1:1::/usr/sbin:/bin/false\nann:x:1000:1000::/home/ann:/bin/sh\n"
          "cy:x:1001:1001::/home/cy:/bin/sh\nnobody:x:65534:65534::/nonexistent:/bin/false\n")


class Cleanup(FakeMachine):
    script = os.path.join(support.PROJECT, "scripts/90-cleanup.sh")

    binds = [("etc", "/etc"), ("var", "/var"), ("run", "/run"), ("root", "/root"), ("home", "/home"), ("opt", "/opt")]

    def clean_machine(self):
        super().clean_machine()
        for path, text in (("etc/passwd", PASSWD), ("etc/shadow", SHADOW), ("run/mkimg/bake.json", "{}"), ("run/calls", "")):
            self.write(path, text)
        for folder in ("etc/ssh", "var/log/journal", "var/tmp", "var/lib", "var/opt", "home/cy"):
            os.makedirs(self.path(folder))
        # Records the calls in order, to show that loggers are stopped before logs are emptied.
        programs = {"find": 'exec /usr/bin/find "$@"', "apt-get": "exit 0", "dpkg-query": '[ "$2" = droplet-agent ]',
                    "systemctl": 'case "$1" in is-active | is-enabled) exit 3 ;; esac',
                    # As usermod does it: `usermod --password FIELD USER`.
                    "usermod": 'sed -i "s/^$3:[^:]*:/$3:$2:/" /etc/shadow'}
        for name, text in programs.items():
            self.program(name, 'echo "%s $*" >>/run/calls\n%s' % (name, text))

    def clean(self, status=0):
        done = self.checked()
        self.assertEqual(done.returncode, status, done.stdout)
        return done.stdout

    def calls(self):
        return self.text("run/calls").splitlines()

    def there(self, path):
        return os.path.lexists(self.path(path))

    def text(self, path):
        with open(self.path(path), encoding="utf-8") as file:
            return file.read()

    def test_nothing_of_the_build_stays(self):
        gone = ("root/.ssh/authorized_keys", "root/.bash_history", "root/.cache/x", "home/ann/.ssh/id_ed25519",
                "home/ann/.bash_history", "home/cy/.zsh_history", "root/.digitalocean_dbaas_credentials", "opt/digitalocean/agent",
                "var/log/syslog.1", "var/log/dpkg.log.2.gz", "var/log/messages-20261101", "var/log/cloud-init.log",
                "var/log/ubuntu-advantage-apt-hook.log", "var/log/journal/0123/system.journal",
                "var/log/unattended-upgrades/unattended-upgrades.log", "var/crash/core", "var/spool/cron/crontabs/root",
                "var/lib/systemd/random-seed", "var/lib/systemd/credential.secret", "var/lib/wtmpdb/wtmp.db",
                "var/lib/lastlog/lastlog2.db", "tmp/left", "var/tmp/left", "etc/ssh/ssh_host_ed25519_key",
                "etc/ssh/ssh_host_rsa_key.pub", "etc/shadow-", "etc/subuid-", "etc/nvme/hostid")
        emptied = ("var/log/auth.log", "var/log/apt/term.log", "var/log/unattended-upgrades.log")
        for path in gone + emptied:
            self.write(path, "x" * 300)
        self.write("etc/iscsi/initiatorname.iscsi", "InitiatorName=iqn.1993-08.org.debian:01:build\n")
        self.clean()
        for path in gone:
            self.assertFalse(self.there(path), path)
        for path in emptied:
            self.assertEqual(os.path.getsize(self.path(path)), 0, path)
        self.assertEqual(os.path.getsize(self.path("etc/ssh/revoked_keys")), 0)
        self.assertEqual(os.stat(self.path("etc/ssh/revoked_keys")).st_mode & 0o777, 0o600)
        self.assertEqual(self.text("etc/iscsi/initiatorname.iscsi"), "GenerateName=yes\n")
        self.assertEqual(sorted(os.listdir(self.path("var/log/journal"))), [])
        fields = dict(line.split(":")[:2] for line in self.text("etc/shadow").splitlines())
        self.assertEqual(fields, {"root": "*", "daemon": "*", "ann": "*", "cy": "*"})
        for folder in ("tmp", "var/tmp"):
            self.assertEqual((os.listdir(self.path(folder)), os.stat(self.path(folder)).st_mode & 0o7777), ([], 0o1777), folder)
        # A booting machine creates files again that the check would take for old logs.
        self.assertFalse(self.there("var/log/unattended-upgrades"))
        self.assertRegex(self.text("etc/tmpfiles.d/image-logs.conf"), r"\Ad /var/log/unattended-upgrades 0755 0 0 -\n\Z")
        calls = self.calls()
        self.assertTrue(any(call.startswith("apt-get") and "purge droplet-agent" in call for call in calls), calls)
        self.assertFalse(any("purge do-agent" in call for call in calls), calls)

    def test_loggers_are_stopped_before_logs_are_emptied(self):
        self.clean()
        calls = self.calls()
        emptied = next(at for at, call in enumerate(calls) if "truncate" in call)
        masked = next(at for at, call in enumerate(calls) if call.startswith("systemctl mask --runtime --now"))
        volatile = calls.index("systemctl restart systemd-journald.service")
        self.assertTrue(calls.index("systemctl stop *.timer") < masked < volatile < emptied, calls)
        for unit in ("rsyslog.service", "syslog.socket", "cron.service", "unattended-upgrades.service", "esm-cache.service"):
            self.assertIn(unit, calls[masked])
        self.assertEqual(self.text("run/systemd/journald.conf.d/90-image.conf"), "[Journal]\nStorage=volatile\n")
        self.assertFalse(self.there("etc/tmpfiles.d/image-logs.conf"))

    def test_secrets_that_were_made_on_the_build_machine_fail_it(self):
        for number, path in enumerate(("etc/cockroach/pki/ca/ca.key", "etc/nakama/instance.yml")):
            if number:
                self.clean_machine()
            self.write(path, "secret")
            self.assertIn("secrets were created on the build machine", self.clean(status=1))


if __name__ == "__main__":
    unittest.main()
