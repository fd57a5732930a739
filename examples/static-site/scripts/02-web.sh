#!/bin/sh
set -eu
nginx -t
systemctl enable nginx.service
