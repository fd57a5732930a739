#!/bin/sh
# Allows SSH, with a rate limit, and Nakama's API. `nakama-setup console open` and `nakama-setup grpc open` open those
# ports later. The database listens on loopback.
#
# Each `ufw` call takes two seconds in an emulated machine, so defaults are set only where they differ.
set -eu

defaults=/etc/default/ufw
if grep -qs '^### tuple ###' /etc/ufw/user.rules /etc/ufw/user6.rules; then
    ufw --force reset >/dev/null
    # `reset` leaves copies of the old rules.
    rm -f /etc/ufw/*.rules.20[0-9][0-9][0-9][0-9]*
fi
grep -qx 'DEFAULT_INPUT_POLICY="DROP"' "${defaults}" || ufw default deny incoming
grep -qx 'DEFAULT_OUTPUT_POLICY="ACCEPT"' "${defaults}" || ufw default allow outgoing
# `ufw enable` applies it.
sed -i 's/^LOGLEVEL=.*/LOGLEVEL=off/' /etc/ufw/ufw.conf
ufw limit 22/tcp
ufw allow Nakama
ufw --force enable
status=$(ufw status verbose)
echo "${status}"
for line in 'Status: active' 'Logging: off' 'Default: deny (incoming), allow (outgoing), .*'; do
    echo "${status}" | grep -qx "${line}" || { echo "ufw status lacks \"${line}\"" >&2; exit 1; }
done
