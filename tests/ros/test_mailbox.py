"""The mailbox of one; needs no ROS."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from sartm_ros.mailbox import Mailbox


def test_the_newest_item_wins_and_the_overwritten_one_is_returned() -> None:
    mailbox: Mailbox[str] = Mailbox(threading.RLock())
    assert mailbox.put("old") is None
    assert mailbox.put("new") == "old"
    assert mailbox.take() == (0, "new")
    assert mailbox.waiting() is None


def test_an_item_is_either_waiting_or_in_hand() -> None:
    mailbox: Mailbox[str] = Mailbox(threading.RLock())
    mailbox.put("a")
    mailbox.take()
    mailbox.put("b")
    assert (mailbox.in_hand, mailbox.waiting()) == ((0, "a"), "b")
    assert not mailbox.wait_until_idle(0.0)
    mailbox.done()
    assert mailbox.in_hand is None
    assert mailbox.wait_until_idle(0.0)


def test_calls_come_before_items_and_none_is_lost() -> None:
    mailbox: Mailbox[str] = Mailbox(threading.RLock())
    done: list[int] = []
    mailbox.put("item")
    for number in (1, 2):
        mailbox.call(lambda number=number: done.append(number))
    for _ in range(2):
        work = mailbox.take()
        assert callable(work)
        work()
        mailbox.done()
    assert done == [1, 2]
    assert mailbox.take() == (0, "item")


def test_take_waits_for_an_item_and_close_ends_the_wait() -> None:
    mailbox: Mailbox[int] = Mailbox(threading.RLock())
    taken: list[object] = []

    def work() -> None:
        while (item := mailbox.take()) is not None:
            taken.append(item)
            mailbox.done()

    worker = threading.Thread(target=work)
    worker.start()
    mailbox.put(1)
    while not taken:
        assert worker.is_alive()
    mailbox.close()
    worker.join(10)
    assert not worker.is_alive()
    assert taken == [(0, 1)]


def test_clear_takes_the_waiting_item_out() -> None:
    mailbox: Mailbox[str] = Mailbox(threading.RLock())
    mailbox.put("a")
    assert mailbox.clear() == "a"
    assert mailbox.clear() is None


@given(st.lists(st.integers(0, 3), max_size=60))
def test_every_filled_slot_is_served_before_one_is_served_twice(puts: list[int]) -> None:
    mailbox: Mailbox[int] = Mailbox(threading.RLock(), slots=4)
    waited = [0] * 4  # turns that each waiting slot has seen others get
    for number, slot in enumerate(puts):
        mailbox.put(number, slot)
        if number % 2:
            continue
        work = mailbox.take()
        assert isinstance(work, tuple)
        mailbox.done()
        waited[work[0]] = 0
        for other in range(4):
            if mailbox.waiting(other) is not None:
                waited[other] += 1
        assert max(waited) <= 3


def test_pending_calls_are_run_before_the_end_and_none_is_taken_after() -> None:
    mailbox: Mailbox[str] = Mailbox(threading.RLock())
    mailbox.put("never")
    assert mailbox.call(lambda: None)
    mailbox.close()
    assert callable(mailbox.take())
    mailbox.done()
    assert mailbox.take() is None
    assert not mailbox.call(lambda: None)
