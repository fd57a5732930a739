"""The image's own files: units that systemd takes and finds hardened, scripts that shellcheck passes, the check itself."""

import glob
import os
import re
import shutil
import subprocess
import sys
import unittest

import support
import machine

SERVICES = ("cockroachdb.service", "nakama.service")
UNITS = SERVICES + ("nakama-backup.service", "nakama-backup.timer")
# SC2312 wants every command substitution apart: where a failure must stop a script, it stands apart already.
SHELLCHECK = ("shellcheck", "--enable=all", "--severity=style", "--exclude=SC2312")


def files(pattern):
    return sorted(path for path in glob.glob(os.path.join(support.PROJECT, pattern), recursive=True) if os.path.isfile(path))


def scripts():
    found = []
    for path in files("files/**") + files("files/**/*") + files("scripts/*") + files("tests/stubs/*.sh"):
        with open(path, "rb") as file:
            if re.match(rb"#!/bin/(ba)?sh\n", file.read(16)):
                found.append(path)
    return sorted(set(found))


class Units(support.Case):
    def unit(self, name):
        with open(os.path.join(support.PROJECT, "files/etc/systemd/system", name), encoding="utf-8") as file:
            return file.read()

    def test_systemd_takes_them(self):
        for name in UNITS:
            # The programs are not on this machine: only their paths are replaced.
            self.write(name, re.sub(r"/usr/local/s?bin/[\w-]+( backup| migrate)?", "/usr/bin/true", self.unit(name)))
        output = self.run_("systemd-analyze", "verify", "--man=no", *(self.path(name) for name in UNITS))
        self.assertEqual([line for line in output.splitlines() if any(name in line for name in UNITS)], [])

    def test_exposure_is_at_most_2(self):
        for name in UNITS[:3]:
            path = os.path.join(support.PROJECT, "files/etc/systemd/system", name)
            output = self.run_("systemd-analyze", "security", "--offline=true", "--threshold=20", path)
            exposure = float(re.search(r"exposure level for \S+: ([0-9.]+)", output).group(1))
            self.assertLessEqual(exposure, 2.0)

    def test_what_they_must_say(self):
        for name in SERVICES:
            text = self.unit(name)
            for line in ("Restart=always", "StartLimitIntervalSec=0", "NoNewPrivileges=yes", "ProtectSystem=strict", "PrivateMounts=yes", "WantedBy=multi-user.target"):
                self.assertIn("\n" + line + "\n", text)
            self.assertIn("\nUser=%s\n" % name.replace("db.service", "").replace(".service", ""), text)
            self.assertNotIn("sleep", text)
        self.assertIn("Type=notify", self.unit("cockroachdb.service"))
        self.assertNotIn("--insecure", self.unit("cockroachdb.service"))
        self.assertIn("NAKAMA_TELEMETRY=0", self.unit("nakama.service"))
        # What nakama-setup migrate writes comes first, so that nakama.yml overrides it; the folder belongs to the service.
        self.assertIn("nakama --config /run/nakama/database.yml --config /etc/nakama/nakama.yml --config /etc/nakama/instance.yml\n", self.unit("nakama.service"))
        self.assertIn("\nRuntimeDirectory=nakama\n", self.unit("nakama.service"))

    def test_the_memory_is_as_documented(self):
        """CockroachDB counts shares of what its unit may use."""
        text = self.unit("cockroachdb.service")
        most = int(re.search(r"^MemoryMax=(\d+)%$", text, re.M).group(1))
        for flag, name in (("cache", "cache"), ("max-sql-memory", "queries")):
            share = float(re.search(r" --%s=(\.\d+)" % flag, text).group(1))
            row = "| %s | `--%s=%s` | %d %% |" % (name, flag, ("%.2f" % share).lstrip("0"), round(share * most))
            with open(os.path.join(support.PROJECT, "docs/image.md"), encoding="utf-8") as file:
                self.assertIn(row, file.read())

    def test_the_stand_ins_take_their_command_lines(self):
        """A flag that the real program does not have would show here: the command line is parsed before files are opened."""
        for name in SERVICES:
            for line in re.findall(r"^Exec\w+=(.*)$", self.unit(name), re.M):
                words = [word.strip('"') for word in re.findall(r'"[^"]*"|\S+', line)]
                if words[0] == "/usr/local/sbin/nakama-setup":
                    self.run_(sys.executable, "-B", machine.SETUP, *words[1:], "--help")
                    continue
                program = self.cockroach if "cockroach" in words[0] else self.nakama
                moved = [word.replace("/etc/", "/nowhere/etc/").replace("/var/lib/", self.folder + "/") for word in words[1:]]
                output = self.run_(program, *moved, status=1)
                self.assertRegex(output, "problem with CA certificate|Could not read config file")
                self.assertNotRegex(output, "unknown flag|not defined|not supported")


