"""Looks at what the doctor looks at, again and again, and writes to somebody when a line turns red or well.

When no mail can be written, the log says so at every look, the page of the administrator shows the line all the same,
and it is told as soon as mail works again. A crash between a mail and its note tells it once more, never not at all.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from appliance import alert_decision, alert_mail
from appliance.alert_decision import Alert, Patience
from appliance.alert_mail import AlertMail
from appliance.alert_state import AlertState
from appliance.health_finding import Finding
from mailstore.errors import StrongroomError
from mailstore.wall_clock import Clock

logger = logging.getLogger(__name__)

QUICK: Final = "quick"
THOROUGH: Final = "thorough"

LOOKS: Final = {QUICK: 2, THOROUGH: 1}
"""Once may be a hiccup, such as a restart of the object store. What is looked at once a day has no second look."""


@dataclass(frozen=True)
class AlertWatch:
    """Makes one look a call. ``quick`` and ``thorough`` answer the lines; what they raise is a red line too."""

    quick: Callable[[], Sequence[Finding]]
    thorough: Callable[[], Sequence[Finding]]
    state: AlertState
    mail: AlertMail
    page: str
    remind_after: timedelta
    clock: Clock
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def look(self) -> None:
        """The lines that cost little."""
        self._judge(QUICK, self.quick())

    def look_thoroughly(self) -> None:
        """Those that read every row."""
        self._judge(THOROUGH, self.thorough())

    def _judge(self, word: str, seen: Sequence[Finding]) -> None:
        patience = Patience(LOOKS[word], self.remind_after)
        with self._one_at_a_time:
            rounds = self.state.read()
            decision = alert_decision.decide(rounds.get(word, {}), seen, now=self.clock.now(), patience=patience)
            is_settled = decision.alert is None or self._tell(decision.alert)
            self.state.write({**rounds, word: decision.told if is_settled else decision.lines})

    def _tell(self, alert: Alert) -> bool:
        """True when somebody gets it. In the log it stands in any case."""
        names = {"turned": _names(alert.turned), "still": _names(alert.still), "well": list(alert.well)}
        try:
            is_told = self.mail.send(alert_mail.subject_of(alert), alert_mail.text_of(alert, page=self.page))
        except StrongroomError as error:
            logger.error("alarm cannot be mailed", extra={**names, "code": error.code})  # noqa: TRY400 -- the doctor's lines say why, without a traceback
            return False
        logger.warning("alarm", extra={**names, "is_mailed": is_told})
        return is_told


def _names(findings: Sequence[Finding]) -> list[str]:
    return [finding.check for finding in findings]
