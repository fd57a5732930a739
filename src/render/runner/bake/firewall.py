"""Keeps the status channel's port open while scripts change the firewall. The rule is not saved in the image.

Supports iptables (and so ufw), nftables input chains and firewalld. To add a firewall, extend `_open_port` and
`close_port`.
"""
import json
import os
import threading
import time

RULE_COMMENT = "mkimg-bake"
CHECK_SECONDS = 5
# A check can take a second on a slow machine and delays the steps: pause nine times as long as it took.
PAUSE_FACTOR = 9
MAX_CHECK_SECONDS = 20
# Where distributions save the active rules: a script that saves them saves ours too.
SAVED_RULES = ["/etc/iptables/rules.v4", "/etc/iptables/rules.v6", "/etc/sysconfig/iptables", "/etc/sysconfig/ip6tables",
               "/etc/nftables.conf", "/etc/sysconfig/nftables.conf"]


class Firewall(threading.Thread):
    def __init__(self, system, port, log):
        threading.Thread.__init__(self, name="firewall", daemon=True)
        self.system = system
        self.port = str(port)
        self.log = log
        self.lock = threading.Lock()
        self.stopped = threading.Event()
        self.checked_at = None
        self.check_took = 0

    def run(self):
        while not self.stopped.wait(self.pause_seconds()):
            self.open_port()

    def pause_seconds(self):
        return min(max(CHECK_SECONDS, PAUSE_FACTOR * self.check_took), MAX_CHECK_SECONDS)

    def check_port(self):
        """Opens the port again if it was closed, unless that was checked just now."""
        if self.checked_at is None or time.monotonic() - self.checked_at >= CHECK_SECONDS:
            self.open_port()

    def open_port(self):
        with self.lock:
            if self.stopped.is_set():
                return
            began = time.monotonic()
            self._open_port()
            self.checked_at = time.monotonic()
            self.check_took = self.checked_at - began

    def _open_port(self):
        for command in ("iptables", "ip6tables"):
            if self.system.which(command) and self._iptables(command, "-C"):
                status = self._iptables(command, "-I")
                self.log.line("mkimg", "%s: port %s %s" % (command, self.port, "stays open" if not status else
                                                           "could not be opened, status %d" % status))
        for chain in self._input_chains():
            if not any(chain["name"] == rule["chain"] for rule in self._own_rules(chain)):
                self.system.capture(["nft", "insert", "rule", chain["family"], chain["table"], chain["name"],
                                   "tcp", "dport", self.port, "accept", "comment", '"%s"' % RULE_COMMENT])
        if self._has_firewalld():
            self.system.capture(["firewall-cmd", "-q", "--add-port=%s/tcp" % self.port])

    def close_port(self):
        with self.lock:
            self.stopped.set()
            for command in ("iptables", "ip6tables"):
                while self.system.which(command) and not self._iptables(command, "-D"):
                    pass
            for chain in self._input_chains():
                for rule in self._own_rules(chain):
                    self.system.capture(["nft", "delete", "rule", chain["family"], chain["table"], rule["chain"],
                                       "handle", str(rule["handle"])])
            if self._has_firewalld():
                self.system.capture(["firewall-cmd", "-q", "--remove-port=%s/tcp" % self.port])

    def remove_saved_rules(self):
        """Removes our rule from rules that a script saved."""
        for path in SAVED_RULES:
            try:
                with open(self.system.path(path), "rb") as file:
                    data = file.read()
            except OSError:
                continue
            if RULE_COMMENT.encode() in data:
                kept = b"".join(line for line in data.splitlines(True) if RULE_COMMENT.encode() not in line)
                state = os.stat(self.system.path(path))
                self.system.write_file(path, kept, state.st_mode & 0o7777, "%d:%d" % (state.st_uid, state.st_gid))

    def _iptables(self, command, action):
        return self.system.capture([command, "-w", "5", action, "INPUT", "-p", "tcp", "--dport", self.port,
                                  "-m", "comment", "--comment", RULE_COMMENT, "-j", "ACCEPT"])[0]

    def _input_chains(self):
        """nftables input chains, except those that iptables or firewalld manages."""
        has_iptables = self.system.which("iptables")
        return [chain for chain in self._list_nft("chain", ["list", "chains"])
                if chain.get("hook") == "input" and chain.get("type") == "filter" and chain["table"] != "firewalld"
                and not (has_iptables and chain["table"] == "filter" and chain["family"] in ("ip", "ip6"))]

    def _own_rules(self, chain):
        rules = self._list_nft("rule", ["list", "table", chain["family"], chain["table"]])
        return [rule for rule in rules if rule.get("comment") == RULE_COMMENT and rule["chain"] == chain["name"]]

    def _list_nft(self, kind, command):
        if not self.system.which("nft"):
            return []
        status, output = self.system.capture(["nft", "-j"] + command)
        try:
            found = json.loads(output)["nftables"] if status == 0 else []
        except (ValueError, KeyError):
            return []
        return [entry[kind] for entry in found if kind in entry]

    def _has_firewalld(self):
        return bool(self.system.which("firewall-cmd")) and self.system.capture(["firewall-cmd", "-q", "--state"])[0] == 0
