"""How a process that runs for months gives memory back to the machine (mallopt(3)).

Left alone, glibc keeps an arena of its own for every thread and raises the size from which blocks are mapped singly
with every large block it sees. Batches of work that pass through several threads then leave their peaks behind in
all of those arenas, and a process seems to grow although it holds no more.
"""

from __future__ import annotations

import ctypes
import gc

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8

ARENAS = 2
SINGLY_FROM_BYTES = 256 * 1024
KEPT_FREE_BYTES = 1024 * 1024


def give_back() -> None:
    """Few arenas, large blocks mapped singly, free memory returned. Without effect where the C library is another."""
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt"):
        return
    library.mallopt(_M_ARENA_MAX, ARENAS)
    library.mallopt(_M_MMAP_THRESHOLD, SINGLY_FROM_BYTES)
    library.mallopt(_M_TRIM_THRESHOLD, KEPT_FREE_BYTES)


def keep_loaded() -> None:
    """What is there now stays for good: looking for garbage walks it no more, nor unshares its pages from a fork's."""
    gc.freeze()


def return_freed() -> None:
    """Hand the machine what was freed in the middle of the heap too, which no threshold does (malloc_trim(3))."""
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)
