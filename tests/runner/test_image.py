from support import OWNER, Case, Machine  # first: it sets up the module path

import json
import os
from unittest import mock

import runner
from check import parse_check

HELD = "/var/lib/cloud/scripts/per-instance/001_onboot"


class ImageCase(Case):
    def setUp(self):
        Case.setUp(self)
        self.scripts = []
        self.plan = {"version": 1, "kind": "image", "name": "test", "upgrade": False, "packages": [], "artifacts": [],
                     "environment": {"application": "Nakama", "ROOT": self.root}, "scripts": self.scripts,
                     "deferred_files": [{"path": HELD, "staged": "/run/mkimg/deferred/0", "owner": OWNER, "mode": "0755", "after": ""}],
                     "cleanup": None, "check": None, "time_limits": {"packages": 20, "download": 20, "script": 20}}
        self.put("/run/mkimg/deferred/0", "#!/bin/sh\necho on-boot$application >> %s/order\n" % self.root)
        self.put_result()
        self.put("/proc/self/mountinfo", "21 1 0:5 / /proc rw - proc proc rw\n")
        self.put("/etc/machine-id", "0123456789abcdef0123456789abcdef\n")
        self.machine.answers["cloud-init"] = self.clean
        self.script("01-a.sh", "echo one >> $ROOT/order; echo $application")

    def clean(self, argv):
        for folder in ("instances", "scripts"):
            self.machine.remove("/var/lib/cloud/" + folder)
        self.machine.remove("/etc/machine-id")
        return 0, ""

    def script(self, name, text, kind="scripts"):
        entry = {"name": name, "path": "/run/mkimg/scripts/" + name}
        self.put(entry["path"], "#!/bin/sh\n%s\n" % text)
        if kind == "scripts":
            self.scripts.append(entry)
        else:
            self.plan[kind] = entry

    def run_plan(self, bake=None):
        self.put("/run/mkimg/plan.json", json.dumps(self.plan))
        if bake:
            self.put("/run/mkimg/bake.json", json.dumps(bake))
        self.pauses = []
        self.runner = self.make_runner(self.pauses.append)
        self.passed = self.runner.run()
        return {step.name: step.state for step in self.runner.status.steps}

    def bake(self):
        return self.run_plan({"version": 1, "bake": "bake-1", "channel": "poweroff", "power_off_after": 1})


