"""The command line. A command is a module with an `add_NAME` function, listed in COMMANDS."""

import argparse
import os
import sys

from backup import add_backup
from credentials import add_secrets
from database import add_database
from firewall import add_firewall
from join import add_join
from machine import ROOT, Failure
from status import add_status
from tls import add_tls
from upgrade import add_upgrade

COMMANDS = (
    add_status,
    add_secrets,
    add_firewall,
    add_tls,
    add_backup,
    add_upgrade,
    add_join,
    add_database,
)
EPILOG = """exit status: 0 success; 1 a check or the command failed; 2 usage; 3 needs root;
4 refused, because data would be lost; 5 another nakama-setup is running"""


def main():
    parser = argparse.ArgumentParser(prog="nakama-setup", description="Manage Nakama and its database on this machine.", epilog=EPILOG,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name, function, text):
        command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        command.set_defaults(function=function)
        return command

    for register in COMMANDS:
        register(add)
    if not ROOT:
        os.environ["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    options = parser.parse_args()
    try:
        return options.function(options)
    except (Failure, OSError) as failure:
        # An OSError is mostly a full disk or a missing file.
        print("nakama-setup: %s" % failure, file=sys.stderr)
        return getattr(failure, "status", 1)
    except KeyboardInterrupt:
        return 130
