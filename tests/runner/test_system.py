from support import OWNER, Case  # first: it sets up the module path

import os
import time
import unittest
from unittest import mock

import system
from progress import StepFailed
from system import System, script_command


class RunTest(Case):
    def run_script(self, text, limit=20, environment={}):
        path = self.put("/script", text, 0o600)
        return System().run(script_command(path), self.lines.append, limit, environment)

    def test_lines_and_exit_status(self):
        self.assertEqual(self.run_script("#!/bin/sh\necho one; echo two >&2; printf 'bar 1\\rbar 2\\r\\nno end'; exit 3\n"), 3)
        self.assertEqual(self.lines, ["one", "two", "bar 1", "bar 2", "no end"])

    def test_a_signal_is_a_negative_status(self):
        self.assertEqual(self.run_script("#!/bin/sh\nkill -9 $$\n"), -9)

    def test_the_environment_is_clean_and_standard_input_is_empty(self):
        with mock.patch.dict(os.environ, {"MKIMG_SECRET": "token"}):
            self.run_script("#!/bin/sh\nenv; pwd; cat; ls /proc/self/fd | wc -l\n", environment={"name": "Nakama"})
        text = "\n".join(self.lines)
        self.assertIn("name=Nakama", text)
        self.assertIn("NEEDRESTART_SUSPEND=1", text)
        self.assertNotIn("token", text)
        self.assertEqual(self.lines[-2:], ["/", "4"])

    def test_at_the_time_limit_the_process_group_is_killed(self):
        # Long enough for a shell on a busy machine to print its first line.
        began = time.monotonic()
        with mock.patch.object(system, "GRACE_SECONDS", 0.5), self.assertRaisesRegex(StepFailed, "time limit of 4 s"):
            self.run_script("#!/bin/sh\ntrap '' TERM\nsleep 60 &\necho $!\nsleep 60\n", limit=4)
        self.assertLess(time.monotonic() - began, 40)
        until = time.monotonic() + 20
        while self.lives(self.lines[0]) and time.monotonic() < until:
            time.sleep(0.05)
        self.assertFalse(self.lives(self.lines[0]))

    def lives(self, pid):
        """Whether the process runs; a zombie does not."""
        try:
            with open("/proc/%s/stat" % pid) as file:
                return file.read().rpartition(")")[2].split()[0] != "Z"
        except (FileNotFoundError, ProcessLookupError):
            return False

    def test_a_background_child_does_not_delay_the_step_and_its_output_is_logged(self):
        # The child runs until the file exists, or for a minute, so the test does not depend on timing.
        go = self.root + "/go"
        script = "#!/bin/sh\n(for i in $(seq 600); do [ ! -e %s ] || break; sleep 0.1; done; echo late) &\necho done\n" % go
        began = time.monotonic()
        with mock.patch.object(system, "GRACE_SECONDS", 0.5):
            self.assertEqual(self.run_script(script, limit=120), 0)
        self.assertLess(time.monotonic() - began, 40)
        self.assertEqual(self.lines, ["done"])
        self.put("/go", "")
        until = time.monotonic() + 60
        while "late" not in self.lines and time.monotonic() < until:
            time.sleep(0.1)
        self.assertIn("late", self.lines)

    def test_a_lot_of_output_arrives_before_the_step_ends(self):
        self.assertEqual(self.run_script("#!/bin/sh\nseq 1 60000\n"), 0)
        self.assertEqual((len(self.lines), self.lines[-1]), (60000, "60000"))

    def test_a_very_long_line_is_split(self):
        self.run_script("#!/bin/sh\nhead -c 100000 /dev/zero | tr '\\0' x\n")
        self.assertEqual(sum(map(len, self.lines)), 100000)
        self.assertLessEqual(max(map(len, self.lines)), system.MAX_LINE)

    def test_a_missing_command_is_a_clear_failure(self):
        with self.assertRaisesRegex(StepFailed, "/no/such/shell cannot be started: No such file"):
            self.run_script("#!/no/such/shell\n")
        self.assertEqual(System().capture(["/no/such/command"])[0], 127)
        self.assertEqual(System().capture(["sleep", "60"], 0.2)[0], 127)