class FirstBoot(support.Case):
    """What cloud-init's own unit does before it begins: the drop-in's command, with a folder instead of cloud-init's."""

    def begin(self, *names):
        command = re.search(r"^ExecStartPre=/bin/sh -c '([^']+)'$", self.drop_in(), re.M).group(1)
        folder = os.path.join(self.folder, "cloud")
        shutil.rmtree(folder, ignore_errors=True)
        self.write("cloud/scripts/per-boot/ours", "")
        for name, text in names:
            self.write("cloud/" + name, text)
        self.run_("/bin/sh", "-c", command.replace("/var/lib/cloud", folder))
        return sorted(os.path.relpath(os.path.join(top, name), folder) for top, _, names in os.walk(folder) for name in names)

    def drop_in(self):
        with open(os.path.join(support.PROJECT, "files/etc/systemd/system/cloud-init-local.service.d/first-boot.conf"), encoding="utf-8") as file:
            return file.read()

    def test_one_that_was_cut_off_begins_again(self):
        ours = "scripts/per-boot/ours"
        # On a machine, `instance` is a link. cloud-init 22.4 fails on an empty data/set-hostname.
        notes = [("instance/sem/config_ssh", "1"), ("instance/cloud-config.txt", "#cloud-config\n"), ("data/set-hostname", ""),
                 ("instances/one/obj.pkl", ""), ("sem/config_scripts_per_once.once", "")]
        self.assertEqual(self.begin(), [ours])
        self.assertEqual(self.begin(*notes), [ours])
        finished = notes + [("instance/boot-finished", "")]
        self.assertEqual(self.begin(*finished), sorted([ours] + [name for name, _ in finished]))

    def test_never_in_a_bake(self):
        notes = [("instance/cloud-config.txt", "write_files:\n- path: /run/mkimg/bake.json\n"), ("instance/sem/config_ssh", "1")]
        self.assertEqual(self.begin(*notes), sorted(["scripts/per-boot/ours"] + [name for name, _ in notes]))

    def test_systemd_takes_it(self):
        unit = "cloud-init-local.service"
        self.write(unit, "[Service]\nType=oneshot\nExecStart=/usr/bin/true\n")
        self.write(unit + ".d/first-boot.conf", self.drop_in())
        self.assertEqual(self.run_("systemd-analyze", "verify", "--man=no", self.path(unit)), "")


class Scripts(support.Case):
    def test_shellcheck_finds_nothing(self):
        if shutil.which("shellcheck") is None:
            self.fail("shellcheck is missing: apt-get install shellcheck")
        self.assertGreaterEqual(len(scripts()), 9)
        self.assertEqual(self.run_(*SHELLCHECK, *scripts()), "")

    def test_they_have_an_interpreter_and_stop_at_errors(self):
        for path in files("scripts/*"):
            with open(path, encoding="utf-8") as file:
                text = file.read()
            self.assertRegex(text, r"\A#!/bin/(ba)?sh\n")
            self.assertNotIn("\r", text)
            self.assertTrue(os.access(path, os.X_OK), path)
            if "img-check" not in path:
                self.assertIn("\nset -eu\n", text, path)

    def test_cleanup_refuses_where_no_bake_is_under_way(self):
        path = os.path.join(support.PROJECT, "scripts/90-cleanup.sh")
        with open(path, encoding="utf-8") as file:
            text = file.read()
        # In front of everything else, so that trying it on the wrong machine cannot hurt it.
        self.assertLess(text.index("refusing to clean up"), text.index("apt-get"))
        if os.path.exists("/run/mkimg/bake.json"):
            self.fail("this machine has /run/mkimg/bake.json: tests must not run on a build droplet")
        self.assertIn("refusing to clean up", self.run_("sh", path, status=1))

    def test_no_secret_is_in_the_tree(self):
        for path in files("files/**/*"):
            with open(path, encoding="utf-8") as file:
                self.assertNotRegex(file.read(), r"BEGIN [A-Z ]*PRIVATE KEY|defaultkey|defaultencryptionkey")


