"""`tls`: the API over HTTPS and WSS. nginx of the distribution in front, a certificate of Let's Encrypt by certbot, which
renews it (certbot.timer). Port 7350 is closed to the world as the last step, so a failure before leaves it as it was.
"""

import os
import re
import shutil
import ssl
import time

from firewall import allow, deny, is_open
from machine import Failure, alone, path, read, remove, run, say, write

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
    """(domain, days left) of the certificate in use: (None, None) without one, (domain, None) where it cannot be read."""
    found = re.match(r"# tls: (\S+)", read(SITE))
    if not found:
        return None, None
    failed, output = run("openssl", "x509", "-noout", "-enddate", "-in", path(LIVE + found.group(1) + "/fullchain.pem"), check=False)
    if failed:
        return found.group(1), None
    return found.group(1), int(ssl.cert_time_to_seconds(output.split("=", 1)[1]) - time.time()) // 86400


def use_site(text):
    """nginx with this site, or with none."""
    if text:
        write(SITE, text)
    else:
        remove(SITE)
    run("nginx", "-t")
    run("systemctl", "reload-or-restart", "nginx.service")


def switch_on(domain, email):
    if not (shutil.which("nginx") and shutil.which("certbot")):
        say("installing nginx and certbot")
        run("apt-get", "-q", "update")
        run("apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300", "install", "nginx", "certbot")
    before, was_open = read(SITE), is_open("Nakama TLS")
    remove("/etc/nginx/sites-enabled/default")
    os.makedirs(path("/var/www/html"), exist_ok=True)
    try:
        use_site(PLAIN % {"domain": domain})
        run("systemctl", "enable", "nginx.service", "certbot.timer")
        allow("Nakama TLS")
        run("certbot", "certonly", "--non-interactive", "--agree-tos", "--keep-until-expiring", "--webroot", "-w", "/var/www/html", "-d", domain,
            "--deploy-hook", "systemctl reload nginx", *(["--email", email] if email else ["--register-unsafely-without-email"]))
        use_site((PLAIN + SECURE) % {"domain": domain})
    except Failure as failure:
        use_site(before)
        if not was_open:
            deny("Nakama TLS")
        raise Failure("%s\nNothing has changed: the API is where it was. Does %s point to this machine?" % (failure, domain)) from None
    deny("Nakama")


def tls(options):
    with alone():
        if options.domain == "off":
            allow("Nakama")
            if read(SITE):
                use_site("")
                run("systemctl", "disable", "--now", "nginx.service", "certbot.timer")
            deny("Nakama TLS")
            say("the API is plain HTTP on port 7350 again")
        else:
            if not re.fullmatch(r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])", options.domain):
                raise Failure("%s is not a domain name in small letters, such as game.example.com" % options.domain, 2)
            switch_on(options.domain, options.email)
            say("https://%s and wss://%s; port 7350 is closed to the world" % (options.domain, options.domain))
    return 0


def add_tls(add):
    command = add("tls", tls, "HTTPS for the API with a certificate of Let's Encrypt, whose terms you accept with it")
    command.add_argument("domain", metavar="DOMAIN|off", help="a name that points to this machine, such as game.example.com")
    command.add_argument("--email", help="where Let's Encrypt may write to")
