#!/bin/sh
set -eu
ufw limit 22/tcp
ufw allow 80/tcp
ufw --force enable
