"""``strongroom setup``: the first run, from nothing to a practice that some of several people can open again.

A person is asked at the terminal. A program says ``--json``, hands over what it knows as one JSON object on stdin, and
hears what is still missing; it calls again with the rest. Either goes on where the other stopped.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from appliance import first_run, setup_answers, typed_secret, wiring
from appliance.command_call import Call, Outcome
from appliance.commands import init
from appliance.first_run import FirstRun, Step
from appliance.setup_answers import PracticeAnswer, SetupAnswers
from appliance.setup_dialogue import SetupDialogue
from appliance.share_pages import SharePage
from appliance.terminal import Terminal
from mailstore import slot_shares
from mailstore.errors import RefusedError, WrongKeyError
from portal.people import NewStaff

MOST_ANSWER_BYTES: Final = 65_536
TRIES: Final = 3
ALL_STEPS: Final = tuple(Step)
FINISHED: Final = (
    "The first run is finished. Mail is taken from outside as soon as it runs: let the playbook run again, or say "
    "strongroom serve.\nThen: strongroom doctor says what is left to do."
)


def run(call: Call) -> Outcome:
    """Take the steps that are missing; exit code 1 while any is. ``RefusedError`` for an answer that cannot be used."""
    if call.arguments.look:
        return _looked(call)
    if call.arguments.json:
        return _answered(call, setup_answers.understood(sys.stdin.read(MOST_ANSWER_BYTES)))
    with Terminal.opened() as terminal:
        return _asked(call, SetupDialogue(terminal))


def _looked(call: Call) -> Outcome:
    if not call.data.settings.exists():
        return _outcome(call, ALL_STEPS)
    if not call.data.first_run.exists():
        return _outcome(call, ())
    return _outcome(call, _run_of(call).missing())


def _answered(call: Call, answers: SetupAnswers) -> Outcome:
    if not call.data.settings.exists() and answers.practice is None:
        return _outcome(call, ALL_STEPS)
    with _way_in(call, answers.passphrase) as opening:
        if not call.data.settings.exists() and answers.practice is not None:
            _make(opening, answers.practice)
        run = _run_of(opening)
        told = _steps_taken(run, answers)
        return _outcome(call, run.finish(without_shares=call.arguments.without_shares), **told)


def _steps_taken(run: FirstRun, answers: SetupAnswers) -> dict[str, Any]:
    """What is shown once of the steps that the answers are enough for. A step that is done is not done again."""
    told: dict[str, Any] = {}
    missing = run.missing()
    if answers.administrator is not None and Step.ADMINISTRATOR in missing:
        told["administrator"] = _of_administrator(run.add_administrator(answers.administrator))
    if answers.shares is not None and Step.READ_BACK in missing:
        told["shares"] = _of_shares(run.make_shares(answers.shares))
    elif answers.read_back and Step.READ_BACK in missing:
        run.read_back(answers.read_back)
    return told


def _asked(call: Call, dialogue: SetupDialogue) -> Outcome:
    is_new = not call.data.settings.exists()
    answer = _practice_named(call) or dialogue.practice() if is_new else None
    with _way_in(call, _typed_passphrase(call, dialogue, is_new=is_new)) as opening:
        if answer is not None:
            _make(opening, answer)
        run = _run_of(opening)
        while missing := run.finish(without_shares=call.arguments.without_shares):
            dialogue.take(run, missing[0])
        return _outcome(call, ())


def _practice_named(call: Call) -> PracticeAnswer | None:
    arguments = call.arguments
    if arguments.practice and arguments.domain:
        return PracticeAnswer(arguments.practice, arguments.domain)
    return None


def _typed_passphrase(call: Call, dialogue: SetupDialogue, *, is_new: bool) -> str | None:
    """A passphrase where no other secret was named; tried out when there is something that it opens."""
    if _named(call) is not None or call.data.unlock_key.exists():
        return None
    if is_new:
        return dialogue.new_passphrase()
    for _ in range(TRIES):
        passphrase = dialogue.passphrase()
        with _way_in(call, passphrase) as opening:
            try:
                _run_of(opening).missing()
            except WrongKeyError:
                continue
        return passphrase
    raise RefusedError("the passphrase does not open the practice", fix="ask whoever knows it")


@contextmanager
def _way_in(call: Call, passphrase: str | None) -> Iterator[Call]:
    """The call with a secret: the one that was named, else the passphrase, which lies in memory only."""
    if passphrase is None or _named(call) is not None:
        yield call
        return
    if not call.data.settings.exists() and (problem := setup_answers.passphrase_problem(passphrase)):
        raise RefusedError("the passphrase is too short", fix=problem)
    with typed_secret.in_memory(passphrase.encode()) as path:
        yield replace(call, passphrase_file=path)


def _named(call: Call) -> object | None:
    return wiring.named_place(passphrase_file=call.passphrase_file, key_file=call.key_file, other=call.other_secret)


def _make(call: Call, answer: PracticeAnswer) -> None:
    """As ``init`` does, with a secret that does not lie beside the data."""
    if _named(call) is None:
        raise RefusedError(
            "no secret was named that opens the practice",
            fix="answer with a passphrase, or say --key-file FILE or another: strongroom --help",
        )
    arguments = argparse.Namespace(**{**vars(call.arguments), "practice": answer.name, "domain": answer.domain})
    init.run(replace(call, arguments=arguments))


def _run_of(call: Call) -> FirstRun:
    place = wiring.secret_place(
        call.data, passphrase_file=call.passphrase_file, key_file=call.key_file, other=call.other_secret
    )
    return FirstRun(call.data, first_run.place_of(place, call.data), call.clock)


def _outcome(call: Call, missing: tuple[Step, ...], **told: Any) -> Outcome:
    fields = {"data": str(call.data.path), "finished": not missing, "missing": [str(step) for step in missing], **told}
    if not missing:
        return Outcome(fields, FINISHED)
    return Outcome(fields, f"Missing still: {', '.join(missing)}. Go on with: strongroom setup", exit_code=1)


def _of_administrator(made: NewStaff) -> dict[str, str]:
    return {
        "email": made.account.person.email,
        "id": made.account.id,
        "app_password": made.app_password,
        "totp_secret": made.totp_secret,
    }


def _of_shares(pages: list[SharePage]) -> dict[str, Any]:
    first = pages[0]
    return {
        "set": slot_shares.set_of(first.words),
        "need": first.need,
        "words": [page.words for page in pages],
    }
