"""`join`: makes this machine a node of a cluster, with one database on several machines and a Nakama on each.

The machines share a token: the cluster's CA and its key, in base64. Nakama's secrets must be the same on all nodes. They
are derived from the key, or are part of the token (`--token`, for a machine that has players already).
/etc/nakama/cluster.conf holds the settings (`token=`, `join=`, `expect=`, `address=`), and the token until the join is
done, so an interrupted join can be run again. Drop-ins turn the database's unit into that of a node. The first node of
the list initializes the cluster from its unit, once its database runs (`--wait`).
"""

import base64
import hashlib
import hmac
import ipaddress
import json
import os
import re
import shutil
import socket
import tempfile
import time

from backup import STORE
from machine import CERTS, DATABASE, INSTANCE, POLL_SECONDS, REFUSED, ROOT, Failure, exclusive_lock, uses_managed_database, path, read, run, say, instance_settings, write

CLUSTER = "/etc/nakama/cluster.conf"
PKI = os.path.dirname(CERTS)
UNITS = "/etc/systemd/system/"
PORT = ":26257"
# Nakama's defaults for these are insecure, see docs/image.md.
KEYS = ("console.username", "console.password", "console.signing_key", "socket.server_key", "session.encryption_key",
        "session.refresh_encryption_key", "runtime.http_key", "mfa.storage_encryption_key")
# What a secret in a token may consist of: nothing that means something in the YAML file.
SECRET = r"[!#-\[\]-~]+"
PEM = r"-----BEGIN %s-----\n[A-Za-z0-9+/=\n]+-----END %s-----\n"
TOKEN = "((?:%s)+)(%s)((?:.+=%s\n)*)" % (PEM % ("CERTIFICATE", "CERTIFICATE"), PEM % ("((?:[A-Z]+ )?PRIVATE KEY)", r"\3"), SECRET)


def cluster_settings():
    """Reads cluster.conf. Messages never contain values, because one of them is the token."""
    text = re.sub(r"^#.*|[ \t\r]", "", read(CLUSTER), flags=re.M)
    found = dict(re.findall(r"^(token|join|expect|address|joined)=(.*)$", text, re.M))
    if len(text.split()) != len(found) or not re.fullmatch("[0-9]+", found.get("expect", "1")):
        raise Failure(CLUSTER + " may contain token=, join=, expect=NUMBER and address=, one per line and each once", 2)
    return found


def write_cluster_settings(conf):
    write(CLUSTER, "".join("%s=%s\n" % pair for pair in sorted(conf.items())), 0o600)


def parse_token(text):
    """Returns the CA's certificate, its key and Nakama's eight secrets."""
    try:
        plain = base64.b64decode("".join(text.split()), validate=True).decode("ascii")
        certificate, key, _, lines = re.fullmatch(TOKEN, plain).groups()
        secrets = dict(line.split("=", 1) for line in lines.splitlines())
        if len(secrets) != lines.count("\n") or not secrets.keys() <= set(KEYS):
            raise ValueError
    except (ValueError, AttributeError):
        raise Failure("the token is incomplete or wrong: nakama-setup join --new-token prints one, on one line", 2) from None
    for name in KEYS:
        derived = hmac.new(key.encode(), name.encode(), hashlib.sha256).digest()
        secrets.setdefault(name, "operator" + derived.hex()[:8] if name == "console.username" else base64.urlsafe_b64encode(derived[:24]).decode())
    return certificate, key, secrets


def make_new_token():
    with tempfile.TemporaryDirectory() as folder:
        run("cockroach", "cert", "create-ca", "--certs-dir=" + folder, "--ca-key=" + folder + "/ca.key")
        with open(folder + "/ca.crt", "rb") as certificate, open(folder + "/ca.key", "rb") as key:
            return base64.b64encode(certificate.read() + key.read()).decode()


def make_own_token():
    """A token of this machine's CA and secrets, for another node or a cluster that takes over the players."""
    values = instance_settings()
    if uses_managed_database():
        raise Failure("this machine has no CA, because it uses a managed database")
    wrong = [name for name in KEYS if not re.fullmatch(SECRET, values.get(name, ""))]
    if wrong:
        raise Failure("%s: a token takes only printable ASCII without spaces, quotes and backslashes from %s" % (", ".join(wrong), INSTANCE))
    # The database's user could replace its own copy of the certificate.
    parts = [read(PKI + "/nakama/ca.crt"), read(PKI + "/ca/ca.key"), *("%s=%s\n" % (name, values[name]) for name in KEYS)]
    return base64.b64encode("".join(parts).encode()).decode()


