"""What ``strongroom setup`` asks a person at a terminal, and what it shows them once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from appliance import setup_answers
from appliance.first_run import FirstRun, Step
from appliance.setup_answers import AdministratorAnswer, PracticeAnswer, SharingAnswer
from appliance.share_pages import SharePage
from appliance.terminal import NobodyAnswersError, Terminal
from mailstore import slot_shares
from mailstore.errors import RefusedError, WrongKeyError
from mailstore.unlock_slot import UnlockSlot
from portal import second_factor

COLUMNS: Final = 3
TO_ASK_AGAIN: Final = (RefusedError, WrongKeyError)
Result = TypeVar("Result")

_SHARES: Final = (
    "Recovery shares open the practice when everything else is gone. Each is a page of words for another person or "
    "place. They are shown once, now, and kept nowhere: have paper and a pen. What is on paper is then typed back, and "
    "has to open the practice, before mail is taken from outside."
)
_READ_BACK: Final = (
    "Now from paper: type the words of {need} of the pages, one page after the other. Numbers and line ends do not "
    "matter; a wrong word is noticed."
)


@dataclass(frozen=True)
class SetupDialogue:
    """Asks until an answer can be used; whoever leaves in between finds the rest again the next time."""

    terminal: Terminal

    def practice(self) -> PracticeAnswer:
        """Whose mail will live here."""
        self.terminal.say("A new practice. Whatever is cut off from here on goes on when you say the same again.")
        name = self.terminal.ask("The practice's name, as patients know it")
        return PracticeAnswer(name, self.terminal.ask("The domain whose mail lives here").lower())

    def new_passphrase(self) -> str:
        """A passphrase for the practice, typed twice."""
        self.terminal.say(
            "The passphrase opens the practice after every start of the machine. Six random words are good. Without it "
            "and without the shares nobody opens it, ever."
        )
        return self._until_it_does(self._good_passphrase)

    def passphrase(self) -> str:
        """The passphrase that opens the practice."""
        return self.terminal.ask_hidden("The practice's passphrase")

    def take(self, run: FirstRun, step: Step) -> None:
        """One step of the first run, until it is done."""
        match step:
            case Step.ADMINISTRATOR:
                self._until_it_does(lambda: self._administrator(run))
            case Step.SHARES:
                self._until_it_does(lambda: self._shares(run))
            case Step.READ_BACK:
                self._until_it_does(lambda: self._read_back(run))
            case Step.PRACTICE:
                raise RefusedError("there is no practice yet", fix="say strongroom setup again")

    def _administrator(self, run: FirstRun) -> None:
        self.terminal.say("The first administrator: adds people, watches over the appliance, gets postmaster's mail.")
        email = self.terminal.ask("Their address here")
        name = self.terminal.ask("Their name")
        password = self._until_it_does(lambda: self._typed_twice("Their password for the pages"))
        made = run.add_administrator(AdministratorAnswer(email, name, password))
        self.terminal.show_once(
            f"Shown once. For {made.account.person.email}:\n\n"
            f"  in an authenticator app    {second_factor.in_groups(made.totp_secret)}\n"
            f"  in the mail program        {made.app_password}",
            until="Press Enter when both are where they belong: ",
        )

    def _shares(self, run: FirstRun) -> None:
        self.terminal.say(_SHARES)
        of = self._number("How many pages", usually=3)
        need = self._number("How many of them open the practice", usually=2)
        pages = run.make_shares(SharingAnswer(need, of))
        for page in pages:
            last = " It is wiped then." if page is pages[-1] else " The next one follows."
            self.terminal.show_once(page_on_screen(page), until=f"Press Enter when it is on paper.{last} ")

    def _read_back(self, run: FirstRun) -> None:
        waiting = run.unread_set()
        if waiting is None or not self._is_on_paper(waiting):
            self._shares(run)
            waiting = run.unread_set()
        need = int(waiting.noted["need"]) if waiting else slot_shares.FEWEST_NEEDED
        self.terminal.say(_READ_BACK.format(need=need))
        shares = [self._until_it_does(partial(self._share, number)) for number in range(1, need + 1)]
        run.read_back(shares)
        self.terminal.say("They opened the practice. Put each page where only its keeper finds it.")

    def _is_on_paper(self, waiting: UnlockSlot) -> bool:
        question = f"Are the pages of the shares ({waiting.label}) on paper? Say no to make new ones: yes or no"
        return self.terminal.ask(question, usually="yes").lower().startswith("y")

    def _share(self, number: int) -> str:
        self.terminal.say(f"Page {number}:")
        typed = ""
        for line in self.terminal.lines():
            typed = f"{typed} {line}"
            if len(slot_shares.words_in(typed)) >= slot_shares.WORDS:
                break
        self.terminal.wipe()
        return slot_shares.proved(" ".join(slot_shares.words_in(typed)), number=number)

    def _number(self, question: str, *, usually: int) -> int:
        while True:
            answer = self.terminal.ask(question, usually=str(usually))
            if answer.isdecimal():
                return int(answer)

    def _good_passphrase(self) -> str:
        passphrase = self._typed_twice("The passphrase of the practice")
        if problem := setup_answers.passphrase_problem(passphrase):
            raise RefusedError("the passphrase is too short", fix=problem)
        return passphrase

    def _typed_twice(self, what: str) -> str:
        first = self.terminal.ask_hidden(f"{what} (nobody sees what you type)")
        if first != self.terminal.ask_hidden("The same again"):
            raise RefusedError("the two are not the same", fix="type it again")
        return first

    def _until_it_does(self, asked: Callable[[], Result]) -> Result:
        while True:
            try:
                return asked()
            except NobodyAnswersError:
                raise
            except TO_ASK_AGAIN as error:
                self.terminal.say(f"{error.message}. {error.fix}")


def page_on_screen(page: SharePage) -> str:
    """A page as it is written down: numbered words, down the columns."""
    words = page.words.split()
    rows = -(-len(words) // COLUMNS)
    lines = [
        "".join(f"{place + 1:4}. {words[place]:<12}" for place in range(row, len(words), rows)) for row in range(rows)
    ]
    return "\n".join([page.title, "", *page.facts(), "", *lines])
