"""The one error that users see: what is wrong, what was got, what was expected, what to do."""

from __future__ import annotations


class SartmError(Exception):
    """A failure that the user can act on.

    ``str(error)`` is a single line. The command line prints it and exits with 1; the node logs it
    and shows it in its diagnostics.

    Args:
        what: the fact, without a trailing full stop.
        got: what was found, if that helps.
        expected: what would have been right.
        remedy: what to do now.
    """

    def __init__(
        self,
        what: str,
        *,
        got: object = None,
        expected: object = None,
        remedy: str | None = None,
    ) -> None:
        self.what = what
        self.got = got
        self.expected = expected
        self.remedy = remedy
        parts = [what]
        if got is not None:
            parts.append(f"got {got}")
        if expected is not None:
            parts.append(f"expected {expected}")
        if remedy is not None:
            parts.append(f"remedy: {remedy}")
        super().__init__(" ".join("; ".join(parts).split()))


class BadImageError(SartmError):
    """An image message or array that cannot be used; the stream goes on with the next one.

    Args:
        reason: short key under which such images are counted, e.g. ``truncated``.
    """

    def __init__(
        self,
        reason: str,
        what: str,
        *,
        got: object = None,
        expected: object = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(what, got=got, expected=expected, remedy=remedy)
        self.reason = reason


class MissingEngineError(SartmError):
    """An engine that would first have to be built, which takes minutes."""
