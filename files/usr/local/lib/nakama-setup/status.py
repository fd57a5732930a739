"""`status`: checks the machine and prints one line per check, or one JSON object.

To add a check, write a function that returns (ok, text) and add it to CHECKS. `ok` is None for information only.
"""

import base64
import json
import os
import shutil
import time
import urllib.parse
import urllib.request

from backup import list_archives, archive_folder
from database import check_managed
from join import cluster_checks
from machine import CERTS, DATABASE, HEALTH, INSTANCE, ROOT, Failure, HttpFailure, instance_settings, is_healthy, open_url, path, run, say, unit_state, uses_managed_database
from tls import certificate_end

LOGIN, LOGIN_SECONDS = "/v2/account/authenticate/device?create=false", 10


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
    if uses_managed_database():
        return check_managed() if os.access(path(INSTANCE), os.R_OK) else (None, "run as root to check")
    if not os.access(path(CERTS + "/client.root.key"), os.R_OK):
        return None, "run as root to check"
    failed, output = run("cockroach", "sql", "--certs-dir=" + path(CERTS), "--host=" + DATABASE, "--format=tsv",
                         "--execute=SHOW DATABASES", check=False, seconds=30)
    lines = output.splitlines()
    ok = not failed and any(line.split("\t")[0] == "nakama" for line in lines)
    return ok, "reachable" if ok else (lines or ["no answer"])[-1 if failed else 0]


def check_login():
    """Lets Nakama query its database, which its health check does not do (server/api.go): a login that creates no account."""
    if os.geteuid() and not ROOT:
        return None, "run as root to check"
    if not os.path.exists(path(INSTANCE)):
        return None, "not checked: the first boot is not over"
    key = instance_settings().get("socket.server_key", "")
    headers = {"authorization": "Basic " + base64.b64encode((key + ":").encode()).decode(), "content-type": "application/json"}
    # No player has this device, so the answer is 404.
    device = json.dumps({"id": "nakama-setup-status-" + os.urandom(16).hex()}).encode()
    try:
        with open_url(urllib.request.Request(urllib.parse.urljoin(HEALTH, LOGIN), device, headers, method="POST"), LOGIN_SECONDS):
            return True, "Nakama reaches its database"
    except HttpFailure as failure:
        if failure.code == 404:
            return True, "Nakama reaches its database"
        text = str(failure).split(": ", 1)[1]
        return (False, "Nakama does not reach its database: " + text) if failure.code == 500 else (None, "not known: " + text)
    except Failure as failure:
        return (False, str(failure)) if is_healthy() else (None, "not checked: the API does not answer")


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
          ("database", check_database), ("login", check_login), ("disk", check_disk), ("backup", check_backup), ("certificate", check_certificate))


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
