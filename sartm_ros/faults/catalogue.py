"""All faults, by name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from sartm_core.errors import SartmError
from sartm_ros.faults import camera_faults, node_faults, process_faults
from sartm_ros.faults.description import Fault

FAULTS: dict[str, Fault] = {
    fault.name: fault
    for fault in (*camera_faults.FAULTS, *node_faults.FAULTS, *process_faults.FAULTS)
}


def find(names: Iterable[str]) -> list[Fault]:
    """The faults of these names, in this order.

    Raises:
        SartmError: there is none of that name; the nearest ones are offered.
    """
    faults = []
    for name in names:
        if name not in FAULTS:
            near = difflib.get_close_matches(name, FAULTS, n=3)
            raise SartmError(
                f"unknown fault {name}",
                expected=", ".join(near) or None,
                remedy="see `python -m sartm_ros.faults --list`",
            )
        faults.append(FAULTS[name])
    return faults
