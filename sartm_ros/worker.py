"""The one thread that runs the model: takes the newest pair, segments it, has it published."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from sensor_msgs.msg import Image as ImageMessage

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

    message: ImageMessage
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
        rgb: HxWx3 uint8 as the model saw it, or None.
        stages_ms: how long each stage took, in order.
    """

    job: Job
    segmentation: Segmentation
    rgb: Array | None
    stages_ms: dict[str, float] = field(default_factory=dict)


class Worker:
    """Runs jobs from a mailbox in its own thread, one after the other, until closed.

    Args:
        mailbox: where jobs come from.
        ledger: what becomes of each is counted there.
        publish: sends a result out; adds its own stages.
        refused: told about an image that turned out unusable.
        failed: told about an exception of the engine or of our own; the thread lives on.
    """

    def __init__(
        self,
        mailbox: Mailbox[Job],
        ledger: Ledger,
        *,
        publish: Callable[[Result], None],
        refused: Callable[[BadImageError], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self.segmenter: Segmenter | None = None
        self._mailbox = mailbox
        self._ledger = ledger
        self._publish = publish
        self._refused = refused
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
            if isinstance(work, Job):
                self._count(work, self._outcome(work))
            else:
                work()
                self._mailbox.done()
        if self.segmenter is not None:
            self.segmenter.close()

    def _outcome(self, job: Job) -> str:
        """Why no mask came of ``job``; empty if one did."""
        try:
            self._segment(job)
        except BadImageError as error:
            self._refused(error)
            return error.reason
        except Exception as error:
            self._failed(error)
            return "inference_error"
        return ""

    def _count(self, job: Job, dropped: str) -> None:
        with self._ledger.lock:
            if dropped:
                self._ledger.dropped(dropped, with_rgb=job.with_rgb)
            else:
                self._ledger.published(with_rgb=job.with_rgb)
            self._mailbox.done()

    def _segment(self, job: Job) -> None:
        taken = time.monotonic_ns()
        if self.segmenter is None:
            raise RuntimeError("no model is loaded")
        pair = job.pair
        rgb = decode_rgb(pair.rgb.message) if pair.rgb is not None else None
        decoded = time.monotonic_ns()
        segmentation = self.segmenter(rgb, pair.thermal.image if pair.thermal else None)
        first = job.leading
        stages = {
            "intake": (first.accepted_ns - first.entered_ns) * MS,
            "pairing": (job.queued_ns - first.accepted_ns) * MS,
            "queue": (taken - job.queued_ns) * MS,
            "decode": (decoded - taken) * MS,
            **segmentation.timings,
        }
        self._publish(Result(job, segmentation, rgb, stages))
