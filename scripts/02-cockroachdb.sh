#!/bin/sh
# CockroachDB: the binary runs here and is the version that was asked for; its unit is one that systemd takes.
set -eu

binary=/usr/local/bin/cockroach
found=$("${binary}" version --build-tag)
case ${found} in
    "v${cockroach_version:?}" | "v${cockroach_version}-"*) echo "CockroachDB ${found}" ;;
    *) echo "${binary} is ${found}, not v${cockroach_version}" >&2; exit 1 ;;
esac

systemctl daemon-reload
state=$(systemctl show --property=LoadState --value cockroachdb.service)
[ "${state}" = loaded ] || { echo "systemd does not take cockroachdb.service: ${state}" >&2; exit 1; }
# It starts on the machines that are made from the image, never on this one.
systemctl disable --quiet cockroachdb.service
