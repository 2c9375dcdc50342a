"""Which step of the appliance's life is disturbed, and what has happened before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tests.torture.letter import Letter


def letter_of(name: str, number: int) -> Letter:
    """Small ones and large ones, due at once or not, under the hold or not, to Ann or out of the house."""
    return Letter(
        name,
        characters=(300, 3_000, 90_000, 7_000)[number % 4],
        is_doomed=number % 2 == 0,
        is_litigated=number % 3 == 0,
        is_outbound=number % 5 == 4,
    )


def enclosing(name: str, number: int) -> Letter:
    """Two files are enclosed by turns. Every letter with the second one is due, half of those with the first are."""
    return Letter(name, is_doomed=number % 2 == 1 or number % 4 == 0, enclosed=f"scan{number % 2}")


def incoming(name: str, number: int) -> Letter:
    """As the others, but all to Ann."""
    return replace(letter_of(name, number), is_outbound=False)


Writer = Callable[[str, int], Letter]


@dataclass(frozen=True)
class Act:
    """One scene. ``letters`` are taken in by it, of every sort in turn; ``told`` is what else it is told.

    ``failpoint`` is for what happened before: the past of a practice may hold a crash that nobody has mended. ``write``
    makes the letter of a name and a number. ``clock`` is the jump of a clock under which it is played.
    """

    scene: str
    letters: int = 0
    told: Mapping[str, Any] = field(default_factory=dict, hash=False)
    failpoint: str = ""
    clock: str = ""
    write: Writer = letter_of

    def written(self, sheaf: str) -> list[Letter]:
        """Its letters, each with a name of its own."""
        return [self.write(f"letter-{sheaf}-{number}", number) for number in range(self.letters)]


@dataclass(frozen=True)
class Scenario:
    """``before`` happens in peace, ``act`` is disturbed, ``after`` happens in peace when all is mended.

    ``faults`` are the only ones that suit it; none named: all that suit any act. ``home`` says where rows, keys and
    objects are kept. ``again``: somebody says it again after a crash, as an operator does.
    """

    name: str
    act: Act
    before: tuple[Act, ...] = ()
    after: tuple[Act, ...] = ()
    faults: tuple[str, ...] = ()
    home: str = "files"
    again: bool = False


MAIL = Act("accept", letters=10)
SOME_MAIL = Act("accept", letters=6)
MORE_MAIL = Act("accept", letters=2)
CUT_OFF_MAIL = Act("accept", letters=3, failpoint="deposit.after_keystore:kill")
WORK = Act("work")
CUT_OFF_PROMOTION = Act("work", told={"kinds": ("promote",)}, failpoint="promotion.after_put:kill")
DISPOSE = Act("dispose")
FILES = Act("accept", letters=6, write=enclosing)
SAME_FILES = Act("accept", letters=2, write=enclosing)
HOLD = Act("hold")

LOSS = Act("lose_newest_rows", letters=3)
START = Act("start")
ROTATE = Act("rotate")
CUT_OFF_ROTATION = Act("rotate", failpoint="rotation.after_ring:kill")
SLOT = Act("slot")
TO_SQLITE = Act("change_engine", told={"engine": "sqlite"})
CUT_OFF_CHANGE = replace(TO_SQLITE, failpoint="engine_change.after_batch:kill")
RESTORE = Act("restore")
BACK_UP = Act("back_up")
SEALED_MAIL = Act("accept_sealed", letters=8, write=incoming)
CUT_OFF_SEALED_MAIL = Act("accept_sealed", letters=5, write=incoming, failpoint="sealed_spool.after_append:kill@2")
DRAIN = Act("drain")
CUT_OFF_MOVE = Act("move", failpoint="database_move.after_rows:kill")
ARCHIVE_ALONE = Act("work", told={"kinds": ("capture", "index")})
ALL_BUT_DELIVERY = Act("work", told={"kinds": ("promote", "capture", "index")})
ACCIDENT = (
    CUT_OFF_MAIL,
    SOME_MAIL,
    ALL_BUT_DELIVERY,
    DISPOSE,
    SOME_MAIL,
    HOLD,
    CUT_OFF_PROMOTION,
    ALL_BUT_DELIVERY,
    Act("hold", failpoint="holds.after_placing:kill"),
    MORE_MAIL,
    Act("damage"),
)

LIFE = (SOME_MAIL, WORK, Act("duties"), HOLD, DISPOSE, Act("recover"), Act("inspect"))
"""A life in which most of the appliance's code is come by."""

