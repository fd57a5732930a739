"""The disk forgets what was deleted: after this, no deleted file can be read from a raw copy of the disk.

A trim alone does not do it: disks discard whole units (64 KiB in QEMU's qcow2, megabytes elsewhere), so what was in a small gap
between files stays. So all free space is claimed by two files of our own. On a disk that discards, zeros are written where
the claimed space is small or begins or ends, and the trim takes the rest; on another disk zeros are written everywhere.
"""
import array
import errno
import fcntl
import os
import re
import shutil
import struct
import tempfile

from progress import StepFailed

CHUNK = 1 << 20
EDGE = 1 << 20
# What the first file leaves: the smallest gaps. The second one fills them, and the disk is full until it is removed.
REMAINDER = 64 << 20
FS_IOC_FIEMAP = 0xC020660B
FIFREEZE_FITHAW = 0xC0045877, 0xC0045878
FIEMAP_EXTENTS = 256
TIME_LIMIT = 1800


class Wipe:
    def __init__(self, system):
        self.system = system

    def trim(self, step):
        trims = False
        for mount, device, source, kind in self._mounts():
            granularity = self._discards(device)
            trims = trims or bool(granularity)
            self._claim(step, mount, source, kind, granularity)
        os.sync()
        if trims:
            for text in self.system.quiet(["fstrim", "-av"], TIME_LIMIT)[1].splitlines():
                step.line(text)
        return None

    def _mounts(self):
        """Real, writable file systems, each device once: (mount point, major:minor, device, type)."""
        found = {}
        with open(self.system.path("/proc/self/mountinfo")) as file:
            for text in file:
                before, _, after = text.partition(" - ")
                fields, (kind, source, options) = before.split(), after.split()[:3]
                mount = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), fields[4])
                if source.startswith("/dev/") and "rw" in options.split(",") and os.path.isdir(mount):
                    found.setdefault(fields[2], (mount, fields[2], source, kind))
        return list(found.values())

    def _discards(self, device):
        """The unit in which the disk discards, in bytes; 0 where it does not."""
        block = self.system.path("/sys/dev/block/" + device)
        for queue in (block + "/queue", block + "/../queue"):
            try:
                with open(queue + "/discard_max_bytes") as most, open(queue + "/discard_granularity") as unit:
                    return int(unit.read()) if int(most.read()) > 0 else 0
            except (OSError, ValueError):
                continue
        return 0

    def _claim(self, step, mount, source, kind, granularity):
        # ext4 keeps up to 16 MiB from every file, in gaps that hold what was deleted; the setting ends with the boot.
        if kind == "ext4":
            self._set("/sys/fs/ext4/%s/reserved_clusters" % os.path.basename(os.path.realpath(source)), b"0")
        folder = tempfile.mkdtemp(prefix=".mkimg-", dir=mount)
        try:
            with open(folder + "/claimed", "wb", buffering=0) as claimed:
                size = allocate(claimed.fileno(), mount)
                written = fill(folder + "/remainder")
                flush_metadata(claimed.fileno())
                os.unlink(folder + "/remainder")
                edge = max(EDGE, 2 * granularity) if granularity else None
                for offset, length in worth_zeros(extents(claimed.fileno(), size), edge):
                    written += zeros(claimed.fileno(), offset, length)
                os.fsync(claimed.fileno())
        except OSError as error:
            raise StepFailed("%s: its free space cannot be overwritten: %s" % (mount, error.strerror or error))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        step.line("%s: zeros over %d MiB of its free space%s" % (
            mount, written >> 20, "" if granularity else ", for its disk does not discard"))

    def _set(self, path, value):
        try:
            with open(self.system.path(path), "wb", buffering=0) as file:
                file.write(value)
        except OSError:
            pass


def allocate(handle, mount):
    """Allocates nearly all free space without writing it; the size is 0 where there is less than the remainder."""
    free = os.statvfs(mount)
    size = free.f_bfree * free.f_frsize - REMAINDER
    while size > 0:
        try:
            os.posix_fallocate(handle, 0, size)
            return size
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EFBIG):
                raise
        size -= max(size // 50, CHUNK)
    return 0


def fill(path):
    """Writes zeros into a new file until the disk is full."""
    written = 0
    piece = CHUNK
    with open(path, "wb", buffering=0) as file:
        while piece >= 512:
            try:
                written += file.write(b"\0" * piece)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                piece //= 2
        os.fsync(file.fileno())
    return written


def flush_metadata(handle):
    """Writes the blocks that hold the files' extents, in free space themselves, to their place on the disk.

    Only a freeze does it for ext4 and xfs: without one, the blocks stay in the journal, and what the disk held before them can
    still be read there once the files are removed.
    """
    try:
        for request in FIFREEZE_FITHAW:
            fcntl.ioctl(handle, request, 0)
    except OSError:
        pass


def zeros(handle, offset, length):
    data = b"\0" * CHUNK
    end = offset + length
    while offset < end:
        offset += os.pwrite(handle, data[:end - offset], offset)
        if offset % (64 * CHUNK) == 0:
            os.fdatasync(handle)
    return length


def extents(handle, size):
    """Where a file lies on the disk, as (offset in the file, place on the disk, length); neighbours are one."""
    found = []
    offset = 0
    while offset < size:
        request = array.array("B", struct.pack("=QQLLLL", offset, size - offset, 0, 0, FIEMAP_EXTENTS, 0))
        request.frombytes(bytes(56 * FIEMAP_EXTENTS))
        try:
            fcntl.ioctl(handle, FS_IOC_FIEMAP, request)
        except OSError:
            return [(0, None, size)]
        count = struct.unpack_from("=L", request, 20)[0]
        if count == 0:
            break
        for index in range(count):
            logical, physical, length = struct.unpack_from("=QQQ", request, 32 + 56 * index)
            if found and found[-1][1] + found[-1][2] == physical and found[-1][0] + found[-1][2] == logical:
                found[-1] = found[-1][:2] + (found[-1][2] + length,)
            else:
                found.append((logical, physical, length))
            offset = logical + length
    return found


def worth_zeros(found, edge):
    """The parts to write: all, where the disk does not discard or nothing is known; else small extents and both edges."""
    for logical, physical, length in found:
        if edge is None or physical is None or length <= 2 * edge:
            yield logical, length
        else:
            yield logical, edge
            yield logical + length - edge, edge
