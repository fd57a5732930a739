"""`secrets`: prints the console's login and the API keys, for root only. They are never logged."""

from machine import Failure, say, instance_settings

SHOWN = ("console.username", "console.password", "socket.server_key", "runtime.http_key")


def secrets(options):
    values = {name: value for name, value in instance_settings().items() if not name.startswith("database.")}
    if options.name:
        if options.name not in values:
            raise Failure("unknown secret %s: choose one of %s" % (options.name, ", ".join(sorted(values))), 2)
        say(values[options.name])
        return 0
    for name in sorted(values) if options.all else [name for name in SHOWN if name in values]:
        say("%-32s %s" % (name, values[name]))
    return 0


def add_secrets(add):
    command = add("secrets", secrets, "print the console's login and the API keys")
    command.add_argument("name", nargs="?", help="print only this one, such as socket.server_key")
    command.add_argument("--all", action="store_true", help="also print the keys that only Nakama needs")
