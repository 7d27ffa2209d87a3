"""Loads models in a thread of its own: the one in service goes on meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from sartm_core.errors import SartmError
from sartm_core.segmenter import Segmenter
from sartm_ros.parameters import ModelParameters

Loaded = Callable[[Segmenter], None]
Failed = Callable[[Exception], None]


@dataclass(frozen=True, slots=True)
class _Request:
    model: ModelParameters
    loaded: Loaded
    failed: Failed


class ModelLoader:
    """One load at a time; of several requests only the newest counts.

    Args:
        load: gives the model, ready to run, or raises.

    Attributes:
        closed: whether no model is let through any more.
    """

    def __init__(self, load: Callable[[ModelParameters], Segmenter]) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._wanted: _Request | None = None
        self._running = False
        self.closed = False

    def request(self, model: ModelParameters, *, loaded: Loaded, failed: Failed) -> None:
        """Load ``model``; one of the two is called in the end, in the loader's thread.

        A request that still waits is failed; one that is being loaded fails when it is done.
        """
        request = _Request(model, loaded, failed)
        with self._lock:
            superseded, self._wanted = self._wanted, request
            start, self._running = not self._running, True
        if superseded is not None:
            superseded.failed(_superseded())
        if start:
            threading.Thread(target=self._run, name="model loader", daemon=True).start()

    @property
    def busy(self) -> bool:
        """Whether a model is being loaded."""
        return self._running

    def close(self) -> None:
        """Let no model through any more: what is being loaded is freed when it is done."""
        with self._lock:
            self.closed = True
            self._wanted = None

    def _run(self) -> None:
        while True:
            with self._lock:
                request, self._wanted = self._wanted, None
                if request is None:
                    self._running = False
                    return
            try:
                segmenter = self._load(request.model)
            except Exception as error:  # whatever an engine raises
                request.failed(error)
                continue
            with self._lock:
                obsolete = self.closed or self._wanted is not None
            if obsolete:
                segmenter.close()
                request.failed(_superseded())
            else:
                request.loaded(segmenter)


def _superseded() -> SartmError:
    return SartmError("the model was not taken: a later request, or the node's end, came before")
