from support import Case  # first: it finds the modules under test

import os

import progress
from progress import Log, Status, Step, StepFailed


class LogTest(Case):
    def test_pages_follow_each_other_and_hold_whole_lines(self):
        for number in range(3000):
            self.log.line("step", "line %d with words to make it long enough to need several pages" % number)
        text, offset = "", 0
        pages = 0
        while True:
            after, page = self.log.page(offset)
            if after == offset:
                break
            self.assertLessEqual(len(page), progress.LOG_PAGE)
            self.assertTrue(page.endswith("\n"))
            text, offset, pages = text + page, after, pages + 1
        self.assertEqual(text.encode(), self.log.whole())
        self.assertGreater(pages, 2)

    def test_an_offset_beyond_the_end_gives_nothing_and_the_end(self):
        self.log.line("step", "text")
        end = len(self.log.whole())
        self.assertEqual(self.log.page(end + 1000), (end, ""))
        self.assertEqual(self.log.page(end), (end, ""))

    def test_offsets_go_on_counting_when_old_lines_are_let_go(self):
        line = "x" * 1000
        for _ in range(progress.LOG_LIMIT // 1000 + 500):
            self.log.line("step", line)
        self.assertLessEqual(len(self.log.whole()), progress.LOG_LIMIT)
        self.assertGreater(self.log.dropped, 0)
        after, page = self.log.page(0)
        self.assertTrue(page.startswith("    "), page[:20])
        self.assertEqual(after, self.log.dropped + len(page))
        self.log.line("step", "the last")
        end = self.log.dropped + len(self.log.whole())
        self.assertTrue(self.log.page(end - 20)[1].endswith("the last\n"))

    def test_the_file_keeps_the_beginning_only(self):
        path = self.root + "/log/file"
        log = Log(path)
        for _ in range(progress.LOG_LIMIT // 1000 + 500):
            log.line("step", "x" * 1000)
        self.assertLess(os.path.getsize(path), progress.LOG_LIMIT + 2000)
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)

    def test_bytes_that_are_no_text_do_not_break_a_page(self):
        self.log.line("step", "\ud800 lone surrogate")
        self.assertIn("? lone surrogate", self.log.page(0)[1])


class StatusTest(Case):
    def steps(self, *failing):
        def work(step):
            step.line("work of " + step.name)
            if step.name in failing:
                raise StepFailed("exit status 7", 7)
            return 0
        return [Step("script %d" % number, work) for number in range(1, 6)]

    def test_a_failure_at_step_3_of_5_skips_the_rest(self):
        status = Status(self.log)
        steps = self.steps("script 3")
        status.plan(steps)
        self.assertFalse(status.run(steps))
        described = status.describe()
        self.assertEqual([step["state"] for step in described["steps"]], ["passed", "passed", "failed", "skipped", "skipped"])
        self.assertEqual([step["exit"] for step in described["steps"]], [0, 0, 7, None, None])
        self.assertEqual(described["error"], {"step": "script 3", "message": "exit status 7", "exit": 7,
                                              "tail": "work of script 3"})
        self.assertNotIn("script 4: started", described["log"]["text"])

    def test_going_on_runs_all_and_keeps_the_first_error(self):
        status = Status(self.log)
        steps = self.steps("script 2", "script 4")
        self.assertFalse(status.run(steps, go_on=True))
        self.assertEqual([step.state for step in steps], ["passed", "failed", "passed", "failed", "passed"])
        self.assertEqual(status.error["step"], "script 2")

    def test_an_exception_of_our_own_is_a_failed_step_with_its_traceback_in_the_log(self):
        status = Status(self.log)
        self.assertFalse(status.run([Step("broken", lambda step: {}["missing"])]))
        self.assertEqual(status.error["message"], "KeyError: 'missing'")
        self.assertIn("Traceback", status.describe()["log"]["text"])

    def test_what_runs_is_asked_for_before_each_step(self):
        asked = []
        status = Status(self.log)
        status.run(self.steps(), before=lambda: asked.append(len(asked)))
        self.assertEqual(len(asked), 5)