class BakeTest(ImageCase):
    def test_a_bake_keeps_the_on_boot_script_and_removes_its_own_traces(self):
        self.put("/var/lib/cloud/instances/1/user-data.txt", "the secret")
        self.put("/var/lib/mkimg/left", "x")
        self.put("/var/log/dpkg.log", "text")
        self.put("/var/log/syslog.1", "text")
        self.put("/var/log/journal/abc/system.journal", "text")
        self.put("/var/lib/systemd/random-seed", "seed")
        self.script("90-cleanup.sh", 'echo "cleanup $MKIMG_BAKE" >> $ROOT/order; test -e $ROOT/run/mkimg/bake.json', "cleanup")
        self.script("99-img-check.sh", "test ! -s $ROOT/etc/machine-id || echo '[FAIL] id'; echo '[PASS] ok'", "check")
        states = self.bake()
        self.assertEqual(list(states.items()), [(name, "passed") for name in (
            "cloud-init", "wait for apt", "deferred files", "script 01-a.sh", "cleanup 90-cleanup.sh", "clean", "trim", "check 99-img-check.sh")])
        self.assertTrue(self.passed)
        self.assertEqual(self.read("/order"), b"one\ncleanup bake-1\n")
        self.assertEqual(self.runner.status.check, {"exit": 0, "passed": 1, "warnings": 0, "failed": 0, "findings": []})
        log = self.runner.status.log.read_all().decode()
        self.assertLess(log.index("state: complete"), log.index("check 99-img-check.sh: started"))
        self.assertEqual(self.read("/etc/machine-id"), b"")
        self.assertEqual(os.stat(self.root + HELD).st_mode & 0o777, 0o755)
        self.assertEqual(self.read("/var/log/dpkg.log"), b"")
        self.assertTrue(self.exists("/var/log/journal"))
        for gone in ("/var/lib/mkimg", "/var/log/mkimg", "/var/log/syslog.1", "/var/log/journal/abc",
                     "/var/lib/systemd/random-seed", "/var/lib/cloud/instances"):
            self.assertFalse(self.exists(gone), gone)

    def test_user_data_is_overwritten_before_it_is_deleted(self):
        path = self.put("/var/lib/cloud/instances/1/user-data.txt", "the secret")
        os.link(path, self.root + "/same-blocks")
        self.bake()
        self.assertEqual(self.read("/same-blocks"), b"\n" * 10)

    def test_the_build_droplets_name_and_network_are_removed(self):
        self.put("/run/cloud-init/instance-data.json", json.dumps({"v1": {"local_hostname": "build-1.example.org"}}))
        self.put("/etc/hostname", "build-1\n")
        self.put("/etc/hosts", "127.0.1.1 build-1.example.org build-1\n127.0.0.1 localhost # build-1\n10.0.0.1 build-12\n")
        self.put("/etc/systemd/network/10-cloud-init-eth0.network", "Address=10.0.2.15/24\n")
        self.put("/etc/systemd/network/20-own.network", "kept\n")
        self.assertEqual(self.bake()["clean"], "passed")
        self.assertEqual(self.read("/etc/hostname"), b"localhost\n")
        self.assertEqual(self.read("/etc/hosts"), b"127.0.0.1 localhost # build-1\n10.0.0.1 build-12\n")
        self.assertFalse(os.path.exists(self.machine.path("/etc/systemd/network/10-cloud-init-eth0.network")))
        self.assertEqual(self.read("/etc/systemd/network/20-own.network"), b"kept\n")

    def test_a_host_name_from_the_template_stays(self):
        self.put("/run/cloud-init/instance-data.json", json.dumps({"v1": {"local_hostname": "build-1"}}))
        self.put("/etc/hostname", "arcade\n")
        self.put("/etc/hosts", "127.0.1.1 arcade build-1\n")
        self.assertEqual(self.bake()["clean"], "passed")
        self.assertEqual(self.read("/etc/hostname"), b"arcade\n")
        self.assertEqual(self.read("/etc/hosts"), b"127.0.1.1 arcade build-1\n")

    def test_power_off_is_masked_while_steps_run(self):
        self.bake()
        systemctl = [argv[1] for argv in self.machine.asked if argv[0] == "systemctl"]
        self.assertEqual((systemctl[0], systemctl[-1]), ("mask", "unmask"))

    def test_a_failing_script_skips_all_later_steps(self):
        self.script("02-b.sh", "echo reason; exit 4")
        self.script("03-c.sh", "echo never >> $ROOT/order")
        self.script("99-img-check.sh", "echo never >> $ROOT/order", "check")
        states = self.bake()
        self.assertFalse(self.passed)
        self.assertEqual([name for name, state in states.items() if state == "skipped"],
                         ["script 03-c.sh", "clean", "trim", "check 99-img-check.sh"])
        self.assertEqual(self.runner.status.error, {"step": "script 02-b.sh", "message": "exit status 4", "exit": 4,
                                                    "tail": "reason"})
        self.assertEqual(self.read("/order"), b"one\n")

    def test_scripts_may_change_deferred_files_and_the_image_keeps_it(self):
        edit = "cd $ROOT/var/lib/cloud/scripts; echo '# more' >> per-instance/001_onboot; chmod 0700 per-instance/001_onboot"
        self.script("02-b.sh", edit + "; mkdir per-boot; echo own > per-boot/002_own; chmod 0711 per-boot/002_own")
        self.script("90-cleanup.sh", "test -x $ROOT%s" % HELD, "cleanup")
        self.bake()
        self.assertTrue(self.passed, self.runner.status.error)
        self.assertTrue(self.read(HELD).endswith(b"/order\n# more\n"))
        self.assertEqual(os.stat(self.root + HELD).st_mode & 0o777, 0o700)
        own = "/var/lib/cloud/scripts/per-boot/002_own"
        self.assertEqual((self.read(own), os.stat(self.root + own).st_mode & 0o777), (b"own\n", 0o711))
        self.assertFalse(self.exists("/var/lib/mkimg-scripts"))

    def test_a_cleanup_script_cannot_lose_a_deferred_file(self):
        self.script("90-cleanup.sh", "rm -r $ROOT/var/lib/cloud", "cleanup")
        self.bake()
        self.assertTrue(self.passed, self.runner.status.error)
        self.assertEqual(os.stat(self.root + HELD).st_mode & 0o777, 0o755)
        self.assertIn("clean: " + HELD, self.runner.status.log.read_all().decode())

    def test_files_come_after_their_script(self):
        self.plan["deferred_files"].append({"path": "/etc/motd", "staged": "/run/mkimg/deferred/1", "owner": OWNER, "mode": "0640", "after": "02-b.sh"})
        self.put("/run/mkimg/deferred/1", "hello")
        self.script("02-b.sh", "test ! -e $ROOT/etc/motd")
        self.script("03-c.sh", "test -e $ROOT/etc/motd")
        for run in (self.bake, self.run_plan):
            names = list(run())
            self.machine.remove("/etc/motd")
            self.assertTrue(self.passed, self.runner.status.error)
            self.assertEqual(names[names.index("script 02-b.sh"):][:3], ["script 02-b.sh", "files after 02-b.sh", "script 03-c.sh"])
            self.assertNotIn("on boot motd", names)

    def test_a_failed_cloud_init_ends_the_run_before_anything_is_installed(self):
        self.put_result("('write_files', KeyError('ghost'))")
        for run in (self.bake, self.run_plan):
            states = run()
            self.assertEqual((states.pop("cloud-init"), set(states.values())), ("failed", {"skipped"}))

    def test_a_power_off_by_a_script_fails_its_step(self):
        for words in ("Call to PowerOff failed: Access denied", "Call to Reboot failed: Unit reboot.target is masked.",
                      "Failed to start poweroff.target: Unit poweroff.target is masked.",
                      "Failed to power off system via logind: Access denied"):
            self.scripts.clear()
            self.script("02-b.sh", "echo '%s'; exit 0" % words)
            self.bake()
            self.assertRegex(self.runner.status.error["message"], "tried to power off or restart the machine")

    def test_a_scheduled_shutdown_is_canceled_and_fails_the_step(self):
        self.script("02-b.sh", "mkdir -p $ROOT/run/systemd/shutdown; touch $ROOT/run/systemd/shutdown/scheduled")
        self.bake()
        self.assertEqual(self.runner.status.error["step"], "script 02-b.sh")
        self.assertIn(["shutdown", "-c"], self.machine.asked)

    def test_an_older_cloud_init_is_cleaned_with_fewer_flags(self):
        self.machine.answers["cloud-init"] = lambda argv: (2, "unrecognized arguments") if "--machine-id" in argv else (0, "")
        self.assertEqual(self.bake()["clean"], "passed")
        self.machine.answers["cloud-init"] = (1, "broken")
        self.assertEqual(self.bake()["clean"], "failed")

    def test_a_check_that_fails_fails_the_bake_after_the_marker(self):
        self.script("99-img-check.sh", "echo '[FAIL] password'; exit 0", "check")
        self.bake()
        self.assertFalse(self.passed)
        self.assertEqual(self.runner.status.error["message"], "1 of the check's tests failed: password")
        self.script("99-img-check.sh", "echo '[PASS] all'; exit 3", "check")
        self.bake()
        self.assertEqual(self.runner.status.error["message"], "exit status 3")
        self.assertIn("state: complete", self.runner.status.log.read_all().decode())

    def test_an_unreadable_plan_ends_in_a_failed_state_with_a_traceback(self):
        self.plan = {"kind": "image"}
        self.bake()
        self.assertEqual(self.runner.status.state, "failed")
        self.assertEqual(self.runner.status.error["message"], "KeyError: 'artifacts'")
        self.assertIn("Traceback", self.runner.status.log.read_all().decode())

    def test_scripts_cannot_see_the_bakes_secrets(self):
        self.script("02-b.sh", "env; cat $ROOT/run/mkimg/bake.json; ls -R $ROOT/run/mkimg")
        self.run_plan({"version": 1, "bake": "bake-1", "channel": "poweroff", "power_off_after": 1, "token": "TOKEN",
                       "certificate": "CERTIFICATE", "key": "PRIVATE"})
        text = self.runner.status.log.read_all().decode()
        self.assertIn('"bake": "bake-1"', text)
        for secret in ("TOKEN", "CERTIFICATE", "PRIVATE"):
            self.assertNotIn(secret, text)


    def test_files_are_placed_with_the_plans_owner_and_mode(self):
        self.plan["deferred_files"][0].update(owner="12:34", mode="4750")
        owners = []
        with mock.patch("os.chown", lambda _, *ids, **rest: owners.append(ids)):
            self.bake()
        self.assertTrue(self.passed)
        self.assertEqual((set(owners), os.stat(self.root + HELD).st_mode & 0o7777), ({(12, 34)}, 0o4750))

    def test_another_source_of_artifacts_is_addressed_by_sha256(self):
        artifact = {"name": "tool", "url": "https://downloads.example/tool", "sha256": "ab" * 32, "size": 9, "checksum_url": None,
                    "unpack": []}
        self.plan["artifacts"] = [artifact]
        entry = {"version": 1, "bake": "b", "channel": "poweroff", "artifacts_url": "https://mirror/"}
        with mock.patch("artifacts.download", return_value="ab" * 32) as download:
            self.run_plan(entry)
        self.assertTrue(self.passed)
        self.assertEqual(download.call_args[0][0], "https://mirror/sha256/" + "ab" * 32)
        artifact["sha256"] = None
        self.run_plan(entry)
        self.assertRegex(self.runner.status.error["message"], "tool is not locked")

    def test_files_that_could_not_be_written_fail_the_first_step(self):
        self.put("/run/mkimg/unbundle.json", '{"failed": []}')
        self.assertNotIn("files", self.bake())
        self.put("/run/mkimg/unbundle.json", '{"failed": [["/etc/a", "no such user"], ["/etc/b", "disk full"]]}')
        states = self.bake()
        self.assertEqual((states.pop("files"), set(states.values())), ("failed", {"skipped"}))
        self.assertEqual(self.runner.status.error["message"], "not written: /etc/a: no such user; /etc/b: disk full")


    def test_without_a_plan_cloud_init_says_why(self):
        self.put_result("('write_files', OSError('Unknown user or group: ghost'))")
        for bake in ({"version": 1, "bake": "bake-1", "channel": "poweroff", "power_off_after": 1}, None):
            self.machine.remove("/run/mkimg/bake.json")
            if bake:
                self.put("/run/mkimg/bake.json", json.dumps(bake))
            self.machine.remove("/run/mkimg/plan.json")
            program = self.make_runner()
            self.assertFalse(program.run())
            self.assertEqual(program.status.error["step"], "cloud-init")
            self.assertIn("write_files: OSError('Unknown user or group: ghost')", program.status.error["message"])


