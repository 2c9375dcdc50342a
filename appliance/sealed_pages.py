"""Puts the sealed portal together: pages without a key, and the way from the page that unseals to the key agent."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from appliance.account_wiring import portal_settings
from appliance.front_door_wiring import RANDOMNESS, settings_of
from appliance.key_agent_client import KeyAgentClient
from appliance.role_life import Station
from appliance.unseal_tries import TooSoonError
from mailstore.errors import StrongroomError, WrongKeyError
from mailstore.sealed_format import KEY_BYTES
from mailstore.slot_passphrase import PassphraseFile
from mailstore.slot_shares import SharesFile
from mailstore.wall_clock import SystemClock
from portal import unsealing
from portal.sealed_portal import SealedParts, SealedPortal
from portal.unsealing import Busy, Opened, TooSoon, Tried, Wrong

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AgentUnsealer:
    """Has secrets tried by the key agent, which counts them."""

    agent: KeyAgentClient

    def try_passphrase(self, passphrase: str) -> Tried:
        """As ``Unsealer``."""
        return self._tried(PassphraseFile.kind, passphrase)

    def try_shares(self, words: str) -> Tried:
        """As ``Unsealer``."""
        return self._tried(SharesFile.kind, words)

    def _tried(self, kind: str, secret: str) -> Tried:
        try:
            self.agent.unseal(kind, secret.encode("utf-8", "surrogatepass"))
        except WrongKeyError:
            return Wrong()
        except TooSoonError as error:
            return TooSoon(error.seconds)
        except StrongroomError as error:
            logger.warning("unsealing was not tried", extra={"code": error.code})
            return Busy()
        return Opened()


def portal(station: Station) -> SealedPortal:
    """The sealed portal of a data directory."""
    settings = settings_of(station.data)
    return SealedPortal(
        SealedParts(
            settings=portal_settings(settings),
            unsealer=AgentUnsealer(station.agent),
            near=unsealing.networks_of(settings.portal.unseal_from),
            clock=SystemClock(),
            token_key=RANDOMNESS(KEY_BYTES),
        )
    )
