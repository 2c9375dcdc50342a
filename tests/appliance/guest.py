"""A fresh Debian, booted with systemd in a namespace of its own and reached by SSH: what the playbook is run against.

Root on the machine that runs the tests is needed, and Debian's mmdebstrap, systemd-container, nftables and iproute2.
The base system is made once for each release and kept outside the tree; a guest is a layer over it. How packages are
had (apt and pip configuration, certificates) is taken from this machine as it is.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(os.environ.get("STRONGROOM_GUESTS", Path.home() / ".cache" / "strongroom" / "guests"))
"""Where base systems are kept, so that every checkout uses the same ones."""

PACKAGES = (
    "systemd-sysv,dbus,libpam-systemd,python3,python3-apt,ca-certificates,iproute2,sudo,procps,openssh-server,e2fsprogs"
)
NEEDED = ("mmdebstrap", "systemd-nspawn", "nft", "ip", "ssh", "ssh-keygen")
BOOT_SECONDS = 60.0
RUN_SECONDS = 900.0
"""How long a run may take to the moment at which it is killed; packages are fetched meanwhile."""
PASSED_ON = re.compile(
    r"^(PIP_\w+|UV_DEFAULT_INDEX|UV_INDEX_URL|REQUESTS_CA_BUNDLE|SSL_CERT_\w+|GOPROXY|GOSUMDB|GOFLAGS|\w+_proxy|\w+_PROXY)$"
)


@dataclass(frozen=True)
class Guest:
    """One booted machine. ``place`` holds its layer, its SSH key and the log of its console."""

    name: str
    place: Path
    network: str

    @property
    def address(self) -> str:
        """Where it is reached from here."""
        return f"{self.network}.2"

    @property
    def host_address(self) -> str:
        """Where it reaches this machine."""
        return f"{self.network}.1"

    @property
    def root(self) -> Path:
        """Its file system, as this machine sees it."""
        return self.place / "root"

    @property
    def ssh_config(self) -> Path:
        """What ``ssh -F`` needs to get in."""
        return self.place / "ssh_config"

    def run(self, command: str, *, check: bool = True, given: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a line of shell as root in the guest."""
        words = ["ssh", "-F", str(self.ssh_config), self.name, command]
        done = subprocess.run(words, capture_output=True, text=True, input=given, check=False)
        if check and done.returncode:
            raise AssertionError(f"{command!r} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def said(self, command: str) -> str:
        """What a line of shell printed, without white space around it."""
        return self.run(command).stdout.strip()

    def reboot(self) -> None:
        """Start the machine again and wait until it is up."""
        _power_off(self)
        _boot(self)


@contextmanager
def booted(name: str, *, release: str = "bookworm") -> Iterator[Guest]:
    """A fresh machine, gone afterwards. Loud when this machine lacks what it takes."""
    missing = [program for program in NEEDED if shutil.which(program) is None]
    if missing or os.geteuid() != 0:
        raise SystemExit(f"a guest needs root and {', '.join(NEEDED)}; missing: {', '.join(missing) or 'root'}")
    place = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=CACHE if _made(CACHE) else None))
    guest = Guest(name, place, _free_network())
    try:
        _layer(guest, _base(release))
        _furnish(guest)
        with _networked(guest):
            _boot(guest)
            try:
                yield guest
            finally:
                _note_down(guest)
                _power_off(guest)
    finally:
        _run("umount", str(guest.root), check=False)
        shutil.rmtree(place)


def _made(folder: Path) -> bool:
    folder.mkdir(parents=True, exist_ok=True)
    return True


def _run(*words: str, check: bool = True, given: str | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(words, check=False, capture_output=True, text=True, input=given)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(words)} ended with {done.returncode}\n{done.stderr[-3000:]}")
    return done


def _base(release: str) -> Path:
    """The base system of a release, made once: about a minute."""
    made = CACHE / release
    if made.exists():
        return made
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        place = Path(folder)
        place.chmod(0o755)
        words = ["mmdebstrap", "--variant=apt", f"--include={PACKAGES}", release, str(place / "base")]
        _run(*words, *(str(path) for path in _sources(place, release)))
        (place / "base").rename(made)
    return made


