"""nakama-setup tls: nginx and certbot are small programs here."""

import os
import shutil
import unittest

import machine

SITE = "/etc/nginx/conf.d/nakama.conf"
DOMAIN = "game.example.com"
CERTBOT = r"""
if [ -e "$STATE/certbot-fails" ]; then echo "Some challenges have failed."; exit 1; fi
mkdir -p "$ROOT/etc/letsencrypt/live/game.example.com"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days "$(cat "$STATE/days")" -subj /CN=game.example.com \
    -keyout "$ROOT/etc/letsencrypt/live/game.example.com/privkey.pem" -out "$ROOT/etc/letsencrypt/live/game.example.com/fullchain.pem" 2>/dev/null"""


class Tls(machine.Machine):
    def setUp(self):
        super().setUp()
        self.program("certbot", CERTBOT)
        self.program("nginx", "exit 0")
        self.write("state/days", "90")
        self.write("root/etc/nginx/sites-enabled/default", "")

    def site(self):
        path = self.root(SITE)
        if not os.path.exists(path):
            return ""
        with open(path, encoding="utf-8") as file:
            return file.read()

    def test_on_and_off(self):
        self.assertIn("https://game.example.com and wss://game.example.com", self.setup_("tls", DOMAIN, "--email", "ops@example.com"))
        for text in ("# tls: game.example.com\n", "listen 443 ssl;", "proxy_pass http://127.0.0.1:7350;", "proxy_set_header Upgrade $http_upgrade;"):
            self.assertIn(text, self.site())
        self.assertEqual(self.ufw(), "22/tcp\nNakama TLS\n")
        self.assertFalse(os.path.exists(self.root("/etc/nginx/sites-enabled/default")))
        calls = self.calls()
        self.assertIn("systemctl enable nginx.service certbot.timer\n", calls)
        self.assertIn("-d game.example.com --deploy-hook systemctl reload nginx --email ops@example.com\n", calls)
        self.assertNotIn("apt-get", calls)
        self.assertRegex(self.setup_("status"), r"certificate  game\.example\.com, 8[89] days left")
        again = self.site()
        self.setup_("tls", DOMAIN)
        self.assertEqual(again, self.site())
        self.setup_("tls", "off")
        self.assertEqual(sorted(self.ufw().split("\n")), ["", "22/tcp", "Nakama"])
        self.assertEqual(self.site(), "")
        self.setup_("tls", "off")

    def test_a_certificate_that_ends_soon_is_not_well(self):
        self.write("state/days", "5")
        self.setup_("tls", DOMAIN)
        self.assertIn("certificate  NOT WELL: game.example.com, ", self.setup_("status", status=1))

    def test_without_a_certificate_everything_is_as_before(self):
        self.write("state/certbot-fails", "")
        output = self.setup_("tls", DOMAIN, status=1)
        self.assertIn("Some challenges have failed.\nThe API is unchanged", output)
        self.assertEqual(self.ufw(), "22/tcp\nNakama\n")
        self.assertEqual(self.site(), "")

    def test_a_second_name_that_fails_keeps_the_first(self):
        self.setup_("tls", DOMAIN)
        before = self.site()
        self.write("state/certbot-fails", "")
        self.setup_("tls", "other.example.com", status=1)
        self.assertEqual((self.site(), self.ufw()), (before, "22/tcp\nNakama TLS\n"))

    def test_what_is_missing_is_installed(self):
        self.program("apt-get", 'case "$*" in *install*) mv "$STATE/nginx" "$(dirname "$0")/nginx" ;; *) ;; esac')
        shutil.move(self.path("bin/nginx"), self.path("state/nginx"))
        # Where nginx would be, if this machine had it.
        self.setup_("tls", DOMAIN, PATH=self.path("bin") + ":/usr/bin:/bin")
        self.assertIn("apt-get -q -y -o DPkg::Lock::Timeout=300 install nginx certbot\n", self.calls())

    def test_names_that_are_none(self):
        for name in ("localhost", "Game.example.com", "a b.com", "x;}.com", "-a.com", "10.0.0.1", "a" * 64 + ".com"):
            self.assertIn("is not a domain name" if name[0] != "-" else "usage:", self.setup_("tls", name, status=2))
        self.assertEqual(self.ufw(), "22/tcp\nNakama\n")

    def test_the_login_message_names_it(self):
        with open(os.path.join(machine.support.PROJECT, "files/etc/update-motd.d/99-nakama"), encoding="utf-8") as file:
            text = file.read()
        for path in (SITE, machine.INSTANCE, "/etc/cockroach/pki/node/node.key"):
            self.assertIn(path, text)
        message = self.write("motd", text.replace(" /etc/", " " + self.path("root/etc/")), 0o755)
        env = dict(os.environ, PATH=self.path("bin") + ":" + os.environ["PATH"])
        self.assertIn("Nakama: active, API on http://", self.run_("sh", message, env=env))
        self.setup_("tls", DOMAIN)
        self.assertIn("API on https://game.example.com\nCockroachDB: active", self.run_("sh", message, env=env))
        os.unlink(self.root(machine.INSTANCE))
        # A login continues even if something hangs or fails.
        self.program("systemctl", "exec sleep 120")
        self.program("ip", "exit 1")
        self.assertIn("The first boot takes another minute", self.run_("sh", message, env=env, seconds=100))


if __name__ == "__main__":
    unittest.main()
