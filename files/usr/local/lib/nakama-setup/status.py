"""`status`: checks the machine and prints one line per check, or one JSON object.

To add a check, write a function that returns (ok, text) and add it to CHECKS. `ok` is None for information only.
"""

import json
import os
import shutil
import time

from backup import list_archives, archive_folder
from join import cluster_checks
from machine import CERTS, DATABASE, INSTANCE, ROOT, Failure, unit_state, is_healthy, uses_managed_database, path, run, say
from tls import certificate_end


def check_first_boot():
    over = os.path.exists(path(INSTANCE))
    return over, "over" if over else "not over: journalctl -u cloud-final"


def check_unit(name):
    state = unit_state(name + ".service")
    return state == "active", state


def check_cockroachdb():
    return (None, "not used: the database is managed") if uses_managed_database() else check_unit("cockroachdb")


def check_nakama():
    return check_unit("nakama")


def check_api():
    ok = is_healthy()
    return ok, "healthy, port 7350" if ok else "no answer on port 7350"


def check_database():
    # Nakama's health check does not query its database (server/api.go).
    if uses_managed_database():
        return None, "managed, not checked: journalctl -u nakama"
    if not os.access(path(CERTS + "/client.root.key"), os.R_OK):
        return None, "run as root to check"
    failed, output = run("cockroach", "sql", "--certs-dir=" + path(CERTS), "--host=" + DATABASE, "--format=tsv",
                         "--execute=SHOW DATABASES", check=False, seconds=30)
    lines = output.splitlines()
    ok = not failed and any(line.split("\t")[0] == "nakama" for line in lines)
    return ok, "reachable" if ok else (lines or ["no answer"])[-1 if failed else 0]


def check_disk():
    usage = shutil.disk_usage(path("/var/lib"))
    share = usage.used * 100 // usage.total
    return share < 90, "%d %% used, %.1f GB free" % (share, usage.free / 1e9)


def check_backup():
    if os.geteuid() and not ROOT:
        return None, "run as root to check"
    found = list_archives(archive_folder())
    if not found:
        return None, "none yet: run nakama-setup backup"
    newest = os.path.getmtime(os.path.join(archive_folder(), found[-1]))
    hours = (time.time() - newest) / 3600
    # Allows for one missed night, if the machine was off.
    return hours < 50, "%d hours ago" % hours


def check_certificate():
    name, left = certificate_end()
    if not name:
        return None, "none: the API is plain HTTP (nakama-setup tls DOMAIN)"
    if left is None:
        return None if os.geteuid() else False, name + ", not readable"
    return left > 7, "%s, %d days left" % (name, left)


CHECKS = (("first boot", check_first_boot), ("cockroachdb", check_cockroachdb), ("nakama", check_nakama), ("api", check_api),
          ("database", check_database), ("disk", check_disk), ("backup", check_backup), ("certificate", check_certificate))


def run_check(check):
    try:
        return check()
    except Failure as failure:
        return False, str(failure).split("\n")[0]


def status(options):
    found = [(name,) + run_check(check) for name, check in CHECKS + cluster_checks()]
    well = all(ok is not False for _, ok, _ in found)
    if options.json:
        say(json.dumps({"well": well, "checks": [{"name": name, "ok": ok, "text": text} for name, ok, text in found]}))
    else:
        for name, ok, text in found:
            say("%-12s %s%s" % (name, "NOT WELL: " if ok is False else "", text))
    return 0 if well else 1


def add_status(add):
    command = add("status", status, "check the services; exit status 1 if a check fails")
    command.add_argument("--json", action="store_true", help="one JSON object: well, checks (name, ok, text)")