class FakeMachine(support.Case):
    """Runs `script` in a mount namespace of its own, where it is root and sees the files of a test.

    To give it more of them, add to `binds`: a path of the test's folder, and where it is seen.
    """

    script = os.path.join(support.PROJECT, "scripts/99-img-check.sh")
    binds = [("passwd", "/etc/passwd"), ("shadow", "/etc/shadow"), ("os-release", "/etc/os-release"), ("root", "/root"),
             ("home", "/home"), ("log", "/var/log"), ("ssh", "/etc/ssh"), ("opt", "/opt"), ("var-opt", "/var/opt"),
             ("var-tmp", "/var/tmp")]

    def setUp(self):
        super().setUp()
        self.clean_machine()

    def clean_machine(self):
        shutil.rmtree(self.folder)
        for name, text in (("passwd", "root:x:0:0::/root:/bin/bash\nann:x:1000:1000::/home/ann:/bin/sh\nnobody:x:65534:65534::/nonexistent:/bin/false\n"),
                           ("shadow", "root:*:1:0:99999:7:::\nann:!:1:0:99999:7:::\nnobody:*:1:::::\n"),
                           ("os-release", 'NAME="Debian GNU/Linux"\nVERSION_ID="12"\n')):
            self.write(name, text)
        for folder in ("root", "home/ann", "log", "ssh", "opt", "var-opt", "tmp", "var-tmp", "bin"):
            os.makedirs(self.path(folder))
        for folder in ("tmp", "var-tmp"):
            os.chmod(self.path(folder), 0o1777)
        self.program("cloud-init", "exit 0")
        self.program("ufw", 'echo "Status: active"')
        self.program("apt-get", 'case "$*" in *update*) exit 0 ;; *) echo "0 upgraded" ;; esac')

    def program(self, name, text):
        self.write("bin/" + name, "#!/bin/sh\n%s\n" % text, 0o755)

    def checked(self):
        """Runs the script; nothing is started unless every folder of the machine is hidden behind one of the test's."""
        mounts = "".join('mount --bind "%s" "$(readlink -f %s)"\n' % (self.path(source), target) for source, target in self.binds
                         if os.path.exists(target))
        # /tmp last: the test's own folder may be below it, so the script itself is read before.
        commands = ('set -e\nexec 9<"%s"\nmkdir /dev/shm/bin.$$ && cp "%s"/* /dev/shm/bin.$$/\n%s'
                    'PATH=/dev/shm/bin.$$:$PATH\nmount --bind "%s" /tmp\nset +e\nenv -u TERM bash /dev/fd/9\nstatus=$?\n'
                    'rm -rf /dev/shm/bin.$$\nexit $status\n' % (self.script, self.path("bin"), mounts, self.path("tmp")))
        flags = ["--mount"] if os.geteuid() == 0 else ["--mount", "--user", "--map-root-user"]
        return subprocess.run(["unshare", *flags, "sh", "-c", commands], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              stdin=subprocess.DEVNULL, text=True, timeout=180, check=False, cwd=self.folder)

    def check(self, status):
        done = self.checked()
        self.assertEqual(done.returncode, status, done.stdout)
        return done.stdout


