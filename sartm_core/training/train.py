"""The training run, top to bottom."""

from __future__ import annotations

import copy
import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import nn

from sartm_core.classes import class_table
from sartm_core.cli.output import console, progress
from sartm_core.errors import SartmError
from sartm_core.losses import segmentation_loss
from sartm_core.models import Student
from sartm_core.training.checkpoint import (
    BEST,
    LAST,
    Checkpoint,
    build_model,
    load_checkpoint,
    save_checkpoint,
)
from sartm_core.training.config import Config, TrainConfig, config_to_dict
from sartm_core.training.run_folder import RunFolder, git_revision
from sartm_core.training.samples import (
    Frame,
    Source,
    collate,
    count_frames,
    draw_sample,
    is_dev,
    load_frames,
)

LOG_EVERY = 10
# What may change between the parts of one run: none of it changes the result.
FREE_KEYS = {
    "out",
    "resume",
    "train.max_minutes",
    "train.checkpoint_every",
    "train.evaluate_every",
    "train.threads",
}


@dataclass(frozen=True)
class RunResult:
    """How a call of :func:`train` ended.

    Attributes:
        checkpoint: the file to export or to resume from.
        step: optimiser steps done.
        finished: whether that is all of them.
        seconds_per_step: median over this call's steps; None if it made none.
        dev: best dev score, or None without a dev list.
    """

    checkpoint: Path
    step: int
    finished: bool
    seconds_per_step: float | None
    dev: float | None


def train(config: Config) -> RunResult:
    """Run the training that a configuration describes, or go on with it.

    The averaged (EMA) weights of the best dev score are kept in ``best.ckpt`` where there is a dev
    list; ``last.ckpt`` always holds the last state. Ctrl-C and ``train.max_minutes`` end the run
    after the current step with a checkpoint that resumes bit for bit.

    Raises:
        SartmError: data that cannot be used, a checkpoint of another configuration, or a loss that
            is not finite.
    """
    started = time.monotonic()
    plan = config.train
    if plan.threads:
        torch.set_num_threads(plan.threads)
    accelerator = Accelerator(mixed_precision="no")
    device = accelerator.device
    folder = config.folder
    checkpoint = _checkpoint_to_resume(config)

    torch.manual_seed(plan.seed)
    model = build_model(config, pretrained=checkpoint is None)
    model = model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    ema = copy.deepcopy(model).eval().requires_grad_(False)
    optimizer = build_optimizer(model, plan)
    first, best = 0, -1.0
    if checkpoint is not None:
        model.load_state_dict(checkpoint.model)
        ema.load_state_dict(checkpoint.ema)
        optimizer.load_state_dict(checkpoint.optimizer)
        _set_rng(checkpoint.rng)
        first, best = checkpoint.step, checkpoint.best
    network, optimizer = accelerator.prepare(model, optimizer)

    sources, dev = _load_data(config)
    run = RunFolder(folder, config, first)
    provenance = _provenance(config, sources, dev)
    console.print(
        f"{config.name}: {sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters, "
        f"{sum(len(source.frames) for source in sources)} frames, dev {len(dev)}, "
        f"steps {first} to {plan.steps} on {device}; run folder {folder}"
    )

    def save(name: str, step: int) -> None:
        if not accelerator.is_main_process:
            return
        save_checkpoint(
            folder / name,
            Checkpoint(
                config=config,
                step=step,
                model=model.state_dict(),
                ema=ema.state_dict(),
                optimizer=optimizer.state_dict(),
                rng=_get_rng(),
                best=best,
                provenance=provenance,
            ),
        )

    durations: list[float] = []
    step = first
    with _stop_on_signal() as stop, progress(config.name, plan.steps) as bar:
        bar.advance(first)
        while step < plan.steps and not stop.is_set():
            tick = time.monotonic()
            places = [
                (plan.seed, step, accelerator.process_index * plan.batch + place)
                for place in range(plan.batch)
            ]
            batch = collate(
                draw_sample(sources, config.data, config.augment, place) for place in places
            ).to(device)
            rate = learning_rate_factor(step, plan)
            for group in optimizer.param_groups:
                group["lr"] = group["peak_lr"] * rate
            network.train()
            logits = network(*batch.inputs)
            logits = F.interpolate(logits, size=batch.label.shape[1:], mode="bilinear")
            loss, parts = segmentation_loss(logits, batch.label, config.loss)
            optimizer.zero_grad(set_to_none=True)
            accelerator.backward(loss)
            optimizer.step()
            update_ema(ema, model, min(plan.ema, (1 + step) / (10 + step)))
            step += 1
            durations.append(time.monotonic() - tick)

            if not math.isfinite(loss.item()):
                raise SartmError(
                    f"the loss is not finite at step {step}",
                    got=loss.item(),
                    remedy=f"resume from {folder / LAST} with a lower train.lr_decoder",
                )
            bar.advance()
            if step % LOG_EVERY == 0 or step == plan.steps:
                row = {name: round(part.item(), 5) for name, part in parts.items()}
                row |= {"loss": round(loss.item(), 5), "lr": rate, "seconds": durations[-1]}
                run.log({"step": step, **row})
                bar.describe(f"{config.name} loss {loss.item():.3f}")
                _log_without_terminal(step, plan.steps, loss.item(), durations)
            evaluate_now = plan.evaluate_every and step % plan.evaluate_every == 0
            if dev and (evaluate_now or step == plan.steps):
                from sartm_core.training.validate import evaluate_frames

                scores = evaluate_frames(ema, dev, config)
                run.log({"step": step, "dev": scores})
                console.print(f"step {step}: dev {scores['score']:.4f}")
                if scores["score"] > best:
                    best = scores["score"]
                    provenance["metrics"] = {"dev": scores}
                    save(BEST, step)
            if plan.checkpoint_every and step % plan.checkpoint_every == 0:
                save(LAST, step)
            if plan.max_minutes and time.monotonic() - started > 60 * plan.max_minutes:
                stop.set()
        save(LAST, step)
    return RunResult(
        checkpoint=folder / (BEST if best >= 0 else LAST),
        step=step,
        finished=step >= plan.steps,
        seconds_per_step=sorted(durations)[len(durations) // 2] if durations else None,
        dev=best if best >= 0 else None,
    )


def build_optimizer(model: Student, plan: TrainConfig) -> torch.optim.Optimizer:
    """AdamW with one peak rate for the encoder stages and one for everything else; no weight decay
    for biases and normalisation."""
    encoder = {
        id(parameter)
        for part in (model.rgb_stages, model.thermal_stages, model.deep_stage)
        for parameter in part.parameters()
    }
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        rate = plan.lr_encoder if id(parameter) in encoder else plan.lr_decoder
        decay = plan.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": parameters, "lr": rate, "peak_lr": rate, "weight_decay": decay}
            for (rate, decay), parameters in groups.items()
        ]
    )