def _sources(place: Path, release: str) -> Iterator[Path]:
    """This machine's own sources of Debian's packages, for the release that is asked for. What else it has stays."""
    here = _run("sh", "-c", ". /etc/os-release; echo $VERSION_CODENAME").stdout.strip()
    suite = re.compile(rf"(?<![-\w]){here}(?!\w)")
    for path in (Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").iterdir())):
        if path.suffix in (".list", ".sources") and path.is_file() and suite.search(path.read_text("utf-8")):
            copied = place / path.name
            copied.write_text(suite.sub(release, path.read_text("utf-8")), "utf-8")
            yield copied


def _layer(guest: Guest, base: Path) -> None:
    upper, work = guest.place / "upper", guest.place / "work"
    for folder in (guest.root, upper, work):
        folder.mkdir()
    _run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={base},upperdir={upper},workdir={work}", str(guest.root))


def _furnish(guest: Guest) -> None:
    """How packages are had, the name of the machine, and who may come in."""
    for name in ("apt.conf.d", "preferences.d", "auth.conf.d"):
        _copied(Path("/etc/apt") / name, guest)
    for path in (Path("/etc/pip.conf"), Path.home() / ".config/pip/pip.conf", Path.home() / ".pip/pip.conf"):
        _copied(path, guest)
    _copied(Path("/usr/local/share/ca-certificates"), guest)
    _run("chroot", str(guest.root), "env", "-u", "TMPDIR", "update-ca-certificates")
    shutil.copy(Path("/etc/resolv.conf").resolve(), _written(guest, "etc/resolv.conf", ""))
    passed = [f"{name}={value}" for name, value in os.environ.items() if PASSED_ON.match(name)]
    _written(guest, "etc/environment", "\n".join([*passed, ""]))
    _written(guest, "etc/hostname", f"{guest.name}\n")
    _written(guest, "etc/hosts", f"127.0.0.1 localhost\n::1 localhost\n127.0.1.1 {guest.name}.test {guest.name}\n")
    _written(guest, "etc/machine-id", "")
    for lists in ("var/lib/apt/lists", "var/lib/apt/periodic/update-success-stamp"):  # emptied, so they are old
        if (guest.root / lists).exists():
            os.utime(guest.root / lists, (0, 0))
    _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(guest.place / "id"))
    (guest.root / "root/.ssh").mkdir(mode=0o700, exist_ok=True)
    _written(guest, "root/.ssh/authorized_keys", (guest.place / "id.pub").read_text("utf-8")).chmod(0o600)
    guest.ssh_config.write_text(
        f"Host {guest.name}\n HostName {guest.address}\n User root\n IdentityFile {guest.place / 'id'}\n"
        " StrictHostKeyChecking no\n UserKnownHostsFile /dev/null\n LogLevel ERROR\n"
        f" ControlMaster auto\n ControlPath {guest.place / 'cm'}\n ControlPersist 60\n",
        "utf-8",
    )


def _copied(source: Path, guest: Guest) -> None:
    target = guest.root / source.relative_to("/")
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    elif source.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


def _written(guest: Guest, name: str, text: str) -> Path:
    path = guest.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_text(text, "utf-8")
    return path


def _free_network() -> str:
    """Three bytes of a network that nobody on this machine uses."""
    taken = _run("ip", "-4", "addr").stdout
    return next(net for net in (f"10.77.{number}" for number in range(1, 250)) if f" {net}." not in taken)


@contextmanager
def _networked(guest: Guest) -> Iterator[None]:
    """A network namespace, joined to this machine and, by translation of addresses, to where this machine goes."""
    space, wire = guest.place.name, f"sr{secrets.token_hex(4)}"
    inside = ("ip", "-n", space)
    _run("ip", "netns", "add", space)
    try:
        _run("ip", "link", "add", wire, "type", "veth", "peer", "name", "host0", "netns", space)
        _run("ip", "addr", "add", f"{guest.host_address}/24", "dev", wire)
        _run("ip", "link", "set", wire, "up")
        _run(*inside, "link", "set", "lo", "up")
        _run(*inside, "addr", "add", f"{guest.address}/24", "dev", "host0")
        _run(*inside, "link", "set", "host0", "up")
        _run(*inside, "route", "add", "default", "via", guest.host_address)
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1", "ascii")
        rule = f'ip saddr {guest.network}.0/24 oifname != "{wire}" masquerade'
        table = f"table ip {wire} {{ chain post {{ type nat hook postrouting priority 100; {rule}\n }}\n}}\n"
        _run("nft", "-f", "-", given=table)
        yield
    finally:
        _run("nft", "delete", "table", "ip", wire, check=False)
        _run("ip", "link", "del", wire, check=False)
        _run("ip", "netns", "del", space, check=False)


