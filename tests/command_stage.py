"""A process that has every command loaded and forks a child for each that is run: most of its cost is loading.

The child is a process as any other: its own standard streams, environment and working directory, the exit code of
``strongroom``, and nothing in memory that a command left behind. ``python -m tests.command_stage SOCKET`` is started
once for each process of tests, when the first command is run, and ends with it.
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import json
import os
import pkgutil
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).parents[1]
STREAMS = 3


@dataclass(frozen=True)
class Ended:
    """How a command ended: negative when a signal killed it."""

    code: int
    stdout: bytes
    stderr: bytes


def run(words: Sequence[str], *, stdin: bytes, seconds: float) -> Ended:
    """Run ``strongroom`` with these words. Raises ``TimeoutExpired`` when it takes longer, having killed it."""
    files = [os.memfd_create(name, os.MFD_CLOEXEC) for name in ("stdin", "stdout", "stderr")]
    try:
        os.write(files[0], stdin)
        os.lseek(files[0], 0, os.SEEK_SET)
        told = {"words": list(words), "environment": dict(os.environ), "directory": str(ROOT)}
        code = _played(json.dumps(told).encode(), files, words, seconds)
        return Ended(code, *(_whole(file) for file in files[1:]))
    finally:
        for file in files:
            os.close(file)


def _played(told: bytes, files: Sequence[int], words: Sequence[str], seconds: float) -> int:
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(_stage(os.getpid())))
        with suppress(BrokenPipeError):
            socket.send_fds(line, [len(told).to_bytes(4, "big")], files)
            line.sendall(told)
        process = int.from_bytes(_read(line, 4), "big")
        line.settimeout(seconds)
        try:
            return int.from_bytes(_read(line, 4), "big", signed=True)
        except TimeoutError as late:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
            raise subprocess.TimeoutExpired(list(words), seconds) from late


def _whole(file: int) -> bytes:
    return os.pread(file, os.fstat(file).st_size, 0)


@functools.cache
def _stage(owner: int) -> Path:
    """Its socket, once it listens. One for each process (``owner``): a forked one has its own."""
    directory = Path(tempfile.mkdtemp(prefix="strongroom-commands-"))
    place = directory / "socket"
    words = [sys.executable, "-m", "tests.command_stage", str(place)]
    process = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n", "the stage of commands did not start"
    atexit.register(_end, process, directory, owner)
    return place


def _end(process: subprocess.Popen[bytes], directory: Path, owner: int) -> None:
    if os.getpid() == owner:
        process.kill()
        process.wait(30)
        shutil.rmtree(directory, ignore_errors=True)


def main() -> None:
    """Listen until killed, or until whoever started us is gone."""
    commands = importlib.import_module("appliance.commands")
    importlib.import_module("appliance.cli")
    for module in pkgutil.iter_modules(commands.__path__, "appliance.commands."):
        importlib.import_module(module.name)
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # whoever ends is let go of at once
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(sys.argv[1])
        listener.listen(64)
        os.write(1, b"ready\n")
        while not _is_alone(listener):
            line, _ = listener.accept()
            if not os.fork():
                listener.close()
                _ushered(line)
            line.close()


def _is_alone(listener: socket.socket) -> bool:
    """Wait for a call. True when instead the pipe from whoever started us was closed."""
    ready, _, _ = select.select([listener, sys.stdin], [], [])
    return sys.stdin in ready


def _ushered(line: socket.socket) -> NoReturn:
    """Fork the command, and tell its process id and, when it has ended, how."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    head, files, _, _ = socket.recv_fds(line, 4, STREAMS)
    told = json.loads(_read(line, int.from_bytes(head, "big")))
    child = os.fork()
    if not child:
        line.close()
        _become(told, files)
    line.sendall(child.to_bytes(4, "big"))
    _, status = os.waitpid(child, 0)
    with suppress(BrokenPipeError):
        line.sendall(os.waitstatus_to_exitcode(status).to_bytes(4, "big", signed=True))
    os._exit(0)


def _become(told: Mapping[str, Any], files: Sequence[int]) -> NoReturn:
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(told["environment"])
    os.chdir(told["directory"])
    sys.argv = ["strongroom", *told["words"]]
    cli, failpoint = importlib.import_module("appliance.cli"), importlib.import_module("mailstore.failpoint")
    failpoint.rehearse(os.environ.get("STRONGROOM_FAILPOINT", ""))
    code = 1
    try:
        code = cli.main()
    except BaseException:  # noqa: BLE001 - as the interpreter does with what nobody caught
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _read(line: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = line.recv(count - len(data))
        if not more:
            raise RuntimeError("the stage of commands fell")
        data += more
    return data


if __name__ == "__main__":
    main()
