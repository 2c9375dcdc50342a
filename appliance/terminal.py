"""The terminal of a person who sits there: asked and told past stdin and stdout, which may lead elsewhere (tty(4)).

What is shown once is wiped afterwards, with what the terminal itself has kept of it where it lets us (xterm's ED 3).
"""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

from mailstore.addresses import display
from mailstore.errors import RefusedError

DEVICE: Final = Path("/dev/tty")
WIPE: Final = "\x1b[2J\x1b[3J\x1b[H"


class NobodyAnswersError(RefusedError):
    """Whoever sat here has left."""

    code = "nobody_answers"


@dataclass(frozen=True)
class Terminal:
    """Questions go out and answers come in, line by line."""

    incoming: TextIO
    outgoing: TextIO

    @classmethod
    @contextmanager
    def opened(cls) -> Iterator[Terminal]:
        """The terminal that this process was started from. ``RefusedError`` when nobody sits at one."""
        with ExitStack() as held:
            try:
                incoming = held.enter_context(DEVICE.open("r", encoding="utf-8", errors="replace"))
                outgoing = held.enter_context(DEVICE.open("w", encoding="utf-8"))
            except OSError as error:
                raise RefusedError(
                    "nobody sits at a terminal here", fix="come with ssh -t, or answer by --json and an object on stdin"
                ) from error
            yield cls(incoming, outgoing)

    def say(self, text: str) -> None:
        """One paragraph."""
        self.outgoing.write(f"{text}\n\n")
        self.outgoing.flush()

    def ask(self, question: str, *, usually: str = "") -> str:
        """What was answered, or ``usually`` for an empty line. Asked again while there is neither."""
        hint = f" [{display(usually)}]" if usually else ""
        while True:
            self.outgoing.write(f"{question}{hint}: ")
            self.outgoing.flush()
            if answer := self._line().strip() or usually:
                return answer

    def ask_hidden(self, question: str) -> str:
        """What was typed, which nobody sees."""
        try:
            return getpass.getpass(f"{question}: ")
        except EOFError:
            raise _left() from None

    def lines(self) -> Iterator[str]:
        """Lines as they are typed, until nobody asks for more."""
        while True:
            yield self._line()

    def show_once(self, text: str, *, until: str) -> None:
        """Show what may be seen once, and wipe it when the person says so."""
        self.outgoing.write(f"{WIPE}{text}\n\n{until}")
        self.outgoing.flush()
        try:
            self._line()
        finally:
            self.wipe()

    def wipe(self) -> None:
        """Nothing that stood here stays."""
        self.outgoing.write(WIPE)
        self.outgoing.flush()

    def _line(self) -> str:
        line = self.incoming.readline()
        if not line:
            raise _left()
        return line.removesuffix("\n")


def _left() -> NobodyAnswersError:
    return NobodyAnswersError("nobody answers any more", fix="say strongroom setup again: it goes on where it was")
