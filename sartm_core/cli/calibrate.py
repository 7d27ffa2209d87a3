"""`sartm calibrate`: how thermal pixels get onto the RGB image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sartm_core.cli.output import emit, progress
from sartm_core.errors import SartmError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sartm_core.calibration.fit import Fit
    from sartm_core.frames import Image
    from sartm_core.registration import Registration, Size

Views = tuple["Image", "Image"]


def calibrate(
    out: Annotated[Path, typer.Option(help="Registration file to write (.yaml).")],
    points: Annotated[
        Path | None, typer.Option(help="CSV: thermal_x,thermal_y,rgb_x,rgb_y in pixels.")
    ] = None,
    board: Annotated[
        str | None,
        typer.Option(help="KIND:COLUMNSxROWS:METRES; chessboard, circles or asymmetric."),
    ] = None,
    refine: Annotated[
        str | None, typer.Option(help="Ordinary frames: KIND:PATH of a data set, or a bag.")
    ] = None,
    rgb: Annotated[
        Path | None, typer.Option(help="With --points an RGB image, with --board a folder.")
    ] = None,
    thermal: Annotated[
        Path | None, typer.Option(help="With --points a thermal image, with --board a folder.")
    ] = None,
    rgb_size: Annotated[
        str | None, typer.Option(help="WxH of the RGB images, with --points without --rgb.")
    ] = None,
    thermal_size: Annotated[
        str | None, typer.Option(help="WxH of the thermal images, likewise.")
    ] = None,
    depth: Annotated[
        float | None,
        typer.Option(min=0.01, help="Metres to register at, with --board [the board's median]."),
    ] = None,
    registration: Annotated[
        Path | None, typer.Option(help="Where --refine starts [thermal stretched to RGB].")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="List of the data set, with --refine [everything].")
    ] = None,
    rgb_topic: Annotated[str | None, typer.Option(help="RGB topic of the bag.")] = None,
    thermal_topic: Annotated[str | None, typer.Option(help="Thermal topic of the bag.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Make a registration file from marked points, a calibration board or ordinary frames.

    Beside it a picture of the same name (.png) shows thermal edges on RGB before and after.

    Examples:

    sartm calibrate --points points.csv --rgb rgb.png --thermal thermal.png --out registration.yaml

    sartm calibrate --board chessboard:9x6:0.04 --rgb rgb/ --thermal thermal/ --out reg.yaml

    sartm calibrate --refine drive.mcap --registration rough.yaml --out registration.yaml
    """
    _check_use(
        {"--points": points, "--board": board, "--refine": refine},
        {
            "--rgb": (rgb, ("--points", "--board")),
            "--thermal": (thermal, ("--points", "--board")),
            "--rgb-size": (rgb_size, ("--points",)),
            "--thermal-size": (thermal_size, ("--points",)),
            "--depth": (depth, ("--board",)),
            "--registration": (registration, ("--refine",)),
            "--split": (split, ("--refine",)),
            "--rgb-topic": (rgb_topic, ("--refine",)),
            "--thermal-topic": (thermal_topic, ("--refine",)),
        },
    )
    if out.suffix not in (".yaml", ".yml"):
        raise typer.BadParameter(f"--out names a .yaml file, not {out}")
    if points is not None:
        fit, before, views = _from_points(points, rgb, thermal, rgb_size, thermal_size)
    elif board is not None:
        if rgb is None or thermal is None:
            raise typer.BadParameter("--board needs --rgb FOLDER and --thermal FOLDER")
        fit, before, views = _from_board(board, rgb, thermal, depth)
    else:
        assert refine is not None
        fit, before, views = _refined(refine, split, registration, rgb_topic, thermal_topic)
    _write(out, fit, before, views, as_json)


def _check_use(
    modes: dict[str, object | None], options: dict[str, tuple[object | None, tuple[str, ...]]]
) -> None:
    """One mode, and no option that it does not know."""
    chosen = [name for name, value in modes.items() if value is not None]
    if len(chosen) != 1:
        raise typer.BadParameter(f"name one of {', '.join(modes)}")
    for name, (value, owners) in options.items():
        if value is not None and chosen[0] not in owners:
            raise typer.BadParameter(f"{name} is for {' or '.join(owners)}")


