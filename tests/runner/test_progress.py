from support import Case  # first: it sets up the module path

import functools
import os

import channel
import progress
from progress import Log, Status, Step, StepFailed


class LogTest(Case):
    def page(self, offset):
        page = self.log.read_page(offset)
        return page["next"], page["text"]

    def test_pages_are_consecutive_and_contain_complete_lines(self):
        for number in range(3000):
            self.log.line("step", "line %d with words to make it long enough to need several pages" % number)
        text, offset = "", 0
        pages = 0
        while True:
            after, read_page = self.page(offset)
            if after == offset:
                break
            self.assertLessEqual(len(read_page), channel.MAX_PAGE_BYTES)
            self.assertTrue(read_page.endswith("\n"))
            text, offset, pages = text + read_page, after, pages + 1
        self.assertEqual(text.encode(), self.log.read_all())
        self.assertGreater(pages, 2)

    def test_an_offset_beyond_the_end_returns_the_end(self):
        self.log.line("step", "text")
        end = len(self.log.read_all())
        self.assertEqual(self.page(end + 1000), (end, ""))
        self.assertEqual(self.page(end), (end, ""))

    def test_offsets_include_dropped_lines(self):
        line = "x" * 1000
        for _ in range(progress.MAX_LOG_BYTES // 1000 + 500):
            self.log.line("step", line)
        self.assertLessEqual(len(self.log.read_all()), progress.MAX_LOG_BYTES)
        dropped = self.log.size - len(self.log.read_all())
        self.assertGreater(dropped, 0)
        after, read_page = self.page(0)
        self.assertTrue(read_page.startswith("    "), read_page[:20])
        self.assertEqual(after, dropped + len(read_page))
        self.log.line("step", "the last")
        end = self.log.size
        self.assertTrue(self.page(end - 20)[1].endswith("the last\n"))

    def test_the_file_keeps_only_the_beginning(self):
        path = self.root + "/log/file"
        log = Log(path)
        for _ in range(progress.MAX_LOG_BYTES // 1000 + 500):
            log.line("step", "x" * 1000)
        self.assertLess(os.path.getsize(path), progress.MAX_LOG_BYTES + 2000)
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)

    def test_invalid_text_does_not_break_a_page(self):
        self.log.line("step", "\ud800 lone surrogate")
        self.assertIn("? lone surrogate", self.page(0)[1])


class StatusTest(Case):
    def steps(self, *failing):
        def action(name, line):
            line("work of " + name)
            if name in failing:
                raise StepFailed("exit status 7", 7)
            return 0
        return [Step(name, functools.partial(action, name)) for name in ("script %d" % number for number in range(1, 6))]

    def test_a_failure_at_step_3_of_5_skips_the_rest(self):
        status = Status(self.log)
        steps = self.steps("script 3")
        status.steps += steps
        self.assertFalse(status.run(steps))
        described = status.describe()
        self.assertEqual([step["state"] for step in described["steps"]], ["passed", "passed", "failed", "skipped", "skipped"])
        self.assertEqual([step["exit"] for step in described["steps"]], [0, 0, 7, None, None])
        self.assertEqual(described["error"], {"step": "script 3", "message": "exit status 7", "exit": 7,
                                              "tail": "work of script 3"})
        self.assertNotIn("script 4: started", self.log.read_all().decode())

    def test_keep_going_runs_all_steps_and_keeps_the_first_error(self):
        status = Status(self.log)
        steps = self.steps("script 2", "script 4")
        self.assertFalse(status.run(steps, keep_going=True))
        self.assertEqual([step.state for step in steps], ["passed", "failed", "passed", "failed", "passed"])
        self.assertEqual(status.error["step"], "script 2")

    def test_an_exception_fails_the_step_and_logs_its_traceback(self):
        status = Status(self.log)
        self.assertFalse(status.run([Step("broken", lambda line: {}["missing"])]))
        self.assertEqual(status.error["message"], "KeyError: 'missing'")
        self.assertIn("Traceback", self.log.read_all().decode())

    def test_each_change_is_announced(self):
        states = []
        status = Status(self.log, changed=lambda: states.append([step.state for step in status.steps]))
        status.steps += self.steps()[:1]
        status.run(status.steps)
        status.set_state("passed")
        self.assertEqual(states, [["running"], ["passed"], ["passed"]])
