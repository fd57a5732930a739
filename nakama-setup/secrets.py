"""`secrets`: the console's login and the keys that games need. For root's eyes, on a terminal or in a pipe; never logged."""

from machine import Failure, say, settings

SHOWN = ("console.username", "console.password", "socket.server_key", "runtime.http_key")


def secrets(options):
    values = {name: value for name, value in settings().items() if not name.startswith("database.")}
    if options.name:
        if options.name not in values:
            raise Failure("no secret %s: there are %s" % (options.name, ", ".join(sorted(values))), 2)
        say(values[options.name])
        return 0
    for name in sorted(values) if options.all else [name for name in SHOWN if name in values]:
        say("%-32s %s" % (name, values[name]))
    return 0


def add_secrets(add):
    command = add("secrets", secrets, "the console's login and the keys of the API")
    command.add_argument("name", nargs="?", help="print this one alone, such as socket.server_key")
    command.add_argument("--all", action="store_true", help="also the keys that nobody but Nakama needs")
