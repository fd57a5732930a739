#!/bin/sh
# Runs last in a bake, and removes what must not be in an image. It would harm a machine that is in use.
set -eu
if [ -z "${MKIMG_BAKE:-}" ]; then
    echo "this is not a bake: nothing was removed" >&2
    exit 1
fi
apt-get -y autoremove --purge
apt-get clean
rm -f /root/.bash_history /root/.ssh/authorized_keys /etc/ssh/ssh_host_*
find /var/log -type f \( -name '*.gz' -o -name '*.[0-9]' \) -delete
find /var/log -type f -name '*.log' -exec truncate -s 0 {} +
find /tmp /var/tmp -mindepth 1 -delete
# A root password that a provider may have set.
usermod -p '*' root
