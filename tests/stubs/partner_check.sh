#!/bin/bash
# A stub of the image check that DigitalOcean gives its partners (marketplace-partners, v1.8.1), which a user may use
# instead of scripts/99-img-check.sh. Written from a description of what that one tests and prints, not from its text.
# What it lets through by mistake is let through here too: mkimg must read both, and the image must pass both.
#
# It asks the machine itself, so tests/stubs/test_partner_check.py runs it in a namespace, and a bake on a droplet:
# replace scripts/99-img-check.sh with it in a copy of the project.

if [[ ${EUID} -ne 0 ]]; then
    echo "[Error] - This check must be run as root or with sudo."
    exit 1
fi

passes=0 warns=0 fails=0
# Colours always, also into a file.
green='\e[32m' yellow='\e[93m' red='\e[41m' plain='\e[0m'

good() { passes=$((passes + 1)); echo -en "${green}[PASS]${plain} $1\n"; }
doubt() { warns=$((warns + 1)); echo -en "${yellow}[WARN]${plain} $1\n"; }
bad() { fails=$((fails + 1)); echo -en "${red}[FAIL]${plain} $1\n"; }

bytes() { if [[ -e $1 ]]; then stat -L -c %s "$1"; else echo 0; fi; }

# The screen is cleared; without TERM this complains on standard error.
clear
echo "Image validation stand-in"
echo "Executed on: $(date)"

# --- The operating system -------------------------------------------------------------------------------------------
NAME=''
# shellcheck source=/dev/null
. /etc/os-release
echo "Distribution: ${NAME}"
echo "Version: ${VERSION_ID:-}"
echo
case ${NAME} in
    Ubuntu) releases=' 16.04 18.04 20.04 22.04 22.10 24.04 ' ;;
    'Debian GNU/Linux') releases=' 9 10 11 12 13 ' ;;
    'CentOS Linux') releases=' 6 7 8 ' ;;
    'CentOS Stream') releases=' 8 9 ' ;;
    'Rocky Linux' | AlmaLinux | CloudLinux) releases=" 8 9 ${VERSION_ID} " ;;
    *)
        bad "${NAME} is not a supported operating system"
        exit 1 ;;
esac
good "Supported operating system: ${NAME}"
if [[ ${releases} == *" ${VERSION_ID:-none} "* ]]; then
    good "Supported release: ${VERSION_ID}"
else
    bad "Release ${VERSION_ID:-unknown} of ${NAME} is not supported"
fi

# --- Software -------------------------------------------------------------------------------------------------------
if command -v cloud-init >/dev/null 2>&1; then
    good "cloud-init is installed"
else
    bad "cloud-init is not installed"
fi

case ${NAME} in
    Ubuntu | Debian*)
        if [[ $(ufw status 2>/dev/null | head -n 1) == 'Status: active' ]]; then
            good "The firewall (ufw) is active"
        else
            doubt "No firewall is active: enable ufw"
        fi ;;
    # The result of firewalld does not matter: the original's test of it is always true.
    *) good "The firewall (firewalld) is active" ;;
esac

echo
echo "Looking for pending updates, this may take a while"
# A missing answer counts as no updates.
if command -v apt-get >/dev/null 2>&1; then
    apt-get -y update >/dev/null 2>&1
    if apt-get --just-print upgrade 2>/dev/null | grep -qi security; then
        bad "Security updates are pending"
        apt-get --just-print upgrade | grep -i security
    else
        good "No security updates are pending"
    fi
fi

# --- Logs -----------------------------------------------------------------------------------------------------------
echo
echo "Looking for logs"
echo
for file in /var/log/*-???????? /var/log/*.[0-9]; do
    [[ -e ${file} ]] || continue
    doubt "Log archive ${file}"
done
for file in /var/log/*.log; do
    [[ -e ${file} ]] || continue
    if [[ $(bytes "${file}") -gt 50 ]]; then
        doubt "Log with content: ${file}"
        # The contents too, as the original prints them.
        cat "${file}"
    fi
done

# --- Users ----------------------------------------------------------------------------------------------------------
password() {
    local field
    field=$(awk -F: -v user="$1" '$1 == user { print $2 }' /etc/shadow)
    case ${field} in
        '!' | '!!' | '*') good "User $1 has no password" ;;
        *) bad "User $1 has a password" ;;
    esac
}

history_of() {
    if [[ $(bytes "$2/.bash_history") -ge 200 ]]; then
        bad "User $1 has a bash history"
    else
        good "User $1 has no bash history"
    fi
}

keys_of_root() {
    local file found=0
    for file in /root/.ssh/*; do
        [[ -e ${file} ]] || continue
        found=1
        case ${file##*/} in
            authorized_keys) if [[ $(bytes "${file}") -gt 50 ]]; then bad "Keys in ${file}"; fi ;;
            known_hosts) if [[ $(bytes "${file}") -gt 50 ]]; then doubt "Hosts in ${file}"; fi ;;
            id_rsa) if [[ -s ${file} ]]; then bad "A private key in ${file}"; else doubt "Empty key ${file}"; fi ;;
            *) doubt "A file in root's .ssh: ${file}" ;;
        esac
    done
    [[ ${found} -eq 1 ]] || good "User root has no SSH keys"
}

# In a subshell, as the original's: what is counted here is lost, so these lines are printed and never change the exit status.
awk -F: '$3 >= 1000 && $1 != "nobody" { print $1 " " $6 }' /etc/passwd | while read -r user home; do
    echo
    echo "User: ${user}"
    password "${user}"
    history_of "${user}" "${home}"
    # A quoted glob, which matches nothing: only root's keys are checked.
    # shellcheck disable=SC2066
    for file in "${home}/.ssh/*"; do
        if [[ -e ${file} ]]; then bad "Keys of ${user} in ${file}"; else good "User ${user} has no SSH keys"; fi
    done
done
echo
echo "User: root"
password root
keys_of_root
history_of root /root

# --- The droplet's agent --------------------------------------------------------------------------------------------
echo
if [[ -d /opt/digitalocean ]]; then
    bad "DigitalOcean's agent is installed: /opt/digitalocean"
else
    good "DigitalOcean's agent is not installed"
fi

# --- The sum --------------------------------------------------------------------------------------------------------
line='---------------------------------------------------------------------------------------------------'
echo -en "\n\n${line}\n"
if [[ ${fails} -gt 0 ]]; then
    echo -en "Scan Complete.\n${red}One or more tests did not pass.${plain}\n"
elif [[ ${warns} -gt 0 ]]; then
    echo -en "Scan Complete. \n${yellow}Some non-critical tests failed. Please review these items.${plain}\n"
    # The word also occurs in a sentence, which is not a finding.
    echo "Look at every [WARN] above before you hand the image in."
else
    echo -en "Scan Complete.\n${green}All Tests Passed!${plain}\n"
fi
echo "${line}"
echo -en "${green}${passes} Tests PASSED${plain}\n${yellow}${warns} WARNINGS${plain}\n${red}${fails} Tests FAILED${plain}\n"
echo "${line}"
[[ ${fails} -eq 0 ]]
