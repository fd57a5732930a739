"""The partners' check instead of ours: what it finds, what it lets through, and that mkimg reads what it prints."""

import os
import re
import sys
import unittest

import support
from test_image import FakeMachine

for half in ("install", "bake"):
    sys.path.append(os.path.join(support.PROJECT, "src/render/runner", half))
CHECK = os.path.join(support.PROJECT, "tests/stubs/partner_check.sh")


class PartnerCheck(FakeMachine):
    script = CHECK

    def read_by_mkimg(self, output, status):
        """The runner's own reading of the lines, as in a bake."""
        from check import parse_check  # pylint: disable=import-outside-toplevel
        return parse_check(output.splitlines(), status)

    def test_a_clean_machine_passes(self):
        output = self.check(0)
        self.assertIn("\x1b[32m[PASS]", output)
        self.assertIn("All Tests Passed!", output)
        read = self.read_by_mkimg(output, 0)
        self.assertEqual((read["warnings"], read["failed"], read["findings"]), (0, 0, []))
        self.assertEqual(read["passed"], len(re.findall(r"\[PASS\]", output)))

    def test_every_fault_is_found_and_read(self):
        """One entry for each line of the description: what is done to the machine, the level, the exit status."""
        faults = (
            ("another release", lambda: self.write("os-release", 'NAME=Ubuntu\nVERSION_ID="25.04"\n'), "fail", 1),
            ("firewall off", lambda: self.program("ufw", 'echo "Status: inactive"'), "warn", 0),
            ("updates", lambda: self.program("apt-get", 'printf "%s x (1 Debian-Security:12/stable-security)\\n" Inst Conf'), "fail", 1),
            ("dated log", lambda: self.write("log/dpkg-20260101", ""), "warn", 0),
            ("dated folder", lambda: os.makedirs(self.path("log/unattended-upgrades")), "warn", 0),
            ("cloud-init's log, for its name is eight letters long", lambda: self.write("log/cloud-init.log", ""), "warn", 0),
            ("old log", lambda: self.write("log/syslog.1", ""), "warn", 0),
            ("full log", lambda: self.write("log/a.log", "x" * 51), "warn", 0),
            ("root's password", lambda: self.write("shadow", "root:$6$a:1::::::\nann:!:1::::::\n"), "fail", 1),
            ("root's locked password", lambda: self.write("shadow", "root:!$6$a:1::::::\nann:!:1::::::\n"), "fail", 1),
            ("root's empty password", lambda: self.write("shadow", "root::1::::::\nann:!:1::::::\n"), "fail", 1),
            ("user's password, which does not reach its exit status",
             lambda: self.write("shadow", "root:*:1::::::\nann:$y$a:1::::::\n"), "fail", 0),
            ("root's keys", lambda: self.write("root/.ssh/authorized_keys", "k" * 51), "fail", 1),
            ("root's private key", lambda: self.write("root/.ssh/id_rsa", "k"), "fail", 1),
            ("root's empty key", lambda: self.write("root/.ssh/id_rsa", ""), "warn", 0),
            ("known hosts", lambda: self.write("root/.ssh/known_hosts", "k" * 51), "warn", 0),
            ("other file", lambda: self.write("root/.ssh/config", "x"), "warn", 0),
            ("history", lambda: self.write("root/.bash_history", "x" * 200), "fail", 1),
            ("agent", lambda: os.makedirs(self.path("opt/digitalocean")), "fail", 1),
        )
        for name, break_it, level, status in faults:
            with self.subTest(fault=name):
                self.clean_machine()
                break_it()
                read = self.read_by_mkimg(self.check(status), status)
                self.assertEqual([finding["level"] for finding in read["findings"]], [level], read)

    def test_what_it_lets_through(self):
        for name, break_it in (
                ("the keys of others than root", lambda: self.write("home/ann/.ssh/authorized_keys", "k" * 51)),
                ("package servers that do not answer", lambda: self.program("apt-get", "exit 100")),
                ("a full /tmp", lambda: self.write("tmp/left", "x"))):
            with self.subTest(hole=name):
                self.clean_machine()
                break_it()
                self.assertEqual(self.read_by_mkimg(self.check(0), 0)["findings"], [])

    def test_another_system_ends_it_at_once(self):
        self.write("os-release", 'NAME=Arch\nVERSION_ID=1\n')
        output = self.check(1)
        self.assertIn("[FAIL]", output)
        self.assertNotIn("Scan Complete", output)

    def test_what_passes_ours_passes_it(self):
        """Ours is the stricter one: every fault of this file but the holes is one of ours too."""
        self.script = os.path.join(support.PROJECT, "scripts/99-img-check.sh")
        for break_it in (lambda: os.makedirs(self.path("log/unattended-upgrades")), lambda: self.write("log/cloud-init.log", ""),
                         lambda: self.write("shadow", "root:!$6$a:1::::::\nann:!:1::::::\n")):
            self.clean_machine()
            break_it()
            done = self.checked()
            self.assertEqual(len(re.findall(r"\[(?:WARN|FAIL)\]", done.stdout)), 1, done.stdout)


if __name__ == "__main__":
    unittest.main()
