"""Installs packages with apt. Another package manager needs the same `prepare`, `upgrade` and `install`."""
from progress import StepFailed

BOOT_JOBS = ["apt-daily.timer", "apt-daily-upgrade.timer", "apt-daily.service", "apt-daily-upgrade.service",
             "unattended-upgrades.service"]
# APT_CONFIG makes it apply to apt-get in scripts too.
APT_CONF = b"\n".join([
    b'DPkg::Lock::Timeout "600";',
    b'Acquire::Retries "3";',
    b'APT::Update::Error-Mode "any";',
    b'DPkg::Options { "--force-confdef"; "--force-confold"; };',
    b"",
])
MAX_ATTEMPTS = 3


class Packages:
    def __init__(self, system, time_limit, pause):
        self.system = system
        self.time_limit = time_limit
        self.pause = pause
        self.updated = False

    def distribution_name(self):
        try:
            with open(self.system.path("/etc/os-release")) as file:
                values = dict(line.strip().split("=", 1) for line in file if "=" in line)
        except OSError:
            values = {}
        return values.get("PRETTY_NAME", "an unknown distribution").strip('"')

    def has_apt(self):
        return bool(self.system.which("apt-get"))

    def prepare(self, step):
        """Stops the distribution's first-boot package jobs, and repairs what a stopped job left unfinished."""
        self.system.write_file("/run/mkimg/apt.conf", APT_CONF)
        self.system.capture(["systemctl", "stop"] + BOOT_JOBS, 900)
        return self._apt(step, ["dpkg", "--configure", "-a"])

    def restart_jobs(self):
        self.system.capture(["systemctl", "start", "--no-block"] + [job for job in BOOT_JOBS if job.endswith(".timer")])

    def upgrade(self, step):
        self._update(step)
        return self._apt(step, ["apt-get", "-y", "dist-upgrade"])

    def install(self, step, names):
        self._update(step)
        return self._apt(step, ["apt-get", "-y", "install", "--"] + names)

    def _update(self, step):
        for attempt in range(1, MAX_ATTEMPTS + 1):
            if self.updated:
                return
            try:
                self._apt(step, ["apt-get", "update"])
                self.updated = True
            except StepFailed:
                if attempt == MAX_ATTEMPTS:
                    raise
                self.pause(5 * attempt)

    def _apt(self, step, argv):
        if not self.has_apt():
            raise StepFailed("packages need apt, which %s does not have: choose a Debian or Ubuntu image, "
                             "or install them in a script" % self.distribution_name())
        status = self.system.run(argv, step.line, self.time_limit)
        if status:
            raise StepFailed("%s: exit status %d" % (" ".join(argv[:3]), status), status)
        return status
