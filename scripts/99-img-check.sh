#!/bin/bash
# Checks whether this machine can become a marketplace image. Checks and output are those of DigitalOcean's img-check:
# lines with [PASS], [WARN] or [FAIL], then a summary. The exit status is 1 if a test fails, whatever the warnings.
# For Debian and Ubuntu with ufw.
#
# It is stricter than the original: failures and SSH keys of all users count, and package servers that do not answer
# are a warning.
set -u

passed=0 warnings=0 failures=0
if [[ -t 1 ]]; then
    green=$'\e[32m' yellow=$'\e[93m' red=$'\e[41m' plain=$'\e[0m'
else
    green='' yellow='' red='' plain=''
fi
pass() { printf '%s[PASS]%s %s\n' "${green}" "${plain}" "$*"; passed=$((passed + 1)); }
warn() { printf '%s[WARN]%s %s\n' "${yellow}" "${plain}" "$*"; warnings=$((warnings + 1)); }
fail() { printf '%s[FAIL]%s %s\n' "${red}" "${plain}" "$*"; failures=$((failures + 1)); }
have() { command -v "$1" >/dev/null 2>&1; }
size() { if [[ -f $1 ]]; then wc -c <"$1"; else echo 0; fi; }

if [[ ${EUID} -ne 0 ]]; then
    echo "[Error] - This check reads /etc/shadow and root's files: run it as root."
    exit 1
fi

check_system() {
    local name='' release=''
    name=$(sed -n 's/^NAME="\{0,1\}\([^"]*\)"\{0,1\}$/\1/p' /etc/os-release 2>/dev/null)
    release=$(sed -n 's/^VERSION_ID="\{0,1\}\([^"]*\)"\{0,1\}$/\1/p' /etc/os-release 2>/dev/null)
    printf 'Distribution: %s\nVersion: %s\n\n' "${name:-unknown}" "${release:-unknown}"
    case ${name} in
        Ubuntu | 'Debian GNU/Linux') pass "Supported operating system detected: ${name}" ;;
        *)
            fail "${name} is not an operating system that this image supports"
            summary ;;
    esac
    case ${name}:${release} in
        Ubuntu:16.04 | Ubuntu:18.04 | Ubuntu:20.04 | Ubuntu:22.04 | Ubuntu:22.10 | Ubuntu:24.04 | Debian*:9 | Debian*:1[0-3])
            pass "Supported release detected: ${release}" ;;
        *) fail "${name} ${release} is not a release that the marketplace accepts" ;;
    esac
}

check_cloud_init() {
    if have cloud-init; then
        pass "cloud-init is installed"
    else
        fail "cloud-init is not installed: droplets made from this image would get no keys, no name and no user-data"
    fi
}

check_firewall() {
    if ufw status 2>/dev/null | grep -qx 'Status: active'; then
        pass "Firewall service (ufw) is active"
    else
        warn "No firewall is configured: ufw is not active"
    fi
}

