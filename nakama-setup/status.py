"""`status`: is everything as it should be? One line for each thing, or one JSON object.

To add a thing, write a function that gives (ok, text), and its line in CHECKS. `ok` is None for what is only worth knowing.
"""

import json
import os
import shutil
import time

from backup import backups, own_folder
from join import cluster_checks
from machine import CERTS, DATABASE, INSTANCE, ROOT, Failure, active, healthy, managed, path, run, say
from tls import certificate_end


def check_first_boot():
    over = os.path.exists(path(INSTANCE))
    return over, "over" if over else "not over: journalctl -u cloud-final"


def check_unit(name):
    state = active(name + ".service")
    return state == "active", state


def check_cockroachdb():
    return (None, "not used: a managed database is") if managed() else check_unit("cockroachdb")


def check_nakama():
    return check_unit("nakama")


def check_api():
    ok = healthy()
    return ok, "healthy, port 7350" if ok else "no answer on port 7350"


def check_database():
    # Nakama's health check does not ask its database (server/api.go).
    if managed():
        return None, "a managed one, not asked: journalctl -u nakama"
    if not os.access(path(CERTS + "/client.root.key"), os.R_OK):
        return None, "root asks it"
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
        return None, "root sees it"
    found = backups(own_folder())
    if not found:
        return None, "none yet: nakama-setup backup"
    newest = os.path.getmtime(os.path.join(own_folder(), found[-1]))
    hours = (time.time() - newest) / 3600
    # One night may be missed, by a machine that was off; not two.
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


def outcome(check):
    try:
        return check()
    except Failure as failure:
        return False, str(failure).split("\n")[0]


def status(options):
    found = [(name,) + outcome(check) for name, check in CHECKS + cluster_checks()]
    well = all(ok is not False for _, ok, _ in found)
    if options.json:
        say(json.dumps({"well": well, "checks": [{"name": name, "ok": ok, "text": text} for name, ok, text in found]}))
    else:
        for name, ok, text in found:
            say("%-12s %s%s" % (name, "NOT WELL: " if ok is False else "", text))
    return 0 if well else 1


def add_status(add):
    command = add("status", status, "are the services well? Exit status 1 when one is not")
    command.add_argument("--json", action="store_true", help="one JSON object: well, checks (name, ok, text)")
