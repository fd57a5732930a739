#!/bin/sh
# Judges the cleaned machine. mkimg reads [PASS], [WARN] and [FAIL]; any [FAIL] fails the bake.
failed=0
judge() {
    if eval "$2"; then
        echo "[PASS] $1"
    else
        echo "[FAIL] $1"
        failed=1
    fi
}
judge "cloud-init is there" 'command -v cloud-init > /dev/null'
judge "nginx starts at boot" 'systemctl is-enabled --quiet nginx.service'
judge "nobody's key opens root's door" '[ ! -s /root/.ssh/authorized_keys ]'
judge "root has no password" 'grep -q "^root:[*!]*:" /etc/shadow'
exit "$failed"
