from support import OWNER, Case  # first: it finds the modules under test

import os
import time
import unittest
from types import SimpleNamespace
from unittest import mock

import system
from progress import StepFailed
from system import System, interpreter, owner_ids


class RunTest(Case):
    def run_script(self, text, limit=20, environment=None):
        path = self.put("/script", text, 0o600)
        return System().run(interpreter(path), self.lines.append, limit, environment)

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

    def test_at_the_time_limit_the_whole_process_group_ends(self):
        # The limit is long enough for a shell on a busy machine to come to its first lines.
        began = time.monotonic()
        with mock.patch.object(system, "GRACE", 0.5), self.assertRaisesRegex(StepFailed, "time limit of 4 s"):
            self.run_script("#!/bin/sh\ntrap '' TERM\nsleep 60 &\necho $!\nsleep 60\n", limit=4)
        self.assertLess(time.monotonic() - began, 40)
        until = time.monotonic() + 20
        while self.lives(self.lines[0]) and time.monotonic() < until:
            time.sleep(0.05)
        self.assertFalse(self.lives(self.lines[0]))

    def lives(self, pid):
        """Whether there is such a process. One that nobody has asked for its end yet has ended all the same."""
        try:
            with open("/proc/%s/stat" % pid) as file:
                return file.read().rpartition(")")[2].split()[0] != "Z"
        except (FileNotFoundError, ProcessLookupError):
            return False

    def test_a_child_left_behind_does_not_hold_the_step_up_and_is_still_heard(self):
        # It goes on until it is told to end (or, told nothing, for a minute): nothing here depends on who is quicker.
        go = self.root + "/go"
        script = "#!/bin/sh\n(for i in $(seq 600); do [ ! -e %s ] || break; sleep 0.1; done; echo late) &\necho done\n" % go
        began = time.monotonic()
        with mock.patch.object(system, "GRACE", 60):
            self.assertEqual(self.run_script(script, limit=120), 0)
        self.assertLess(time.monotonic() - began, 40)
        self.assertEqual(self.lines, ["done"])
        self.put("/go", "")
        until = time.monotonic() + 60
        while "late" not in self.lines and time.monotonic() < until:
            time.sleep(0.1)
        self.assertIn("late", self.lines)

    def test_much_output_arrives_whole_before_the_step_ends(self):
        self.assertEqual(self.run_script("#!/bin/sh\nseq 1 60000\n"), 0)
        self.assertEqual((len(self.lines), self.lines[-1]), (60000, "60000"))

    def test_a_line_without_end_comes_in_pieces(self):
        self.run_script("#!/bin/sh\nhead -c 100000 /dev/zero | tr '\\0' x\n")
        self.assertEqual(sum(map(len, self.lines)), 100000)
        self.assertLessEqual(max(map(len, self.lines)), system.LINE_LIMIT)

    def test_a_command_that_is_not_there_is_a_clear_failure(self):
        with self.assertRaisesRegex(StepFailed, "/no/such/shell cannot be started: No such file"):
            self.run_script("#!/no/such/shell\n")
        self.assertEqual(System().quiet(["/no/such/command"])[0], 127)
        self.assertEqual(System().quiet(["sleep", "60"], 0.2)[0], 124)


class InterpreterTest(Case):
    def test_the_line_is_read_as_the_kernel_reads_it(self):
        path = self.put("/script", "#! /usr/bin/env  -S bash -e\n")
        self.assertEqual(interpreter(path), ["/usr/bin/env", "-S bash -e", path])

    def test_no_line_and_crlf_are_refused(self):
        with self.assertRaisesRegex(StepFailed, "script has no #! line"):
            interpreter(self.put("/script", "echo\n"))
        with self.assertRaisesRegex(StepFailed, "CRLF"):
            interpreter(self.put("/script", "#!/bin/sh\r\necho\r\n"))


