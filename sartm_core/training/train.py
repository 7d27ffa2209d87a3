"""The training run, top to bottom."""

from __future__ import annotations

import copy
import math
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from sartm_core.classes import class_table
from sartm_core.errors import SartmError
from sartm_core.losses import gradient_norms
from sartm_core.progress import console, progress
from sartm_core.training.allocator import keep_large_blocks
from sartm_core.training.board import Board
from sartm_core.training.build import build_step, describe, start_from
from sartm_core.training.checkpoint import (
    BEST,
    LAST,
    Checkpoint,
    checkpoint_to_resume,
    get_rng,
    save_checkpoint,
    set_rng,
)
from sartm_core.training.config import Config
from sartm_core.training.data import load_data
from sartm_core.training.interrupt import stop_on_signal
from sartm_core.training.loader import load_batches
from sartm_core.training.optimizer import (
    build_optimizer,
    learning_rate_factor,
    train_mode,
    update_ema,
)
from sartm_core.training.run_folder import RunFolder, provenance
from sartm_core.training.teacher_outputs import ask_teachers
from sartm_core.training.validate import evaluate_frames

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
    keep_large_blocks()
    plan = config.train
    if plan.threads:
        torch.set_num_threads(plan.threads)
    accelerator = Accelerator(
        mixed_precision="no" if plan.precision == "fp32" else plan.precision,
        step_scheduler_with_optimizer=False,
    )
    device = accelerator.device
    console.quiet = not accelerator.is_main_process
    folder = config.folder
    checkpoint = checkpoint_to_resume(config)

    torch.manual_seed(plan.seed)
    training = build_step(config, fresh=checkpoint is None)
    if plan.init and checkpoint is None:
        start_from(Path(plan.init), training.network, plan.init_part)
    training = training.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    ema = copy.deepcopy(training.network).eval().requires_grad_(False)
    optimizer = build_optimizer(training.network, plan, training.distill)
    first, best = 0, -1.0
    if checkpoint is not None:
        training.load_state_dict(checkpoint.training)
        ema.load_state_dict(checkpoint.ema)
        optimizer.load_state_dict(checkpoint.optimizer)
        set_rng(checkpoint.rng)
        first, best = checkpoint.step, checkpoint.best
    forward, optimizer = accelerator.prepare(training, optimizer)
    if checkpoint is not None and accelerator.scaler is not None:
        accelerator.scaler.load_state_dict(checkpoint.scaler)

    sources, dev = load_data(config)
    if config.distill.teachers:
        sources = ask_teachers(config, sources, device)
    origin = provenance(config, sources, dev)
    if checkpoint is not None:
        origin["metrics"] = checkpoint.provenance["metrics"]
    run = RunFolder(folder, config, first) if accelerator.is_main_process else None
    board = Board(folder, first) if plan.tensorboard and accelerator.is_main_process else None
    console.print(
        f"{config.name}: {describe(training.network)}\n"
        f"{sum(len(source.frames) for source in sources)} frames, dev {len(dev)}, steps {first} to "
        f"{plan.steps} on {device}; run folder {folder}"
    )

    def log(row: dict[str, Any]) -> None:
        if run is not None:
            run.log(row)
        if board is not None:
            board.log(row)

    def save(name: str, step: int) -> None:
        if accelerator.is_main_process:
            state = Checkpoint(
                config=config,
                step=step,
                training=training.state_dict(),
                ema=ema.state_dict(),
                optimizer=optimizer.state_dict(),
                scaler={} if accelerator.scaler is None else accelerator.scaler.state_dict(),
                rng=get_rng(),
                best=best,
                provenance=origin,
            )
            save_checkpoint(folder / name, state)

    loader = load_batches(config, sources, first, accelerator.process_index)
    durations: list[float] = []
    step = first
    with stop_on_signal() as stop, progress(config.name, plan.steps) as bar:
        bar.advance(first)
        while step < plan.steps:
            tick = time.monotonic()
            rate = learning_rate_factor(step, plan)
            for group in optimizer.param_groups:
                group["lr"] = group["peak_lr"] * rate
            train_mode(training, plan)
            optimizer.zero_grad(set_to_none=True)
            norms: dict[str, float] = {}
            for micro in range(plan.accumulate):
                batch = next(loader).to(device)
                if run is not None and step == 0 and micro == 0:
                    run.picture(batch, class_table(config.data.classes))
                last = micro == plan.accumulate - 1
                with nullcontext() if last else accelerator.no_sync(forward):
                    result = forward(batch, step / plan.steps)
                    if (
                        last
                        and _due(step, plan.gradient_norms_every)
                        and result.feature is not None
                    ):
                        norms = gradient_norms(result.weighted, result.feature)
                    accelerator.backward(result.total / plan.accumulate)
            optimizer.step()
            if training.cmkd is not None:
                training.cmkd.update()
            if training.distill is not None:
                training.distill.update()
            update_ema(ema, training.network, min(plan.ema, (1 + step) / (10 + step)))
            step += 1
            durations.append(time.monotonic() - tick)

            loss = result.total.item()
            if not math.isfinite(loss):
                raise SartmError(
                    f"the loss is not finite at step {step}",
                    got=loss,
                    remedy="start again with a lower train.lr_decoder and another out=FOLDER",
                )
            bar.advance()
            if step % LOG_EVERY == 0 or step == plan.steps or norms:
                row = {name: round(part.item(), 5) for name, part in result.parts.items()}
                row |= {f"gradient/{name}": norm for name, norm in norms.items()}
                row |= {"loss": round(loss, 5), "lr": rate, "seconds": durations[-1]}
                log({"step": step, **row})
            if step % LOG_EVERY == 0 or step == plan.steps:
                bar.describe(f"{config.name} loss {loss:.3f}")
                _log_without_terminal(step, plan.steps, loss, durations)
            if dev and (step == plan.steps or _due(step, plan.evaluate_every)):
                scores = evaluate_frames(ema, dev, config)
                log({"step": step, "dev": scores})
                console.print(f"step {step}: dev {scores['score']:.4f}")
                if scores["score"] > best:
                    best = scores["score"]
                    origin["metrics"] = {"dev": scores}
                    save(BEST, step)
            if (
                board is not None
                and training.cmkd is not None
                and (step == plan.steps or _due(step, plan.evaluate_every))
            ):
                board.similarities(step, training.cmkd)
            if _due(step, plan.checkpoint_every):
                save(LAST, step)
            late = 0 < plan.max_minutes < (time.monotonic() - started) / 60
            if _in_any_process(accelerator, late or stop.is_set()):
                break
        save(LAST, step)
        interrupted = stop.is_set()
    if board is not None:
        board.close()
    return RunResult(
        checkpoint=folder / (BEST if (folder / BEST).is_file() else LAST),
        step=step,
        finished=step >= plan.steps,
        interrupted=interrupted and step < plan.steps,
        seconds_per_step=sorted(durations)[len(durations) // 2] if durations else None,
        dev=best if best >= 0 else None,
    )


def _in_any_process(accelerator: Accelerator, flag: bool) -> bool:
    """Processes stop after the same step, or the others would wait for ever."""
    if accelerator.num_processes == 1:
        return flag
    count = torch.tensor(float(flag), device=accelerator.device)
    return bool(accelerator.reduce(count, "sum").item())


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def _log_without_terminal(step: int, steps: int, loss: float, durations: list[float]) -> None:
    if console.is_terminal:
        return
    recent = durations[-LOG_EVERY:]
    seconds = sum(recent) / len(recent)
    left = (steps - step) * seconds / 60
    console.print(f"step {step}/{steps} loss {loss:.4f} {seconds:.2f} s/step, {left:.1f} min left")
