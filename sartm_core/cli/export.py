"""`sartm export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from sartm_core.cli.output import emit


def export(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint that training wrote.")],
    out: Annotated[
        Path, typer.Option(help="Folder of the bundle, or NAME.safetensors for weights alone.")
    ],
    precision: Annotated[str, typer.Option(help="Comma-separated; fp32 for now.")] = "fp32",
    metrics: Annotated[
        Optional[list[Path]],  # noqa: UP045 - typer evaluates annotations on Python 3.10
        typer.Option(help="metrics.json of `sartm evaluate`, for the model card; repeatable."),
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the bundle; empty = that of the run.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write the model bundle of a checkpoint: ONNX, sample frames, model card, manifest.

    With --out NAME.safetensors only its weights, in half precision: what another training starts
    from or learns from, and `sartm evaluate` and `sartm export` take as well.

    Example: sartm export out/train/sartm-s/last.ckpt --out models/sartm-s
    """
    if out.suffix == ".safetensors":
        from sartm_core.training.weights_file import save_weights

        state = save_weights(checkpoint, out)
        size = out.stat().st_size / 1e6
        emit(
            {"weights": str(out), "step": state.step, "megabytes": round(size, 2)},
            as_json,
            [f"weights of step {state.step}: {size:.1f} MB in {out}"],
        )
        return
    from sartm_core.export.export import export_bundle, read_metrics

    measured: dict[str, Any] = {}
    for path in metrics or []:
        measured |= read_metrics(path)
    bundle = export_bundle(
        checkpoint, out, precisions=precision.split(","), metrics=measured, name=name or None
    )
    size = sum(file.stat().st_size for file in bundle.path.iterdir()) / 1e6
    emit(
        {
            "bundle": str(bundle.path),
            "name": bundle.name,
            "precisions": list(bundle.precisions),
            "sha256": bundle.sha256(),
            "megabytes": round(size, 2),
        },
        as_json,
        [f"{bundle.name}: {size:.1f} MB in {bundle.path}", f"next: sartm verify {bundle.path}"],
    )
