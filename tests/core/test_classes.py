import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sartm_core.classes import (
    CLASS_TABLES,
    FMB,
    MFNET,
    MSRS,
    PST900,
    ClassInfo,
    ClassTable,
    class_table,
    merge_tables,
    write_out,
)
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


def test_tables_are_joined_by_their_first_words() -> None:
    merged = merge_tables([MFNET, FMB])
    assert merged.table.names[:9] == MFNET.names  # the first table keeps its ids
    assert merged.table.names[9:] == (
        *("road", "sidewalk", "building", "traffic_light", "traffic_sign", "vegetation", "sky"),
        *("truck", "bus", "motorcycle", "pole"),
    )
    from_mfnet, from_fmb = merged.lookups
    assert from_fmb[FMB.by_name("bicycle").id] == from_mfnet[MFNET.by_name("bike").id] == 3
    assert from_fmb[FMB.by_name("car").id] == 1
    assert from_fmb[0] == from_mfnet[0] == 0
    assert from_mfnet[[9, 200, 255]].tolist() == [255, 255, 255]
    in_mfnet, in_fmb = merged.labelled
    assert np.flatnonzero(in_mfnet).tolist() == list(range(9))
    assert [name for name, has in zip(merged.table.names, in_fmb, strict=True) if not has] == [
        *("curve", "car_stop", "guardrail", "color_cone", "bump")
    ]


def test_words_of_joined_classes_are_united() -> None:
    first = ClassTable("a", (BACKGROUND, ClassInfo(1, "man", (1, 1, 1), ("person", "man"))))
    second = ClassTable("b", (BACKGROUND, ClassInfo(1, "human", (2, 2, 2), ("Person", "human"))))
    joined = merge_tables([first, second]).table
    assert joined.names == ("background", "man")
    assert joined.classes[1].words == ("person", "man", "Person", "human")


def test_the_same_name_for_other_things_is_told_apart() -> None:
    first = ClassTable("a", (BACKGROUND, ClassInfo(1, "bank", (1, 1, 1), ("river bank",))))
    second = ClassTable("b", (BACKGROUND, ClassInfo(1, "bank", (1, 1, 1), ("money bank",))))
    joined = merge_tables([first, second]).table
    assert joined.names == ("background", "bank", "b_bank")
    assert len({info.color for info in joined.classes}) == 3


def test_tables_that_cannot_be_joined_are_refused() -> None:
    twins = [BACKGROUND, *(ClassInfo(i, f"c{i}", (i, 0, 0), ("car",)) for i in (1, 2))]
    with pytest.raises(SartmError, match=r"table 'twins'.*several classes called 'car'"):
        merge_tables([ClassTable("twins", tuple(twins))])
    with pytest.raises(SartmError, match="no class tables"):
        merge_tables([])


BACKGROUND = ClassInfo(0, "background", (0, 0, 0))
WORDS = st.lists(st.sampled_from("abcdefghijklmnop"), unique=True, max_size=12)


@st.composite
def tables(draw: st.DrawFn) -> ClassTable:
    words = draw(WORDS)
    rows = (ClassInfo(i + 1, word.upper(), (i + 1, 0, 0), (word,)) for i, word in enumerate(words))
    return ClassTable("drawn", (BACKGROUND, *rows))


@given(sources=st.lists(tables(), min_size=1, max_size=4))
def test_merging_keeps_every_word_once(sources: list[ClassTable]) -> None:
    merged = merge_tables(sources)
    words = [info.words for info in merged.table.classes]
    assert set(words[1:]) == {info.words for source in sources for info in source.classes[1:]}
    assert len(set(words)) == len(words)
    assert len({info.color for info in merged.table.classes}) == len(words)
    for source, lookup, labelled in zip(sources, merged.lookups, merged.labelled, strict=True):
        assert (lookup.dtype, lookup.shape, labelled.dtype) == (np.uint8, (256,), bool)
        for info in source.classes:
            assert merged.table.classes[lookup[info.id]].words == info.words
        assert (lookup[len(source) :] == 255).all()
        assert set(np.flatnonzero(labelled)) == set(lookup[: len(source)].tolist())


@pytest.mark.parametrize("table", CLASS_TABLES.values(), ids=CLASS_TABLES)
def test_merging_one_table_changes_nothing(table: ClassTable) -> None:
    merged = merge_tables([table])
    assert merged.table.classes == table.classes
    assert merged.labelled[0].all()
    assert merge_tables([MFNET, MSRS]).table.classes == MFNET.classes


@given(sources=st.lists(st.sampled_from(list(CLASS_TABLES.values())), min_size=1, max_size=3))
def test_any_table_is_found_by_what_it_is_written_out_as(sources: list[ClassTable]) -> None:
    table = merge_tables(sources, "own").table
    assert class_table(write_out(table)) == table


def test_published_tables_are_written_out_as_their_names() -> None:
    assert write_out(MFNET) == "mfnet"
    other = ClassTable("mfnet", MFNET.classes[:3])  # the name alone does not make it MFNet's
    assert class_table(write_out(other)) == other
