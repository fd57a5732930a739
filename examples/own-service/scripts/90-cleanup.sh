#!/bin/sh
# Removes what must not be in an image. Runs in a bake only.
set -eu
apt-get -y autoremove --purge
apt-get clean
rm -f /root/.bash_history /root/.ssh/authorized_keys /etc/ssh/ssh_host_*
find /var/log -type f \( -name '*.gz' -o -name '*.[0-9]' \) -delete
find /var/log -type f -name '*.log' -exec truncate -s 0 {} +
find /tmp /var/tmp -mindepth 1 -delete
usermod -p '*' root
