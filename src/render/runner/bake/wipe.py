"""Makes deleted data unreadable, also in a raw copy of the disk.

A trim alone is not enough: disks discard in units (64 KiB in QEMU's qcow2, megabytes elsewhere), so data in smaller
gaps between files survives. Two temporary files therefore claim all free space. If the disk discards, zeros go to
small extents and to the edges of large ones, and the trim does the rest. Otherwise zeros go everywhere.
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

ZERO_BYTES = 1 << 20
EDGE_BYTES = 1 << 20
# The first file leaves this much: the smallest gaps. The second file fills them, and the disk is full until it is removed.
REMAINDER_BYTES = 64 << 20
FS_IOC_FIEMAP = 0xC020660B
FIFREEZE_FITHAW = 0xC0045877, 0xC0045878
MAX_EXTENTS = 256
TRIM_SECONDS = 1800


class Wipe:
    def __init__(self, system):
        self.system = system

    def wipe_free_space(self, line):
        trims = False
        for mount, device, source, kind in self._file_systems():
            granularity = self._discard_granularity(device)
            trims = trims or bool(granularity)
            self._overwrite_free_space(line, mount, source, kind, granularity)
        os.sync()
        if trims:
            for text in self.system.capture(["fstrim", "-av"], TRIM_SECONDS)[1].splitlines():
                line(text)

    def _file_systems(self):
        """Writable file systems on disks, each device once: (mount point, major:minor, device, type)."""
        found = {}
        with open(self.system.path("/proc/self/mountinfo")) as file:
            for text in file:
                before, _, after = text.partition(" - ")
                fields, (kind, source, options) = before.split(), after.split()[:3]
                mount = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), fields[4])
                if source.startswith("/dev/") and "rw" in options.split(",") and os.path.isdir(mount):
                    found.setdefault(fields[2], (mount, fields[2], source, kind))
        return list(found.values())

    def _discard_granularity(self, device):
        """Returns the disk's discard granularity in bytes, or 0 if it cannot discard."""
        block = self.system.path("/sys/dev/block/" + device)
        for queue in (block + "/queue", block + "/../queue"):
            try:
                with open(queue + "/discard_max_bytes") as most, open(queue + "/discard_granularity") as unit:
                    return int(unit.read()) if int(most.read()) > 0 else 0
            except (OSError, ValueError):
                continue
        return 0

    def _overwrite_free_space(self, line, mount, source, kind, granularity):
        # ext4 reserves up to 16 MiB of clusters, which may hold deleted data. The setting lasts until reboot.
        if kind == "ext4":
            self._write_setting("/sys/fs/ext4/%s/reserved_clusters" % os.path.basename(os.path.realpath(source)), b"0")
        folder = tempfile.mkdtemp(prefix=".mkimg-", dir=mount)
        try:
            with open(folder + "/claimed", "wb", buffering=0) as claimed:
                size = allocate_most(claimed.fileno(), mount)
                written = fill_with_zeros(folder + "/remainder")
                flush_metadata(claimed.fileno())
                os.unlink(folder + "/remainder")
                edge = max(EDGE_BYTES, 2 * granularity) if granularity else None
                for offset, length in ranges_to_zero(list_extents(claimed.fileno(), size), edge):
                    written += write_zeros(claimed.fileno(), offset, length)
                os.fsync(claimed.fileno())
        except OSError as error:
            raise StepFailed("%s: free space cannot be overwritten: %s" % (mount, error.strerror or error))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        line("%s: overwrote %d MiB of free space%s" % (
            mount, written >> 20, "" if granularity else ", its disk cannot discard"))

    def _write_setting(self, path, value):
        try:
            with open(self.system.path(path), "wb", buffering=0) as file:
                file.write(value)
        except OSError:
            pass


def allocate_most(handle, mount):
    """Allocates free space without writing it, except the remainder. Returns the size, or 0."""
    free = os.statvfs(mount)
    size = free.f_bfree * free.f_frsize - REMAINDER_BYTES
    while size > 0:
        try:
            os.posix_fallocate(handle, 0, size)
            return size
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EFBIG):
                raise
        size -= max(size // 50, ZERO_BYTES)
    return 0


def fill_with_zeros(path):
    """Fills the disk with zeros in a new file. Returns the bytes written."""
    written = 0
    chunk = ZERO_BYTES
    with open(path, "wb", buffering=0) as file:
        while chunk >= 512:
            try:
                written += file.write(b"\0" * chunk)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                chunk //= 2
        os.fsync(file.fileno())
    return written


def flush_metadata(handle):
    """Writes the blocks of the files' extent trees from the journal to their place on the disk.

    These blocks were free space too. Without a freeze, ext4 and xfs drop them from the journal when the files are
    removed, and the data that was deleted there stays readable.
    """
    try:
        for request in FIFREEZE_FITHAW:
            fcntl.ioctl(handle, request, 0)
    except OSError:
        pass


def write_zeros(handle, offset, length):
    data = b"\0" * ZERO_BYTES
    end = offset + length
    while offset < end:
        offset += os.pwrite(handle, data[:end - offset], offset)
        if offset % (64 * ZERO_BYTES) == 0:
            os.fdatasync(handle)
    return length


def list_extents(handle, size):
    """Returns a file's extents as (offset in file, offset on disk, length), with adjacent ones merged."""
    found = []
    offset = 0
    while offset < size:
        request = array.array("B", struct.pack("=QQLLLL", offset, size - offset, 0, 0, MAX_EXTENTS, 0))
        request.frombytes(bytes(56 * MAX_EXTENTS))
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


def ranges_to_zero(found, edge):
    """Yields (offset, length): small extents and both edges of large ones; everything if `edge` is None."""
    for logical, physical, length in found:
        if edge is None or physical is None or length <= 2 * edge:
            yield logical, length
        else:
            yield logical, edge
            yield logical + length - edge, edge
