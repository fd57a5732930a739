from support import OWNER, Case, Machine  # first: it sets up the module path

import base64
import json
import lzma
import os
import sys
import threading
import time
from unittest import mock

import bake
import runner
from firewall import RULE_COMMENT

POWEROFF = ["systemctl", "--no-wall", "poweroff"]
SLEEP = time.sleep
TARGETS = ["poweroff.target", "reboot.target", "halt.target", "kexec.target"]
SECRETS = {"certificate": "CERTIFICATE", "key": "PRIVATE", "token": "TOKEN"}


PLAN = {"version": 1, "kind": "image", "upgrade": False, "packages": [], "artifacts": [], "environment": {}, "scripts": [],
        "deferred_files": [], "cleanup": None, "check": None, "time_limits": {"packages": 20, "download": 20, "script": 20}}


class StaysUp(Exception):
    """Ends the runner's last sleep."""


class FinishTest(Case):
    """The end of a run, after its final state."""

    def setUp(self):
        Case.setUp(self)
        self.machine = Machine(self.root, ("systemctl", "iptables", "cloud-init"))
        self.rules = 0
        self.machine.answers["iptables"] = self.iptables
        self.sleeps = []
        self.put("/run/mkimg/plan.json", json.dumps(PLAN))
        self.put_result()

    def iptables(self, argv):
        action = argv[3]
        if action != "-I" and self.rules == 0:
            return 1, ""
        self.rules += {"-I": 1, "-C": 0, "-D": -1}[action]
        return 0, ""

    def sleep(self, seconds):
        # The mock is global: threads of other tests may still sleep.
        if threading.current_thread() is not threading.main_thread():
            return SLEEP(seconds)
        self.sleeps.append(seconds)
        if seconds >= 600:
            raise StaysUp()

    def start(self, channel="https", power_off_after=0.01):
        """Makes a runner with a bake entry, and mocks its status channel."""
        self.put("/run/mkimg/bake.json", json.dumps(
            dict(SECRETS, version=1, bake="bake-1", channel=channel, port=8443, power_off_after=power_off_after)))
        self.runner = self.make_runner()
        if channel == "https":
            with mock.patch("bake.make_tls_context") as self.make_tls_context, mock.patch("bake.Channel") as self.channel, \
                    mock.patch("bake.lock_memory") as self.lock_memory:
                self.runner.open_channel()
            self.addCleanup(self.runner.firewall.join)
            self.addCleanup(self.runner.firewall.close_port)

    def finish(self, passed):
        """Returns the systemctl commands that `finish` runs."""
        self.machine.asked.clear()
        with mock.patch("bake.time.sleep", self.sleep), self.assertRaises(StaysUp):
            self.runner.finish(passed)
        return [argv for argv in self.machine.asked if argv[0] == "systemctl"]

    def test_an_acknowledged_bake_closes_its_port_and_powers_off(self):
        self.start(power_off_after=600)
        self.assertEqual(self.rules, 1)
        self.runner.acknowledged.set()
        self.assertEqual(self.finish(True), [POWEROFF])
        self.assertEqual(self.rules, 0)
        self.assertLess([argv[0] for argv in self.machine.asked].index("iptables"), self.machine.asked.index(POWEROFF))
        # The response must reach the controller before the network goes down.
        self.assertEqual(self.sleeps, [0.5, 600])

    def test_an_unacknowledged_bake_powers_off_at_its_deadline(self):
        self.start(power_off_after=0.2)
        with mock.patch.object(self.runner.acknowledged, "wait", return_value=False) as wait:
            self.assertEqual(self.finish(True), [POWEROFF])
        wait.assert_called_once_with(0.2)
        self.assertEqual((self.rules, self.sleeps), (0, [600]))

    def test_a_bake_without_a_channel_does_not_wait(self):
        self.start("poweroff", power_off_after=600)
        with mock.patch.object(self.runner.acknowledged, "wait") as wait:
            self.assertEqual(self.finish(True), [POWEROFF])
        self.assertFalse(wait.called)
        self.assertIsNone(self.runner.firewall)

    def test_a_failed_bake_stays_up_with_its_port_open(self):
        for channel in ("poweroff", "https"):
            self.start(channel)
            self.runner.acknowledged.set()
            self.assertEqual(self.finish(False), [])
        self.assertEqual((self.rules, self.sleeps), (1, [3600, 3600]))
        self.assertFalse(self.runner.firewall.stopped.is_set())

    def test_a_failed_bake_keeps_sleeping(self):
        self.start("poweroff")
        sleeps = []

        def sleep(seconds):
            sleeps.append(seconds)
            if len(sleeps) == 3:
                raise StaysUp()
        with mock.patch("bake.time.sleep", sleep), self.assertRaises(StaysUp):
            self.runner.finish(False)
        self.assertEqual(sleeps, [3600] * 3)

    def test_a_machine_that_does_not_power_off_is_a_failure(self):
        self.start("poweroff")
        with mock.patch("bake.time.sleep"):
            self.assertEqual(self.runner.finish(True), 1)

    def test_a_refused_power_off_is_forced(self):
        self.start("poweroff")
        self.machine.answers["systemctl"] = lambda argv: (1 if argv == POWEROFF else 0, "refused")
        self.assertEqual(self.finish(True), [POWEROFF, ["systemctl", "--no-wall", "--force", "poweroff"]])

    def test_the_targets_are_masked_until_the_final_state_and_unmasked_once(self):
        self.put("/proc/self/mountinfo", "")
        self.start("poweroff")
        self.assertTrue(self.runner.run(), self.runner.status.error)
        masks = [argv for argv in self.machine.asked if argv[1] in ("mask", "unmask")]
        self.assertEqual(masks, [["systemctl", "mask", "--runtime"] + TARGETS, ["systemctl", "unmask", "--runtime"] + TARGETS])
        self.assertEqual(self.finish(True), [POWEROFF])

    def test_the_channel_gets_the_secrets_and_the_runner_keeps_none(self):
        self.start()
        self.make_tls_context.assert_called_once_with(self.machine, "CERTIFICATE", "PRIVATE")
        self.channel.assert_called_once_with(self.runner.status, self.runner.acknowledged, 8443, "TOKEN",
                                             self.make_tls_context.return_value, None)
        self.channel.return_value.start.assert_called_once_with()
        self.lock_memory.assert_called_once_with()
        self.assertEqual(set(self.runner.bake) & set(SECRETS), set())
        self.assertEqual(set(json.loads(self.read("/run/mkimg/bake.json"))) & set(SECRETS), set())
        self.assertEqual(os.stat(self.root + "/run/mkimg/bake.json").st_mode & 0o7777, 0o600)

    def test_the_port_is_opened_first_and_checked_before_each_step(self):
        self.start()
        self.assertTrue(self.runner.firewall.is_alive())
        self.assertIn("tcp", self.machine.asked[0])
        self.assertIn(RULE_COMMENT, self.machine.asked[0])
        self.put("/proc/self/mountinfo", "")
        looks = []
        with mock.patch.object(self.runner.firewall, "check_port", lambda: looks.append(
                [step.name for step in self.runner.status.steps if step.state == "running"])), \
                mock.patch.object(self.runner, "open_channel"):
            self.assertTrue(self.runner.run())
        self.assertEqual([names for names in looks if names], [["cloud-init"], ["clean"], ["trim"]])