def _boot(guest: Guest) -> None:
    words = [
        *("systemd-nspawn", "--quiet", "--boot", "--capability=CAP_NET_ADMIN", "--timezone=off", "--keep-unit"),
        *("--register=no", "--resolv-conf=off", "--link-journal=no", f"--directory={guest.root}"),
        *(f"--machine={guest.name}", f"--network-namespace-path=/run/netns/{guest.place.name}"),
    ]
    environment = {**os.environ, "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"}
    with (guest.place / "console.log").open("ab") as console:
        started = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
    (guest.place / "pid").write_text(str(started.pid), "ascii")
    end = time.monotonic() + BOOT_SECONDS
    while guest.run("systemctl is-system-running --wait", check=False).stdout.strip() not in ("running", "degraded"):
        if time.monotonic() > end or started.poll() is not None:
            raise AssertionError(f"the guest did not boot:\n{(guest.place / 'console.log').read_text()[-3000:]}")
        time.sleep(0.1)


def _note_down(guest: Guest) -> None:
    """Keep what the machine said last beside the base systems, for whoever asks why a test failed."""
    asked = "journalctl --no-pager --lines=300; tail --lines=40 /var/lib/strongroom/log/*.log"
    told = guest.run(asked, check=False)
    (CACHE / f"{guest.name}.log").write_text(told.stdout + told.stderr, "utf-8")


def _power_off(guest: Guest) -> None:
    _run("ssh", "-F", str(guest.ssh_config), "-O", "exit", guest.name, check=False)
    pid = int((guest.place / "pid").read_text("ascii"))
    first = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    _run("kill", str(pid), check=False)
    end = time.monotonic() + BOOT_SECONDS
    while _is_running(pid):
        if time.monotonic() > end:  # Debian 13 hangs here now and then, with nothing of ours; it would keep its ports
            _run("kill", "-KILL", *first, str(pid), check=False)
        time.sleep(0.1)


def _is_running(pid: int) -> bool:
    """A child of ours that ended is a zombie until it is waited for."""
    try:
        ended, _ = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return Path(f"/proc/{pid}").exists()
    return not ended


def playbook(
    guest: Guest,
    repository: Path,
    *,
    program: Sequence[str],
    told: dict[str, object],
    check: bool = False,
    verbosity: int = 0,
    play: str = "site.yml",
) -> subprocess.CompletedProcess[str]:
    """Run the repository's playbook against a guest, told its variables by a file."""
    words = [*program, "-i", str(_inventory(guest, told)), play, *(["--check"] if check else [])]
    environment = {**_environment(guest), "ANSIBLE_VERBOSITY": str(verbosity)}
    done = subprocess.run(
        words, cwd=repository / "ansible", env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise AssertionError(f"the playbook ended with {done.returncode}\n{done.stdout[-6000:]}\n{done.stderr[-2000:]}")
    return done


def playbook_killed_when(
    moment: Callable[[], bool], guest: Guest, repository: Path, *, program: Sequence[str], told: dict[str, object]
) -> str:
    """Run the playbook until the moment has come, then kill it and all that it started here. What it said until then.

    What a task of it began in the guest is not killed and may end there, as when a connection is lost.
    """
    words = [*program, "-i", str(_inventory(guest, told)), "site.yml"]
    told_here = guest.place / "killed.log"
    with told_here.open("wb") as said:
        run = subprocess.Popen(
            words,
            cwd=repository / "ansible",
            env=_environment(guest),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
        try:
            end = time.monotonic() + RUN_SECONDS
            while not moment():
                if run.poll() is not None or time.monotonic() > end:
                    raise AssertionError(f"the moment did not come\n{told_here.read_text('utf-8')[-6000:]}")
                time.sleep(0.05)
        finally:
            for pid in (*_started_by(run.pid), run.pid):  # a task is a process with a session of its own
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            run.wait()
    return told_here.read_text("utf-8")


def _started_by(pid: int) -> Iterator[int]:
    """All processes below one that still runs."""
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # it ended meanwhile
            for child in map(int, children.read_text("ascii").split()):
                yield from _started_by(child)
                yield child


def _inventory(guest: Guest, told: dict[str, object]) -> Path:
    inventory = guest.place / "inventory.yml"
    lines = [f"      {name}: {value!r}" for name, value in told.items()]
    ssh = f"-F {guest.ssh_config}"
    inventory.write_text(
        f"strongroom:\n  hosts:\n    {guest.name}:\n      ansible_ssh_common_args: {ssh!r}\n" + "\n".join(lines) + "\n",
        "utf-8",
    )
    return inventory


def _environment(guest: Guest) -> dict[str, str]:
    return {
        **os.environ,
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_HOST_KEY_CHECKING": "0",
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(guest.place / "cp"),  # else guests of one name share a connection
    }
