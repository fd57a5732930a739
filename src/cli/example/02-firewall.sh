#!/bin/sh
# Opens SSH, with a limit on attempts, and the web server.
set -eu
ufw limit 22/tcp
ufw allow 80/tcp
ufw --force enable
