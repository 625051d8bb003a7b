"""Which pages of memory runs write to: each run notes them for the next, and a spare fork has them copied beforehand.

After a fork all memory is shared, and the kernel copies a page when it is first written to. In Python that is wherever
an object is looked at, as reference counts lie beside what they count: thousands of faults, which are felt.
"""

from __future__ import annotations

import ctypes
import mmap
import re
import resource
import struct
from collections.abc import Iterator

PAGE = mmap.PAGESIZE
# Beyond so many pages that a run had to have copied, it was not prepared for.
UNPREPARED = 1000
# Of an entry of the kernel's pagemap, its highest byte: present, not of a file, and mapped here alone.
MASK, OWN = 0xA1, 0x81
IS_OWN = bytes(0x31 if byte & MASK == OWN else 0x30 for byte in range(256))
# madvise(2), Linux 5.14
MADV_POPULATE_WRITE = 23
RANGE = struct.Struct("=QQ")
RANGES = 65536


class HotPages:
    """Lies in memory that a process shares with its forks."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, RANGE.size * (RANGES + 1))
        self._madvise = ctypes.CDLL(None).madvise
        self._madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        self._begun = 0

    def begin(self) -> None:
        """In a fork that becomes a run."""
        self._begun = faults()

    def note(self) -> None:
        """In a run that has ended."""
        if faults() - self._begun < UNPREPARED:
            return
        try:
            ranges = list(own_pages())[:RANGES]
        except (OSError, ValueError):
            # a kernel that does not tell
            return
        for at, each in enumerate(ranges, start=1):
            RANGE.pack_into(self._shared, at * RANGE.size, *each)
        RANGE.pack_into(self._shared, 0, len(ranges), 0)

    def copy(self) -> None:
        """In a fork that has time. What is there no more, or never was, is left out by the kernel."""
        count, _ = RANGE.unpack_from(self._shared, 0)
        for at in range(1, min(count, RANGES) + 1):
            self._madvise(*RANGE.unpack_from(self._shared, at * RANGE.size), MADV_POPULATE_WRITE)


def faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def own_pages() -> Iterator[tuple[int, int]]:
    """Address and length of each stretch of memory that is this process's own by now."""
    with open("/proc/self/maps", encoding="utf-8") as file:
        maps = [line.split() for line in file]
    with open("/proc/self/pagemap", "rb", buffering=0) as pagemap:
        for area, access, _, _, inode, *name in maps:
            if access != "rw-p" or inode != "0" or name not in ([], ["[heap]"]):
                continue
            start, end = (int(each, 16) for each in area.split("-"))
            pagemap.seek(start // PAGE * 8)
            entries = pagemap.read((end - start) // PAGE * 8)
            for found in re.finditer(b"1+", entries[7::8].translate(IS_OWN)):
                yield start + found.start() * PAGE, (found.end() - found.start()) * PAGE
