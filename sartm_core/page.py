"""Pages of documentation of which a command writes the part between two marker lines."""

from __future__ import annotations

from pathlib import Path

from sartm_core.errors import SartmError
from sartm_core.files import write_bytes_atomic


def page_parts(page: Path, begin: str, end: str) -> tuple[str, str]:
    """What stands before and after the written part of a page, markers included.

    Raises:
        SartmError: no such page, or one without the markers.
    """
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise SartmError(
            f"{page} has no place for the table",
            got="no such file" if not page.is_file() else "a page without the markers",
            remedy=f"write the lines {begin} and {end} where the table belongs",
        )
    return before + begin, end + after


def write_part(page: Path, begin: str, end: str, body: str) -> None:
    """Write ``body`` between the markers of a page and leave the rest of it alone.

    Raises:
        SartmError: no such page, or one without the markers.
    """
    before, after = page_parts(page, begin, end)
    write_bytes_atomic(page, f"{before}\n\n{body}\n\n{after}".encode())
