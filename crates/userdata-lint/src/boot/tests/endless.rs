//! Commands that never end, and programs that need somebody.

use super::unnoticed::all_codes;

fn has(code: &str, command: &str) -> bool {
    all_codes(&format!("runcmd:\n  - |\n    {command}\n  - date\n")).contains(&code)
}

#[test]
fn servers_in_the_foreground_are_reported() {
    for command in [
        "docker compose up",
        "docker compose -f /srv/a.yml up",
        "docker-compose -f a.yml up --build",
        "cd /srv && docker compose up",
        "flask run --host 0.0.0.0",
        "python3 manage.py runserver 0.0.0.0:8000",
        "uvicorn main:app --host 0.0.0.0",
        "gunicorn app:app -b :80",
        "kubectl port-forward svc/a 80:80",
        "cloudflared tunnel run a",
        "ngrok http 80",
        "vault server -dev",
        "consul agent -dev",
        "nginx -g 'daemon off;'",
        "redis-server --port 6380",
        "mongod --dbpath /srv",
        "celery -A app worker",
        "php artisan serve",
        "php -S 0.0.0.0:80",
        "rails server -b 0.0.0.0",
        "hugo server",
        "jupyter notebook --ip 0.0.0.0",
        "streamlit run app.py",
        "ollama serve",
        "nats-server",
        "prometheus --config.file=a.yml",
        "minikube tunnel",
        "tailscale up",
        "tailscale up --ssh",
        "ping 1.1.1.1",
        "docker logs -f web",
        "dmesg -w",
        "caddy run",
        "minio server /srv",
        "supervisord -n",
        "python3 -m uvicorn main:app",
    ] {
        // A condition may be false.
        let expected = !command.contains("&&");
        assert_eq!(has("MK340", command), expected, "{command}");
    }
    for command in [
        "docker compose up -d",
        "docker-compose up --detach",
        "docker compose up --wait",
        "docker compose pull",
        "docker compose -f a.yml up -d",
        "flask db upgrade",
        "python3 manage.py migrate",
        "uvicorn --version",
        "gunicorn app:app -D",
        "gunicorn app:app --daemon",
        "kubectl apply -f a.yml",
        "cloudflared service install",
        "vault status",
        "consul members",
        "nginx -t",
        "nginx",
        "redis-server --daemonize yes",
        "redis-server /etc/redis/redis.conf",
        "mongod --fork --logpath /srv/log",
        "celery -A app multi start w",
        "php artisan migrate",
        "php -r 'echo 1;'",
        "rails db:migrate",
        "rails server -d",
        "hugo --minify",
        "jupyter notebook --generate-config",
        "ollama pull llama3",
        "tailscale up --authkey=tskey-auth-x",
        "tailscale up --auth-key $KEY",
        "tailscale up --timeout=30s",
        "tailscale status",
        "ping -c 3 1.1.1.1",
        "docker logs web",
        "dmesg",
        "caddy start",
        "ollama serve &",
        "timeout 60 flask run",
        "docker compose up &",
        "nohup uvicorn main:app &",
        "ping -w 5 a",
        "minio --version",
        "gunicorn $ARGS",
        "php artisan queue:work --once",
    ] {
        assert!(!has("MK340", command), "{command}");
    }
}

#[test]
fn programs_that_need_a_terminal_are_reported() {
    for command in [
        "docker run -it ubuntu bash",
        "docker exec -it web sh -c ls",
        "docker run --rm -ti a b",
        "docker run -i -t a",
        "docker exec --interactive --tty web ls",
        "mysql_secure_installation",
        "certbot --nginx -d a.example",
        "certbot certonly --standalone -d a.example",
        "crontab -e",
        "visudo",
        "passwd ada",
        "sudo passwd root",
    ] {
        assert!(has("MK362", command), "{command}");
    }
    for command in [
        "docker run -d -it ubuntu bash",
        "docker run -dit ubuntu",
        "docker run -it --detach ubuntu",
        "docker run -t a",
        "docker exec -i web ls",
        "docker run -d --name web nginx",
        "docker run a bash -it",
        "docker build -t a .",
        "podman run -it a",
        "mysql_secure_installation < /srv/answers",
        "printf 'n\\n' | mysql_secure_installation",
        "certbot --nginx -n --agree-tos -m a@mail.example -d a.example",
        "certbot renew",
        "certbot certonly --non-interactive --agree-tos --standalone -d a.example",
        "crontab /srv/table",
        "visudo -c",
        "visudo -cf /etc/sudoers.d/a",
        "passwd -l root",
        "passwd --expire ada",
        "echo a | passwd ada",
        "certbot certificates",
    ] {
        assert!(!has("MK362", command), "{command}");
    }
}

#[test]
fn a_shutdown_says_what_is_lost() {
    let message = |commands: &str| {
        let text = format!("#cloud-config\nruncmd: {commands}\n");
        let report = crate::lint_bytes("t", text.as_bytes(), &crate::Options::default());
        report.documents[0].findings.diagnostics.iter().map(|found| found.message.clone()).collect::<String>()
    };
    for last in ["[date, reboot]", "['date; reboot']", "[[poweroff]]", "['shutdown -r now', '# done']"] {
        assert!(message(last).contains("does not finish"), "{last}: {}", message(last));
    }
    for early in ["[reboot, date]", "['reboot; date']", "[[poweroff], [date]]"] {
        assert!(message(early).contains("after it do not run"), "{early}: {}", message(early));
    }
}

#[test]
fn options_of_echo_in_dash_are_reported() {
    for command in [
        "echo -e 'a\\tb' >> /etc/fstab", "echo -e 'a\\nb' | tee /srv/a", "echo -ne 'a\\n' > /srv/a",
        "echo -e 'root:a' | chpasswd",
    ] {
        assert!(has("MK301", command), "{command}");
    }
    for command in [
        "echo -e 'a\\tb'",
        "echo -n a > /srv/a",
        "echo -e 'a' > /dev/console",
        "bash -c \"echo -e 'a' > /srv/a\"",
        "printf 'a\\n' > /srv/a",
        "echo a -e > /srv/a",
        "yum -y install a; echo -e 'a' > /srv/a",
    ] {
        assert!(!has("MK301", command), "{command}");
    }
}

#[test]
fn the_firewall_does_not_close_private_networks() {
    for command in ["tailscale up --authkey=tskey-auth-x", "netbird up --setup-key a", "zerotier-cli join a"] {
        let text = format!("runcmd:\n  - ufw default deny incoming\n  - ufw --force enable\n  - {command}\n");
        assert!(!all_codes(&text).contains(&"MK341"), "{command}");
    }
    let text = "runcmd:\n  - ufw default deny incoming\n  - ufw --force enable\n  - tailscale status\n";
    assert!(all_codes(text).contains(&"MK341"));
}
