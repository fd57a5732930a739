from support import Case, Machine  # first: it sets up the module path

import errno
import glob
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

from progress import StepFailed
from system import System
from wipe import EDGE_BYTES, Wipe, list_extents, fill_with_zeros, ranges_to_zero, write_zeros


class WipeTest(Case):
    def test_small_extents_are_zeroed_and_large_ones_at_both_edges(self):
        mib = 1 << 20
        found = [(0, 900 * mib, mib), (mib, 100 * mib, 10 * mib)]
        self.assertEqual(list(ranges_to_zero(found, EDGE_BYTES)), [(0, mib), (mib, EDGE_BYTES), (10 * mib, EDGE_BYTES)])
        self.assertEqual(list(ranges_to_zero(found, None)), [(0, mib), (mib, 10 * mib)])
        self.assertEqual(list(ranges_to_zero([(0, None, 99 * mib)], EDGE_BYTES)), [(0, 99 * mib)])

    def test_zeros_are_written_to_exactly_the_range(self):
        with tempfile.TemporaryFile() as file:
            file.write(b"x" * 5000)
            file.flush()
            self.assertEqual(write_zeros(file.fileno(), 1000, 3000), 3000)
            file.seek(0)
            self.assertEqual(file.read(), b"x" * 1000 + bytes(3000) + b"x" * 1000)

    def test_extents_cover_the_file(self):
        with tempfile.TemporaryFile() as file:
            file.write(b"x" * (3 << 20))
            file.flush()
            found = list_extents(file.fileno(), 3 << 20)
        self.assertEqual(found[0][0], 0)
        self.assertGreaterEqual(sum(length for _, _, length in found), 3 << 20)

    def test_filling_stops_where_the_disk_is_full(self):
        room = [2_500_000]

        class File:
            fileno = lambda _: 0  # noqa: E731
            __enter__ = lambda self: self  # noqa: E731
            __exit__ = lambda *_: None  # noqa: E731

            def write(self, data):
                if len(data) > room[0]:
                    raise OSError(errno.ENOSPC, "full")
                room[0] -= len(data)
                return len(data)
        with mock.patch("wipe.open", lambda *_, **__: File(), create=True), mock.patch("wipe.os.fsync"):
            written = fill_with_zeros("/x")
        self.assertEqual(written + room[0], 2_500_000)
        self.assertLess(room[0], 512)
        self.assertEqual(struct.calcsize("=QQLLLL"), 32)

    def wipe(self, mount, granularity="65536\n", most="4194304\n"):
        """Wipes a folder as if it were a file system of 8 MiB on a device with these limits."""
        self.flushed, self.synced = [], []
        self.put("/proc/self/mountinfo", "21 1 254:1 / %s rw shared:1 - xfs /dev/vda1 rw\n"
                 "22 1 254:1 / %s/again rw - xfs /dev/vda1 rw\n23 1 7:0 / /snap ro - squashfs /dev/loop0 ro\n" % (mount, mount))
        self.put("/sys/dev/block/254:1/queue/discard_granularity", granularity)
        self.put("/sys/dev/block/254:1/queue/discard_max_bytes", most)
        self.machine.answers["fstrim"] = (0, "/: trimmed")
        with mock.patch("wipe.allocate_most", lambda handle, _: os.ftruncate(handle, 8 << 20) or 8 << 20), \
                mock.patch("wipe.fill_with_zeros", lambda path: open(path, "w").close() or 0), mock.patch("os.sync", lambda: self.machine.asked.append("sync")), \
                mock.patch("wipe.os.fsync", lambda handle: self.synced.append(os.path.basename(os.readlink("/proc/self/fd/%d" % handle)))), \
                mock.patch("wipe.flush_metadata", lambda _: self.flushed.append(sorted(os.listdir(glob.glob(mount + "/.mkimg-*")[0])))):
            Wipe(self.machine).wipe_free_space(self.lines.append)

    def test_each_disk_is_wiped_once_then_trimmed(self):
        mount = self.root + "/mnt"
        os.makedirs(mount)
        self.wipe(mount)
        self.assertEqual(self.machine.asked, ["sync", ["fstrim", "-av"]])
        self.assertEqual(len([line for line in self.lines if "overwrote" in line]), 1)
        self.assertEqual(os.listdir(mount), [])
        # Both files still take up the free space when their extents are flushed.
        self.assertEqual(self.flushed, [["claimed", "remainder"]])
        self.assertEqual(self.synced, ["claimed"])

    def test_a_disk_that_cannot_discard_is_not_trimmed_but_filled(self):
        mount = self.root + "/mnt"
        os.makedirs(mount)
        # Some such disks have a granularity all the same.
        for granularity in ("0\n", "512\n"):
            self.machine.asked.clear()
            self.lines.clear()
            with mock.patch("wipe.list_extents", lambda *_: [(0, 0, 8 << 20)]):
                self.wipe(mount, granularity, "0\n")
            self.assertEqual(self.machine.asked, ["sync"])
            self.assertEqual(self.lines, ["%s: overwrote 8 MiB of free space, its disk cannot discard" % mount])

    def test_a_write_error_fails_the_step(self):
        mount = self.root + "/mnt"
        os.makedirs(mount)
        with mock.patch("wipe.list_extents", side_effect=OSError(errno.EIO, "Input/output error")), \
                self.assertRaisesRegex(StepFailed, "mnt: free space cannot be overwritten: Input/output error"):
            self.wipe(mount)
        self.assertEqual(os.listdir(mount), [])


