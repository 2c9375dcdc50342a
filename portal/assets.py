"""The style sheet, the scripts and the practice's own colours: read once, served from memory, named one by one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files

from mailstore.errors import NotFoundError
from portal.settings import PortalSettings

_FILES = {
    "strongroom.css": "text/css",
    "portal.js": "text/javascript",
    "passkeys.js": "text/javascript",
    "htmx-2.0.11.min.js": "text/javascript",
    "htmx-LICENSE.txt": "text/plain",
    "icon.svg": "image/svg+xml",
}
PRACTICE_SHEET = "practice.css"


@dataclass(frozen=True)
class Asset:
    """One static file and what it is."""

    content: bytes = field(repr=False)
    content_type: str

    @property
    def version(self) -> str:
        """Changes when the content does."""
        return hashlib.sha256(self.content).hexdigest()[:12]


class Assets:
    """Every static file there is. A name that is not among them does not exist, whatever it looks like."""

    def __init__(self, settings: PortalSettings) -> None:
        folder = files("portal").joinpath("static")
        found = {name: Asset(folder.joinpath(name).read_bytes(), kind) for name, kind in _FILES.items()}
        sheet = f":root{{--practice-accent:{settings.accent}}}\n".encode()
        found[PRACTICE_SHEET] = Asset(sheet, _FILES["strongroom.css"])
        self._assets: Mapping[str, Asset] = found

    def get(self, name: str) -> Asset:
        """The asset of this name. Raises NotFoundError."""
        try:
            return self._assets[name]
        except KeyError:
            raise NotFoundError("no such file") from None

    def versions(self) -> dict[str, str]:
        """Name and version of each, for links that may be cached."""
        return {name: asset.version for name, asset in self._assets.items()}
