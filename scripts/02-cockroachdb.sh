#!/bin/sh
# Checks that CockroachDB runs here in the requested version, and that systemd can load its unit.
set -eu

binary=/usr/local/bin/cockroach
found=$("${binary}" version --build-tag)
case ${found} in
    "v${cockroach_version:?}" | "v${cockroach_version}-"*) echo "CockroachDB ${found}" ;;
    *) echo "${binary} is ${found}, not v${cockroach_version}" >&2; exit 1 ;;
esac

systemctl daemon-reload
state=$(systemctl show --property=LoadState --value cockroachdb.service)
[ "${state}" = loaded ] || { echo "systemd cannot load cockroachdb.service: ${state}" >&2; exit 1; }
# It starts on machines made from the image, not on the build machine.
systemctl disable --quiet cockroachdb.service
