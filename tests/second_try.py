"""Tries once more, alone, what failed by chance in a run of all tests: ``make test`` says by name what was unsteady.

A browser beside 5,000 other tests on a small machine is late now and then. Nothing else gets a second try, least of all
what attacks the product or kills it, and neither do more than three at once: such a failure counts the first time.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

MOST: Final = 3
BY_CHANCE: Final = (
    "tests/flows/test_patient_portal.py::",
    "tests/flows/test_records_pages.py::",
    "tests/flows/test_search_pages.py::",
    "tests/flows/test_staff_pages.py::",
    "tests/pages/",
)
"""Where tests wait for a browser."""


def may_be_chance(failed: list[str]) -> bool:
    """True for a few tests of pages, which wait for a browser."""
    return 0 < len(failed) <= MOST and all(name.startswith(BY_CHANCE) for name in failed)


def main() -> int:
    """How the second try ended, as pytest tells it; 1 where there was none."""
    failed = sorted(set(Path(os.environ["STRONGROOM_TEST_FAILED"]).read_text("utf-8").split("\n")) - {""})
    if not may_be_chance(failed):
        return 1
    sys.stdout.write("Once more, alone:\n" + "".join(f"UNSTEADY {name}\n" for name in failed))
    sys.stdout.flush()
    return subprocess.run([sys.executable, "-m", "pytest", "-n", "0", *failed], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
