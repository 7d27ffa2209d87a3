"""`sartm verify`: is this runtime's result right on this machine?"""

from __future__ import annotations

from typing import Annotated

import typer

from sartm_core.cli.output import RUNTIME_HELP, emit, progress
from sartm_core.errors import SartmError


def verify(
    bundle: Annotated[str, typer.Argument(help="Model bundle: a folder or a shipped name.")],
    runtime: Annotated[str, typer.Option(help=RUNTIME_HELP)] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, ...")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare a runtime's masks with the fp32 masks that came with the bundle.

    Example: sartm verify sartm-s --runtime onnxruntime
    """
    from sartm_core.bundle import load_bundle
    from sartm_core.runtime import create_runtime
    from sartm_core.runtime import verify as verification

    with progress("comparing masks"):
        loaded = load_bundle(bundle)
        engine = create_runtime(runtime, loaded, precision=precision)
        result = verification.verify(loaded, engine)
        engine.close()
    words = (
        f"{loaded.name} {engine.precision} on {engine.name} ({engine.device}): "
        f"agreement {result.agreement:.4f}, worst frame {result.worst:.4f}"
    )
    if not result.ok:
        raise SartmError(
            words,
            expected=f"at least {result.threshold}",
            remedy="run another precision or runtime; do not drive by these masks",
        )
    emit(
        {
            "model": loaded.name,
            "runtime": engine.name,
            "device": engine.device,
            "precision": engine.precision,
            "agreement": result.agreement,
            "worst": result.worst,
            "threshold": result.threshold,
            "ok": result.ok,
        },
        as_json,
        f"{words} (needs {result.threshold}): ok",
    )
