"""What a rehearsal comes to, for people and for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.torture.oracle import Breach, Found


@dataclass(frozen=True)
class Failure:
    """A cycle in which a promise was broken, and how to see it again."""

    kind: str
    command: str
    found: tuple[str, ...]


@dataclass
class Report:
    """Counts over all cycles."""

    seed: int
    cycles: int = 0
    seconds: float = 0.0
    processor_seconds: float = 0.0
    scenarios: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    failpoints: Counter[str] = field(default_factory=Counter)
    acknowledged: int = 0
    breaches: Counter[Breach] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """True when no promise was broken."""
        return bool(self.cycles) and not self.failures

    def count(self, kind: str, command: str, *, struck: Counter[str], acknowledged: int, found: list[Found]) -> None:
        """Add one cycle. ``struck`` names what disturbed it, as ``where:how``."""
        scenario, _, _ = kind.partition("/")
        self.cycles += 1
        self.scenarios[scenario] += 1
        for name, times in struck.items():
            where, _, how = name.rpartition(":")
            self.faults[how] += times
            self.failpoints.update({where: times} if "." in where else {})
        self.acknowledged += acknowledged
        self.breaches.update(each.breach for each in found)
        if found:
            self.failures.append(Failure(kind, command, tuple(f"{each.breach}: {each.what}" for each in found)))

    def told(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "cycles": self.cycles,
            "seed": self.seed,
            "scenarios": dict(sorted(self.scenarios.items())),
            "faults": dict(sorted(self.faults.items())),
            "failpoints": dict(sorted(self.failpoints.items())),
            "acknowledged": self.acknowledged,
            **{breach.value: self.breaches[breach] for breach in Breach},
            "seconds": round(self.seconds, 1),
            "processor_seconds": round(self.processor_seconds, 1),
            "good": self.is_good,
            "failures": [vars(failure) for failure in self.failures],
        }

    def lines(self) -> Iterator[str]:
        """As people read it."""
        for name, value in self.told().items():
            if name == "failures":
                continue
            shown = ", ".join(f"{key} {times}" for key, times in value.items()) if isinstance(value, dict) else value
            yield f"{name.replace('_', ' '):<14} {shown}"
        for failure in self.failures:
            yield f"\n{failure.kind}; again: {failure.command}"
            yield from (f"  {found}" for found in failure.found)
