"""The process that reads attachments by strangers, and can do nothing else.

Before the first byte of mail arrives it gives up files, sockets, new processes, core dumps and writing; memory is
bounded for its whole life and processor time for each attachment. It speaks with its parent over two pipes: a line
of JSON, then as many bytes as the line says. It ends when its parent does.
"""

from __future__ import annotations

import codecs
import contextlib
import ctypes
import json
import os
import resource
import select
import sys
from typing import BinaryIO

from archive.attachment_text import text_in
from archive.extracted_text import ExtractedText, Extraction, Unreadable

MEMORY_BYTES = 1024 * 1024 * 1024
"""Address space, of which the interpreter and its libraries take about a third before any work."""

CPU_SECONDS = 5
"""Processor time for one attachment; over it the kernel ends the process (setrlimit(2), RLIMIT_CPU)."""

IDLE_SECONDS = 60
"""After so long without work the process ends and gives its memory back; the parent starts another."""

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38
_STANDARD_DESCRIPTORS = 3

_CHARSETS = (
    "utf-8 utf-8-sig utf-7 utf-16 utf-16-le utf-16-be utf-32 utf-32-le utf-32-be ascii latin-1 cp437 cp850 cp866 cp932 "
    "cp949 cp950 cp1250 cp1251 cp1252 cp1253 cp1254 cp1255 cp1256 cp1257 cp1258 iso-8859-2 iso-8859-3 iso-8859-4 "
    "iso-8859-5 iso-8859-6 iso-8859-7 iso-8859-8 iso-8859-9 iso-8859-10 iso-8859-13 iso-8859-14 iso-8859-15 "
    "iso-8859-16 koi8-r koi8-u mac-roman gbk gb18030 big5 big5hkscs euc-jp euc-kr iso-2022-jp iso-2022-kr shift_jis "
    "tis-620 idna punycode charmap"
)
"""Loaded ahead: once locked in, no further module can be read from disk."""


def lock_in() -> None:
    """Give up what reading a text does not need. What the kernel does not permit to give up is stopped by the rest."""
    for name in _CHARSETS.split():
        codecs.lookup(name)
    _warm_up()
    libc = ctypes.CDLL(None, use_errno=True)
    libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)  # no network; where not permitted, no descriptors means no sockets
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    for limit, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_NOFILE, _STANDARD_DESCRIPTORS),
    ):
        resource.setrlimit(limit, (most, most))


def _warm_up() -> None:
    """Read one of each kind, so that every module that reading needs is loaded."""
    minimal_pdf = b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj"
    for content, content_type in (
        (b"<p>a</p>", "text/html"),
        (minimal_pdf + b"\ntrailer<</Root 1 0 R>>", "application/pdf"),
        (b"Subject: =?utf-8?q?a?=\r\n\r\na", "message/rfc822"),
    ):
        text_in(content, content_type=content_type, file_name="")


def _allow_time() -> None:
    """The next attachment has its full time, counted from now."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + 1 + CPU_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.RLIM_INFINITY))


def _extracted(request: dict[str, str], content: bytes) -> Extraction:
    try:
        return text_in(
            content,
            content_type=request["content_type"],
            file_name=request["file_name"],
            charset=request["charset"],
        )
    except (MemoryError, RecursionError):
        return Unreadable("limit")
    except Exception:  # noqa: BLE001  # whatever a stranger's bytes provoke in a parser, the answer is the same
        return Unreadable("failed")


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer until the parent is gone or nothing came for a while."""
    poll = select.poll()
    poll.register(requests, select.POLLIN)
    while poll.poll(IDLE_SECONDS * 1_000) and (line := requests.readline()):
        request = json.loads(line)
        content = requests.read(request["length"])
        _allow_time()
        found = _extracted(request, content)
        del content
        text = found.text.encode("utf-8", "replace") if isinstance(found, ExtractedText) else b""
        head = {
            "length": len(text),
            "reason": found.reason if isinstance(found, Unreadable) else "",
            "is_whole": isinstance(found, ExtractedText) and found.is_whole,
        }
        answers.write(json.dumps(head).encode() + b"\n" + text)
        answers.flush()


def main() -> None:
    """Lock in, say so, serve."""
    sys.stdout = sys.stderr
    requests = os.fdopen(0, "rb")
    answers = os.fdopen(1, "wb")
    lock_in()
    answers.write(b"ready\n")
    answers.flush()
    with contextlib.suppress(BrokenPipeError):
        serve(requests, answers)
