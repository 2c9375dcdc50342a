"""The appliance: mail transport, encryption policy, commands, and the wiring of it all."""

from typing import Final

VERSION: Final = "0.1.0"
"""The release; the package takes it from here."""
