"""Small data sets in the published layouts, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image

SIZE = (96, 128)
LAYOUTS = {
    "msrs": ("vi", "ir", "Segmentation_labels"),
    "pst900": ("rgb", "thermal", "labels"),
    "fmb": ("Visible", "Infrared", "Label"),
}


def picture(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """RGB and thermal of one scene: blobs, so that a hash has something to hold on to."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 8, 4)).astype(np.uint8)
    pixels = coarse.repeat(SIZE[0] // 6, axis=0).repeat(SIZE[1] // 8, axis=1)
    return pixels[..., :3], pixels[..., 3]


def label(value: int) -> np.ndarray:
    """Class `value` in the lower half, 0 above."""
    ids = np.zeros(SIZE, np.uint8)
    ids[SIZE[0] // 2 :] = value
    return ids


def save(path: Path, pixels: np.ndarray) -> None:
    """Without the fsync of `write_png`: there are many of them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(pixels).save(path)


def write_mfnet(root: Path, lists: dict[str, Sequence[str]]) -> Path:
    """RGBA pictures; the label of frame N is N % 9."""
    for stem in sorted({stem for stems in lists.values() for stem in stems}):
        number = int(stem[:5])
        rgb, thermal = picture(number)
        save(root / f"images/{stem}.png", np.dstack([rgb, thermal]))
        save(root / f"labels/{stem}.png", label(number % 9))
    for name, stems in lists.items():
        (root / f"{name}.txt").write_text("\n".join(stems) + "\n")
    return root


def write_split_folders(root: Path, kind: str, splits: dict[str, Sequence[str]]) -> Path:
    """Frames of `msrs`, `pst900` or `fmb`; a frame's number is what its name has in digits."""
    rgb_folder, thermal_folder, label_folder = LAYOUTS[kind]
    for split, stems in splits.items():
        for stem in stems:
            number = int("".join(filter(str.isdigit, stem)))
            rgb, thermal = picture(number)
            save(root / split / rgb_folder / f"{stem}.png", rgb)
            save(root / split / thermal_folder / f"{stem}.png", thermal)
            save(root / split / label_folder / f"{stem}.png", label(number % 5))
            if kind == "pst900":
                raw = thermal.astype(np.uint16) * 100
                save(root / split / "thermal_raw" / f"{stem}.png", raw)
    return root
