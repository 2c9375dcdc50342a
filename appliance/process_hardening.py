"""What a process that holds keys asks of the kernel: no core dumps, no onlookers, no life after its parent."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from pathlib import Path

_COMM = Path("/proc/self/comm")
_HEADINGS = 2  # lines of /proc/self/net/dev before the first interface
_PR_SET_PDEATHSIG = 1  # prctl(2)
_PR_SET_DUMPABLE = 4
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_CLONE_NEWUSER = 0x10000000  # unshare(2)
_CLONE_NEWNET = 0x40000000
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4  # mlockall(2)
_CAPABILITY_VERSION = 0x20080522  # capset(2)

ENOUGH_LOCKED_BYTES = 2 << 30
"""What a process may have to lock that tries a costly passphrase: its address space, and Argon2's memory on top."""


def harden() -> None:
    """Keep keys out of core files and from other processes of the same user; new files are for the owner alone."""
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(_PR_SET_DUMPABLE, 0)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def die_with_parent(parent: int) -> None:
    """Be killed when the parent ends, however it ends. Leaves at once when it has ended already."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def be_called(name: str) -> None:
    """What lists of processes call us; at most 15 characters count (``comm`` in proc(5))."""
    _prctl(_PR_SET_NAME, name.encode())


def keep_descendants() -> None:
    """Orphans among our descendants become our children, so that none can pretend to be somebody else's."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def leave_the_network() -> bool:
    """Move into a network namespace with nothing in it (network_namespaces(7)). False where that is not allowed.

    For a process with one thread that has not been hardened and holds no key yet. Sockets in the file system
    still work.
    """
    if ctypes.CDLL(None).unshare(_CLONE_NEWNET) == 0:
        return True
    probe = os.fork()  # some systems grant the namespace and then refuse the maps, and there is no way back
    if probe == 0:
        os._exit(0 if _leaves_as_nobody() else 1)
    can_leave = os.waitstatus_to_exitcode(os.waitpid(probe, 0)[1]) == 0
    return _leaves_as_nobody() if can_leave else _has_no_network()


def _has_no_network() -> bool:
    """True when whoever started us left us nothing but a loopback of our own."""
    lines = Path("/proc/self/net/dev").read_text("ascii").splitlines()[_HEADINGS:]
    return [line.partition(":")[0].strip() for line in lines] in ([], ["lo"])


def _leaves_as_nobody() -> bool:
    """The same for a user without rights, who stays who they are (user_namespaces(7))."""
    user, group, library = os.geteuid(), os.getegid(), ctypes.CDLL(None)
    _prctl(_PR_SET_DUMPABLE, 1)  # or the maps below would be root's
    if library.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        return False
    try:
        Path("/proc/self/uid_map").write_bytes(b"%d %d 1" % (user, user))
        Path("/proc/self/setgroups").write_bytes(b"deny")
        Path("/proc/self/gid_map").write_bytes(b"%d %d 1" % (group, group))
    except OSError:
        return False
    nobody = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    return bool(library.capset(nobody, (ctypes.c_uint32 * 6)()) == 0)


def lock_memory() -> bool:
    """Keep all memory of this process, now and later, out of the swap. False where the limit does not allow it."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        hard = resource.RLIM_INFINITY
    except ValueError:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < ENOUGH_LOCKED_BYTES:
        return False
    return bool(ctypes.CDLL(None).mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) == 0)


def called() -> str:
    """What lists of processes call us."""
    return _COMM.read_text("ascii", "replace").strip()


def _prctl(option: int, value: int | bytes) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    told = ctypes.c_char_p(value) if isinstance(value, bytes) else ctypes.c_ulong(value)
    if library.prctl(option, told, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option} was refused")
