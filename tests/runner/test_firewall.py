from support import Case, Machine  # first: it sets up the module path

import json

from firewall import RULE_COMMENT, MAX_CHECK_SECONDS, CHECK_SECONDS, Firewall


class IptablesTest(Case):
    def setUp(self):
        Case.setUp(self)
        self.machine = Machine(self.root, ("iptables", "ip6tables"))
        self.present = {"iptables": 0, "ip6tables": 0}
        for command in self.present:
            self.machine.answers[command] = self.answer
        self.firewall = Firewall(self.machine, 8443, self.log)

    def answer(self, argv):
        command, action = argv[0], argv[3]
        self.assertEqual(argv[1:3], ["-w", "5"])
        self.assertEqual(argv[4:], ["INPUT", "-p", "tcp", "--dport", "8443", "-m", "comment", "--comment", RULE_COMMENT,
                                    "-j", "ACCEPT"])
        if action == "-I":
            self.present[command] += 1
        elif self.present[command] == 0:
            return 1, ""
        elif action == "-D":
            self.present[command] -= 1
        return 0, ""

    def test_the_rule_is_added_once_and_again_after_a_flush(self):
        self.firewall.open_port()
        self.firewall.open_port()
        self.assertEqual(self.present, {"iptables": 1, "ip6tables": 1})
        self.present["iptables"] = 0
        self.firewall.open_port()
        self.assertEqual(self.present, {"iptables": 1, "ip6tables": 1})

    def test_checks_take_at_most_a_tenth_of_the_time(self):
        self.assertEqual(self.firewall.pause_seconds(), CHECK_SECONDS)
        for check_took, pause_seconds in ((0.1, CHECK_SECONDS), (1.5, 13.5), (60, MAX_CHECK_SECONDS)):
            self.firewall.check_took = check_took
            self.assertEqual(self.firewall.pause_seconds(), pause_seconds)

    def test_a_step_right_after_a_check_needs_no_other(self):
        self.firewall.check_port()
        self.present["iptables"] = 0
        self.firewall.check_port()
        self.assertEqual(self.present["iptables"], 0)
        self.firewall.checked_at -= CHECK_SECONDS
        self.firewall.check_port()
        self.assertEqual(self.present["iptables"], 1)

    def test_all_copies_are_removed_at_the_end_and_stay_removed(self):
        self.present = {"iptables": 2, "ip6tables": 1}
        self.firewall.close_port()
        self.firewall.open_port()
        self.assertEqual(self.present, {"iptables": 0, "ip6tables": 0})

    def test_only_our_rule_is_removed_from_saved_rules(self):
        self.put("/etc/iptables/rules.v4", "*filter\n-A INPUT -p tcp -m comment --comment %s -j ACCEPT\n-A INPUT -j DROP\nCOMMIT\n"
                 % RULE_COMMENT, 0o640)
        self.put("/etc/nftables.conf", "flush ruleset\n")
        self.firewall.remove_saved_rules()
        self.assertEqual(self.read("/etc/iptables/rules.v4"), b"*filter\n-A INPUT -j DROP\nCOMMIT\n")
        self.assertEqual(self.read("/etc/nftables.conf"), b"flush ruleset\n")


class NftablesTest(Case):
    def test_each_input_chain_gets_the_rule_once(self):
        machine = Machine(self.root, ("nft",))
        rules = []
        chains = [{"family": "inet", "table": "filter", "name": "input", "type": "filter", "hook": "input"},
                  {"family": "inet", "table": "filter", "name": "forward", "type": "filter", "hook": "forward"},
                  {"family": "inet", "table": "filter", "name": "other"}]

        def nft(argv):
            if argv[2:4] == ["list", "chains"]:
                return 0, json.dumps({"nftables": [{"metainfo": {}}] + [{"chain": chain} for chain in chains]})
            if argv[2:4] == ["list", "table"]:
                return 0, json.dumps({"nftables": [{"rule": rule} for rule in rules]})
            if argv[1] == "insert":
                self.assertEqual(argv[3:], ["inet", "filter", "input", "tcp", "dport", "8443", "accept",
                                            "comment", '"%s"' % RULE_COMMENT])
                rules.append({"chain": "input", "handle": 5, "comment": RULE_COMMENT})
            if argv[1] == "delete":
                self.assertEqual(argv[3:], ["inet", "filter", "input", "handle", "5"])
                rules.clear()
            return 0, ""
        machine.answers["nft"] = nft
        firewall = Firewall(machine, 8443, self.log)
        firewall.open_port()
        firewall.open_port()
        self.assertEqual(len(rules), 1)
        firewall.close_port()
        self.assertEqual(rules, [])

    def test_unreadable_nft_output_is_ignored(self):
        machine = Machine(self.root, ("nft",))
        machine.answers["nft"] = (0, "not json")
        Firewall(machine, 8443, self.log).open_port()
        self.assertEqual(machine.asked, [["nft", "-j", "list", "chains"]])


class FirewalldTest(Case):
    def test_the_port_is_opened_for_this_boot_alone_and_closed(self):
        machine = Machine(self.root, ("firewall-cmd",))
        firewall = Firewall(machine, 8443, self.log)
        firewall.open_port()
        firewall.close_port()
        state = ["firewall-cmd", "-q", "--state"]
        self.assertEqual(machine.asked, [state, ["firewall-cmd", "-q", "--add-port=8443/tcp"],
                                         state, ["firewall-cmd", "-q", "--remove-port=8443/tcp"]])

    def test_a_firewalld_that_is_not_running_is_left_alone(self):
        machine = Machine(self.root, ("firewall-cmd",))
        machine.answers["firewall-cmd"] = (252, "not running")
        firewall = Firewall(machine, 8443, self.log)
        firewall.open_port()
        firewall.close_port()
        self.assertEqual(machine.asked, [["firewall-cmd", "-q", "--state"]] * 2)

    def test_chains_of_iptables_and_firewalld_get_no_rule(self):
        machine = Machine(self.root, ("nft", "iptables"))
        chain = {"name": "input", "type": "filter", "hook": "input"}
        chains = [dict(chain, family="ip", table="filter"), dict(chain, family="ip6", table="filter"),
                  dict(chain, family="inet", table="firewalld"), dict(chain, family="inet", table="filter"),
                  dict(chain, family="ip", table="own"), dict(chain, family="ip", table="nat", type="nat")]
        machine.answers["nft"] = lambda argv: (0, json.dumps({"nftables": [{"chain": chain} for chain in chains]}))
        Firewall(machine, 8443, self.log).open_port()
        self.assertEqual([argv[3:5] for argv in machine.asked if argv[1] == "insert"], [["inet", "filter"], ["ip", "own"]])
