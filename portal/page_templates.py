"""Turns a template and values into HTML: escaped by default, strict about what is missing."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined

from mailstore.addresses import display, header_addresses
from portal.navigation import links_for
from portal.settings import PortalSettings

KILOBYTE = 1000


class PageTemplates:
    """The templates of the portal, compiled once."""

    def __init__(self, settings: PortalSettings, versions: dict[str, str]) -> None:
        self._zone = ZoneInfo(settings.time_zone)
        self._environment = Environment(
            loader=PackageLoader("portal", "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        filters = {"shown": display, "people": header_addresses, "when": self.when, "day": self.day}
        self._environment.filters.update(filters, size=size, machine_time=machine_time)
        self._environment.globals.update(
            settings=settings, links_for=links_for, asset=lambda name: f"/static/{name}?v={versions[name]}"
        )

    def render(self, template: str, **values: Any) -> str:
        """The page as text."""
        return self._environment.get_template(template).render(values)

    def when(self, instant: datetime) -> str:
        """A time for people, with the date spelled out: ``22 November 2026 at 09:05``."""
        local = instant.astimezone(self._zone)
        return f"{local.day} {local:%B %Y} at {local:%H:%M}"

    def day(self, instant: datetime) -> str:
        """A date for people: ``22 November 2026``."""
        local = instant.astimezone(self._zone)
        return f"{local.day} {local:%B %Y}"


def machine_time(instant: datetime) -> str:
    """A time for the ``datetime`` attribute (RFC 3339)."""
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


def size(size_bytes: int) -> str:
    """A size for people: ``870 bytes``, ``12 KB``, ``3.4 MB``."""
    if size_bytes < KILOBYTE:
        return f"{size_bytes} bytes"
    if size_bytes < KILOBYTE * KILOBYTE:
        return f"{round(size_bytes / KILOBYTE)} KB"
    return f"{size_bytes / (KILOBYTE * KILOBYTE):.1f} MB"
