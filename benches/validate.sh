#!/bin/sh
# How fast a document is checked: a cold process on 16 KiB, beside `cloud-init schema`; many small documents in one call; and documents as large as are read (2 MiB).
# usage: benches/validate.sh [MKIMG]   (default: target/release/mkimg; build it first with `cargo build --release`)
# Each line has the mean of the processor time (user and system), which other work on the machine disturbs least, and in brackets
# the median of the time by the clock. Ratios and rates are of processor time.
set -eu
mkimg=${1:-target/release/mkimg}
runs=${RUNS:-20}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python3 - "$folder" <<'PYTHON'
import sys
folder = sys.argv[1]
def write(name, text):
    open(f"{folder}/{name}", "w").write("#cloud-config\n" + text)
line = "          a line of a configuration file, as one finds it on a machine = 1\n"
small = "packages: [nginx, ufw]\nwrite_files:\n" + "".join(
    f"  - path: /etc/app/{n}.conf\n    permissions: '0644'\n    content: |\n{line * 6}" for n in range(31)) \
    + "runcmd:\n  - systemctl restart nginx\n"
# 16 KiB to the byte: the rest is a comment.
rest = 16 * 1024 - len("#cloud-config\n") - len(small)
assert 2 <= rest < 600, rest
write("small.yaml", small + "#" * (rest - 1) + "\n")
write("content.yaml", "write_files:\n" + "".join(
    f"  - path: /etc/app/{n}.conf\n    content: |\n{line * 1500}" for n in range(17)))
import os, random
random.seed(1)
os.mkdir(f"{folder}/many")
for n in range(1600):
    size, text, k = random.randint(500, 5000), "packages: [nginx, ufw]\nwrite_files:\n", 0
    while len(text) < size - 100:
        text += f"  - path: /etc/app/{k}.conf\n    permissions: '0644'\n    content: |\n{line}"
        k += 1
    write(f"many/{n:04}.yaml", text)
write("items.yaml", "runcmd:\n" + "".join(f"  - ls {n % 1000}\n" for n in range(120_000)))
PYTHON

# The processor seconds of one run of a command, the mean of several; and the median of the seconds by the clock.
seconds() {
    count=$1
    shift
    python3 - "$count" "$@" <<'PYTHON'
import resource, statistics, subprocess, sys, time
count, command = int(sys.argv[1]), sys.argv[2:]
def used():
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime
# Whoever started this Python (a version manager's script) may have had children of its own: they count for the process, and for none of the runs.
before, clock = used(), []
for _ in range(count):
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    clock.append(time.perf_counter() - start)
print(f"{(used() - before) / count:.6f} {statistics.median(clock):.6f}")
PYTHON
}

# The first and the second of two numbers.
processor() { echo "${1% *}"; }
clock() { echo "${1#* }"; }

ours=$(seconds "$runs" "$mkimg" validate "$folder/small.yaml")
echo "cold process, $(wc -c < "$folder/small.yaml") bytes: mkimg $(processor "$ours") s ($(clock "$ours") s)"
if command -v cloud-init > /dev/null; then
    theirs=$(seconds "$runs" cloud-init schema --config-file "$folder/small.yaml")
    times=$(echo "$(processor "$theirs") $(processor "$ours")" | awk '{ printf "%.0f", $1 / $2 }')
    echo "the same, cloud-init schema: $(processor "$theirs") s ($(clock "$theirs") s): $times times as long"
fi
took=$(seconds 5 "$mkimg" validate "$folder/many")
echo "1600 documents of 0.5 to 5 KB in one call: $(processor "$took") s ($(clock "$took") s)"
for name in content items; do
    size=$(wc -c < "$folder/$name.yaml")
    took=$(seconds 5 "$mkimg" validate --limit none "$folder/$name.yaml")
    rate=$(echo "$size $(processor "$took")" | awk '{ printf "%.1f", $1 / $2 / 1e6 }')
    echo "$name: $size bytes in $(processor "$took") s ($(clock "$took") s): $rate MB/s"
done
