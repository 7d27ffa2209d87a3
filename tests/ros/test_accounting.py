"""What was published but not received; needs no ROS."""

from __future__ import annotations

import pytest

from sartm_ros.accounting import TransportLoss


def alone() -> bool:
    return True


def test_gaps_in_the_sequence_are_losses_even_if_the_middleware_is_silent() -> None:
    loss = TransportLoss()
    for sequence in (7, 8, 12, 13):
        loss.received(sequence, alone)
    assert loss.total == 3


def test_both_witnesses_tell_of_the_same_losses() -> None:
    loss = TransportLoss()
    loss.received(1, alone)
    loss.reported(2)
    loss.received(4, alone)
    assert loss.total == 2


def test_several_publishers_share_no_sequence() -> None:
    loss = TransportLoss()
    for sequence in (1, 1000, 2, 1001, 3):
        loss.received(sequence, lambda: False)
    loss.reported(1)
    assert loss.total == 1


@pytest.mark.parametrize("first_alone", [1001, 3])
def test_a_second_publisher_that_leaves_has_lost_nothing(first_alone: int) -> None:
    """Whosever message came last while both were there."""
    loss = TransportLoss()
    for sequence in (1000, 1, first_alone):
        loss.received(sequence, lambda: False)
    for sequence in (1002, 1003, 1004):
        loss.received(sequence, alone)
    assert loss.total == 0
    loss.received(1006, alone)
    assert loss.total == 1, "from then on gaps are losses again"


def test_a_publisher_that_starts_again_has_lost_nothing() -> None:
    loss = TransportLoss()
    for sequence in (50, 51, 1, 2):
        loss.received(sequence, alone)
    assert loss.total == 0


def test_a_new_subscription_keeps_the_total_and_forgets_the_sequence() -> None:
    loss = TransportLoss()
    loss.received(1, alone)
    loss.received(5, alone)
    loss.restart()
    loss.received(100, alone)
    assert loss.total == 3


def test_nothing_is_claimed_if_nothing_can_be_told() -> None:
    loss = TransportLoss()
    loss.unreported()
    loss.received(None, alone)
    assert loss.total is None
