"""The mailbox of one; needs no ROS."""

from __future__ import annotations

import threading

from sartm_ros.mailbox import Mailbox


def test_the_newest_item_wins_and_the_overwritten_one_is_returned() -> None:
    mailbox: Mailbox[str] = Mailbox(threading.RLock())
    assert mailbox.put("old") is None
    assert mailbox.put("new") == "old"
    assert mailbox.take() == "new"
    assert mailbox.waiting is None


def test_an_item_is_either_waiting_or_in_hand() -> None:
    mailbox: Mailbox[str] = Mailbox(threading.RLock())
    mailbox.put("a")
    mailbox.take()
    mailbox.put("b")
    assert (mailbox.in_hand, mailbox.waiting) == ("a", "b")
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
    assert mailbox.take() == "item"


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
    assert taken == [1]


def test_clear_takes_the_waiting_item_out() -> None:
    mailbox: Mailbox[str] = Mailbox(threading.RLock())
    mailbox.put("a")
    assert mailbox.clear() == "a"
    assert mailbox.clear() is None
