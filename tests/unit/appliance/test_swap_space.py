"""Which swap could be read on a disk, on files that say what a system would."""

from __future__ import annotations

from pathlib import Path

from appliance import swap_space

HEAD = "Filename\t\t\tType\t\tSize\tUsed\tPriority\n"


def test_swap_on_a_disk_or_in_a_file_is_told_and_one_that_is_encrypted_or_in_memory_is_not(tmp_path: Path) -> None:
    swaps = tmp_path / "swaps"
    lines = [
        f"{name}\tpartition\t1\t0\t-2" for name in ("/dev/vda2", "/swapfile", "/dev/zram0", "/dev/dm-1", "/dev/dm-2")
    ]
    swaps.write_text(HEAD + "\n".join(lines) + "\n", "utf-8")
    for name, uuid in (("dm-1", "CRYPT-PLAIN-swap"), ("dm-2", "LVM-abcdef")):
        told = tmp_path / "block" / name / "dm" / "uuid"
        told.parent.mkdir(parents=True)
        told.write_text(uuid + "\n", "ascii")
    assert swap_space.unencrypted(swaps, tmp_path / "block") == ["/dev/vda2", "/swapfile", "/dev/dm-2"]


def test_machine_without_swap_has_nothing_to_tell(tmp_path: Path) -> None:
    swaps = tmp_path / "swaps"
    swaps.write_text(HEAD, "utf-8")
    assert swap_space.unencrypted(swaps, tmp_path) == []
