#!/bin/sh
# Checks the services' users and creates their folders.
set -eu

for user in cockroach nakama; do
    entry=$(getent passwd "${user}") || { echo "user ${user} is missing: the template must create it" >&2; exit 1; }
    number=$(echo "${entry}" | cut -d: -f3)
    if [ "${number}" -ge 1000 ]; then
        echo "${user} has uid ${number}: a system user must be below 1000" >&2
        exit 1
    fi
    usermod --shell /usr/sbin/nologin "${user}"
    # No password: `*` is the form that the marketplace's check accepts.
    usermod --password '*' "${user}"
done

install -d -o root -g root -m 0755 /etc/cockroach /etc/nakama
install -d -o cockroach -g cockroach -m 0700 /var/lib/cockroach
install -d -o nakama -g nakama -m 0750 /var/lib/nakama /var/lib/nakama/modules
sysctl --quiet --load=/etc/sysctl.d/60-nakama.conf || echo "sysctl: some settings apply at the next boot"
