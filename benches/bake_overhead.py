#!/usr/bin/env python3
"""How long `mkimg bake` takes beyond the provider's own time, and how many API requests it sends.

Each run bakes at an emulator of its own (`mkimg emulate --backend none`) that was told how long a create, the droplet's
own work until it is off, and a snapshot take: these three are the provider's time. The rest of the command's wall time,
from its start as a process to its end, is ours. Default settings throughout, but for `--marker poweroff`.

    benches/bake_overhead.py [--mkimg target/release/mkimg] [--runs 10] [--transfer]
"""
import argparse
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

TEMPLATE = """\
droplet: {{image: debian-12-x64, region: nyc3, size: s-1vcpu-1gb}}
scripts: [scripts/*.sh]
snapshot: {{name: measured, regions: [{regions}]}}
"""


def run(mkimg: str, home: pathlib.Path, seconds: dict, transfer: bool) -> tuple:
    (home / "templates").mkdir()
    (home / "scripts").mkdir()
    (home / "templates/image.yaml").write_text(TEMPLATE.format(regions="fra1, ams3" if transfer else ""))
    (home / "scripts/01-nothing.sh").write_text("#!/bin/sh\ntrue\n")
    exact = {name: f"{value:.3f}s" for name, value in seconds.items()}
    latency = f"create={exact['create']},power=0s,snapshot={exact['snapshot']},transfer={exact['transfer']},jitter=0%"
    command = [mkimg, "emulate", "--backend", "none", "--token", "token-of-the-bench", "--state", home / "state",
               "--off-after", exact["off"], "--latency", latency]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as emulator:
        try:
            url = emulator.stdout.readline().strip()
            environment = {**os.environ, "DIGITALOCEAN_API_TOKEN": "token-of-the-bench",
                           "XDG_STATE_HOME": str(home / "journals")}
            bake = [mkimg, "-C", str(home), "bake", "--marker", "poweroff", "--format", "json", "--api-url", url]
            start = time.monotonic()
            ended = subprocess.run(bake, env=environment, capture_output=True, text=True, check=False)
            spent = time.monotonic() - start
        finally:
            emulator.terminate()
    if ended.returncode != 0:
        sys.exit(f"the bake failed ({ended.returncode}):\n{ended.stderr}")
    own = seconds["create"] + seconds["off"] + seconds["snapshot"] + (seconds["transfer"] if transfer else 0)
    return spent - own, json.loads(ended.stdout.splitlines()[-1])["requests"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mkimg", default="target/release/mkimg")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--transfer", action="store_true", help="also to two more regions, 5 s each")
    arguments = parser.parse_args()
    mkimg = str(pathlib.Path(arguments.mkimg).resolve())
    chance = random.Random(arguments.seed)
    failed = False
    for name, base, limit in [("0/0/0 s", (0, 0, 0), 0.3), ("5/3/10 s +-30 %", (5, 3, 10), 1.0)]:
        overheads, requests = [], []
        for _ in range(arguments.runs):
            varied = [value * chance.uniform(0.7, 1.3) for value in base]
            seconds = dict(zip(("create", "off", "snapshot"), varied), transfer=5.0 if base[0] else 0.0)
            with tempfile.TemporaryDirectory() as home:
                overhead, sent = run(mkimg, pathlib.Path(home), seconds, arguments.transfer)
            overheads.append(overhead)
            requests.append(sent)
        median, worst = statistics.median(overheads), max(overheads)
        failed |= worst > limit
        print(f"{name}: overhead median {median:.2f} s, worst {worst:.2f} s (limit {limit} s); "
              f"requests median {statistics.median(requests):.0f}, most {max(requests)}; {arguments.runs} runs")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