def learning_rate_factor(step: int, plan: TrainConfig) -> float:
    """Linear warm-up, then a cosine to 0 (Loshchilov & Hutter, ICLR 2017): 0..1 of the peak."""
    if step < plan.warmup_steps:
        return (step + 1) / plan.warmup_steps
    part = (step - plan.warmup_steps) / max(1, plan.steps - plan.warmup_steps)
    return 0.5 * (1.0 + math.cos(math.pi * part))


@torch.no_grad()
def update_ema(ema: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the averaged weights and statistics towards the current ones, in place."""
    for average, value in zip(ema.state_dict().values(), model.state_dict().values(), strict=True):
        if average.is_floating_point():
            average.lerp_(value, 1.0 - decay)
        else:
            average.copy_(value)


def _load_data(config: Config) -> tuple[list[Source], list[Frame]]:
    """The training sources without the dev frames, and the dev frames."""
    classes = class_table(config.data.classes)
    dev: dict[str, Frame] = {}
    sources: list[Source] = []
    total = sum(count_frames(source) for source in config.data.sources)
    with progress("reading frames", total) as bar:
        for source in config.data.sources:
            kept: list[Frame] = []
            for frame in load_frames(source, classes):
                if source.dataset != "synthetic" and is_dev(frame.stem, config.data.dev):
                    dev[f"{source.dataset}/{frame.stem}"] = frame
                else:
                    kept.append(frame)
                bar.advance()
            if not kept:
                raise SartmError(f"no frames of '{source.dataset}' are left for training")
            sources.append(Source(kept, source.weight))
    if config.data.dev and not dev:
        raise SartmError("data.dev names no frame of any source", got=", ".join(config.data.dev))
    return sources, list(dev.values())


def _provenance(config: Config, sources: list[Source], dev: list[Frame]) -> dict[str, Any]:
    return {
        "git_rev": git_revision(),
        "dataset": [
            {
                "dataset": _public_name(source.dataset),
                "split": source.split,
                "frames": len(loaded.frames),
                "weight": source.weight,
            }
            for source, loaded in zip(config.data.sources, sources, strict=True)
        ],
        "dev_frames": len(dev),
        "seed": config.train.seed,
        "metrics": {},
    }


def _public_name(dataset: str) -> str:
    """A data set without the folders of this machine."""
    kind, _, where = dataset.partition(":")
    return f"{kind}:{Path(where).name}" if where else kind


def _checkpoint_to_resume(config: Config) -> Checkpoint | None:
    last = config.folder / LAST
    if config.resume == "never":
        if last.exists():
            raise SartmError(
                f"{config.folder} already holds a run", remedy="choose another out=FOLDER"
            )
        return None
    if config.resume == "auto" and not last.exists():
        return None
    path = last if config.resume == "auto" else Path(config.resume)
    checkpoint = load_checkpoint(path)
    now, then = _flat(config_to_dict(config)), _flat(config_to_dict(checkpoint.config))
    keys = sorted({key for key, _ in now.items() ^ then.items()} - FREE_KEYS)
    if keys:
        raise SartmError(
            f"{path} belongs to another configuration",
            got="other values of " + ", ".join(keys),
            remedy="choose another out=FOLDER for the new configuration",
        )
    return checkpoint


def _flat(values: Any, prefix: str = "") -> dict[str, str]:
    """Nested plain values as one level of dotted keys."""
    if not isinstance(values, dict):
        return {prefix: repr(values)}
    flat: dict[str, str] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}.{key}" if prefix else key)
    return flat


def _get_rng() -> list[torch.Tensor]:
    return [torch.get_rng_state(), *torch.cuda.get_rng_state_all()]


def _set_rng(states: list[torch.Tensor]) -> None:
    torch.set_rng_state(states[0])
    for device, state in enumerate(states[1 : 1 + torch.cuda.device_count()]):
        torch.cuda.set_rng_state(state, device)


@contextmanager
def _stop_on_signal() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C or SIGTERM sets; the second one acts as usual."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def handle(number: int, _: object) -> None:
        console.print("stopping after this step; the checkpoint resumes")
        signal.signal(number, previous[signal.Signals(number)])
        stop.set()

    for number in previous:
        signal.signal(number, handle)
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _log_without_terminal(step: int, steps: int, loss: float, durations: list[float]) -> None:
    if console.is_terminal:
        return
    recent = durations[-LOG_EVERY:]
    seconds = sum(recent) / len(recent)
    left = (steps - step) * seconds / 60
    console.print(f"step {step}/{steps} loss {loss:.4f} {seconds:.2f} s/step, {left:.1f} min left")
