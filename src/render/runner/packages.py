"""Packages of the distribution: apt today. To add another manager, give it the same three functions."""
from progress import StepFailed

JOBS = ["apt-daily.timer", "apt-daily-upgrade.timer", "apt-daily.service", "apt-daily-upgrade.service",
        "unattended-upgrades.service"]
# Also holds for the scripts' own apt-get, through APT_CONFIG.
CONFIGURATION = b"\n".join([
    b'DPkg::Lock::Timeout "600";',
    b'Acquire::Retries "3";',
    b'APT::Update::Error-Mode "any";',
    b'DPkg::Options { "--force-confdef"; "--force-confold"; };',
    b"",
])
ATTEMPTS = 3


class Packages:
    def __init__(self, system, time_limit, pause):
        self.system = system
        self.time_limit = time_limit
        self.pause = pause
        self.updated = False

    def distribution(self):
        try:
            with open(self.system.path("/etc/os-release")) as file:
                values = dict(line.strip().split("=", 1) for line in file if "=" in line)
        except OSError:
            values = {}
        return values.get("PRETTY_NAME", "an unknown distribution").strip('"')

    def have_apt(self):
        return bool(self.system.which("apt-get"))

    def settle(self, step):
        """Stops the distribution's own first-boot package jobs, and mends what a stopped one left half done."""
        self.system.write("/run/mkimg/apt.conf", CONFIGURATION)
        self.system.quiet(["systemctl", "stop"] + JOBS, 900)
        return self._apt(step, ["dpkg", "--configure", "-a"])

    def resume_jobs(self):
        self.system.quiet(["systemctl", "start", "--no-block"] + [job for job in JOBS if job.endswith(".timer")])

    def upgrade(self, step):
        self._update(step)
        return self._apt(step, ["apt-get", "-y", "dist-upgrade"])

    def install(self, step, names):
        self._update(step)
        return self._apt(step, ["apt-get", "-y", "install", "--"] + names)

    def _update(self, step):
        for attempt in range(1, ATTEMPTS + 1):
            if self.updated:
                return
            try:
                self._apt(step, ["apt-get", "update"])
                self.updated = True
            except StepFailed:
                if attempt == ATTEMPTS:
                    raise
                self.pause(5 * attempt)

    def _apt(self, step, argv):
        if not self.have_apt():
            raise StepFailed("packages are installed with apt, which %s does not have: choose a Debian or Ubuntu image, "
                             "or install them in a script" % self.distribution())
        status = self.system.run(argv, step.line, self.time_limit)
        if status:
            raise StepFailed("%s: exit status %d" % (" ".join(argv[:3]), status), status)
        return status
