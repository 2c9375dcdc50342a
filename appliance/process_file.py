"""``run/serve.pid``: locked by the one ``serve`` of a data directory for as long as it lives."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from appliance.data_directory import DataDirectory
from mailstore import durable_file
from mailstore.errors import RefusedError

NO_SUCH_PLACE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
"""Why a file cannot be opened that is not there: neither it, nor perhaps the directory that was named."""


@contextmanager
def held(data: DataDirectory) -> Iterator[None]:
    """Hold the file. ``RefusedError`` while another process holds it. The kernel lets go when we die.

    ``run/`` is made when it is not there: a backup leaves it out.
    """
    durable_file.make_directory(data.run)
    descriptor = os.open(data.process_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        number = _number(descriptor)
        os.close(descriptor)
        raise RefusedError(f"process {number} serves {data.path} already", fix="end it first") from error
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def holder(data: DataDirectory) -> int | None:
    """The process that serves this directory; None when nobody does."""
    try:
        descriptor = os.open(data.process_file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in NO_SUCH_PLACE:
            return None
        raise
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _number(descriptor)
    finally:
        os.close(descriptor)
    return None


def _number(descriptor: int) -> int:
    text = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
    return int(text) if text.isdigit() else 0
