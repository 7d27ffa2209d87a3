"""`sartm synth`: a folder of synthetic scenes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sartm_core.cli.output import emit, progress


def synth(
    out: Annotated[Path, typer.Argument(help="New folder to write.")],
    frames: Annotated[int, typer.Option(min=1, help="Number of RGB-thermal pairs.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same frames.")] = 0,
    width: Annotated[int, typer.Option(help="Pixels.")] = 320,
    height: Annotated[int, typer.Option(help="Pixels.")] = 240,
    val: Annotated[float, typer.Option(min=0, max=1, help="Share of frames in val.txt.")] = 0.2,
    misregistration: Annotated[
        float, typer.Option(min=0, help="Shift of the thermal image, pixels.")
    ] = 0.0,
    thermal_fov: Annotated[
        float, typer.Option(help="Share of width and height seen in thermal; 0 outside.")
    ] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write labelled synthetic RGB-thermal scenes, half by day and half at night.

    The folder has rgb/ thermal/ label/ classes.json train.txt val.txt; labels are MFNet's.

    Example: sartm synth out/synth --frames 200 --seed 7
    """
    from sartm_core.data.synthetic import write_folder

    with progress("making scenes", frames) as bar:
        stems = write_folder(
            out,
            frames,
            seed,
            width=width,
            height=height,
            val_share=val,
            misregistration_px=misregistration,
            thermal_fov=thermal_fov,
            on_progress=lambda done: bar.advance(),
        )
    held_out = round(frames * val)
    emit(
        {"out": str(out), "frames": len(stems), "val": held_out, "seed": seed},
        as_json,
        f"{len(stems)} scenes written to {out} ({len(stems) - held_out} train, {held_out} val)",
    )