ON_FILES = (
    Scenario("accept", MAIL),
    Scenario("promote", Act("work", told={"kinds": ("promote",)}), before=(SOME_MAIL,)),
    Scenario("archive", ARCHIVE_ALONE, before=(SOME_MAIL,)),
    Scenario("deliver", Act("work", told={"kinds": ("deliver",)}), before=(MAIL,)),
    Scenario("release_spool", Act("duties"), before=(SOME_MAIL, WORK)),
    Scenario("release_after_loss", Act("duties"), before=(SOME_MAIL, WORK, Act("lose"))),
    Scenario("sweep", Act("duties"), before=(CUT_OFF_MAIL, SOME_MAIL, CUT_OFF_PROMOTION)),
    Scenario("hold", HOLD, before=(SOME_MAIL, WORK), after=(DISPOSE,)),
    Scenario("release", Act("release"), before=(SOME_MAIL, WORK, HOLD), after=(DISPOSE,)),
    Scenario("dispose", DISPOSE, before=(SOME_MAIL, WORK)),
    Scenario("dispose_of_spool", DISPOSE, before=(SOME_MAIL, ARCHIVE_ALONE)),
    Scenario("dispose_held", DISPOSE, before=(SOME_MAIL, WORK, HOLD)),
    Scenario("promote_files", Act("work", told={"kinds": ("promote",)}), before=(FILES, WORK, SAME_FILES)),
    Scenario("dispose_of_files", DISPOSE, before=(FILES, WORK)),
    Scenario("dispose_while_files_come", DISPOSE, before=(FILES, WORK, SAME_FILES)),
    Scenario("reschedule", Act("reschedule"), before=(SOME_MAIL, WORK), after=(DISPOSE,)),
    Scenario("rebuild", Act("rebuild"), before=(SOME_MAIL, WORK)),
    Scenario("change_engine", TO_SQLITE, before=(SOME_MAIL, WORK), after=(DISPOSE,), again=True),
    Scenario("change_engine_again", TO_SQLITE, before=(SOME_MAIL, WORK, CUT_OFF_CHANGE, DISPOSE), again=True),
    Scenario("dispose_in_sqlite", DISPOSE, before=(SOME_MAIL, WORK, TO_SQLITE, MORE_MAIL, WORK)),
    Scenario("check", Act("check"), before=ACCIDENT, after=(DISPOSE,), again=True),
    Scenario("check_index", Act("check"), before=(SOME_MAIL, WORK, Act("damage_index")), again=True),
    Scenario("confirm_clock", Act("confirm", clock="+45d"), before=(SOME_MAIL, WORK)),
    Scenario("train", Act("train"), before=(Act("train"), SOME_MAIL)),
    Scenario("promote_new_files", Act("work", told={"kinds": ("promote",)}), before=(FILES,)),
    Scenario("scrub", Act("duties", clock="+20d"), before=(FILES, WORK, Act("duties"))),
    Scenario(
        "scrub_ends", Act("duties", clock="+31d"), before=(FILES, WORK, Act("duties"), Act("duties", clock="+20d"))
    ),
    Scenario("rotate", ROTATE, before=(SOME_MAIL, WORK), after=(MORE_MAIL, WORK, DISPOSE), again=True),
    Scenario("rotate_again", ROTATE, before=(FILES, WORK, CUT_OFF_ROTATION, SOME_MAIL), after=(DISPOSE,), again=True),
    Scenario("slot", SLOT, before=(SOME_MAIL, SLOT), after=(DISPOSE,), again=True),
    Scenario("change_key_file", Act("change_key_file"), before=(SOME_MAIL, WORK), after=(DISPOSE,), again=True),
    Scenario("accept_rows", Act("accept_rows"), before=(SOME_MAIL, WORK, LOSS), after=(DISPOSE,), again=True),
    Scenario(
        "back_up", BACK_UP, before=(SOME_MAIL, WORK, BACK_UP, MAIL), after=(Act("prove_backup"), DISPOSE), again=True
    ),
    Scenario(
        "back_up_later",
        Act("back_up", clock="+45d"),
        before=(SOME_MAIL, WORK, BACK_UP, DISPOSE, BACK_UP, Act("confirm", clock="+45d")),
        after=(Act("prove_backup"),),
        again=True,
    ),
    Scenario("restore", RESTORE, before=(SOME_MAIL, WORK, MAIL), after=(Act("rebuild"), DISPOSE), again=True),
    Scenario(
        "restore_older",
        Act("restore", told={"generation": 1}),
        before=(SOME_MAIL, WORK, BACK_UP, DISPOSE),
        after=(Act("rebuild"),),
        again=True,
    ),
    Scenario("migrate", START, before=(Act("grow_old", letters=6),), again=True),
    Scenario("move_begun", Act("move"), before=(SOME_MAIL, CUT_OFF_MOVE, WORK), home="moving", again=True),
    Scenario("move", Act("move"), before=(SOME_MAIL, WORK), after=(DISPOSE,), home="moving", again=True),
    Scenario("sealed", SEALED_MAIL, before=(SOME_MAIL,), after=(DRAIN,)),
    Scenario("drain", DRAIN, before=(SOME_MAIL, SEALED_MAIL, CUT_OFF_SEALED_MAIL), after=(WORK,)),
    Scenario("serve", MAIL, before=(SOME_MAIL,), faults=("role_killed",)),
)
"""Every step that must be durable. One more line adds a step."""

SERVER_FAULTS = ("kill", "kill_twice", "beside")
OF_THIS_MACHINE = ("moment", "error", "full", "pause", "sync_error", "sync_slow", "no_room", "clock")
ELSEWHERE = {
    "postgresql": (
        *("accept", "promote", "archive", "deliver", "release_spool", "sweep"),
        *("hold", "release", "dispose", "dispose_held", "dispose_of_files", "reschedule", "rebuild"),
        *("scrub", "confirm_clock", "train", "rotate", "back_up", "migrate", "check_index"),
    ),
    "s3": ("start", "promote", "archive", "hold", "dispose", "release_spool", "release_after_loss", "sweep"),
}
"""Which of them are also rehearsed where rows and keys, or objects, lie on a server."""
OF_HOMES = {
    "postgresql": (*SERVER_FAULTS, *OF_THIS_MACHINE, "backends", "server_killed", "server_full"),
    "s3": (*SERVER_FAULTS, *OF_THIS_MACHINE, "network"),
}


def _elsewhere(scenario: Scenario, home: str) -> Scenario:
    return replace(scenario, name=f"{scenario.name}@{home}", home=home, faults=OF_HOMES[home])


SHARED = Scenario("start", START, before=(SOME_MAIL, WORK), again=True)
"""What is done where something lies outside of the data directory."""

SCENARIOS = (
    *ON_FILES,
    *(
        _elsewhere(each, home)
        for home, names in ELSEWHERE.items()
        for each in (*ON_FILES, SHARED)
        if each.name in names
    ),
)