class VerifyTest(Case):
    def test_a_verification_keeps_going_and_powers_off(self):
        self.put("/run/mkimg/plan.json", json.dumps({"version": 1, "kind": "verification", "time_limits": {"ready": 0},
                                                     "commands": ["exit 0", "exit 0"]}))
        self.put_result("one")
        self.put("/run/mkimg/bake.json", json.dumps({"version": 1, "bake": "b", "channel": "poweroff", "power_off_after": 1}))
        program = self.make_runner()
        self.assertFalse(program.run())
        self.assertEqual([(step.name, step.state) for step in program.status.steps],
                         [("cloud-init", "failed"), ("command exit 0", "passed"), ("command exit 0", "passed")])
        self.assertEqual(self.machine.asked, [])
        with mock.patch("bake.time.sleep"):
            program.finish(True)
        self.assertEqual(self.machine.asked, [POWEROFF])


class MainTest(Case):
    def test_without_a_bakes_entry_the_server_is_installed(self):
        self.assertIs(type(runner.make_runner(self.machine)), runner.Runner)

    def test_the_bakes_entry_brings_its_own_program(self):
        program = lzma.compress(b"def Bake(system, bake):\n    return system, bake, Log\n", lzma.FORMAT_ALONE)
        self.put("/run/mkimg/bake.json", json.dumps({"version": 1, "runner": base64.b85encode(program).decode()}))
        before = vars(runner).get("Bake")
        self.addCleanup(setattr, runner, "Bake", before)
        self.assertEqual(runner.make_runner(self.machine), (self.machine, {"version": 1}, runner.Log))

    def test_the_umask_and_the_exit_status(self):
        before = os.umask(0o077)
        self.addCleanup(os.umask, before)
        with mock.patch("runner.make_runner") as made:
            made.return_value.finish.return_value = 5
            self.assertEqual(runner.main(), 5)
        made.return_value.finish.assert_called_once_with(made.return_value.run.return_value)
        self.assertEqual(os.umask(0o022), 0o022)

    def test_current_and_future_pages_are_locked_on_fault(self):
        with mock.patch("ctypes.CDLL") as library:
            bake.lock_memory()
        library.assert_called_once_with(None)
        library.return_value.mlockall.assert_called_once_with(7)

    def test_a_failure_to_lock_memory_is_ignored(self):
        with mock.patch("ctypes.CDLL", side_effect=OSError):
            bake.lock_memory()


