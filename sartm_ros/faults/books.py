"""Does the accounting of a report close?

rgb       received = published + dropped + in flight
thermal   received = used + unused + buffered
both      sent = received + lost in transport
"""

from __future__ import annotations

from collections.abc import Mapping

from sartm_ros.faults.watch import Report

_TERMS = {
    "rgb input": ("published", "dropped", "in_flight"),
    "thermal input": ("used", "unused", "buffered"),
}


def mismatches(report: Report) -> list[str]:
    """The node's own equations that do not hold in a report."""
    wrong = []
    for part, terms in _TERMS.items():
        values = report.parts[part].values
        received, where = int(values["received"]), {term: int(values[term]) for term in terms}
        if received != sum(where.values()):
            found = " + ".join(f"{term} {count}" for term, count in where.items())
            wrong.append(f"{part}: received {received} != {found}")
    return wrong


def in_flight(report: Report) -> int:
    """RGB images that are not yet a mask nor dropped."""
    return int(report.parts["rgb input"].values["in_flight"])


def unaccounted(report: Report, sent: Mapping[str, int]) -> dict[str, int]:
    """By camera: images sent that were neither received nor counted as lost.

    Before a subscription's first image nothing can be lost, so the figure begins anywhere; it must
    not change. A middleware that cannot tell what it lost counts as one that lost nothing.
    """
    result = {}
    for camera, count in sent.items():
        values = report.parts[f"{camera} input"].values
        lost = values["lost_in_transport"]
        result[camera] = count - int(values["received"]) - (int(lost) if lost.isdecimal() else 0)
    return result
