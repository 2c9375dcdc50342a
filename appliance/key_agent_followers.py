"""Those whom the key agent tells of its phase: the supervisors of roles that a service manager started one by one.

They hear the phase when they come and at each change, and that the rows are ready for this release once somebody has
seen to it. A key agent that ends says so by ending.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from appliance.key_agent_connection import Connection
from appliance.role_charge import Phase


class Followers:
    """Told from many threads, one news after the other."""

    def __init__(self) -> None:
        self._followers: list[Connection] = []
        self._phase: Phase | None = None
        self._is_prepared = False
        self._telling = threading.Lock()

    def join(self, connection: Connection) -> None:
        """From now on this one is told, first of what is."""
        with self._telling:
            if self._phase is not None:
                connection.answer({"phase": self._phase})
            if self._is_prepared:
                connection.answer({"prepared": True})
            self._followers.append(connection)

    def left(self, connection: Connection) -> None:
        """Somebody has gone."""
        with self._telling:
            if connection in self._followers:
                self._followers.remove(connection)

    def enter(self, phase: Phase) -> None:
        """The agent is in this phase now. Whoever has keys of before must take them anew, rows prepared anew first."""
        with self._telling:
            self._phase, self._is_prepared = phase, False
            self._tell({"phase": phase})

    def prepared(self) -> None:
        """The rows are as this release has them, and we are where we belong: everybody may work."""
        with self._telling:
            self._is_prepared = True
            self._tell({"prepared": True})

    def advancing(self, how: str) -> None:
        """The rows are not ready yet, and somebody gets on with them."""
        with self._telling:
            self._tell({"advancing": how})

    def end(self) -> None:
        """The whole appliance is to end."""
        with self._telling:
            self._tell({"end": True})

    def _tell(self, news: Mapping[str, Any]) -> None:
        """Whoever does not take news is told that there will be none: it comes again."""
        for each in list(self._followers):
            if not each.answer(news):
                self._followers.remove(each)
                each.hang_up()