def can_mount():
    """Whether an image file can be mounted in a private mount namespace."""
    if os.getuid() != 0 or not all(map(shutil.which, ("unshare", "mkfs.ext4", "mount", "fstrim"))):
        return False
    with tempfile.TemporaryDirectory() as folder:
        image = make_ext4(folder, 8)
        return subprocess.run(["unshare", "-m", "mount", "-o", "loop", image, folder], stderr=subprocess.DEVNULL).returncode == 0


def make_ext4(folder, size):
    image = folder + "/image"
    with open(image, "wb") as file:
        file.truncate(size << 20)
    subprocess.run(["mkfs.ext4", "-q", "-b", "1024", "-N", "4096", image], check=True)
    return image


MARK = b"this was deleted"
MAX_SMALL = 24 << 10


def wipe_ext4(image, mount, discards):
    """Fills a file system with files, deletes half of them and wipes it. Runs in a private mount namespace."""
    subprocess.run(["mount", "-o", "loop", image, mount], check=True)
    with open("/proc/self/mountinfo") as file:
        own = [line for line in file if " %s " % mount in line]
    root = tempfile.mkdtemp()
    os.makedirs(root + "/proc/self")
    with open(root + "/proc/self/mountinfo", "w") as file:
        file.writelines(own)

    class Mounted(Machine):
        def path(self, path):
            return path if path.startswith("/sys/") else self.root + path

        def capture(self, argv, time_limit=60):
            # `-a` would trim the disks of the machine that runs the tests.
            assert argv == ["fstrim", "-av"], argv
            return System.capture(self, ["fstrim", "-v", mount], time_limit)

    sizes = [512, 1024, 3000, 9000, MAX_SMALL]
    for number in range(2400):
        with open("%s/%d" % (mount, number), "wb") as file:
            file.write(((MARK if number % 2 else b"this will be kept") * MAX_SMALL)[:sizes[number % 5]])
    for number, size in enumerate([40 << 20] + 8 * [3 << 19]):
        with open("%s/large%d" % (mount, number), "wb") as file:
            file.write(MARK * (size // len(MARK)))
        with open("%s/kept%d" % (mount, number), "wb") as file:
            file.write(b"this will be kept" * 1000)
    os.sync()
    for number in range(1, 2400, 2):
        os.unlink("%s/%d" % (mount, number))
    for number in range(9):
        os.unlink("%s/large%d" % (mount, number))
    os.sync()
    lines = []
    wipe = Wipe(Mounted(root))
    if not discards:
        wipe._discard_granularity = lambda _: 0
    try:
        wipe.wipe_free_space(lines.append)
    finally:
        shutil.rmtree(root)
    names = sorted(os.listdir(mount))
    whole = all(os.path.getsize("%s/%d" % (mount, number)) == sizes[number % 5] for number in range(0, 2400, 2))
    free = os.statvfs(mount)
    subprocess.run(["umount", mount], check=True)
    print(json.dumps({"files": len(names), "whole": whole, "lines": lines, "free": free.f_bfree * free.f_frsize >> 20}))


@unittest.skipUnless(can_mount(), "needs root and loop devices")
class FileSystemTest(Case):
    """Deleted data cannot be found in the bytes of the disk, and all other files are unchanged."""

    def wipe(self, discards):
        image, mount = make_ext4(self.root, 160), self.root + "/mount"
        os.makedirs(mount)
        program = "from test_wipe import wipe_ext4; wipe_ext4(%r, %r, %r)" % (image, mount, discards)
        done = subprocess.run(["unshare", "-m", sys.executable, "-B", "-c", program], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, cwd=os.path.dirname(os.path.abspath(__file__)))
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        found = json.loads(done.stdout)
        with open(image, "rb") as file:
            disk = file.read()
        self.assertEqual(disk.count(MARK), 0)
        self.assertGreater(disk.count(b"this will be kept"), 10_000)
        self.assertEqual((found["files"], found["whole"]), (1210, True))
        self.assertGreater(found["free"], 100)
        return found["lines"]

    def test_a_disk_that_discards(self):
        lines = self.wipe(True)
        self.assertRegex(lines[0], r"/mount: overwrote \d+ MiB of free space$")
        self.assertRegex(lines[1], r"/mount: .* trimmed")

    def test_a_disk_that_cannot_discard(self):
        lines = self.wipe(False)
        self.assertEqual(len(lines), 1)
        self.assertRegex(lines[0], r"/mount: overwrote 1\d\d MiB of free space, its disk cannot discard$")
