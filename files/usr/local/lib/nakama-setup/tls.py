"""`tls`: serves the API over HTTPS and WSS, with nginx as a proxy and a Let's Encrypt certificate renewed by certbot.

Port 7350 is closed in the last step, so after a failure the API is reachable as before.
"""

import os
import re
import shutil
import ssl
import time

from firewall import allow, deny, is_open
from machine import Failure, exclusive_lock, path, read, remove, run, say, write

SITE = "/etc/nginx/conf.d/nakama.conf"
LIVE = "/etc/letsencrypt/live/"
PLAIN = """# tls: %(domain)s
# Written by nakama-setup tls; nakama-setup tls off removes it.
map $http_upgrade $nakama_connection { default upgrade; "" ""; }
server {
    listen 80;
    listen [::]:80;
    server_name %(domain)s;
    location /.well-known/acme-challenge/ { root /var/www/html; }
    location / { return 301 https://$host$request_uri; }
}
"""
SECURE = """server {
    listen 443 ssl;
    listen [::]:443 ssl;
    server_name %(domain)s;
    ssl_certificate /etc/letsencrypt/live/%(domain)s/fullchain.pem;
    ssl_certificate_key /etc/letsencrypt/live/%(domain)s/privkey.pem;
    ssl_protocols TLSv1.2 TLSv1.3;
    client_max_body_size 8m;
    location / {
        proxy_pass http://127.0.0.1:7350;
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $nakama_connection;
        proxy_set_header Host $host;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_buffering off;
        proxy_read_timeout 1h;
    }
}
"""


def certificate_end():
    """Returns (domain, days left): (None, None) without a certificate, (domain, None) if it cannot be read."""
    found = re.match(r"# tls: (\S+)", read(SITE))
    if not found:
        return None, None
    failed, output = run("openssl", "x509", "-noout", "-enddate", "-in", path(LIVE + found.group(1) + "/fullchain.pem"), check=False)
    if failed:
        return found.group(1), None
    return found.group(1), int(ssl.cert_time_to_seconds(output.split("=", 1)[1]) - time.time()) // 86400


def install_site(text):
    """Installs the nginx site, or removes it if `text` is empty."""
    if text:
        write(SITE, text)
    else:
        remove(SITE)
    run("nginx", "-t")
    run("systemctl", "reload-or-restart", "nginx.service")


def enable_tls(domain, email):
    if not (shutil.which("nginx") and shutil.which("certbot")):
        say("installing nginx and certbot")
        run("apt-get", "-q", "update")
        run("apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300", "install", "nginx", "certbot")
    before, was_open = read(SITE), is_open("Nakama TLS")
    remove("/etc/nginx/sites-enabled/default")
    os.makedirs(path("/var/www/html"), exist_ok=True)
    try:
        install_site(PLAIN % {"domain": domain})
        run("systemctl", "enable", "nginx.service", "certbot.timer")
        allow("Nakama TLS")
        run("certbot", "certonly", "--non-interactive", "--agree-tos", "--keep-until-expiring", "--webroot", "-w", "/var/www/html", "-d", domain,
            "--deploy-hook", "systemctl reload nginx", *(["--email", email] if email else ["--register-unsafely-without-email"]))
        install_site((PLAIN + SECURE) % {"domain": domain})
    except Failure as failure:
        install_site(before)
        if not was_open:
            deny("Nakama TLS")
        raise Failure("%s\nThe API is unchanged. Does %s point to this machine?" % (failure, domain)) from None
    deny("Nakama")


def tls(options):
    with exclusive_lock():
        if options.domain == "off":
            allow("Nakama")
            if read(SITE):
                install_site("")
                run("systemctl", "disable", "--now", "nginx.service", "certbot.timer")
            deny("Nakama TLS")
            say("the API uses plain HTTP on port 7350 again")
        else:
            if not re.fullmatch(r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])", options.domain):
                raise Failure("%s is not a domain name in lower case, such as game.example.com" % options.domain, 2)
            enable_tls(options.domain, options.email)
            say("https://%s and wss://%s; port 7350 is closed" % (options.domain, options.domain))
    return 0


def add_tls(add):
    command = add("tls", tls, "serve the API over HTTPS with a Let's Encrypt certificate; you accept their terms")
    command.add_argument("domain", metavar="DOMAIN|off", help="a name that points to this machine, such as game.example.com")
    command.add_argument("--email", help="contact address for Let's Encrypt")
