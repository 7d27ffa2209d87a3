import numpy as np
import pytest

from sartm_core.classes import CLASS_TABLES, FMB, MFNET, PST900, ClassInfo, ClassTable, class_table
from sartm_core.errors import SartmError


@pytest.mark.parametrize("table", CLASS_TABLES.values(), ids=CLASS_TABLES)
def test_ids_colours_and_words(table: ClassTable) -> None:
    assert [info.id for info in table.classes] == list(range(len(table)))
    assert len({info.color for info in table.classes}) == len(table)
    assert table.classes[0].words == ()  # background has no word
    assert all(info.words for info in table.classes[1:])


def test_published_orders() -> None:
    assert MFNET.names[1:4] == ("car", "person", "bike")
    assert PST900.names[1:] == ("fire_extinguisher", "backpack", "hand_drill", "survivor")
    assert (len(MFNET), len(PST900), len(FMB)) == (9, 5, 15)


def test_lookup_paints_known_and_unknown_ids() -> None:
    lookup = MFNET.lookup()
    assert lookup.shape == (256, 3)
    assert tuple(lookup[2]) == (64, 64, 0)
    assert np.all(lookup[9:] == 127)


def test_unknown_names_list_the_choices() -> None:
    assert MFNET.by_name("bump").id == 8
    with pytest.raises(SartmError, match="guardrail"):
        MFNET.by_name("tree")
    with pytest.raises(SartmError, match="mfnet, pst900, fmb, msrs"):
        class_table("coco")


def test_gaps_and_repeated_names_are_refused() -> None:
    with pytest.raises(SartmError, match="without gaps"):
        ClassTable("x", (ClassInfo(1, "a", (0, 0, 0)),))
    with pytest.raises(SartmError, match="twice"):
        ClassTable("x", (ClassInfo(0, "a", (0, 0, 0)), ClassInfo(1, "a", (1, 1, 1))))