class InterpreterTest(Case):
    def test_the_shebang_is_split_as_the_kernel_does(self):
        path = self.put("/script", "#! /usr/bin/env  -S bash -e\n")
        self.assertEqual(script_command(path), ["/usr/bin/env", "-S bash -e", path])

    def test_no_shebang_is_refused(self):
        with self.assertRaisesRegex(StepFailed, "script has no #! line"):
            script_command(self.put("/script", "echo\n"))


class FilesTest(Case):
    def test_a_file_is_replaced_with_its_mode_and_without_temporary_files(self):
        self.put("/a/file", "old", 0o600)
        self.machine.write_file("/a/file", b"new", 0o755, OWNER)
        self.assertEqual(self.read("/a/file"), b"new")
        self.assertEqual(os.stat(self.root + "/a/file").st_mode & 0o7777, 0o755)
        self.assertEqual(os.listdir(self.root + "/a"), ["file"])

    def test_a_link_at_the_path_is_replaced_not_followed(self):
        self.put("/victim", "safe")
        os.makedirs(self.root + "/a")
        os.symlink(self.root + "/victim", self.root + "/a/file")
        self.machine.write_file("/a/file", b"new")
        self.assertEqual(self.read("/victim"), b"safe")
        self.assertFalse(os.path.islink(self.root + "/a/file"))

    def test_a_failure_in_the_middle_leaves_nothing(self):
        source = mock.Mock(**{"read.side_effect": [b"half", OSError("disk full")]})
        with self.assertRaises(OSError):
            self.machine.write_file("/a/file", source)
        self.assertEqual(os.listdir(self.root + "/a"), [])

    def test_a_directory_at_the_path_and_an_unknown_owner_are_named(self):
        os.makedirs(self.root + "/a/file")
        with self.assertRaisesRegex(IsADirectoryError, "/a/file"):
            self.machine.write_file("/a/file", b"")
        with self.assertRaisesRegex(StepFailed, "/a/other: no such user: 'nobody-here': create it with `users`"):
            self.machine.write_file("/a/other", b"", 0o644, "nobody-here:root")
        self.assertEqual(os.listdir(self.root + "/a"), ["file"])


class OwnerTest(Case):
    """Tests may run without root, so they record the calls that set owner and mode."""

    def place(self, owner, mode=0o4755):
        """Returns the calls that set owner and mode, and whether the file had its final name by then."""
        calls = []
        target = self.root + "/a/file"
        with mock.patch("os.chown", lambda _, uid, gid, **rest: calls.append((uid, gid, os.path.exists(target)))), \
                mock.patch("os.fchmod", lambda _, mode: calls.append((mode, os.path.exists(target)))):
            self.machine.write_file("/a/file", b"text", mode, owner)
        return calls

    def test_owner_then_mode_are_set_before_the_rename(self):
        # The order matters: changing the owner clears setuid.
        self.assertEqual(self.place("12:34"), [(12, 34, False), (0o4755, False)])

    def test_without_an_owner_none_is_set(self):
        self.assertEqual(self.place(None), [(0o4755, False)])

    def test_names_are_looked_up_as_user_and_group(self):
        users = {"nakama": (None, None, 12, 34)}
        groups = {"nakama": (None, None, 56), "adm": (None, None, 78)}
        with mock.patch("pwd.getpwnam", users.__getitem__), mock.patch("grp.getgrnam", groups.__getitem__):
            for owner, ids in (("nakama:adm", (12, 78)), ("nakama:nakama", (12, 56)), ("5:adm", (5, 78)), ("nakama:6", (12, 6))):
                self.assertEqual(self.place(owner)[0][:2], ids, owner)

    @unittest.skipUnless(os.getuid() == 0, "needs root")
    def test_as_root_the_owner_is_really_set(self):
        self.machine.write_file("/a/file", b"text", 0o4755, "12:34")
        state = os.stat(self.root + "/a/file")
        self.assertEqual((state.st_uid, state.st_gid, state.st_mode & 0o7777), (12, 34, 0o4755))
