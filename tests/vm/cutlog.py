# SPDX-License-Identifier: Apache-2.0
"""What a disk may hold after a power cut, from a record of all its writes.

QEMU's blklogwrites driver keeps every write and flush of a guest's disk in the
order in which it took them, in the format of the kernel's dm-log-writes. A
flush that ended promises all writes before it; of those behind the last one a
disk with a volatile cache keeps any, in any order, and of each any pieces. It
writes 4 KiB at once, as disks of today do, or nothing: ext4 relies on it, which
does not mount with half a superblock.
"""
import mmap
import os
import struct
import subprocess

MAGIC = 0x6a736677736872
HEAD = "<QQQI"      # magic, version, entries, bytes of a sector
SECTOR = 512        # of the log, and what places are counted in
PIECE = 8           # sectors that come together or not at all
FLUSH, FUA, DISCARD = 1, 2, 4
POLICIES = ("none", "all", "some", "late", "torn")


class Write:
    def __init__(self, sector, flags, data, end):
        self.sector = sector    # on the disk
        self.flags = flags
        self.data = data
        self.end = end          # of its entry, in the log


class Log:
    """Entries up to the first that the end of QEMU left unfinished."""

    def __init__(self, path):
        self.entries = []
        self.map = b""
        with open(path, "rb") as f:
            if os.fstat(f.fileno()).st_size:
                self.map = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
        # The head comes with the first flush.
        head = self.map[:struct.calcsize(HEAD)]
        if any(head) and struct.unpack(HEAD, head)[::3] != (MAGIC, SECTOR):
            raise ValueError("%s: no log of writes by sectors of %d bytes"
                             % (path, SECTOR))
        at = SECTOR
        while at + SECTOR <= len(self.map):
            sector, nr, flags = struct.unpack_from("<QQQ", self.map, at)
            if not nr and not flags:
                break           # under way when QEMU ended
            if flags & DISCARD:
                raise ValueError("%s: a discard, which the disk has not"
                                 % path)
            end = at + SECTOR + nr * SECTOR
            if end > len(self.map):
                break
            self.entries.append(Write(
                sector, flags, (at + SECTOR, nr * SECTOR), end))
            at = end
        self.end = at

    def unflushed(self, nr):
        """How many of the first nr entries are behind their last flush."""
        at = nr
        while at and not self.entries[at - 1].flags & FLUSH:
            at -= 1
        return nr - at

    def bytes_of(self, entry):
        at, length = entry.data
        return self.map[at:at + length]


def sectors_kept(policy, nth, of, first, nr, rng):
    """Which sectors of an unflushed write are on the disk: a list of flags."""
    if policy in ("none", "all"):
        return [policy == "all"] * nr
    if policy == "late":
        return [nth * 2 >= of] * nr
    if policy == "torn" and rng.random() < .4:
        pieces = [rng.random() < .5 for _ in range(nr // PIECE + 2)]
        return [pieces[(first % PIECE + n) // PIECE] for n in range(nr)]
    return [rng.random() < .5] * nr


def copy(disk, out):
    subprocess.run(["cp", "--sparse=always", disk, out], check=True)


def make(base, log, nr_entries, policy, rng, out):
    """A disk as the cut behind nr_entries may leave it, of the one before.

    Return: how many writes were not flushed, and of these not whole.
    """
    copy(base, out)
    entries = log.entries[:nr_entries]
    first = nr_entries - log.unflushed(nr_entries)
    behind = [i for i in range(first, nr_entries)
              if not entries[i].flags & FUA]
    rank = {index: nth for nth, index in enumerate(behind)}
    lost = 0
    fd = os.open(out, os.O_WRONLY)
    try:
        for i, entry in enumerate(entries):
            data = log.bytes_of(entry)
            nr = len(data) // SECTOR
            kept = [True] * nr
            if i in rank:
                kept = sectors_kept(policy, rank[i], len(behind),
                                    entry.sector, nr, rng)
                lost += not all(kept)
            if all(kept):
                os.pwrite(fd, data, entry.sector * SECTOR)
                continue
            for n in (n for n in range(nr) if kept[n]):
                os.pwrite(fd, data[n * SECTOR:(n + 1) * SECTOR],
                          (entry.sector + n) * SECTOR)
    finally:
        os.close(fd)
    return len(behind), lost
