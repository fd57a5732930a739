"""Keeps the status channel's port open while scripts enable and change firewalls. Nothing of it is saved in the image.

Covered: iptables and what stands on it (ufw), nftables' own input chains, firewalld. To add one, extend `ensure` and `remove`.
"""
import json
import os
import threading
import time

COMMENT = "mkimg-bake"
PERIOD = 5
# On a slow machine a look takes a second, all of it taken from the steps: then it is made less often.
SHARE = 10
LONGEST = 20
# Where distributions save the rules that are in force: a script that saves them would save ours too.
SAVED = ["/etc/iptables/rules.v4", "/etc/iptables/rules.v6", "/etc/sysconfig/iptables", "/etc/sysconfig/ip6tables",
         "/etc/nftables.conf", "/etc/sysconfig/nftables.conf"]


class Firewall(threading.Thread):
    def __init__(self, system, port, log):
        threading.Thread.__init__(self, name="firewall", daemon=True)
        self.system = system
        self.port = str(port)
        self.log = log
        self.lock = threading.Lock()
        self.ended = threading.Event()
        self.looked = None
        self.took = 0

    def run(self):
        while not self.ended.wait(self.pause()):
            self.ensure()

    def pause(self):
        """Seconds from one look to the next."""
        return min(max(PERIOD, (SHARE - 1) * self.took), LONGEST)

    def before_step(self):
        """A look, unless there was one just now."""
        if self.looked is None or time.monotonic() - self.looked >= PERIOD:
            self.ensure()

    def ensure(self):
        with self.lock:
            if self.ended.is_set():
                return
            began = time.monotonic()
            self._ensure()
            self.looked = time.monotonic()
            self.took = self.looked - began

    def _ensure(self):
        for command in ("iptables", "ip6tables"):
            if self.system.which(command) and self._iptables(command, "-C"):
                status = self._iptables(command, "-I")
                self.log.line("mkimg", "%s: port %s %s" % (command, self.port, "stays open" if not status else
                                                           "could not be opened, status %d" % status))
        for chain in self._chains():
            if not any(chain["name"] == rule["chain"] for rule in self._rules(chain)):
                self.system.quiet(["nft", "insert", "rule", chain["family"], chain["table"], chain["name"],
                                   "tcp", "dport", self.port, "accept", "comment", '"%s"' % COMMENT])
        if self._firewalld():
            self.system.quiet(["firewall-cmd", "-q", "--add-port=%s/tcp" % self.port])

    def remove(self):
        with self.lock:
            self.ended.set()
            for command in ("iptables", "ip6tables"):
                while self.system.which(command) and not self._iptables(command, "-D"):
                    pass
            for chain in self._chains():
                for rule in self._rules(chain):
                    self.system.quiet(["nft", "delete", "rule", chain["family"], chain["table"], rule["chain"],
                                       "handle", str(rule["handle"])])
            if self._firewalld():
                self.system.quiet(["firewall-cmd", "-q", "--remove-port=%s/tcp" % self.port])

    def forget_saved(self):
        """Takes our rule out of the rules that a script has saved."""
        for path in SAVED:
            try:
                with open(self.system.path(path), "rb") as file:
                    data = file.read()
            except OSError:
                continue
            if COMMENT.encode() in data:
                kept = b"".join(line for line in data.splitlines(True) if COMMENT.encode() not in line)
                state = os.stat(self.system.path(path))
                self.system.write(path, kept, state.st_mode & 0o7777, "%d:%d" % (state.st_uid, state.st_gid))

    def _iptables(self, command, action):
        return self.system.quiet([command, "-w", "5", action, "INPUT", "-p", "tcp", "--dport", self.port,
                                  "-m", "comment", "--comment", COMMENT, "-j", "ACCEPT"])[0]

    def _chains(self):
        """nftables' input chains, but for those that iptables looks after."""
        through_iptables = bool(self.system.which("iptables"))
        return [chain for chain in self._nft("chain", ["list", "chains"])
                if chain.get("hook") == "input" and chain.get("type") == "filter" and chain["table"] != "firewalld"
                and not (through_iptables and chain["table"] == "filter" and chain["family"] in ("ip", "ip6"))]

    def _rules(self, chain):
        rules = self._nft("rule", ["list", "table", chain["family"], chain["table"]])
        return [rule for rule in rules if rule.get("comment") == COMMENT and rule["chain"] == chain["name"]]

    def _nft(self, kind, command):
        if not self.system.which("nft"):
            return []
        status, output = self.system.quiet(["nft", "-j"] + command)
        try:
            found = json.loads(output)["nftables"] if status == 0 else []
        except (ValueError, KeyError):
            return []
        return [entry[kind] for entry in found if kind in entry]

    def _firewalld(self):
        return bool(self.system.which("firewall-cmd")) and self.system.quiet(["firewall-cmd", "-q", "--state"])[0] == 0
