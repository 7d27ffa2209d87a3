"""`sartm build-engine`: what takes minutes is done before the robot starts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sartm_core.cli.output import emit, progress
from sartm_core.errors import SartmError

if TYPE_CHECKING:
    from sartm_core.bundle import Bundle

EngineCacheFolder = Annotated[
    Path | None, typer.Option(help="Folder of engines [the user's cache folder].")
]


def build_engine(
    bundle: Annotated[str, typer.Argument(help="Model bundle: a folder or a shipped name.")],
    runtime: Annotated[str, typer.Option(help="tensorrt or tensorrt_rtx.")] = "tensorrt",
    precision: Annotated[str, typer.Option(help="fp32, fp16 or int8.")] = "fp32",
    engine_cache: EngineCacheFolder = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Build the TensorRT engine of a bundle for this machine's GPU, verify it, and keep it.

    If an engine is there already, that is told at once. If its masks are wrong, one of the next
    safer precision is built as well.

    Example: sartm build-engine sartm-s --runtime tensorrt --precision fp32
    """
    from sartm_core.bundle import load_bundle

    result = build(load_bundle(bundle), runtime, precision, engine_cache)
    emit(result, as_json, line(result))


def build(
    bundle: Bundle, runtime: str, precision: str, engine_cache: Path | None
) -> dict[str, Any]:
    """Build with a progress bar; what came of it."""
    from sartm_core.runtime.choice import TENSORRT
    from sartm_core.runtime.tensorrt import TensorrtRuntime

    if runtime not in TENSORRT:
        raise SartmError(
            "only TensorRT has engines", got=repr(runtime), expected=" or ".join(TENSORRT)
        )
    done = 0
    with progress("building the engine", 100) as bar:

        def show(share: float) -> None:
            nonlocal done
            bar.advance(int(100 * share) - done)
            done = int(100 * share)

        engine = TensorrtRuntime(
            bundle,
            precision=precision,
            module=runtime,
            engine_cache=engine_cache,
            allow_build=True,
            on_progress=show,
        )
    engine.close()
    facts = engine.engine.facts
    return {
        "bundle": bundle.name,
        "runtime": runtime,
        "asked": precision,
        "precision": engine.precision,
        "built": engine.built,
        "engine": str(engine.engine.path),
        "megabytes": round(engine.engine.path.stat().st_size / 1e6, 2),
        **{name: facts["key"][name] for name in ("version", "gpu", "compute_capability")},
        **{name: facts[name] for name in ("created", "build_seconds", "verification")},
    }


def line(result: dict[str, Any]) -> str:
    """The result for a person."""
    what = (
        f"built in {result['build_seconds']:.0f} s"
        if result["built"]
        else f"already built on {result['created']}"
    )
    instead = "" if result["asked"] == result["precision"] else f", not {result['asked']}"
    return (
        f"{result['bundle']} {result['precision']}{instead}: engine for {result['runtime']} "
        f"{result['version']} on {result['gpu']} {what}, "
        f"agreement {result['verification']['agreement']:.4f}: {result['engine']}"
    )
