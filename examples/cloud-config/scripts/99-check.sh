#!/bin/sh
# mkimg reads [PASS], [WARN] and [FAIL]; any [FAIL] fails the bake.
failed=0
check() {
    if eval "$2"; then
        echo "[PASS] $1"
    else
        echo "[FAIL] $1"
        failed=1
    fi
}
check "the time zone is UTC" '[ "$(readlink -f /etc/localtime)" = /usr/share/zoneinfo/Etc/UTC ]'
check "the firewall is active" 'ufw status | grep -q "Status: active"'
check "root has no SSH keys" '[ ! -s /root/.ssh/authorized_keys ]'
check "root has no password" 'grep -q "^root:[*!]*:" /etc/shadow'
exit "$failed"
