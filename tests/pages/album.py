"""The pictures of pages: taken at two widths, kept small, and listed on one page."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Locator, Page

FOLDER = Path(__file__).parents[2] / "docs" / "pages"
DESK, PHONE = 1440, 360
TALLEST = 1_800
"""Pixels: what lies below is more of the same."""
COLOURS = 64
PATIENCE_SECONDS = 120
"""Placing a hold reads every message, and a machine that takes pictures may have other work."""

TAKEN = (
    "Taken with `make screenshots` at 1440 and 360 pixels: from a demonstration, "
    "the last chapter from a practice of the tests."
)


@dataclass
class Album:
    """The pictures taken so far, by chapter: file name and what it shows."""

    chapters: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def take(self, page: Page, chapter: str, name: str, shows: str) -> None:
        """The page as it stands, at both widths."""
        for width in (PHONE, DESK):
            page.set_viewport_size({"width": width, "height": 900})
            page.wait_for_timeout(120)
            (FOLDER / f"{name}-{width}.png").write_bytes(small(page.screenshot(full_page=True)))
        self.chapters.setdefault(chapter, []).append((name, shows))
        sys.stderr.write(f"  {name}\n")

    def index(self) -> str:
        """The page that shows all of them."""
        lines = ["# Every page", "", TAKEN, ""]
        for chapter, pictures in self.chapters.items():
            lines += [f"## {chapter}", ""]
            for name, shows in pictures:
                wide, narrow = (
                    f'<img src="{name}-{width}.png" alt="{shows}" width="{shown}">' for width, shown in _SHOWN
                )
                lines += [f"### {shows}", "", f"{wide} {narrow}", ""]
        return "\n".join(lines)


_SHOWN = ((DESK, 640), (PHONE, 200))


def small(picture: bytes) -> bytes:
    """The picture in a palette of its own, cut where it gets long."""
    with Image.open(io.BytesIO(picture)) as opened:
        cut = opened.convert("RGB").crop((0, 0, opened.width, min(opened.height, TALLEST)))
        out = io.BytesIO()
        cut.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
            out, format="PNG", optimize=True
        )
    return out.getvalue()


@contextmanager
def window(browser: Browser, address: str) -> Iterator[Page]:
    """A fresh browser at a portal, whatever certificate that has."""
    context = browser.new_context(base_url=address, ignore_https_errors=True, reduced_motion="reduce")
    context.set_default_timeout(PATIENCE_SECONDS * 1000)
    try:
        yield context.new_page()
    finally:
        context.close()


def button(page: Page, name: str) -> Locator:
    """The button that says this."""
    return page.get_by_role("button", name=name, exact=True)
