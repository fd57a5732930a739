#!/bin/sh
# Checks that Nakama runs here in the requested version, and that systemd can load its unit.
set -eu

binary=/usr/local/bin/nakama
found=$("${binary}" --version)
case ${found} in
    "${application_version:?}" | "${application_version}+"*) echo "Nakama ${found}" ;;
    *) echo "${binary} is ${found}, not ${application_version}" >&2; exit 1 ;;
esac

systemctl daemon-reload
state=$(systemctl show --property=LoadState --value nakama.service)
[ "${state}" = loaded ] || { echo "systemd cannot load nakama.service: ${state}" >&2; exit 1; }
systemctl disable --quiet nakama.service