PRINT_ENVIRONMENT = "#!%s -BEs\nimport json, os, sys\n" \
    "given = dict(pair.split('=', 1) for pair in open('/proc/self/environ').read().split(chr(0))[:-1])\n" \
    "print(json.dumps([given, os.getcwd(), sys.stdin.read(), os.getsid(0) == os.getpid()]))\n" % sys.executable
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root", "USER": "root", "LOGNAME": "root", "SHELL": "/bin/sh", "LANG": "C.UTF-8", "TERM": "dumb",
    "DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1", "APT_CONFIG": "/run/mkimg/apt.conf",
}


class EnvironmentTest(Case):
    """The exact environment of each kind of script. Nothing of the runner's environment may leak into it."""

    def environments(self, bake):
        on_boot = "/var/lib/cloud/scripts/per-instance/on_boot"
        self.put_result()
        for name in ("script", "cleanup", "check", "deferred"):
            self.put("/run/mkimg/" + name, PRINT_ENVIRONMENT)
        named = {name: {"name": name, "path": "/run/mkimg/" + name} for name in ("script", "cleanup", "check")}
        self.put("/run/mkimg/plan.json", json.dumps({
            **PLAN, "scripts": [named["script"]], "cleanup": named["cleanup"], "check": named["check"],
            "environment": {"application": "Nakama", "LANG": "de_DE.UTF-8"},
            "deferred_files": [{"path": on_boot, "staged": "/run/mkimg/deferred", "owner": OWNER, "mode": "0700", "after": ""}]}))
        self.put("/proc/self/mountinfo", "")
        if bake:
            self.put("/run/mkimg/bake.json", json.dumps(
                dict(SECRETS, version=1, bake="bake-1", channel="poweroff", power_off_after=1, artifacts_url="http://x/SECRET")))
        with mock.patch.dict(os.environ, {"SECRET": "of the runner's own"}):
            program = self.make_runner()
            self.assertTrue(program.run(), program.status.error)
        found = {}
        for line in (program.status.log.read_all() if bake else self.read(runner.INSTALL_LOG)).decode().splitlines():
            _, _, text = line.partition(": ")
            if text.startswith("[{"):
                found[line.split(": ")[0].split(None, 1)[1]] = json.loads(text)
        return found

    def test_the_scripts_of_a_bake(self):
        want = [dict(ENVIRONMENT, application="Nakama", LANG="de_DE.UTF-8", MKIMG_BAKE="bake-1"), "/", "", True]
        self.assertEqual(self.environments(bake=True), {"script script": want, "cleanup cleanup": want, "check check": want})

    def test_the_scripts_of_an_install(self):
        self.assertEqual(self.environments(bake=False), {
            "script script": [dict(ENVIRONMENT, application="Nakama", LANG="de_DE.UTF-8"), "/", "", True],
            "on boot on_boot": [ENVIRONMENT, "/", "", True]})


class ThreadTest(Case):
    def test_threads_do_not_keep_the_program_alive(self):
        from channel import Channel
        from firewall import Firewall
        for thread in (Channel(None, None, 0, "", None), Firewall(self.machine, 0, None)):
            self.assertTrue(thread.daemon)
        self.assertIs(threading.current_thread(), threading.main_thread())