def find_own_address(names, or_private):
    """Returns (name, (interface, address)): of the first name that resolves to this machine, or of eth1, the private network."""
    cards = {one["local"]: (card["ifname"], "%s/%d" % (one["local"], one["prefixlen"]))
             for card in json.loads(run("ip", "-json", "-4", "address")[1]) for one in card.get("addr_info", ())}
    for name in names:
        try:
            for address in set(socket.gethostbyname_ex(name)[2]) & set(cards):
                return name, cards[address]
        except OSError:
            continue
    for address, card in cards.items():
        if or_private and card[0] == "eth1":
            return address, card
    raise Failure("%s: not this machine, which has %s: use --address" % (", ".join(names), ", ".join(sorted(cards))))


def create_node_certificates(certificate, key, names):
    new = PKI + ".new"
    shutil.rmtree(path(new), ignore_errors=True)
    for part, mode in (("", 0o755), ("/ca", 0o700), ("/node", 0o700), ("/nakama", 0o750)):
        os.makedirs(path(new + part))
        os.chmod(path(new + part), mode)
    write(new + "/ca/ca.key", key, 0o600)
    for part, what in (("node", ["node", *names, "localhost", "127.0.0.1", "::1"]), ("node", ["client", "root"]), ("nakama", ["client", "nakama"])):
        write("%s/%s/ca.crt" % (new, part), certificate)
        run("cockroach", "cert", "create-" + what[0], *what[1:], "--certs-dir=" + path(new + "/" + part), "--ca-key=" + path(new + "/ca/ca.key"))
    run("chmod", "-R", "u=rwX,g=rX,o=", path(new + "/nakama"))
    if not ROOT:
        run("chown", "-R", "cockroach:cockroach", path(new + "/node"))
        run("chown", "-R", "root:nakama", path(new + "/nakama"))
    os.sync()
    if read(PKI + "/nakama/ca.crt") == certificate:
        shutil.rmtree(path(PKI))
    move_aside(PKI)
    os.rename(path(new), path(PKI))


def move_aside(name):
    """Renames with a time stamp instead of deleting, because it may be the only copy."""
    if os.path.exists(path(name)):
        os.rename(path(name), path("%s.before-%s" % (name, time.strftime("%Y%m%dt%H%M%Sz", time.gmtime()))))


def write_instance_file(secrets, address):
    """Writes what the first boot writes, with a name unique to the node. Nakama allows 16 characters."""
    text, section = 'name: "nakama-%08x"\n' % int(address), ""
    for key in KEYS:
        if key.split(".")[0] != section:
            section = key.split(".")[0]
            text += section + ":\n"
        text += '  %s: "%s"\n' % (key.split(".")[1], secrets[key])
    certs = PKI + "/nakama"
    text += 'database:\n  address:\n    - "nakama@localhost:26257/nakama?sslmode=verify-full&sslrootcert=%s/ca.crt&sslcert=%s/client.nakama.crt&sslkey=%s/client.nakama.key"\n' % (
        certs, certs, certs)
    if read(INSTANCE) != text:
        move_aside(INSTANCE)
        write(INSTANCE, text, 0o640)
    if not ROOT:
        run("chown", "root:nakama", INSTANCE)


def write_unit_dropins(name, network, peers):
    unit = re.findall(r"^(ExecStart|ExecStartPost)=(.*)$", read(UNITS + "cockroachdb.service"), re.M)
    command = next(value for key, value in unit if key == "ExecStart")
    command = re.sub(r"--listen-addr=\S+", "--listen-addr=" + PORT + " --advertise-addr=" + name + PORT + " --join=" + ",".join(peers),
                     command.replace(" start-single-node ", " start "))
    text = "[Service]\nExecStart=\nExecStart=%s\nExecStartPost=\nExecStartPost=/usr/local/sbin/nakama-setup join --wait %s %s\n" % (
        command, name, " ".join(peers))
    # SQL needs a running cluster: the unit becomes ready with the cluster, however long the other nodes take.
    text += "".join("ExecStartPost=%s\n" % value for key, value in unit if key == "ExecStartPost")
    write(UNITS + "cockroachdb.service.d/cluster.conf", text + "TimeoutStartSec=infinity\nIPAddressAllow=%s\n" % network)
    # User-data may contain the token, and any process can read it from the metadata service.
    write(UNITS + "nakama.service.d/cluster.conf", "[Service]\nIPAddressDeny=169.254.169.254\n")


def join(options):
    if options.new_token or options.token:
        say(make_new_token() if options.new_token else make_own_token())
        return 0
    if options.wait:
        return wait_for_cluster(*options.addresses)
    with exclusive_lock(600):
        conf = cluster_settings()
        if options.first_boot and conf.get("joined") and not conf.get("token"):
            return 0
        if options.token_file:
            try:
                with open(0 if options.token_file == "-" else options.token_file, encoding="utf-8", errors="replace") as file:
                    conf["token"] = "".join(file.read().split())
            except OSError as error:
                raise Failure(str(error), 2) from None
        conf.update((name, value) for name, value in (("join", ",".join(options.addresses)), ("address", options.address), ("expect", str(options.expect or ""))) if value)
        return join_as(conf, options)


