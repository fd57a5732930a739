"""A droplet that is a process: plays the build droplet of an emulator without machines (`mkimg emulate --backend none`).

It waits for a droplet in the emulator's state, takes its user-data apart as cloud-init would, and runs the document's own
first-boot runner below a temporary root, so that the status channel answers at the droplet's own address. Scripts really run,
downloads too; what would change this machine (systemctl, cloud-init …) is only noted. Powering off is a request to the API.

Usage: droplet.py STATE URL ROOT, with the API's token in MKIMG_TEST_TOKEN.
"""
import base64
import json
import os
import shutil
import subprocess
import sys
import time
import types
import urllib.request

import yaml

STATE, URL, ROOT = sys.argv[1:]


def droplet():
    """Address and user-data of the first droplet that there is."""
    while True:
        try:
            with open(os.path.join(STATE, "state.json")) as file:
                droplets = json.load(file)["droplets"]
        except FileNotFoundError:
            droplets = {}
        for id, found in droplets.items():
            if found.get("status") == "active":
                return id, found["address"], found["user_data"]
        time.sleep(0.02)


def boot(text):
    """What cloud-init does with the document before the runner starts: unpacks the bundle, then writes files."""
    assert text.startswith("#cloud-config\n"), text[:40]
    document = yaml.safe_load(text)
    asked = []
    saved = sys.argv, shutil.chown, subprocess.run
    shutil.chown = lambda *arguments: None
    subprocess.run = lambda argv, **_: asked.append(argv)
    stub, bundle = document["bootcmd"][-1][-2:]
    for run in ([], ["second"]):
        if run and not any("--unit=mkimg-files" in argv for argv in asked):
            break
        sys.argv = ["-c", bundle, ROOT] + run
        try:
            exec(stub, {"__name__": "__main__"})
        except SystemExit as ended:
            assert not ended.code, ended.code
    sys.argv, shutil.chown, subprocess.run = saved
    errors = []
    for entry in document["write_files"]:
        if entry["owner"].startswith("ghost:"):
            # cloud-init writes no file after one that fails.
            errors.append(str(("write-files", OSError("Unknown user or group: ghost"))))
            break
        if not entry["path"].startswith("/run/mkimg/"):
            continue
        content = entry["content"]
        data = base64.b64decode(content, validate=True) if "encoding" in entry else content.encode()
        path = ROOT + entry["path"]
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)
        os.chmod(path, int(entry["permissions"], 8))
    os.makedirs(ROOT + "/run/cloud-init", exist_ok=True)
    with open(ROOT + "/run/cloud-init/result.json", "w") as file:
        json.dump({"v1": {"datasource": "DataSourceNone", "errors": errors}}, file)


def load():
    """The runner's namespace, from the program that the document carries: all of it but the last line, which would run it."""
    path = ROOT + "/run/mkimg/runner.py"
    with open(path) as file:
        body, last = file.read().rstrip("\n").rsplit("\n", 1)
    assert last == "sys.exit(main())", last
    runner = types.ModuleType("runner")
    exec(compile(body, path, "exec"), runner.__dict__)
    return runner


def power_off(id):
    request = urllib.request.Request("%s/v2/droplets/%s/actions" % (URL, id), b'{"type": "power_off"}', {
        "authorization": "Bearer " + os.environ["MKIMG_TEST_TOKEN"], "content-type": "application/json"})
    urllib.request.urlopen(request, timeout=60).close()


def main():
    id, address, user_data = droplet()
    boot(user_data)
    runner = load()

    def listen(port):
        import socket
        listener = socket.create_server((address, port))
        return listener

    class Machine(runner.System):
        COMMANDS = ("systemctl", "cloud-init", "shutdown", "fstrim")

        def which(self, name):
            return None

        def capture(self, argv, time_limit=60):
            if argv[0] == "systemctl" and "poweroff" in argv:
                power_off(id)
            return 0, ""

        def run(self, argv, line, time_limit, environment={}):
            if argv[0] in self.COMMANDS:
                return 0
            return runner.System.run(self, argv, line, time_limit, environment)

    # A renamed method would run the real commands on this machine.
    assert {"which", "capture", "run"} <= set(vars(runner.System))
    # Do not read or fill a file system of this machine, and do not make a busy machine wait for its disks.
    os.makedirs(ROOT + "/proc/self")
    open(ROOT + "/proc/self/mountinfo", "w").close()
    os.sync = lambda: None
    made = runner.make_runner(Machine(ROOT))
    # The other half is loaded.
    assert callable(runner.listen)
    runner.listen = listen
    made.finish(made.run())


main()
