#!/bin/sh
# Nobody gets in but by SSH, with a limit on attempts, and to the web server.
set -eu
ufw limit 22/tcp
ufw allow 80/tcp
ufw --force enable
