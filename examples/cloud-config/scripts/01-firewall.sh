#!/bin/sh
set -eu
ufw limit 22/tcp
ufw --force enable
