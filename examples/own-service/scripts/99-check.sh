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
check "greeter starts at boot" 'systemctl is-enabled --quiet greeter.service'
check "the configuration is private" '[ "$(stat -c %a:%G /etc/greeter.conf)" = 640:greeter ]'
check "the firewall is active" 'ufw status | grep -q "Status: active"'
check "root has no SSH keys" '[ ! -s /root/.ssh/authorized_keys ]'
check "root has no password" 'grep -q "^root:[*!]*:" /etc/shadow'
exit "$failed"
