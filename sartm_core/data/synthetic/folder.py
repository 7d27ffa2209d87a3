"""Synthetic scenes as files: a data set in `folder` layout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from sartm_core.classes import MFNET
from sartm_core.data.images import write_png
from sartm_core.data.synthetic.scene import check_arguments, generate_scene
from sartm_core.errors import SartmError
from sartm_core.files import write_bytes_atomic, write_json_atomic

# Each folder has a range of scene seeds of its own, beyond those of `synthetic:SEED`: a net trained
# on the one never sees a scene of the other.
SEEDS_PER_FOLDER = 1_000_000
_FIRST_SEED = 10_000_000_000


def write_folder(
    out: Path,
    frames: int,
    seed: int,
    *,
    width: int = 320,
    height: int = 240,
    val_share: float = 0.2,
    misregistration_px: float = 0.0,
    thermal_fov: float = 1.0,
    on_progress: Callable[[int], None] = lambda done: None,
) -> tuple[str, ...]:
    """Write rgb/ thermal/ label/ (PNG), classes.json, train.txt and val.txt; return the stems.

    Frames alternate between day and night, and their names end in D or N as MFNet's do; the last
    ``val_share`` of them are val.txt. ``on_progress`` gets the number of frames written so far.
    Raises SartmError on arguments out of range and where ``out`` holds something already.
    """
    check_arguments(seed, width, height, misregistration_px, thermal_fov)
    if not 1 <= frames <= SEEDS_PER_FOLDER:
        raise SartmError("bad number of frames", got=frames, expected=f"1..{SEEDS_PER_FOLDER}")
    if not 0 <= val_share <= 1:
        raise SartmError("bad share of validation frames", got=val_share, expected="0..1")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SartmError(
            f"{out} is not empty",
            got="a folder with files" if out.is_dir() else "a file",
            expected="a new folder",
            remedy="name another one, or remove it: frames of two sets must not mix",
        )
    stems = tuple(f"{i:05d}{'DN'[i % 2]}" for i in range(frames))
    for i, stem in enumerate(stems):
        scene = generate_scene(
            _FIRST_SEED + seed * SEEDS_PER_FOLDER + i,
            width=width,
            height=height,
            night=i % 2 == 1,
            misregistration_px=misregistration_px,
            thermal_fov=thermal_fov,
        )
        write_png(out / "rgb" / f"{stem}.png", scene.rgb)
        write_png(out / "thermal" / f"{stem}.png", scene.thermal)
        write_png(out / "label" / f"{stem}.png", scene.label)
        on_progress(i + 1)
    first_val = frames - round(frames * val_share)
    _write_list(out / "train.txt", stems[:first_val])
    _write_list(out / "val.txt", stems[first_val:])
    classes = {
        "classes": {str(info.id): info.name for info in MFNET.classes},
        "palette": [list(info.color) for info in MFNET.classes],
        "background_id": 0,
        "ignore_id": None,
    }
    # Last: a folder with its class table is complete.
    write_json_atomic(out / "classes.json", classes)
    return stems


def _write_list(path: Path, stems: Sequence[str]) -> None:
    write_bytes_atomic(path, "".join(f"{stem}\n" for stem in stems).encode())
