"""The class table of a run: that of one data set, or several joined."""

from __future__ import annotations

from sartm_core.classes import ClassTable, class_table


def run_classes(names: str) -> ClassTable:
    """``data.classes``: a table's name, or several joined by ``+``, e.g. ``mfnet+pst900``."""
    first, *others = names.split("+")
    if not others:
        return class_table(first)
    from sartm_core.classes import merge_tables

    return merge_tables([class_table(name) for name in (first, *others)]).table
