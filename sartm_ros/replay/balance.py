"""Do the three sides of a replay agree: what was sent, what the node counted, what was recorded?

sent      = received + lost in transport
received  = published + dropped + in flight
recorded  = published + published alone (thermal images without an RGB image)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Balance:
    """RGB images of one replay, counted by player, node and recorder.

    Attributes:
        sent: published by the player.
        received, lost_in_transport: at the node's subscription.
        published, dropped, in_flight: by the node, dropped by reason.
        published_alone: masks of thermal images that had no RGB image beside them.
        recorded: masks that arrived at the recorder.
    """

    sent: int
    received: int
    lost_in_transport: int
    published: int
    dropped: Mapping[str, int]
    in_flight: int
    published_alone: int
    recorded: int

    @classmethod
    def of(cls, sent: int, recorded: int, diagnostics: Mapping[str, Mapping[str, str]]) -> Balance:
        """The balance with the node's side taken from its diagnostics, by part and key.

        A middleware that cannot tell what it lost counts as one that lost nothing.
        """
        rgb, thermal = diagnostics["rgb input"], diagnostics["thermal input"]
        lost = rgb["lost_in_transport"]
        return cls(
            sent=sent,
            received=int(rgb["received"]),
            lost_in_transport=int(lost) if lost.isdecimal() else 0,
            published=int(rgb["published"]),
            dropped={
                key.removeprefix("dropped."): int(count)
                for key, count in rgb.items()
                if key.startswith("dropped.")
            },
            in_flight=int(rgb["in_flight"]),
            published_alone=int(thermal["published_alone"]),
            recorded=recorded,
        )

    @property
    def mismatches(self) -> list[str]:
        """The equations that do not hold; empty if the accounting closes."""
        dropped = sum(self.dropped.values())
        wrong = []
        if self.sent != self.received + self.lost_in_transport:
            wrong.append(
                f"sent {self.sent} != received {self.received} "
                f"+ lost in transport {self.lost_in_transport}"
            )
        if self.received != self.published + dropped + self.in_flight:
            wrong.append(
                f"received {self.received} != published {self.published} + dropped {dropped} "
                f"+ in flight {self.in_flight}"
            )
        if self.recorded != self.published + self.published_alone:
            wrong.append(
                f"recorded {self.recorded} != published {self.published} "
                f"+ published alone {self.published_alone}"
            )
        return wrong

    @property
    def closes(self) -> bool:
        return not self.mismatches

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "dropped": dict(self.dropped), "closes": self.closes}

    def table(self) -> str:
        """One line per count, for people."""
        rows: list[tuple[str, int]] = [
            ("sent by the player", self.sent),
            ("  lost in transport", self.lost_in_transport),
            ("  received by the node", self.received),
            *((f"    dropped: {reason}", count) for reason, count in sorted(self.dropped.items())),
            ("    in flight", self.in_flight),
            ("    published", self.published),
            ("masks of thermal alone", self.published_alone),
            ("masks recorded", self.recorded),
        ]
        return "\n".join(f"{name:<32}{count:>8}" for name, count in rows)
