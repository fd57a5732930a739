from support import Case, Machine  # first: it sets up the module path

import socket

from progress import Status
from verification import Verification

ON_BOOT = "/var/lib/cloud/scripts/per-instance/001_onboot"


class VerificationTest(Case):
    def setUp(self):
        Case.setUp(self)
        self.machine = Machine(self.root, ("systemctl", "journalctl"))
        self.put_result()
        self.put(ON_BOOT, "#!/bin/sh\n", 0o755)
        self.put("/var/lib/cloud/instance/sem/config_scripts_per_instance", "")
        self.shown = [("active", 0)]
        self.machine.answers["systemctl"] = self.show
        self.machine.answers["journalctl"] = (0, "last words of the service")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(self.listener.close)
        self.pauses = 0
        self.plan = {"on_boot": [ON_BOOT], "services": ["nakama.service"], "ports": [self.listener.getsockname()[1]],
                     "commands": ["exit 0"], "time_limits": {"ready": 60}}

    def show(self, argv):
        state, restarts = self.shown.pop(0) if len(self.shown) > 1 else self.shown[0]
        load = "not-found" if state == "missing" else "loaded"
        return 0, "LoadState=%s\nActiveState=%s\nSubState=x\nResult=exit-code\nNRestarts=%d\n" % (load, state, restarts)

    def verify(self):
        def pause(_):
            self.pauses += 1
            if self.pauses > 3:
                verification.deadline = 0
        verification = Verification(self.machine, self.plan, pause)
        self.status = Status(self.log)
        steps = verification.steps()
        passed = self.status.run(steps, keep_going=True)
        return passed, {step.name: step.state for step in steps if step.state != "passed"}

    def assert_fails(self, step, message):
        passed, failed = self.verify()
        self.assertEqual((passed, failed), (False, {step: "failed"}))
        self.assertRegex(self.status.error["message"], message)

    def test_everything_passes(self):
        self.assertEqual(self.verify(), (True, {}))

    def test_a_slow_service_is_waited_for(self):
        self.shown = [("activating", 0), ("activating", 1), ("active", 1)]
        self.assertEqual(self.verify(), (True, {}))
        self.assertEqual(self.pauses, 3)

    def test_cloud_inits_errors_are_reported(self):
        self.put_result("('scripts_per_instance', RuntimeError('Runparts: 1 failures'))")
        self.assert_fails("cloud-init", "could not do all that the document says: scripts_per_instance: RuntimeError")

    def test_a_cloud_init_without_a_result_has_not_finished(self):
        self.machine.remove("/run/cloud-init/result.json")
        self.assert_fails("cloud-init", "not ready after 60 s: cloud-init has not finished")

    def test_an_on_boot_script_must_exist_be_executable_and_have_run(self):
        self.machine.remove("/var/lib/cloud/instance/sem/config_scripts_per_instance")
        self.assert_fails("on boot 001_onboot", "cloud-init has not run")
        self.put(ON_BOOT, "#!/bin/sh\n", 0o644)
        self.assert_fails("on boot 001_onboot", "not executable")
        self.machine.remove(ON_BOOT)
        self.assert_fails("on boot 001_onboot", "not in the image")

    def test_each_frequency_has_its_own_semaphore(self):
        self.plan["on_boot"] = ["/var/lib/cloud/scripts/per-%s/a" % frequency for frequency in ("once", "boot")]
        for path in self.plan["on_boot"]:
            self.put(path, "#!/bin/sh\n", 0o755)
        passed, failed = self.verify()
        self.assertEqual((passed, failed), (False, {"on boot a": "failed"}))
        self.assertRegex(self.status.error["message"], "cloud-init has not run /var/lib/cloud/scripts/per-once/a")
        self.put("/var/lib/cloud/sem/config_scripts_per_once.once", "")
        self.assertEqual(self.verify(), (True, {}))

    def test_a_failed_service_shows_its_journal(self):
        self.shown = [("failed", 5)]
        self.assert_fails("service nakama.service", "it is failed .x, result exit-code, 5 restarts")
        self.assertIn("last words of the service", self.log.read_all().decode())

    def test_a_missing_unit_is_not_waited_for(self):
        self.shown = [("missing", 0)]
        self.assert_fails("service nakama.service", "not in the image")

    def test_a_service_between_two_crashes_does_not_stay_up(self):
        self.shown = [("active", 1), ("active", 2)]
        self.assert_fails("still up", "did not stay up: it is active, 2 restarts .1 before")

    def test_a_closed_port_and_a_failing_command(self):
        self.plan["commands"] = ["echo why; exit 3"]
        self.assert_fails("command echo why; exit 3", "exit status 3")
        self.plan["commands"] = []
        port = self.plan["ports"][0]
        self.listener.close()
        passed, failed = self.verify()
        self.assertEqual((passed, set(failed)), (False, {"port %d" % port, "still up"}))