# Uses temporary package lists, so that the image stays clean.
check_updates() {
    local answer='' work='' count=0
    work=$(mktemp -d /var/tmp/img-check.XXXXXX) || { fail "no temporary folder"; return; }
    mkdir -p "${work}/lists/partial" "${work}/cache/archives/partial"
    # Starts from the machine's lists, so that only changes are fetched. Links are safe: apt replaces lists and does not
    # write to them.
    cp -al /var/lib/apt/lists/*_* "${work}/lists/" 2>/dev/null || true
    local options=(-o "Dir::State::Lists=${work}/lists" -o "Dir::Cache=${work}/cache" -o APT::Sandbox::User=root
        -o Acquire::Retries=0 -o Acquire::http::Timeout=15 -o Acquire::https::Timeout=15 -o APT::Update::Error-Mode=any)
    if ! timeout 90 apt-get -q "${options[@]}" update >/dev/null 2>&1; then
        warn "The package servers did not answer: pending updates are unknown"
    elif ! answer=$(apt-get "${options[@]}" --just-print upgrade 2>/dev/null); then
        fail "apt-get cannot list the pending updates"
    else
        count=$(grep '^Inst ' <<<"${answer}" | grep -ci security || true)
        if [[ ${count} -gt 0 ]]; then
            fail "There are ${count} security updates for this image that are not installed"
        else
            pass "There are no pending security updates for this image"
        fi
    fi
    rm -rf "${work}"
}

check_logs() {
    local file found=0
    printf '\nChecking for log files in /var/log\n\n'
    shopt -s nullglob
    for file in /var/log/*-???????? /var/log/*.[0-9]; do
        warn "Log archive ${file} found"
        found=1
    done
    for file in /var/log/*.log; do
        if [[ $(size "${file}") -gt 50 ]]; then
            warn "un-cleared log file, ${file} found"
            found=1
        fi
    done
    shopt -u nullglob
    [[ ${found} -eq 1 ]] || pass "No log archives and no log files with content"
}

# Arguments: name, home folder and password field.
check_user() {
    local user=$1 home=$2 password=$3 file
    printf '\nChecking user: %s\n' "${user}"
    case ${password} in
        '!' | '!!' | '*') pass "User ${user} has no password set." ;;
        *) fail "User ${user} has a password set on their account." ;;
    esac
    check_keys "${user}" "${home}/.ssh"
    for file in "${home}"/.bash_history "${home}"/.zsh_history "${home}"/.ash_history; do
        if [[ $(size "${file}") -ge 200 ]]; then
            fail "${file} contains commands of user ${user}: clear it"
            return
        fi
    done
    pass "The shell history of user ${user} is cleared or not there"
}

check_keys() {
    local user=$1 folder=$2 file found=0 bytes
    shopt -s nullglob dotglob
    for file in "${folder}"/*; do
        bytes=$(size "${file}")
        case ${file##*/} in
            authorized_keys | authorized_keys2)
                [[ ${bytes} -gt 50 ]] || continue
                fail "User ${user} has a populated authorized_keys file in ${file}" ;;
            id_rsa | id_dsa | id_ecdsa | id_ecdsa_sk | id_ed25519 | id_ed25519_sk)
                if [[ ${bytes} -gt 0 ]]; then
                    fail "User ${user} has a private key file in ${file}"
                else
                    warn "User ${user} has an empty private key file in ${file}"
                fi ;;
            known_hosts)
                [[ ${bytes} -gt 50 ]] || continue
                warn "User ${user} has a populated known_hosts file in ${file}" ;;
            *) warn "User ${user} has a file in their .ssh directory at ${file}" ;;
        esac
        found=1
    done
    shopt -u nullglob dotglob
    [[ ${found} -eq 1 ]] || pass "User ${user} has no SSH keys present"
}

# Not in a pipe: a subshell would lose the counts.
check_users() {
    local user number home password
    while IFS=: read -r user _ number _ _ home _; do
        if [[ ${number} -ne 0 && (${number} -lt 1000 || ${number} -eq 65534) ]]; then continue; fi
        password=$(awk -F: -v user="${user}" '$1 == user { print $2 }' /etc/shadow)
        check_user "${user}" "${home}" "${password}"
    done </etc/passwd
    printf '\n'
}

check_host_keys() {
    if compgen -G '/etc/ssh/ssh_host_*key' >/dev/null; then
        fail "SSH host keys are present: every droplet would have the same"
    else
        pass "No SSH host keys are present"
    fi
}

check_agent() {
    if [[ -d /opt/digitalocean || -d /var/opt/digitalocean/do-agent ]]; then
        fail "DigitalOcean's agent is installed: remove /opt/digitalocean and the packages droplet-agent and do-agent"
    else
        pass "DigitalOcean's agent was not found"
    fi
}

check_temporary() {
    local folder
    for folder in /tmp /var/tmp; do
        if [[ $(stat -c %a "${folder}" 2>/dev/null) != 1777 ]]; then
            fail "${folder} must exist with mode 1777"
        elif [[ -n $(find "${folder}" -xdev -mindepth 1 ! -path "${folder}/systemd-private-*" -print -quit) ]]; then
            warn "${folder} is not empty"
        else
            pass "${folder} is empty"
        fi
    done
}

summary() {
    local line='---------------------------------------------------------------------------------------------------'
    printf '\n%s\nScan Complete.\n' "${line}"
    if [[ ${failures} -gt 0 ]]; then
        echo "One or more tests did not pass."
    elif [[ ${warnings} -gt 0 ]]; then
        echo "Some non-critical tests failed. Please review these items."
    else
        echo "All Tests Passed!"
    fi
    printf '%s\n%s Tests PASSED\n%s WARNINGS\n%s Tests FAILED\n%s\n' "${line}" "${passed}" "${warnings}" "${failures}" "${line}"
    [[ ${failures} -eq 0 ]]
    exit
}

printf 'Marketplace image check\n\n'
check_system
check_cloud_init
check_firewall
check_updates
check_logs
check_users
check_host_keys
check_agent
check_temporary
summary
