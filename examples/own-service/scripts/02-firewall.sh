#!/bin/sh
set -eu
ufw limit 22/tcp
ufw allow 8080/tcp
ufw --force enable
