#!/bin/sh
# Checks the cleaned machine. mkimg reads [PASS], [WARN] and [FAIL]; any [FAIL] fails the bake.
failed=0
check() {
    if eval "$2"; then
        echo "[PASS] $1"
    else
        echo "[FAIL] $1"
        failed=1
    fi
}
check "cloud-init is there" 'command -v cloud-init > /dev/null'
check "nginx starts at boot" 'systemctl is-enabled --quiet nginx.service'
check "no key logs in as root" '[ ! -s /root/.ssh/authorized_keys ]'
check "root has no password" 'grep -q "^root:[*!]*:" /etc/shadow'
exit "$failed"
