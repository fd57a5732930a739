from support import OWNER, Case  # first: it sets up the module path

import os
import time
import unittest
from types import SimpleNamespace
from unittest import mock

import system
from progress import StepFailed
from system import System, script_command, resolve_owner


class RunTest(Case):
    def run_script(self, text, limit=20, environment=None):
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
        with mock.patch.object(system, "GRACE_SECONDS", 60):
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
        self.assertLessEqual(max(map(len, self.lines)), system.MAX_LINE_BYTES)

    def test_a_missing_command_is_a_clear_failure(self):
        with self.assertRaisesRegex(StepFailed, "/no/such/shell cannot be started: No such file"):
            self.run_script("#!/no/such/shell\n")
        self.assertEqual(System().capture(["/no/such/command"])[0], 127)
        self.assertEqual(System().capture(["sleep", "60"], 0.2)[0], 124)


class InterpreterTest(Case):
    def test_the_shebang_is_split_as_the_kernel_does(self):
        path = self.put("/script", "#! /usr/bin/env  -S bash -e\n")
        self.assertEqual(script_command(path), ["/usr/bin/env", "-S bash -e", path])

    def test_no_shebang_and_crlf_are_refused(self):
        with self.assertRaisesRegex(StepFailed, "script has no #! line"):
            script_command(self.put("/script", "echo\n"))
        with self.assertRaisesRegex(StepFailed, "CRLF"):
            script_command(self.put("/script", "#!/bin/sh\r\necho\r\n"))


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
        def fill(file):
            file.write(b"half")
            raise OSError("disk full")
        with self.assertRaises(OSError):
            self.machine.replace_file("/a/file", fill, 0o644)
        self.assertEqual(os.listdir(self.root + "/a"), [])

    def test_a_directory_at_the_path_and_an_unknown_owner_are_named(self):
        os.makedirs(self.root + "/a/file")
        with self.assertRaisesRegex(StepFailed, "/a/file is a directory"):
            self.machine.write_file("/a/file", b"")
        with self.assertRaisesRegex(StepFailed, "owner nobody-here:root does not exist"):
            resolve_owner("nobody-here:root")
        self.assertEqual(resolve_owner("root"), (0, 0))
        self.assertEqual(resolve_owner("12:34"), (12, 34))


class OwnerTest(Case):
    """Tests may run without root, so they record the calls that set owner and mode."""

    def place(self, owner, mode=0o4755):
        """Returns the calls that set owner and mode, and whether the file had its final name by then."""
        calls = []
        target = self.root + "/a/file"
        with mock.patch("system.os.fchown", lambda _, uid, gid: calls.append((uid, gid, os.path.exists(target)))), \
                mock.patch("system.os.fchmod", lambda _, mode: calls.append((mode, os.path.exists(target)))):
            self.machine.write_file("/a/file", b"text", mode, owner)
        return calls

    def test_owner_then_mode_are_set_before_the_rename(self):
        # The order matters: changing the owner clears setuid.
        self.assertEqual(self.place("12:34"), [(12, 34, False), (0o4755, False)])

    def test_without_an_owner_none_is_set(self):
        self.assertEqual(self.place(None), [(0o4755, False)])

    def test_names_are_looked_up_as_user_and_group(self):
        users = {"nakama": SimpleNamespace(pw_uid=12, pw_gid=34)}
        groups = {"nakama": SimpleNamespace(gr_gid=56), "adm": SimpleNamespace(gr_gid=78)}
        with mock.patch("pwd.getpwnam", users.__getitem__), mock.patch("grp.getgrnam", groups.__getitem__):
            for owner, ids in (("nakama", (12, 34)), ("nakama:adm", (12, 78)), ("nakama:nakama", (12, 56)), ("5:adm", (5, 78)),
                               ("nakama:6", (12, 6)), ("5:6", (5, 6)), ("5", (5, 5))):
                self.assertEqual(resolve_owner(owner), ids, owner)
            for owner in ("nobody-here", "nakama:nobody-here"):
                with self.assertRaisesRegex(StepFailed, "the owner %s does not exist" % owner):
                    resolve_owner(owner)

    def test_an_unknown_owner_leaves_no_temporary_file(self):
        with self.assertRaises(StepFailed):
            self.machine.write_file("/a/file", b"", 0o644, "nobody-here")
        self.assertEqual(os.listdir(self.root + "/a"), [])

    @unittest.skipUnless(os.getuid() == 0, "needs root")
    def test_as_root_the_owner_is_really_set(self):
        self.machine.write_file("/a/file", b"text", 0o4755, "12:34")
        state = os.stat(self.root + "/a/file")
        self.assertEqual((state.st_uid, state.st_gid, state.st_mode & 0o7777), (12, 34, 0o4755))
