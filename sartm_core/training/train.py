"""The training run, top to bottom."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from accelerate import Accelerator

from sartm_core.errors import SartmError
from sartm_core.losses import segmentation_loss
from sartm_core.progress import console, progress
from sartm_core.training.checkpoint import (
    BEST,
    LAST,
    Checkpoint,
    build_model,
    checkpoint_to_resume,
    get_rng,
    save_checkpoint,
    set_rng,
)
from sartm_core.training.config import Config
from sartm_core.training.data import load_data
from sartm_core.training.interrupt import stop_on_signal
from sartm_core.training.optimizer import build_optimizer, learning_rate_factor, update_ema
from sartm_core.training.run_folder import RunFolder, provenance
from sartm_core.training.samples import Source, collate, draw_sample

LOG_EVERY = 10


@dataclass(frozen=True)
class RunResult:
    """How a call of :func:`train` ended.

    Attributes:
        checkpoint: the file to export or to resume from.
        step: optimiser steps done.
        finished: whether that is all of them.
        interrupted: whether Ctrl-C or SIGTERM ended it before.
        seconds_per_step: median over this call's steps; None if it made none.
        dev: best dev score, or None without a dev list.
    """

    checkpoint: Path
    step: int
    finished: bool
    interrupted: bool
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
    checkpoint = checkpoint_to_resume(config)

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
        set_rng(checkpoint.rng)
        first, best = checkpoint.step, checkpoint.best
    network, optimizer = accelerator.prepare(model, optimizer)

    mixture, dev = load_data(config)
    sources = [
        Source(frames, source.weight)
        for frames, source in zip(mixture, config.data.sources, strict=True)
    ]
    run = RunFolder(folder, config, first)
    origin = provenance(config, mixture, dev)
    if checkpoint is not None:
        origin["metrics"] = checkpoint.provenance["metrics"]
    console.print(
        f"{config.name}: {sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters, "
        f"{sum(len(frames) for frames in mixture)} frames, dev {len(dev)}, "
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
                rng=get_rng(),
                best=best,
                provenance=origin,
            ),
        )

    durations: list[float] = []
    step = first
    with stop_on_signal() as stop, progress(config.name, plan.steps) as bar:
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
                    remedy="start again with a lower train.lr_decoder and another out=FOLDER",
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
                    origin["metrics"] = {"dev": scores}
                    save(BEST, step)
            if plan.checkpoint_every and step % plan.checkpoint_every == 0:
                save(LAST, step)
            if plan.max_minutes and time.monotonic() - started > 60 * plan.max_minutes:
                break
        save(LAST, step)
        interrupted = stop.is_set()
    return RunResult(
        checkpoint=folder / (BEST if (folder / BEST).is_file() else LAST),
        step=step,
        finished=step >= plan.steps,
        interrupted=interrupted and step < plan.steps,
        seconds_per_step=sorted(durations)[len(durations) // 2] if durations else None,
        dev=best if best >= 0 else None,
    )


def _log_without_terminal(step: int, steps: int, loss: float, durations: list[float]) -> None:
    if console.is_terminal:
        return
    recent = durations[-LOG_EVERY:]
    seconds = sum(recent) / len(recent)
    left = (steps - step) * seconds / 60
    console.print(f"step {step}/{steps} loss {loss:.4f} {seconds:.2f} s/step, {left:.1f} min left")
