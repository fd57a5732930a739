"""cloud-init's own result. What it could not do of the document is missing on the machine."""
import json
import re

from progress import StepFailed

CLOUD_INIT_RESULT = "/run/cloud-init/result.json"
CLOUD_INIT_STATUS = "/run/cloud-init/status.json"
CLOUD_INIT_LOG = "/var/log/cloud-init.log"
CLOUD_INIT_OUTPUT = "/var/log/cloud-init-output.log"
LOG_START = "running 'init-local'"
LOG_LINE = re.compile(r" - (\w+\.py)\[(?:WARNING|ERROR|CRITICAL)\]: (.*)")
# Its modules that act upon the document. Others deal with the network and the provider's metadata.
FROM_DOCUMENT = re.compile(r"(cc_\w+|user_data|cloud_config|jinja_template|shell_script\w*|boot_hook|templater|modules"
                           r"|ug_util|debian|util|__init__)\.py: ")
HARMLESS = re.compile("|".join([
    # Its error is in the result.
    "Running module",
    # Deprecated keys still have their effect.
    "[Dd]eprecat",
    # The group is there.
    "existing group",
    # The provider's own data and scripts, not the document's.
    "vendor", "[Dd]ata[Ss]ource", "Getting data from", "[Mm]etadata", "instance-data", "pickl",
    # The network of the build droplet, not of the image.
    r"\b[Nn]etwork", "interface",
    # The disk of the build droplet: the snapshot's droplet has its own.
    "growpart", "resize",
    # GRUB is configured in the base image; it cannot be probed in a container.
    "grub",
    # What is printed to the console.
    "cc_final_message", "console",
    "lsb_release",
]))


def check_cloud_init(system, line):
    """Fails with cloud-init's words if a part of the document had no effect. Other warnings are only logged."""
    result = read_state(system, CLOUD_INIT_RESULT)
    if result is None:
        stage = (read_state(system, CLOUD_INIT_STATUS) or {}).get("stage")
        for text in read_log(system, CLOUD_INIT_OUTPUT)[-15:]:
            line(text)
        raise StepFailed("cloud-init did not finish%s: did a command stop or restart it?" % (
            " its stage " + stage if stage else ""))
    failed = [describe_error(str(error)) for error in result.get("errors") or []]
    for warning in find_warnings(system):
        if not FROM_DOCUMENT.match(warning) or HARMLESS.search(warning):
            line(warning)
        else:
            failed.append(warning.split(": ", 1)[1])
    failed = [text for text in dict.fromkeys(failed) if not re.match("scripts.vendor: ", text)]
    if failed:
        raise StepFailed("cloud-init could not do all that the document says: " + "; ".join(failed))
    line("no errors, datasource %s" % result.get("datasource"))


def describe_error(error):
    """An error of a module is the text of a pair: the module's name, with `-` in 22.4, and an exception."""
    pair = re.fullmatch(r"\('([\w-]+)', (.*)\)", error, re.DOTALL)
    return "%s: %s" % pair.groups() if pair else error


def find_warnings(system):
    """Returns the warnings of this boot, as `file: message`. Their traceback, if any, stays in the log."""
    lines = read_log(system, CLOUD_INIT_LOG)
    starts = [index for index, text in enumerate(lines) if LOG_START in text]
    found = filter(None, map(LOG_LINE.search, lines[starts[-1]:] if starts else lines))
    return list(dict.fromkeys("%s: %s" % match.groups() for match in found))


def read_state(system, path):
    try:
        with open(system.path(path)) as file:
            return json.load(file)["v1"]
    except (OSError, ValueError, KeyError):
        return None


def read_log(system, path):
    try:
        with open(system.path(path), errors="replace") as file:
            return file.read().splitlines()
    except OSError:
        return []
