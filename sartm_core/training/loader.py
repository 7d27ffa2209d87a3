"""Batches in order, prepared in this process or in others, which changes nothing in them."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader, Dataset

from sartm_core.training.config import Config
from sartm_core.training.samples import Batch, Source, collate, draw_sample


def load_batches(
    config: Config, sources: Sequence[Source], first: int, process: int
) -> Iterator[Batch]:
    """The batches of steps ``first``, ``first + 1``, ...

    A sample is a function of (seed, step, place); the places of a step run over processes and
    accumulated batches, so that one process with the joint batch sees the same samples.

    Args:
        config: of the run.
        sources: of the mixture.
        first: step to start with.
        process: index of this process in distributed training.
    """
    plan = config.train
    indices = range(first * plan.accumulate, plan.steps * plan.accumulate)
    return iter(
        DataLoader(
            _Batches(config, sources, process),
            sampler=indices,
            batch_size=None,
            num_workers=plan.workers,
            collate_fn=_unchanged,
            generator=torch.Generator(),  # or it would draw from the run's own
            worker_init_fn=_start_worker,
            prefetch_factor=2 if plan.workers else None,
        )
    )


class _Batches(Dataset[Batch]):
    def __init__(self, config: Config, sources: Sequence[Source], process: int) -> None:
        self._config = config
        self._sources = sources
        self._process = process

    def __getitem__(self, index: int) -> Batch:
        plan = self._config.train
        step, part = divmod(index, plan.accumulate)
        first = (self._process * plan.accumulate + part) * plan.batch
        return collate(
            draw_sample(
                self._sources, self._config.data, self._config.augment, (plan.seed, step, place)
            )
            for place in range(first, first + plan.batch)
        )


def _unchanged(batch: Any) -> Any:
    return batch


def _start_worker(_: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the training process's to handle
    cv2.setNumThreads(0)
