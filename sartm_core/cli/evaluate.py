"""`sartm evaluate` and `sartm score`: how good are the masks?"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sartm_core.cli.output import RUNTIME_HELP, emit, progress
from sartm_core.errors import SartmError

if TYPE_CHECKING:
    from sartm_core.evaluation.test_time import Looks
    from sartm_core.segmenter import Segmenter

METRICS = "metrics.json"
CHECKPOINT_SUFFIXES = (".ckpt", ".pt", ".pth", ".safetensors")

Data = Annotated[str, typer.Option(help="folder:PATH, or mfnet, msrs, pst900, fmb, synthetic.")]
Split = Annotated[str | None, typer.Option(help="A NAME.txt list of the data; default all.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def evaluate(
    model: Annotated[str, typer.Argument(help="Bundle folder, shipped name or checkpoint.")],
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder for metrics.json, report.html, ...")],
    split: Split = None,
    modalities: Annotated[
        str, typer.Option(help="Of rgb+thermal,rgb,thermal; the first one is the headline.")
    ] = "rgb+thermal",
    shuffle_thermal: Annotated[
        bool, typer.Option("--shuffle-thermal", help="Also give each RGB another frame's thermal.")
    ] = False,
    corrupt: Annotated[
        str | None,
        typer.Option(help="Also score under corruptions: all, or names such as fog,thermal_shift."),
    ] = None,
    scales: Annotated[
        str | None,
        typer.Option(help="Checkpoints: average over scales of the image, such as 0.75,1,1.25."),
    ] = None,
    flip: Annotated[
        bool, typer.Option("--flip", help="Checkpoints: average with the mirror image.")
    ] = False,
    window: Annotated[
        str | None,
        typer.Option(help="Checkpoints: slide a window of HEIGHTxWIDTH over the frames' own size."),
    ] = None,
    stride: Annotated[
        str | None, typer.Option(help="Steps of the window, HEIGHTxWIDTH; default half of it.")
    ] = None,
    masks: Annotated[bool, typer.Option("--masks", help="Keep the masks as PNG.")] = False,
    runtime: Annotated[str, typer.Option(help=RUNTIME_HELP)] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, ...")] = "auto",
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads; default all cores but one.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score a model on labelled frames under every protocol; write metrics.json and report.html.

    Example: sartm evaluate sartm-s --data folder:data/site --split val --out out/eval
    """
    from sartm_core.data.datasets import open_dataset
    from sartm_core.evaluation.corruptions import select
    from sartm_core.evaluation.evaluate import Plan
    from sartm_core.evaluation.evaluate import evaluate as run

    dataset = open_dataset(data, split)
    plan = Plan(
        modalities=_names(modalities),
        shuffle_thermal=shuffle_thermal,
        corruptions=select(_names(corrupt)) if corrupt is not None else (),
        write_masks=masks,
    )
    looks = _looks(scales, flip=flip, window=window, stride=stride)
    # Windows are there to see the frames' own pixels.
    size = dataset.read(dataset.stems[0]).rgb.shape[:2] if looks and looks.window else None
    with (
        _load(model, runtime, precision, threads, looks, size) as segmenter,
        progress("evaluating", plan.steps(len(dataset.stems))) as bar,
    ):
        segmenter.warm_up()
        metrics, pictures = run(
            segmenter,
            dataset,
            out,
            plan,
            model=segmenter.bundle.name,
            classes=segmenter.bundle.classes,
            advance=bar.advance,
        )
        metrics["provenance"] = _provenance(segmenter)
        if looks:
            metrics["provenance"]["looks"] = asdict(looks)
    _finish(metrics, pictures, out, as_json)