class ImageCheck(FakeMachine):
    def test_a_clean_machine_passes(self):
        output = self.check(0)
        self.assertNotRegex(output, r"\[WARN\]|\[FAIL\]|\x1b")
        self.assertRegex(output, r"Scan Complete\.\nAll Tests Passed!\n-+\n\d+ Tests PASSED\n0 WARNINGS\n0 Tests FAILED\n")

    def test_every_fault_is_found(self):
        faults = (
            ("another system", lambda: self.write("os-release", "NAME=Arch\n"), "FAIL", "Arch is not an operating system"),
            ("another release", lambda: self.write("os-release", 'NAME=Ubuntu\nVERSION_ID="24.10"\n'), "FAIL", "Ubuntu 24.10 is not a release"),
            ("firewall off", lambda: self.program("ufw", 'echo "Status: inactive"'), "WARN", "No firewall is configured: ufw is not active"),
            ("updates", lambda: self.program("apt-get", 'echo "Inst x (1 Debian-Security:12/stable-security)"'), "FAIL", "1 security updates"),
            ("no answer", lambda: self.program("apt-get", "exit 100"), "WARN", "did not answer"),
            ("old log", lambda: self.write("log/syslog.1", ""), "WARN", "Log archive /var/log/syslog.1 found"),
            ("dated log", lambda: self.write("log/dpkg-20260101", ""), "WARN", "Log archive /var/log/dpkg-20260101 found"),
            ("full log", lambda: self.write("log/a.log", "x" * 51), "WARN", "un-cleared log file, /var/log/a.log"),
            ("root password", lambda: self.write("shadow", "root:$6$a:1::::::\nann:!:1::::::\n"), "FAIL", "User root has a password"),
            ("empty password", lambda: self.write("shadow", "root::1::::::\nann:!:1::::::\n"), "FAIL", "User root has a password"),
            ("user password", lambda: self.write("shadow", "root:*:1::::::\nann:$y$a:1::::::\n"), "FAIL", "User ann has a password"),
            ("root's keys", lambda: self.write("root/.ssh/authorized_keys", "k" * 51), "FAIL", "User root has a populated authorized_keys"),
            ("user's keys", lambda: self.write("home/ann/.ssh/authorized_keys", "k" * 51), "FAIL", "User ann has a populated authorized_keys"),
            ("private key", lambda: self.write("home/ann/.ssh/id_ed25519", "k"), "FAIL", "User ann has a private key"),
            ("empty key", lambda: self.write("root/.ssh/id_rsa", ""), "WARN", "User root has an empty private key"),
            ("known hosts", lambda: self.write("root/.ssh/known_hosts", "k" * 51), "WARN", "populated known_hosts"),
            ("other file", lambda: self.write("root/.ssh/config", "x"), "WARN", "has a file in their .ssh"),
            ("history", lambda: self.write("home/ann/.bash_history", "x" * 200), "FAIL", "contains commands of user ann"),
            ("host keys", lambda: self.write("ssh/ssh_host_rsa_key", "k"), "FAIL", "SSH host keys are present"),
            ("agent", lambda: os.makedirs(self.path("opt/digitalocean")), "FAIL", "DigitalOcean's agent is installed"),
            ("temporary file", lambda: self.write("tmp/left", "x"), "WARN", "/tmp is not empty"),
            ("temporary mode", lambda: os.chmod(self.path("var-tmp"), 0o755), "FAIL", "/var/tmp must exist with mode 1777"),
        )
        for name, break_it, level, text in faults:
            with self.subTest(fault=name):
                self.clean_machine()
                break_it()
                output = self.check(1 if level == "FAIL" else 0)
                found = [line for line in output.splitlines() if line.startswith("[%s]" % level)]
                self.assertEqual(len(found), 1, output)
                self.assertIn(text, found[0])

    def test_it_wants_root(self):
        if os.geteuid() == 0:
            command = ["setpriv", "--reuid=65534", "--clear-groups", "bash", "/dev/stdin"]
        else:
            command = ["bash", "/dev/stdin"]
        with open(os.path.join(support.PROJECT, "scripts/99-img-check.sh"), encoding="utf-8") as file:
            done = subprocess.run(command, stdin=file, capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, "run it as root" in done.stdout), (1, True))


if __name__ == "__main__":
    unittest.main()
