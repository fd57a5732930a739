from support import Case, Machine  # first: it sets up the module path

import os
import json
from types import SimpleNamespace
from unittest import mock

from firewall import RULE_COMMENT, Firewall
from seal import Seal

RULE = "-A INPUT -p tcp --dport 8443 -m comment --comment %s -j ACCEPT\n" % RULE_COMMENT
LOG_WRITERS = ["rsyslog.service", "syslog.socket", "syslog-ng.service", "systemd-random-seed.service",
           "systemd-update-utmp.service", "wtmpdb-update-boot.service"]


class SealTest(Case):
    def clean(self):
        self.put("/etc/machine-id", "0123456789abcdef0123456789abcdef\n", 0o644)
        Seal(self.machine).clean(self.lines.append)

    def assert_gone(self, *paths):
        self.assertEqual([path for path in paths if self.exists(path)], [])

    def test_the_commands_in_order(self):
        self.clean()
        self.assertEqual(self.machine.asked, [
            ["systemctl", "stop"] + LOG_WRITERS,
            ["systemctl", "restart", "systemd-journald.service"],
            ["cloud-init", "clean", "--logs", "--machine-id", "--seed"]])

    def test_an_older_cloud_init_gets_the_other_flags(self):
        self.machine.answers["cloud-init"] = lambda argv: (2 if "--machine-id" in argv else 0, "")
        self.clean()
        self.assertEqual(self.machine.asked[-1], ["cloud-init", "clean", "--logs", "--seed"])

    def test_journald_is_volatile_before_logs_are_emptied(self):
        def systemctl(argv):
            if argv[1] == "restart":
                self.assertEqual(self.read("/run/systemd/journald.conf.d/mkimg.conf"), b"[Journal]\nStorage=volatile\n")
                self.assertEqual(self.read("/var/log/syslog"), b"text")
            return 0, ""
        self.machine.answers["systemctl"] = systemctl
        self.put("/var/log/syslog", "text")
        self.clean()
        self.assertEqual(self.read("/var/log/syslog"), b"")

    def test_the_user_data_is_overwritten_before_cloud_init_is_cleaned(self):
        seen = []

        def cloud_init(argv):
            seen.append(self.read("/var/lib/cloud/instances/1/user-data.txt"))
            return 0, ""
        self.machine.answers["cloud-init"] = cloud_init
        self.put("/var/lib/cloud/instances/1/user-data.txt", "the secret")
        self.clean()
        self.assertEqual(seen, [b"\n" * 10])

    def test_the_machine_id_file_exists_and_is_empty(self):
        self.put("/var/lib/dbus/machine-id", "0123")
        self.clean()
        self.assertEqual(self.read("/etc/machine-id"), b"")
        self.assertEqual(os.stat(self.root + "/etc/machine-id").st_mode & 0o7777, 0o444)
        self.assert_gone("/var/lib/dbus/machine-id")

    def test_a_link_to_the_machine_id_stays(self):
        os.makedirs(self.root + "/var/lib/dbus")
        os.symlink(self.put("/elsewhere", "0123"), self.root + "/var/lib/dbus/machine-id")
        self.clean()
        self.assertTrue(self.exists("/var/lib/dbus/machine-id"))

    def test_traces_of_the_bake_are_removed(self):
        gone = ["/var/lib/mkimg/downloads/x", "/var/log/mkimg/log", "/var/lib/systemd/random-seed", "/run/mkimg/tls.pem"]
        kept = ["/run/mkimg/plan.json", "/var/lib/systemd/timers/x", "/var/lib/other"]
        for path in gone + kept:
            self.put(path, "x")
        self.clean()
        self.assert_gone("/var/lib/mkimg", "/var/log/mkimg", *gone)
        for path in kept:
            self.assertEqual(self.read(path), b"x", path)

    def test_only_cloud_inits_network_files_are_removed(self):
        gone = ["/etc/netplan/50-cloud-init.yaml", "/etc/systemd/network/10-cloud-init-eth0.network",
                "/etc/systemd/network/10-cloud-init-eth1.network", "/etc/network/interfaces.d/50-cloud-init",
                "/etc/network/interfaces.d/50-cloud-init.cfg", "/etc/udev/rules.d/70-persistent-net.rules",
                "/etc/NetworkManager/system-connections/cloud-init-eth0.nmconnection"]
        kept = ["/etc/netplan/60-own.yaml", "/etc/systemd/network/20-own.network", "/etc/network/interfaces.d/own",
                "/etc/network/interfaces", "/etc/udev/rules.d/70-own.rules", "/etc/systemd/network/10-cloud-init-eth0.link",
                "/etc/NetworkManager/system-connections/own.nmconnection"]
        for path in gone + kept:
            self.put(path, "x")
        self.clean()
        self.assert_gone(*gone)
        for path in kept:
            self.assertEqual(self.read(path), b"x", path)

    def test_rotated_logs_are_removed_and_others_emptied_in_place(self):
        gone = ["/var/log/" + name for name in ("a.gz", "a.1", "a.log.12", "a.xz", "a.old", "a-20260131", "deep/er/b.log.2.gz",
                                                "journal/0123/system.journal", "journal/0123/user-1000.journal")]
        emptied = ["/var/log/" + name for name in ("a", "a.log", "deep/er/b.log", "a-2026", "a-12345678.log", "older", "wtmp")]
        for path in gone + emptied:
            self.put(path, "x" * 100, 0o640)
        before = {path: os.stat(self.root + path).st_ino for path in emptied}
        self.put("/var/log/empty", "")
        self.clean()
        self.assert_gone("/var/log/journal/0123", *gone)
        self.assertTrue(self.exists("/var/log/journal"))
        for path in emptied:
            state = os.stat(self.root + path)
            self.assertEqual((state.st_size, state.st_mode & 0o7777, state.st_ino), (0, 0o640, before[path]), path)
        self.assertEqual(self.lines, ["16 log files emptied or removed"])

    def test_links_among_the_logs_are_not_followed(self):
        self.put("/elsewhere", "kept")
        os.makedirs(self.root + "/var/log")
        os.symlink(self.root + "/elsewhere", self.root + "/var/log/link.log")
        os.symlink(self.root + "/elsewhere", self.root + "/var/log/link.1")
        self.clean()
        self.assertEqual(self.read("/elsewhere"), b"kept")

    def test_the_bakes_rule_is_removed_from_all_saved_rules(self):
        paths = ["/etc/iptables/rules.v4", "/etc/iptables/rules.v6", "/etc/sysconfig/iptables", "/etc/sysconfig/ip6tables",
                 "/etc/nftables.conf", "/etc/sysconfig/nftables.conf"]
        for path in paths:
            self.put(path, "*filter\n" + RULE + "-A INPUT -j DROP\n", 0o640)
        self.clean()
        for path in paths:
            self.assertEqual(self.read(path), b"*filter\n-A INPUT -j DROP\n", path)
            self.assertEqual(os.stat(self.root + path).st_mode & 0o7777, 0o640)

    def test_saved_rules_keep_their_owner_and_others_are_not_rewritten(self):
        self.put("/etc/iptables/rules.v4", RULE)
        self.put("/etc/nftables.conf", "flush ruleset\n")
        state = SimpleNamespace(st_mode=0o100600, st_uid=12, st_gid=34)
        with mock.patch("firewall.os.stat", return_value=state), mock.patch.object(self.machine, "write_file") as write:
            Firewall(self.machine, 0, None).remove_saved_rules()
        write.assert_called_once_with("/etc/iptables/rules.v4", b"", 0o600, "12:34")

    def name(self, given, hostname, hosts=None):
        self.put("/run/cloud-init/instance-data.json", json.dumps({"v1": {"local_hostname": given}}))
        self.put("/etc/hostname", hostname)
        if hosts is not None:
            self.put("/etc/hosts", hosts)
        self.clean()

    def test_a_hosts_file_without_the_name_is_unchanged(self):
        self.name("build-1", "build-1.example.org\n", "127.0.0.1 localhost\n::1 ip6-localhost\n")
        self.assertEqual(self.read("/etc/hostname"), b"localhost\n")
        self.assertEqual(self.read("/etc/hosts"), b"127.0.0.1 localhost\n::1 ip6-localhost\n")

    def test_a_missing_hosts_file_stays_missing(self):
        self.name("build-1", "build-1\n")
        self.assertEqual(self.read("/etc/hostname"), b"localhost\n")
        self.assert_gone("/etc/hosts")

    def test_an_empty_machine_is_cleaned_without_errors(self):
        self.machine = Machine(self.root)
        self.clean()
        self.assertEqual(sorted(os.listdir(self.root + "/etc")), ["machine-id"])