def join_as(conf, options):
    peers = conf.get("join", "").split(",")
    if peers == [""] and options.first_boot:
        write_cluster_settings(conf)
        say("no addresses yet: run nakama-setup join ADDRESS …")
        return 0
    for name in peers + [conf.get("address") or "self"]:
        if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", name):
            raise Failure("join needs the nodes' private IPv4 addresses or names, without ports, or self", 2)
    if not conf.get("token"):
        if not conf.get("joined"):
            raise Failure("a token is needed: token= in %s, or --token-file" % CLUSTER, 2)
        conf["token"] = make_own_token()
    certificate, key, secrets = parse_token(conf["token"])
    own = conf.get("address")
    name, (card, address) = find_own_address([own] if own else [peer for peer in peers if peer != "self"], not own)
    address = ipaddress.ip_interface(address)
    if address.ip.is_global:
        raise Failure("%s is a public address: nodes may only use a private network" % name)
    peers = [name if peer == "self" else peer for peer in peers]
    own_data = conf.get("joined") and read(PKI + "/nakama/ca.crt") == certificate
    other_data = not own_data and os.path.isdir(path(STORE)) and os.listdir(path(STORE))
    if other_data and not options.yes:
        raise Failure("this machine already has a database; --yes renames it to %s.before-…" % STORE, REFUSED)
    write_cluster_settings(conf)
    if not options.first_boot:
        run("systemctl", "stop", "nakama.service", "cockroachdb.service")
    if other_data:
        move_aside(STORE)
    create_node_certificates(certificate, key, sorted({name, str(address.ip)}))
    write_instance_file(secrets, address.ip)
    write_unit_dropins(name, address.network, peers)
    run("ufw", "allow", "in", "on", card, "from", str(address.network), "to", "any", "port", PORT[1:], "proto", "tcp")
    del conf["token"]
    os.sync()
    write_cluster_settings(dict(conf, joined=name))
    run("systemctl", "daemon-reload")
    if not options.first_boot:
        run("systemctl", "enable", "--quiet", "cockroachdb.service", "nakama.service")
        run("systemctl", "start", "--no-block", "cockroachdb.service", "nakama.service")
    say("joined the cluster %s as %s: see nakama-setup status" % (", ".join(peers), name))
    return 0


def answers(*words):
    try:
        return not run("cockroach", *words, "--certs-dir=" + path(CERTS), check=False, seconds=40)[0]
    except Failure:
        return False


def wait_for_cluster(name, first, *others):
    """Run by the unit as the database's user: initializes the cluster on its first node, and waits until it runs."""
    while not answers("sql", "--host=" + DATABASE, "--execute=SELECT 1"):
        # A replaced first node must not start a second cluster if the others have one.
        if name == first and not any(answers("sql", "--host=" + other + PORT, "--execute=SELECT 1") for other in others if other != name):
            answers("init", "--host=" + name + PORT)
        time.sleep(POLL_SECONDS)
    say("the cluster is running")
    return 0


def check_cluster():
    if not os.access(path(CLUSTER), os.R_OK):
        return None, "run as root to check"
    conf = cluster_settings()
    if not conf.get("joined"):
        return False, "not joined yet: run nakama-setup join ADDRESS …"
    failed, output = run("cockroach", "node", "status", "--certs-dir=" + path(CERTS), "--host=" + DATABASE, "--format=tsv", check=False, seconds=30)
    if failed:
        return False, (output.splitlines() or ["no answer"])[0]
    head, *rows = [line.split("\t") for line in output.splitlines() if "\t" in line]
    live = sum(row[head.index("is_live")] == "true" for row in rows)
    wanted = max(len(rows), int(conf.get("expect") or conf.get("join", "").count(",") + 1))
    return live >= wanted, "%d of %d nodes live" % (live, wanted)


def cluster_checks():
    return (("cluster", check_cluster),) if os.path.exists(path(CLUSTER)) else ()


def add_join(add):
    command = add("join", join, "make this machine a node of a cluster")
    command.add_argument("addresses", nargs="*", metavar="ADDRESS", help="the nodes' private addresses, in the same order everywhere; the first one initializes the cluster")
    command.add_argument("--token-file", metavar="FILE", help="read the cluster's token from FILE (- for standard input)")
    command.add_argument("--address", help="this machine's private address, if it is neither in the list nor that of eth1")
    command.add_argument("--expect", metavar="N", type=int, help="`status` fails with fewer live nodes than N")
    command.add_argument("--yes", action="store_true", help="keep this machine's database under another name")
    command.add_argument("--new-token", action="store_true", help="print a token for a new cluster; keep it secret")
    command.add_argument("--token", action="store_true", help="print this machine's token, with its secrets")
    for name in ("--first-boot", "--wait"):
        command.add_argument(name, action="store_true", help="used by units")
