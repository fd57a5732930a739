"""The check script of a bake: its output is parsed for findings."""
import re

from progress import StepFailed
from system import require_success

COLOR_CODE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
FINDING = re.compile(r"\[(PASS|WARN|FAIL)\]\s*(.*?)\s*(?=\[(?:PASS|WARN|FAIL)\]|$)")
# A sentence that mentions a marker ("see every [WARN]") has it neither at its start nor after a color code.
REPORT_LINE = re.compile(r"(?:^\s*|\x1b\[[0-9;]*m)\[(?:PASS|WARN|FAIL)\]")


def run_check(image, status, line):
    lines = []

    def collect(text):
        lines.append(text)
        line(text)
    exit_status = image.run_script(image.plan["check"]["path"], collect)
    status.check = parse_check(lines, exit_status)
    failed = [finding["text"] for finding in status.check["findings"] if finding["level"] == "fail"]
    if failed:
        raise StepFailed("%d of the check's tests failed: %s" % (len(failed), "; ".join(failed)), exit_status)
    return require_success(exit_status)


def parse_check(lines, exit_status):
    """Parses lines with [PASS], [WARN] or [FAIL], with or without colors."""
    findings = []
    counts = {"PASS": 0, "WARN": 0, "FAIL": 0}
    for text in filter(REPORT_LINE.search, lines):
        for level, message in FINDING.findall(COLOR_CODE.sub("", text)):
            counts[level] += 1
            if level != "PASS":
                findings.append({"level": level.lower(), "text": message})
    return {"exit": exit_status, "passed": counts["PASS"], "warnings": counts["WARN"], "failed": counts["FAIL"],
            "findings": findings}