def _from_points(
    path: Path,
    rgb: Path | None,
    thermal: Path | None,
    rgb_size: str | None,
    thermal_size: str | None,
) -> tuple[Fit, Registration, Views | None]:
    from sartm_core.calibration.fit import stretched
    from sartm_core.calibration.points import fit_points, read_points
    from sartm_core.data.images import read_rgb, read_thermal
    from sartm_core.thermal import normalise

    rgb_image = read_rgb(rgb) if rgb else None
    thermal_image = normalise(read_thermal(thermal)) if thermal else None
    sizes = (
        _size_of("rgb", rgb_image, rgb_size),
        _size_of("thermal", thermal_image, thermal_size),
    )
    fit = fit_points(read_points(path), *sizes)
    views = (
        (rgb_image, thermal_image) if rgb_image is not None and thermal_image is not None else None
    )
    return fit, stretched(*sizes), views


def _size_of(camera: str, image: Image | None, text: str | None) -> Size:
    if (image is None) == (text is None):
        raise typer.BadParameter(f"--points needs either --{camera} or --{camera}-size")
    if image is not None:
        return image.shape[1], image.shape[0]
    assert text is not None
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) > 1 and int(height) > 1):
        raise typer.BadParameter(f"--{camera}-size is WIDTHxHEIGHT, for example 640x480")
    return int(width), int(height)


def _from_board(
    spec: str, rgb: Path, thermal: Path, depth: float | None
) -> tuple[Fit, Registration, Views | None]:
    import cv2
    import numpy as np

    from sartm_core.calibration.board import calibrate_board
    from sartm_core.calibration.board_views import Board, find_board
    from sartm_core.calibration.fit import stretched
    from sartm_core.data.images import list_images, read_rgb, read_thermal
    from sartm_core.thermal import normalise

    board = Board.parse(spec)
    for folder in (rgb, thermal):
        if not folder.is_dir():
            raise SartmError(f"{folder} is no folder", expected="a folder of images of the board")
    rgb_files, thermal_files = list_images(rgb), list_images(thermal)
    with progress("looking for the board", len(rgb_files) + len(thermal_files)) as bar:

        def greys() -> Iterator[Image]:
            for file in rgb_files.values():
                yield np.asarray(cv2.cvtColor(read_rgb(file), cv2.COLOR_RGB2GRAY))
                bar.advance()

        def levels() -> Iterator[Image]:
            for file in thermal_files.values():
                yield normalise(read_thermal(file))
                bar.advance()

        rgb_views = find_board(board, "RGB", rgb_files, greys())
        thermal_views = find_board(board, "thermal", thermal_files, levels())
    with progress("fitting the cameras"):
        fit = calibrate_board(board, rgb_views, thermal_views, depth)
    distances = {name: pair["distance_m"] for name, pair in fit.facts["pairs"].items()}
    nearest = min(distances, key=lambda name: abs(distances[name] - fit.facts["depth_m"]))
    views = read_rgb(rgb_files[nearest]), normalise(read_thermal(thermal_files[nearest]))
    return fit, stretched(rgb_views.size, thermal_views.size), views


def _refined(
    spec: str,
    split: str | None,
    start: Path | None,
    rgb_topic: str | None,
    thermal_topic: str | None,
) -> tuple[Fit, Registration, Views | None]:
    from sartm_core.calibration import refine
    from sartm_core.calibration.fit import stretched
    from sartm_core.calibration.sources import open_frames
    from sartm_core.registration import load_registration

    given = load_registration(start) if start else None
    source = open_frames(spec, split, rgb_topic, thermal_topic)
    with progress("reading frames", len(source.names)) as bar:
        frames = refine.EdgeFrames.of(source.frames(bar.advance))
    initial = given or stretched(frames.rgb_size, frames.thermal_size)
    with progress("refining", refine.STEPS) as bar:
        fit = refine.refine(frames, initial, advance=bar.advance)
    return fit, initial, source.read(source.names[len(source.names) // 2])


def _write(out: Path, fit: Fit, before: Registration, views: Views | None, as_json: bool) -> None:
    from sartm_core.calibration.picture import before_and_after
    from sartm_core.data.images import write_png
    from sartm_core.registration import save_registration

    files = [str(out)]
    try:
        save_registration(fit.registration, out)
        if views is not None:
            picture = out.with_suffix(".png")
            write_png(picture, before_and_after(*views, before, fit.registration))
            files.append(str(picture))
    except OSError as error:
        raise SartmError(f"{out} cannot be written", got=error) from error
    emit(
        {
            "files": files,
            "rgb_size": fit.registration.rgb_size,
            "thermal_size": fit.registration.thermal_size,
            "residual_px": dict(fit.registration.residual_px),
            **fit.facts,
        },
        as_json,
        [*fit.lines, f"written: {' and '.join(files)}"],
    )
