#!/bin/sh
# Removes keys, logs and identity before the machine becomes an image. Destructive, so it runs in a bake only.
#
# Afterwards the runner removes cloud-init's state and the machine id, and trims the free space.
set -eu

if [ ! -e /run/mkimg/bake.json ]; then
    echo "no bake is running here (/run/mkimg/bake.json is missing): refusing to clean up" >&2
    exit 1
fi

# Empties a folder and keeps the folder itself.
empty() {
    [ -d "$1" ] || return 0
    find "$1" -xdev -mindepth 1 -delete 2>/dev/null || find "$1" -xdev -mindepth 1 -maxdepth 1 -exec rm -rf {} +
}

echo "packages"
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
apt-get -q -y -o DPkg::Lock::Timeout=120 autoremove --purge
apt-get -q -y clean
rm -f /var/cache/apt/*.bin

echo "DigitalOcean's agents"
for package in droplet-agent do-agent; do
    if dpkg-query -W "${package}" >/dev/null 2>&1; then apt-get -q -y purge "${package}"; fi
done
rm -rf /opt/digitalocean /var/opt/digitalocean

echo "services with secrets: none may run on the build machine"
for unit in nakama.service cockroachdb.service; do
    if systemctl is-active --quiet "${unit}" || systemctl is-enabled --quiet "${unit}" 2>/dev/null; then
        echo "${unit} is active or enabled on the build machine" >&2
        exit 1
    fi
done
for path in /etc/cockroach/pki /etc/nakama/instance.yml /etc/nakama/cluster.conf; do
    if [ -e "${path}" ]; then
        echo "${path} exists: secrets were created on the build machine" >&2
        exit 1
    fi
done

echo "keys, passwords, histories"
rm -f /etc/ssh/ssh_host_*key* /etc/ssh/*.pub
: >/etc/ssh/revoked_keys
chmod 600 /etc/ssh/revoked_keys
# The marketplace's check rejects what `passwd -l` and `-d` leave, and accepts `*`.
usermod --password '*' root
while IFS=: read -r user _ number _; do
    if [ "${number}" -ge 1000 ] && [ "${user}" != nobody ]; then usermod --password '*' "${user}" </dev/null; fi
done </etc/passwd
rm -f /etc/shadow- /etc/passwd- /etc/group- /etc/gshadow- /etc/subuid- /etc/subgid-
while IFS=: read -r _ _ number _ _ home _; do
    if [ "${number}" -gt 0 ] && [ "${number}" -lt 1000 ]; then continue; fi
    [ -d "${home}" ] || continue
    rm -rf "${home}/.ssh" "${home}/.gnupg" "${home}/.cache"
    find "${home}" -xdev -maxdepth 1 -type f \( -name '.*_history' -o -name .lesshst -o -name .viminfo -o -name .wget-hsts \
        -o -name .sudo_as_admin_successful \) -delete
done </etc/passwd
rm -f /root/.digitalocean_dbaas_credentials

echo "machine identity"
rm -f /var/lib/systemd/random-seed /var/lib/systemd/credential.secret /var/lib/systemd/timers/stamp-*
rm -f /var/lib/dhcp/*.leases /var/lib/NetworkManager/*.lease
# Ubuntu has these; each machine generates its own.
if [ -f /etc/iscsi/initiatorname.iscsi ]; then echo GenerateName=yes >/etc/iscsi/initiatorname.iscsi; fi
rm -f /etc/nvme/hostid /etc/nvme/hostnqn
empty /var/lib/systemd/coredump
empty /var/crash
empty /var/spool/cron/crontabs
empty /var/lib/private/systemd/journal-upload

echo "temporary files"
mkdir -p /tmp /var/tmp
# systemd's private folders belong to running units; tmpfiles.d removes them at the next boot.
find /tmp /var/tmp -xdev -mindepth 1 -maxdepth 1 ! -name 'systemd-private-*' -exec rm -rf {} +
chmod 1777 /tmp /var/tmp

# Last: stop whatever logs, or make it log to memory, so that the logs stay empty until the machine is off. The masks are
# in /run and end with the boot. Each `apt-get update`, even the check's, starts Ubuntu Pro's two services, which log.
echo "logs"
systemctl stop '*.timer' || true
# In one call, because each reloads all units.
systemctl mask --runtime --now --quiet syslog.socket rsyslog.service syslog-ng.service cron.service anacron.service \
    atd.service unattended-upgrades.service wtmpdb-update-boot.service apt-news.service esm-cache.service || true
mkdir -p /run/systemd/journald.conf.d
printf '[Journal]\nStorage=volatile\n' >/run/systemd/journald.conf.d/90-image.conf
systemctl restart systemd-journald.service
# Debian 13's login records.
rm -f /var/lib/wtmpdb/wtmp.db /var/lib/lastlog/lastlog2.db
# The folder stays: without it, new machines would lose their journal at each boot.
empty /var/log/journal
find /var/log -xdev -type f \( -name '*.gz' -o -name '*.xz' -o -name '*.old' -o -name '*.[0-9]' -o -name '*.[0-9].log' \
    -o -name '*-????????' \) -delete
find /var/log -xdev -type f -exec truncate --size=0 {} +
# The marketplace's check takes such folders for old logs, even unattended-upgrades. They are created again at boot.
mkdir -p /etc/tmpfiles.d
: >/etc/tmpfiles.d/image-logs.conf
find /var/log -xdev -mindepth 1 -maxdepth 1 -type d \( -name '*-????????' -o -name '*.[0-9]' \) | while read -r folder; do
    stat --format='d %n %#a %u %g -' "${folder}" >>/etc/tmpfiles.d/image-logs.conf
    rm -rf "${folder}"
done
[ -s /etc/tmpfiles.d/image-logs.conf ] || rm -f /etc/tmpfiles.d/image-logs.conf
sync
echo "clean"
