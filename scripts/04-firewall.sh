#!/bin/sh
# The firewall: SSH with a limit on attempts, Nakama's API, nothing else. `nakama-setup console open` and
# `nakama-setup grpc open` open the other two. The cluster's and the database's ports are on loopback anyway.
#
# Each `ufw` starts a Python, two seconds in an emulated machine: what a fresh ufw is already is only looked at.
set -eu

defaults=/etc/default/ufw
if grep -qs '^### tuple ###' /etc/ufw/user.rules /etc/ufw/user6.rules; then
    ufw --force reset >/dev/null
    # `reset` keeps copies of the rules that it replaced.
    rm -f /etc/ufw/*.rules.20[0-9][0-9][0-9][0-9]*
fi
grep -qx 'DEFAULT_INPUT_POLICY="DROP"' "${defaults}" || ufw default deny incoming
grep -qx 'DEFAULT_OUTPUT_POLICY="ACCEPT"' "${defaults}" || ufw default allow outgoing
# Read by `ufw enable`, which writes the rules for it.
sed -i 's/^LOGLEVEL=.*/LOGLEVEL=off/' /etc/ufw/ufw.conf
ufw limit 22/tcp
ufw allow Nakama
ufw --force enable
status=$(ufw status verbose)
echo "${status}"
for line in 'Status: active' 'Logging: off' 'Default: deny (incoming), allow (outgoing), .*'; do
    echo "${status}" | grep -qx "${line}" || { echo "ufw does not say \"${line}\"" >&2; exit 1; }
done
