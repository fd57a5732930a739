#!/bin/sh
# The folders that the services need, and proof that their users are as they should be.
set -eu

for user in cockroach nakama; do
    entry=$(getent passwd "${user}") || { echo "no user ${user}: the template's users are made before this script" >&2; exit 1; }
    number=$(echo "${entry}" | cut -d: -f3)
    if [ "${number}" -ge 1000 ]; then
        echo "${user} has the number ${number}: a system user is below 1000" >&2
        exit 1
    fi
    usermod --shell /usr/sbin/nologin "${user}"
    # Neither a password nor an empty one: `*` is what the marketplace's check accepts.
    usermod --password '*' "${user}"
done

install -d -o root -g root -m 0755 /etc/cockroach /etc/nakama
install -d -o cockroach -g cockroach -m 0700 /var/lib/cockroach
install -d -o nakama -g nakama -m 0750 /var/lib/nakama /var/lib/nakama/modules
sysctl --quiet --load=/etc/sysctl.d/60-nakama.conf || echo "sysctl: some settings wait for the next boot"
