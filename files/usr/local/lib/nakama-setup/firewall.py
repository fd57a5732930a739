"""`console` and `grpc`: open and close ports. The ufw profiles are in /etc/ufw/applications.d/nakama."""

import re

from machine import exclusive_lock, run, say


def is_open(profile):
    return bool(re.search(r"^%s\s+(ALLOW|LIMIT)" % re.escape(profile), run("ufw", "status")[1], re.M))


def allow(profile):
    run("ufw", "allow", profile)


def deny(profile):
    if is_open(profile):
        run("ufw", "delete", "allow", profile)


def switch(profile, options):
    with exclusive_lock():
        if options.action == "open":
            allow(profile)
        elif options.action == "close":
            deny(profile)
        say("%s: %s" % (profile, "open" if is_open(profile) else "closed"))
    return 0


def add_firewall(add):
    for name, profile, what in (("console", "Nakama Console", "the console, port 7351"), ("grpc", "Nakama gRPC", "the gRPC API, port 7349")):
        command = add(name, lambda options, profile=profile: switch(profile, options), "open or close " + what)
        command.add_argument("action", choices=("open", "close", "status"))