class InstallTest(ImageCase):
    def test_an_install_runs_the_on_boot_scripts_and_leaves_its_status(self):
        once = HELD.replace("per-instance/001_onboot", "per-once/zz")
        self.put("/run/mkimg/deferred/1", "#!/bin/sh\necho once >> %s/order\n" % self.root)
        self.plan["deferred_files"].append({"path": once, "staged": "/run/mkimg/deferred/1", "owner": OWNER, "mode": "0755", "after": ""})
        self.script("90-cleanup.sh", "echo never >> $ROOT/order", "cleanup")
        self.script("99-img-check.sh", "echo never >> $ROOT/order", "check")
        states = self.run_plan()
        self.assertEqual(list(states), ["cloud-init", "wait for apt", "deferred files", "script 01-a.sh", "on boot zz", "on boot 001_onboot"])
        self.assertTrue(self.passed)
        self.assertEqual(self.runner.finish(self.passed), 0)
        self.assertEqual(self.read("/order"), b"one\nonce\non-boot\n")
        status = json.loads(self.read(runner.INSTALL_STATUS))
        self.assertEqual((status["state"], status["bake"], status["log"]["text"]), ("passed", None, ""))
        self.assertIn(b"script 01-a.sh: Nakama\n", self.read(runner.INSTALL_LOG))
        self.assertTrue(self.exists("/var/lib/cloud/scripts/per-instance/001_onboot"))
        self.assertNotEqual(self.read("/etc/machine-id"), b"")
        self.assertIn(["systemctl", "start", "--no-block", "apt-daily.timer", "apt-daily-upgrade.timer"], self.machine.asked)

    def test_on_boot_scripts_run_as_cloud_init_orders_them(self):
        self.plan["deferred_files"] = []
        for number, (path, mode) in enumerate((("per-instance/b", "0755"), ("per-instance/a", "0700"), ("per-boot/x", "0755"),
                                               ("per-once/y", "0755"), ("per-once/text", "0644"), ("per-once/deep/z", "0755"))):
            staged = "/run/mkimg/deferred/%d" % number
            self.put(staged, "#!/bin/sh\n")
            self.plan["deferred_files"].append({"path": "/var/lib/cloud/scripts/" + path, "staged": staged, "owner": OWNER, "mode": mode, "after": ""})
        states = self.run_plan()
        self.assertEqual(list(states)[4:], ["on boot " + name for name in "yxab"])

    def test_a_failed_install_is_reported_in_its_status(self):
        self.script("02-b.sh", "exit 9")
        self.run_plan()
        self.assertEqual(self.runner.finish(self.passed), 1)
        status = json.loads(self.read(runner.INSTALL_STATUS))
        self.assertEqual((status["state"], status["error"]["exit"]), ("failed", 9))