class FilesTest(Case):
    def test_a_file_is_replaced_whole_with_mode_and_without_leftovers(self):
        self.put("/a/file", "old", 0o600)
        self.machine.write("/a/file", b"new", 0o755, OWNER)
        self.assertEqual(self.read("/a/file"), b"new")
        self.assertEqual(os.stat(self.root + "/a/file").st_mode & 0o7777, 0o755)
        self.assertEqual(os.listdir(self.root + "/a"), ["file"])

    def test_a_link_at_the_place_is_replaced_not_followed(self):
        self.put("/victim", "safe")
        os.makedirs(self.root + "/a")
        os.symlink(self.root + "/victim", self.root + "/a/file")
        self.machine.write("/a/file", b"new")
        self.assertEqual(self.read("/victim"), b"safe")
        self.assertFalse(os.path.islink(self.root + "/a/file"))

    def test_a_failure_in_the_middle_leaves_nothing(self):
        def fill(file):
            file.write(b"half")
            raise OSError("disk full")
        with self.assertRaises(OSError):
            self.machine.place("/a/file", fill, 0o644)
        self.assertEqual(os.listdir(self.root + "/a"), [])

    def test_a_directory_at_the_place_and_an_unknown_owner_are_named(self):
        os.makedirs(self.root + "/a/file")
        with self.assertRaisesRegex(StepFailed, "/a/file is a directory"):
            self.machine.write("/a/file", b"")
        with self.assertRaisesRegex(StepFailed, "owner nobody-here:root does not exist"):
            owner_ids("nobody-here:root")
        self.assertEqual(owner_ids("root"), (0, 0))
        self.assertEqual(owner_ids("12:34"), (12, 34))


class OwnerTest(Case):
    """The user who runs the tests owns whatever they write, so what is asked of the kernel is recorded."""

    def place(self, owner, mode=0o4755):
        """The calls that give a file its owner and mode, and whether it had its name by then."""
        calls = []
        target = self.root + "/a/file"
        with mock.patch("system.os.fchown", lambda _, uid, gid: calls.append((uid, gid, os.path.exists(target)))), \
                mock.patch("system.os.fchmod", lambda _, mode: calls.append((mode, os.path.exists(target)))):
            self.machine.write("/a/file", b"text", mode, owner)
        return calls

    def test_a_file_has_its_owner_and_then_its_mode_before_it_has_its_name(self):
        # In this order: a change of the owner clears setuid.
        self.assertEqual(self.place("12:34"), [(12, 34, False), (0o4755, False)])

    def test_a_file_without_an_owner_stays_roots(self):
        self.assertEqual(self.place(None), [(0o4755, False)])

    def test_names_are_looked_up_as_user_and_group(self):
        users = {"nakama": SimpleNamespace(pw_uid=12, pw_gid=34)}
        groups = {"nakama": SimpleNamespace(gr_gid=56), "adm": SimpleNamespace(gr_gid=78)}
        with mock.patch("pwd.getpwnam", users.__getitem__), mock.patch("grp.getgrnam", groups.__getitem__):
            for owner, ids in (("nakama", (12, 34)), ("nakama:adm", (12, 78)), ("nakama:nakama", (12, 56)), ("5:adm", (5, 78)),
                               ("nakama:6", (12, 6)), ("5:6", (5, 6)), ("5", (5, 5))):
                self.assertEqual(owner_ids(owner), ids, owner)
            for owner in ("nobody-here", "nakama:nobody-here"):
                with self.assertRaisesRegex(StepFailed, "the owner %s does not exist" % owner):
                    owner_ids(owner)

    def test_nothing_is_left_when_the_owner_is_unknown(self):
        with self.assertRaises(StepFailed):
            self.machine.write("/a/file", b"", 0o644, "nobody-here")
        self.assertEqual(os.listdir(self.root + "/a"), [])

    @unittest.skipUnless(os.getuid() == 0, "only root can give files to others")
    def test_as_root_the_file_is_really_given(self):
        self.machine.write("/a/file", b"text", 0o4755, "12:34")
        state = os.stat(self.root + "/a/file")
        self.assertEqual((state.st_uid, state.st_gid, state.st_mode & 0o7777), (12, 34, 0o4755))