def score(
    masks: Annotated[Path, typer.Argument(help="Folder of STEM.png masks of class ids.")],
    data: Data,
    split: Split = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for metrics.json and report.html; default none.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score masks of any method under every protocol.

    Example: sartm score out/masks --data folder:data/site --split val
    """
    from sartm_core.data.datasets import open_dataset
    from sartm_core.evaluation.evaluate import PER_FRAME
    from sartm_core.evaluation.score import score as run
    from sartm_core.machine import git_revision

    dataset = open_dataset(data, split)
    with progress("scoring", len(dataset.stems)) as bar:
        metrics, pictures, tally = run(masks, dataset, advance=bar.advance)
    metrics["provenance"] = {"git_rev": git_revision(), "masks": str(masks)}
    if out:
        tally.per_frame().write(out / PER_FRAME)
        metrics["per_frame"] = PER_FRAME
        metrics["masks"] = os.path.relpath(masks, out)
    _finish(metrics, pictures, out, as_json)


def summary_lines(metrics: Mapping[str, Any]) -> list[str]:
    """metrics.json for a person at a terminal."""
    place = " / ".join(part for part in (metrics["dataset"], metrics["split"]) if part)
    lines = [f"{metrics['model']} on {place}, {metrics['frames']} frames"]
    for name, scores in metrics["protocols"].items():
        present = f"({scores['present']} of {len(scores['iou'])} classes present)"
        lines.append(f"  {name:<20} mIoU {_figure(scores['miou'])}  {present}")
    headline, scores = next(iter(metrics["protocols"].items()))
    for label, part in _parts(metrics):
        lines.append(f"  {label:<20} mIoU {_figure(part['protocols'][headline]['miou'])}")
    for name, row in metrics.get("corruptions", {}).items():
        label = "corrupted, mean" if name == "mean" else name
        lines.append(f"  {label:<20} kept {_figure(row['mean']['retained'])}")
    lines += [f"    {name:<18} IoU  {_figure(iou)}" for name, iou in scores["iou"].items()]
    return lines


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


def _parts(metrics: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    parts = list(metrics["subsets"].items())
    parts += metrics.get("modalities", {}).items()
    if "shuffle_thermal" in metrics:
        shuffled = metrics["shuffle_thermal"]
        parts.append(("shuffled thermal", shuffled))
        parts += [(f"shuffled, {name}", part) for name, part in shuffled["subsets"].items()]
    return parts


def _figure(value: float | None) -> str:
    return "    -" if value is None else f"{value:.3f}"


def _looks(
    scales: str | None, *, flip: bool, window: str | None, stride: str | None
) -> Looks | None:
    """What the options for checkpoints ask for, None if they were not used."""
    if not (scales or flip or window or stride):
        return None
    from sartm_core.evaluation.test_time import Looks

    try:
        factors = tuple(float(factor) for factor in _names(scales or "1"))
    except ValueError:
        raise typer.BadParameter("write for example 0.75,1,1.25", param_hint="--scales") from None
    return Looks(
        scales=factors,
        flip=flip,
        window=_size("--window", window),
        stride=_size("--stride", stride),
    )


def _size(option: str, text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise typer.BadParameter("write HEIGHTxWIDTH, for example 480x640", param_hint=option)
    return int(height), int(width)


def _load(
    model: str,
    runtime: str,
    precision: str,
    threads: int | None,
    looks: Looks | None,
    size: tuple[int, int] | None,
) -> Segmenter:
    path = Path(model)
    if path.suffix in CHECKPOINT_SUFFIXES:
        from sartm_core.training.predictor import load_predictor

        return load_predictor(path, looks=looks, input_size=size)
    if looks:
        raise SartmError(
            "scales, flip and windows need logits",
            got=f"{model}, a bundle, which gives masks",
            expected="a checkpoint (" + ", ".join(CHECKPOINT_SUFFIXES) + ")",
            remedy="evaluate the checkpoint that the bundle was exported from",
        )
    from sartm_core.segmenter import load

    return load(model, runtime, precision=precision, threads=threads)


def _provenance(segmenter: Segmenter) -> dict[str, Any]:
    from sartm_core.files import sha256_file
    from sartm_core.machine import describe_machine, git_revision

    bundle, engine = segmenter.bundle, segmenter.runtime
    known = {"git_rev": git_revision()}
    if bundle.path.is_file():
        known |= {"checkpoint": str(bundle.path), "checkpoint_sha256": sha256_file(bundle.path)}
    else:
        known["bundle_sha256"] = bundle.sha256(engine.precision)
    machine = describe_machine()
    versions = machine.pop("versions")
    ran = {"runtime": engine.name, "precision": engine.precision}
    return {**known, **ran, "versions": versions, "machine": machine}


def _finish(metrics: dict[str, Any], pictures: list[Any], out: Path | None, as_json: bool) -> None:
    lines = summary_lines(metrics)
    if out:
        from sartm_core.evaluation.report import write_report
        from sartm_core.files import write_json_atomic

        write_json_atomic(out / METRICS, metrics)
        lines.append(f"report: {write_report(metrics, pictures, out)}")
    emit(metrics, as_json, lines)
