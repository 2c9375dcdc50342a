"""What the doctor says about the key agent: what the kernel did not grant it, and the alarms it raised."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from appliance import swap_space
from appliance.health_finding import Finding, State
from appliance.key_agent_client import AgentOpener
from appliance.wiring import Appliance


def reports(appliance: Appliance) -> Iterator[Finding]:
    """Every finding; none while no ``serve`` runs, for then there is no agent."""
    if isinstance(appliance.opener, AgentOpener):
        told = appliance.opener.status()
        yield _protection(told)
        yield _alarms(told["use"]["alarms"])


def _protection(told: dict[str, Any]) -> Finding:
    lacking: list[str] = []
    if not told["is_memory_locked"] and _has_swap():
        lacking.append("its memory may come to lie in the swap")
    if not told["has_no_network"]:
        lacking.append("the system did not cut it off from the network")
    if not lacking:
        return Finding("key agent", State.OK, "it has no network, and its memory stays out of the swap")
    fix = "give serve LimitMEMLOCK=infinity, encrypt the swap or turn it off; allow user namespaces"
    return Finding("key agent", State.WARN, "; ".join(lacking), fix)


def _has_swap() -> bool:
    try:
        return bool(swap_space.unencrypted())
    except OSError:
        return True


def _alarms(alarms: list[dict[str, Any]]) -> Finding:
    if not alarms:
        return Finding("use of keys", State.OK, "nobody asked for keys who may not, or for more than the rate allows")
    kinds = sorted({f"{each['alarm']} ({each['asker']})" if each["asker"] else str(each["alarm"]) for each in alarms})
    return Finding(
        "use of keys",
        State.WARN,
        f"alarms since the key agent was opened: {', '.join(kinds)}",
        "see: strongroom key agent status",
        is_alarm=True,
    )
