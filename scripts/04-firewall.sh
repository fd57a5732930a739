#!/bin/sh
# The firewall: SSH with a limit on attempts, Nakama's API, nothing else. `ufw allow "Nakama Console"` and
# `ufw allow "Nakama gRPC"` open the other two. The cluster's and the database's ports are on loopback anyway.
set -eu

ufw --force reset >/dev/null
# `reset` keeps copies of the rules that it replaced.
rm -f /etc/ufw/*.rules.20[0-9][0-9][0-9][0-9]*
ufw app update Nakama
ufw default deny incoming
ufw default allow outgoing
ufw limit 22/tcp
ufw allow Nakama
ufw logging off
ufw --force enable
ufw status | grep -qx 'Status: active'
ufw status verbose
