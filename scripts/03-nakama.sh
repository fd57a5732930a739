#!/bin/sh
# Nakama: the binary runs here and is the version that was asked for; its unit is one that systemd takes.
set -eu

binary=/usr/local/bin/nakama
found=$("${binary}" --version)
case ${found} in
    "${application_version:?}" | "${application_version}+"*) echo "Nakama ${found}" ;;
    *) echo "${binary} is ${found}, not ${application_version}" >&2; exit 1 ;;
esac

systemctl daemon-reload
state=$(systemctl show --property=LoadState --value nakama.service)
[ "${state}" = loaded ] || { echo "systemd does not take nakama.service: ${state}" >&2; exit 1; }
systemctl disable --quiet nakama.service