class PackagesTest(ImageCase):
    def test_upgrade_and_packages_update_the_lists_once(self):
        self.plan.update(upgrade=True, packages=["ufw", "fail2ban"])
        states = self.run_plan()
        self.assertEqual(list(states)[:4], ["cloud-init", "wait for apt", "upgrade", "packages"])
        jobs = ["apt-daily.timer", "apt-daily-upgrade.timer", "apt-daily.service", "apt-daily-upgrade.service",
                "unattended-upgrades.service"]
        self.assertEqual([argv for argv in self.machine.asked if argv[1] not in ("mask", "unmask")], [
            ["systemctl", "stop"] + jobs,
            ["dpkg", "--configure", "-a"],
            ["apt-get", "update"],
            ["apt-get", "-y", "dist-upgrade"],
            ["apt-get", "-y", "install", "--", "ufw", "fail2ban"],
            ["systemctl", "start", "--no-block", "apt-daily.timer", "apt-daily-upgrade.timer"]])

    def test_apts_own_configuration(self):
        self.run_plan()
        self.assertEqual(self.read("/run/mkimg/apt.conf").decode(), '''\
DPkg::Lock::Timeout "600";
Acquire::Retries "3";
APT::Update::Error-Mode "any";
DPkg::Options { "--force-confdef"; "--force-confold"; };
''')

    def test_each_command_has_its_time_limit(self):
        self.plan.update(packages=["ufw"], time_limits={"packages": 21, "download": 22, "script": 23})
        limits = []
        run = self.machine.run

        def record(argv, line, time_limit, environment={}):
            limits.append((argv[0], time_limit))
            return run(argv, line, time_limit, environment)
        self.machine.run = record
        self.script("90-cleanup.sh", "", "cleanup")
        self.script("99-img-check.sh", "", "check")
        self.bake()
        self.assertTrue(self.passed)
        self.assertEqual(limits, [("dpkg", 21), ("apt-get", 21), ("apt-get", 21), ("/bin/sh", 23), ("/bin/sh", 23),
                                  ("cloud-init", 300), ("/bin/sh", 23)])

    def test_apt_get_update_is_tried_three_times(self):
        self.plan["packages"] = ["ufw"]
        self.machine.answers["apt-get"] = (100, "E: unreachable")
        self.run_plan()
        self.assertEqual(self.pauses, [5, 10])
        self.assertEqual(self.runner.status.error["message"], "apt-get update: exit status 100")
        self.assertEqual(len([argv for argv in self.machine.asked if argv[0] == "apt-get"]), 3)

    def test_a_distribution_without_apt_gets_no_packages(self):
        self.machine = Machine(self.root, ("systemctl", "cloud-init"))
        self.plan["packages"] = ["ufw"]
        states = self.run_plan()
        self.assertNotIn("wait for apt", states)
        self.assertRegex(self.runner.status.error["message"], "packages need apt: choose a Debian or Ubuntu image")


class CheckTest(Case):
    def test_colors_and_several_findings_on_one_line(self):
        lines = ["\x1b[0;32m[PASS]\x1b[0m Supported Operating System Detected: debian", "Checking: \x1b[41m[FAIL]\x1b[0m root has a password",
                 "\x1b[93m[WARN]\x1b[0m a log [PASS] cloud-init", "[fail] lower case does not count", "8 Tests PASSED"]
        self.assertEqual(parse_check(lines, 1), {
            "exit": 1, "passed": 2, "warnings": 1, "failed": 1,
            "findings": [{"level": "fail", "text": "root has a password"}, {"level": "warn", "text": "a log"}]})

    def test_a_sentence_about_warnings_is_not_a_finding(self):
        lines = ["[WARN] a log", "Please look at all [WARN] items above.", "  [PASS] indented"]
        self.assertEqual(parse_check(lines, 0)["findings"], [{"level": "warn", "text": "a log"}])
        self.assertEqual(parse_check(lines, 0)["passed"], 1)

    def test_no_findings_at_all(self):
        self.assertEqual(parse_check([], 0), {"exit": 0, "passed": 0, "warnings": 0, "failed": 0, "findings": []})
