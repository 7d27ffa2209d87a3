"""`sartm predict`: masks for image files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sartm_core.cli.output import RUNTIME_HELP, emit, progress
from sartm_core.errors import SartmError

if TYPE_CHECKING:
    from sartm_core.segmenter import Segmenter

Pair = tuple[Path | None, Path | None]


def predict(
    bundle: Annotated[str, typer.Argument(help="Model bundle: a folder or a shipped name.")],
    out: Annotated[Path, typer.Option(help="Mask file (.png) or folder to write.")],
    rgb: Annotated[Path | None, typer.Option(help="RGB image or folder of images.")] = None,
    thermal: Annotated[Path | None, typer.Option(help="Thermal image or folder.")] = None,
    overlay: Annotated[
        bool, typer.Option("--overlay", help="Also write STEM.overlay.png.")
    ] = False,
    runtime: Annotated[str, typer.Option(help=RUNTIME_HELP)] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, ...")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads [cores - 1].")] = None,
    min_confidence: Annotated[
        float, typer.Option(min=0, max=1, help="Below it a pixel becomes 255.")
    ] = 0.0,
    registration: Annotated[
        Path | None,
        typer.Option(help="File of `sartm calibrate`: moves thermal onto the RGB image."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write a mask of class ids (8-bit PNG) for each image pair.

    Files of two folders are paired by stem; either camera may be left out.

    Example: sartm predict sartm-s --rgb rgb/ --thermal thermal/ --out masks/ --overlay
    """
    pairs = _pairs(rgb, thermal)
    targets = _targets(out, list(pairs))

    from sartm_core.segmenter import load

    written: list[str] = []
    with (
        load(
            bundle,
            runtime,
            precision=precision,
            threads=threads,
            min_confidence=min_confidence,
            registration=registration,
        ) as segmenter,
        progress("segmenting", len(pairs)) as bar,
    ):
        for stem, pair in pairs.items():
            written += _predict_one(segmenter, pair, targets[stem], overlay)
            bar.advance()
    emit(
        {"model": segmenter.bundle.name, "frames": len(pairs), "files": written},
        as_json,
        f"{len(pairs)} {'mask' if len(pairs) == 1 else 'masks'} written to {out}",
    )


def _pairs(rgb: Path | None, thermal: Path | None) -> dict[str, Pair]:
    """Stem -> (RGB file, thermal file); a single file is a pair whatever the names are."""
    from sartm_core.data.images import list_images

    if rgb is None and thermal is None:
        raise typer.BadParameter("name --rgb, --thermal or both")
    given = [path for path in (rgb, thermal) if path is not None]
    if not any(path.is_dir() for path in given):
        return {given[0].stem: (rgb, thermal)}
    if not all(path.is_dir() for path in given):
        raise SartmError(
            "cannot pair a file with a folder",
            got=" and ".join(map(str, given)),
            expected="two files or two folders",
        )
    rgb_files = list_images(rgb) if rgb else None
    thermal_files = list_images(thermal) if thermal else None
    stems = sorted({*(rgb_files or {}), *(thermal_files or {})})
    if not stems:
        raise SartmError("no images to segment", got=f"none in {' and '.join(map(str, given))}")
    for files, folder in ((rgb_files, rgb), (thermal_files, thermal)):
        missing = [stem for stem in stems if files is not None and stem not in files]
        if missing:
            raise SartmError(
                f"{folder} lacks {len(missing)} of {len(stems)} frames",
                got=f"no image named {', '.join(missing[:3])}",
                expected="the same names in both folders",
                remedy="add the files, or run one camera alone",
            )
    return {
        stem: (
            rgb_files[stem] if rgb_files else None,
            thermal_files[stem] if thermal_files else None,
        )
        for stem in stems
    }


def _targets(out: Path, stems: list[str]) -> dict[str, Path]:
    if out.suffix.lower() == ".png" and not out.is_dir():
        if len(stems) > 1:
            raise SartmError(
                "one file cannot hold several masks",
                got=f"{len(stems)} frames and --out {out}",
                remedy="name a folder",
            )
        return {stems[0]: out}
    if out.is_file():
        raise SartmError(f"{out} is a file", expected="a .png file or a folder to write to")
    return {stem: out / f"{stem}.png" for stem in stems}


def _predict_one(segmenter: Segmenter, pair: Pair, target: Path, with_overlay: bool) -> list[str]:
    """Write one frame's pictures; the paths written."""
    from sartm_core.data.images import read_rgb, read_thermal, write_png
    from sartm_core.thermal import normalise
    from sartm_core.viz import overlay, thermal_to_rgb

    rgb_file, thermal_file = pair
    rgb = read_rgb(rgb_file) if rgb_file else None
    thermal = read_thermal(thermal_file) if thermal_file else None
    try:
        result = segmenter(rgb, thermal)
    except SartmError as error:
        files = " + ".join(str(file) for file in pair if file)
        raise SartmError(f"{files}: {error}") from error
    write_png(target, result.mask)
    written = [str(target)]
    if with_overlay:
        if rgb is not None:
            background = rgb
        else:
            assert thermal is not None
            background = thermal_to_rgb(normalise(thermal))
        picture = overlay(background, result.mask, segmenter.bundle.classes)
        target = target.with_name(f"{target.stem}.overlay.png")
        write_png(target, picture)
        written.append(str(target))
    return written
