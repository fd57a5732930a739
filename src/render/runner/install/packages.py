"""Upgrades and installs packages with apt. Another package manager needs the same steps."""
import functools

from progress import Step, StepFailed
from system import require_success


def package_steps(system, plan, pause):
    """The first step also updates apt's lists."""
    commands = []
    if plan["upgrade"]:
        commands.append(("upgrade", ["dist-upgrade"]))
    if plan["packages"]:
        commands.append(("packages", ["install", "--"] + plan["packages"]))
    limit = plan["time_limits"]["packages"]
    return [Step(name, functools.partial(apt_get, system, limit, arguments, () if number else (5, 10, None), pause))
            for number, (name, arguments) in enumerate(commands)]


def apt_get(system, limit, arguments, update_pauses, pause, line):
    if not system.which("apt-get"):
        raise StepFailed("packages need apt: choose a Debian or Ubuntu image, or install them in a script")
    for seconds in update_pauses:
        status = system.run(["apt-get", "update"], line, limit)
        if not status:
            break
        if not seconds:
            require_success(status, "apt-get update: ")
        pause(seconds)
    return require_success(system.run(["apt-get", "-y"] + arguments, line, limit), "apt-get %s: " % arguments[0])
