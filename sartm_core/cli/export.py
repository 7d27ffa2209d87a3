"""`sartm export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from sartm_core.cli import build_engine
from sartm_core.cli.camera_size import parse_camera_size
from sartm_core.cli.output import emit

if TYPE_CHECKING:
    from sartm_core.bundle import Bundle


def export(
    source: Annotated[
        str,
        typer.Argument(help="Checkpoint that training wrote, or a bundle that gets precisions."),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder of the bundle, or NAME.safetensors for weights alone.")
    ],
    precision: Annotated[
        str, typer.Option(help="Comma-separated, of fp32,fp16,int8,int8cpu.")
    ] = "fp32",
    calibrate: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer evaluates annotations on Python 3.10
        typer.Option(
            help="KIND:PATH of frames for the ranges of INT8; repeatable. "
            "Default: what the checkpoint was trained on."
        ),
    ] = None,
    calibrate_split: Annotated[
        str | None, typer.Option(help="A NAME.txt list of those frames; default all.")
    ] = None,
    metrics: Annotated[
        Optional[list[Path]],  # noqa: UP045 - typer evaluates annotations on Python 3.10
        typer.Option(help="metrics.json of `sartm evaluate`, for the model card; repeatable."),
    ] = None,
    temperature_from: Annotated[
        str | None,
        typer.Option(
            help="Bundle whose temperatures are taken over: of the same settings, with a dev list. "
            "Default: they are fitted on the run's own dev list."
        ),
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the bundle; empty = that of the run.")] = "",
    weights: Annotated[
        bool,
        typer.Option(
            "--weights", help="Add weights.safetensors (float32), which the torch runtime needs."
        ),
    ] = False,
    camera: Annotated[
        str | None,
        typer.Option(help="WxH of the RGB images: the graph resizes them, for a GPU's sake."),
    ] = None,
    engine: Annotated[
        bool,
        typer.Option(
            "--engine", help="Build the TensorRT engine of each precision as well, for this GPU."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write the model bundle of a checkpoint: ONNX, sample frames, model card, manifest.

    Of a bundle, a copy with further precisions is written; --out may be its own folder. With --out
    NAME.safetensors only a checkpoint's weights, in half precision: what another training starts
    from or learns from, and `sartm evaluate` and `sartm export` take as well.

    Example: sartm export out/train/sartm-s/last.ckpt --out models/sartm-s --precision fp32,int8
    """
    frames = [(name_of_set, calibrate_split) for name_of_set in calibrate or []]
    precisions = precision.split(",")
    if temperature_from and (_is_bundle(source) or out.suffix == ".safetensors"):
        raise typer.BadParameter(
            "temperatures are written when a checkpoint becomes a bundle",
            param_hint="--temperature-from",
        )
    if weights and (_is_bundle(source) or out.suffix == ".safetensors"):
        raise typer.BadParameter(
            "weights join a bundle when it is made from a checkpoint", param_hint="--weights"
        )
    if camera and (weights or out.suffix == ".safetensors"):
        raise typer.BadParameter("a bundle for a camera has no weights", param_hint="--camera")
    size_of_camera = parse_camera_size(camera)[::-1] if camera else None
    if engine and out.suffix == ".safetensors":
        raise typer.BadParameter("engines are built from a bundle", param_hint="--engine")
    if _is_bundle(source):
        bundle = _add_precisions(source, out, precisions, frames)
    elif out.suffix == ".safetensors":
        from sartm_core.training.weights_file import save_weights

        state = save_weights(Path(source), out)
        size = out.stat().st_size / 1e6
        emit(
            {"weights": str(out), "step": state.step, "megabytes": round(size, 2)},
            as_json,
            [f"weights of step {state.step}: {size:.1f} MB in {out}"],
        )
        return
    else:
        from sartm_core.export.export import export_bundle
        from sartm_core.export.measured import read_scores

        measured: dict[str, Any] = {}
        for path in metrics or []:
            measured |= read_scores(path)
        bundle = export_bundle(
            Path(source),
            out,
            precisions=precisions,
            calibrate=frames,
            metrics=measured,
            temperature_from=temperature_from,
            name=name or None,
            weights=weights,
        )
    if size_of_camera:
        from sartm_core.export.camera import fit_camera

        bundle = fit_camera(bundle, size_of_camera, out)
    engines = _build_engines(bundle, precisions) if engine else []
    size = sum(file.stat().st_size for file in bundle.path.iterdir()) / 1e6
    emit(
        {
            "bundle": str(bundle.path),
            "name": bundle.name,
            "precisions": list(bundle.precisions),
            "sha256": bundle.sha256(),
            "megabytes": round(size, 2),
            "calibration": bundle.manifest.get("calibration"),
            "engines": engines,
        },
        as_json,
        [
            f"{bundle.name}: {size:.1f} MB in {bundle.path}",
            *map(build_engine.line, engines),
            f"next: sartm verify {bundle.path}",
        ],
    )


def _build_engines(bundle: Bundle, precisions: list[str]) -> list[dict[str, Any]]:
    """Of those precisions that are not for CPUs alone."""
    return [
        build_engine.build(bundle, "tensorrt", precision, None)
        for precision in precisions
        if precision != "int8cpu"
    ]


def _is_bundle(source: str) -> bool:
    from sartm_core.bundle import MANIFEST, shipped_bundles

    return Path(source, MANIFEST).is_file() or (
        not Path(source).exists() and source in shipped_bundles()
    )


def _add_precisions(
    source: str, out: Path, precisions: list[str], frames: list[tuple[str, str | None]]
) -> Bundle:
    from sartm_core.bundle import load_bundle
    from sartm_core.export.precisions import add_precisions, calibration_feeds

    bundle = load_bundle(source)
    return add_precisions(bundle, precisions, out, calibration_feeds(frames, bundle.input_size))
