#!/bin/sh
# Packages and files are in place when this runs; `environment:` of the template is exported.
set -eu
systemctl enable nginx.service
echo "$hello_version" > /etc/hello-version
