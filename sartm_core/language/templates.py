"""Sentences around a word; a word's vector is the mean over them."""

from __future__ import annotations

from collections.abc import Sequence

from sartm_core.errors import SartmError

TEMPLATES: dict[str, tuple[str, ...]] = {
    "photo": (
        "{}",
        "a photo of a {}",
        "a picture of the {}",
        "a {} in the scene",
    ),
    "none": ("{}",),
}
"""Sets of templates by name: ``none`` is the bare word."""

DEFAULT_TEMPLATES = TEMPLATES["photo"]


def fill(templates: Sequence[str], word: str) -> list[str]:
    """The word in every template.

    Raises:
        SartmError: there is no template, or one has no place ``{}`` for the word.
    """
    if not templates or any(template.count("{}") != 1 for template in templates):
        raise SartmError(
            "prompt templates do not fit",
            got=list(templates),
            expected="one or more sentences, each with {} once, where the word goes",
        )
    return [template.replace("{}", word) for template in templates]
