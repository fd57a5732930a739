#!/bin/sh
# `greeting` comes from the template's `environment:`.
set -eu
echo "greeting=$greeting" >> /etc/greeter.conf
systemctl enable --now greeter.service
curl --fail --silent --retry 10 --retry-connrefused --retry-delay 1 http://127.0.0.1:8080/ | grep --quiet "$greeting"
