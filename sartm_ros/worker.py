"""The one thread that runs the model: takes the newest pair, segments it, has it published."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image as ImageMessage

from sartm_core.classes import ClassTable
from sartm_core.errors import BadImageError
from sartm_core.frames import Image as Array
from sartm_core.frames import Segmentation, ThermalImage
from sartm_core.segmenter import Segmenter
from sartm_core.synchronizer import Pair
from sartm_ros.accounting import Ledger
from sartm_ros.imaging import decode_rgb
from sartm_ros.mailbox import Mailbox

MS = 1e-6
"""Milliseconds per nanosecond."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A camera message on its way through the node.

    Attributes:
        message: as it came; its header goes out with the mask.
        image: HxW thermal image, decoded on arrival; None for RGB, which the worker decodes.
        entered_ns, accepted_ns: steady time at the callback's entry, and after its checks.
    """

    message: ImageMessage | CompressedImage
    image: ThermalImage | None
    entered_ns: int
    accepted_ns: int


@dataclass(slots=True)
class Job:
    """A pair for the worker."""

    pair: Pair
    queued_ns: int

    @property
    def with_rgb(self) -> bool:
        return self.pair.rgb is not None

    @property
    def leading(self) -> Arrival:
        """The message that gives the mask its header and size."""
        arrival: Arrival = self.pair.rgb if self.with_rgb else self.pair.thermal
        return arrival


@dataclass(frozen=True, slots=True)
class Result:
    """What is published for a job.

    Attributes:
        rgb: HxWx3 uint8, or None.
        thermal: hxw as the camera sent it, or None.
        classes: what the mask's ids mean.
        stages_ms: how long each stage took, in order.
    """

    job: Job
    segmentation: Segmentation
    rgb: Array | None
    thermal: ThermalImage | None
    classes: ClassTable
    stages_ms: dict[str, float] = field(default_factory=dict)


class Source(Protocol):
    """One pair of cameras: whose images a job is made of, and who publishes what comes of it."""

    ledger: Ledger

    def publish(self, result: Result) -> None:
        """Send a mask out."""

    def refuse(self, error: BadImageError) -> None:
        """An image turned out unusable."""


class Worker:
    """Runs jobs from a mailbox in its own thread, one after the other, until closed.

    Args:
        mailbox: where jobs come from; its slots are the sources.
        sources: whom the jobs belong to.
        failed: told about an exception of the engine or of our own; the thread lives on.

    Attributes:
        segmenters: one for each source, all on the same engine; empty = no model yet. Changed
            between two jobs only: see :meth:`Mailbox.call`.
    """

    def __init__(
        self,
        mailbox: Mailbox[Job],
        sources: Sequence[Source],
        *,
        failed: Callable[[Exception], None],
    ) -> None:
        self.segmenters: Sequence[Segmenter] = ()
        self._mailbox = mailbox
        self._sources = sources
        self._failed = failed
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)
        self._thread.start()

    def close(self, timeout_s: float) -> bool:
        """Let the thread end after the job in its hand, and free the model; whether in time."""
        self._mailbox.close()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (work := self._mailbox.take()) is not None:
            if isinstance(work, tuple):
                slot, job = work
                self._count(slot, job, self._outcome(slot, job))
            else:
                self._call(work)
        if self.segmenters:
            self.segmenters[0].close()

    def _call(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            self._failed(error)
        finally:
            self._mailbox.done()

    def _outcome(self, slot: int, job: Job) -> str:
        """Why no mask came of ``job``; empty if one did."""
        if not self.segmenters:
            return "no_model"
        source = self._sources[slot]
        try:
            source.publish(_segment(self.segmenters[slot], job))
        except BadImageError as error:
            source.refuse(error)
            return error.reason
        except Exception as error:
            self._failed(error)
            return "inference_error"
        return ""

    def _count(self, slot: int, job: Job, dropped: str) -> None:
        ledger = self._sources[slot].ledger
        with ledger.lock:
            if dropped:
                ledger.dropped(dropped, with_rgb=job.with_rgb)
            else:
                ledger.published(with_rgb=job.with_rgb)
            self._mailbox.done()


def _segment(segmenter: Segmenter, job: Job) -> Result:
    taken = time.monotonic_ns()
    pair = job.pair
    rgb = decode_rgb(pair.rgb.message) if pair.rgb is not None else None
    decoded = time.monotonic_ns()
    thermal = pair.thermal.image if pair.thermal is not None else None
    segmentation = segmenter(rgb, thermal)
    first = job.leading
    stages = {
        "intake": (first.accepted_ns - first.entered_ns) * MS,
        "pairing": (job.queued_ns - first.accepted_ns) * MS,
        "queue": (taken - job.queued_ns) * MS,
        "decode": (decoded - taken) * MS,
        **segmentation.timings,
    }
    return Result(job, segmentation, rgb, thermal, segmenter.bundle.classes, stages)
