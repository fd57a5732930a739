from support import Case  # first: it finds the modules under test

import errno
import os
import struct
import tempfile
from unittest import mock

from progress import StepFailed
from wipe import EDGE, Wipe, extents, fill, worth_zeros, zeros


class WipeTest(Case):
    def test_small_extents_whole_large_ones_at_both_edges(self):
        mib = 1 << 20
        found = [(0, 900 * mib, mib), (mib, 100 * mib, 10 * mib)]
        self.assertEqual(list(worth_zeros(found, EDGE)), [(0, mib), (mib, EDGE), (10 * mib, EDGE)])
        self.assertEqual(list(worth_zeros(found, None)), [(0, mib), (mib, 10 * mib)])
        self.assertEqual(list(worth_zeros([(0, None, 99 * mib)], EDGE)), [(0, 99 * mib)])

    def test_zeros_reach_exactly_the_range(self):
        with tempfile.TemporaryFile() as file:
            file.write(b"x" * 5000)
            file.flush()
            self.assertEqual(zeros(file.fileno(), 1000, 3000), 3000)
            file.seek(0)
            self.assertEqual(file.read(), b"x" * 1000 + bytes(3000) + b"x" * 1000)

    def test_extents_cover_the_file(self):
        with tempfile.TemporaryFile() as file:
            file.write(b"x" * (3 << 20))
            file.flush()
            found = extents(file.fileno(), 3 << 20)
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
            written = fill("/x")
        self.assertEqual(written + room[0], 2_500_000)
        self.assertLess(room[0], 512)
        self.assertEqual(struct.calcsize("=QQLLLL"), 32)

    def wipe(self, mount, granularity="65536\n", most="4194304\n"):
        """Wipes a folder that stands for a file system of 8 MiB, a device of its own with these limits."""
        self.put("/proc/self/mountinfo", "21 1 254:1 / %s rw shared:1 - xfs /dev/vda1 rw\n"
                 "22 1 254:1 / %s/again rw - xfs /dev/vda1 rw\n23 1 7:0 / /snap ro - squashfs /dev/loop0 ro\n" % (mount, mount))
        self.put("/sys/dev/block/254:1/queue/discard_granularity", granularity)
        self.put("/sys/dev/block/254:1/queue/discard_max_bytes", most)
        self.machine.answers["fstrim"] = (0, "/: trimmed")
        with mock.patch("wipe.allocate", lambda handle, _: os.ftruncate(handle, 8 << 20) or 8 << 20), \
                mock.patch("wipe.fill", lambda path: open(path, "w").close() or 0), mock.patch("os.sync"):
            Wipe(self.machine).trim(self.step)

    def test_each_disk_is_wiped_once_trimmed_where_it_can_and_left_clean(self):
        mount = self.root + "/mnt"
        os.makedirs(mount)
        self.wipe(mount)
        self.assertIn(["fstrim", "-av"], self.machine.asked)
        self.assertEqual(len([line for line in self.lines if "zeros over" in line]), 1)
        self.assertEqual(os.listdir(mount), [])

    def test_a_disk_that_does_not_discard_is_not_trimmed_but_filled(self):
        mount = self.root + "/mnt"
        os.makedirs(mount)
        with mock.patch("wipe.extents", lambda *_: [(0, 0, 8 << 20)]):
            self.wipe(mount, "0\n", "0\n")
        self.assertEqual(self.machine.asked, [])
        self.assertEqual(self.lines, ["%s: zeros over 8 MiB of its free space, for its disk does not discard" % mount])

    def test_free_space_that_cannot_be_written_fails_the_step(self):
        mount = self.root + "/mnt"
        os.makedirs(mount)
        with mock.patch("wipe.extents", side_effect=OSError(errno.EIO, "Input/output error")), \
                self.assertRaisesRegex(StepFailed, "mnt: its free space cannot be overwritten: Input/output error"):
            self.wipe(mount)
        self.assertEqual(os.listdir(mount), [])
