"""Model files of further precisions in a bundle, each made from its fp32 file and checked."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from sartm_core.bundle import MANIFEST, MODEL_FILES, Bundle, write_bundle
from sartm_core.data.datasets import open_dataset
from sartm_core.data.sample import Dataset, Sample
from sartm_core.errors import SartmError
from sartm_core.export.half import to_half
from sartm_core.export.onnx_file import Feed
from sartm_core.export.quantize import quantize
from sartm_core.export.sample import synthetic_feeds
from sartm_core.frames import Image
from sartm_core.progress import console, progress
from sartm_core.runtime import default_threads
from sartm_core.runtime.onnxruntime import OnnxRuntime
from sartm_core.runtime.verify import verify
from sartm_core.thermal import normalise

PRECISIONS = tuple(MODEL_FILES)
SYNTHETIC = "synthetic"
FRAMES = 32
ALONE_EVERY = 4  # each camera alone is seen on this part of the frames
CAMERAS = {"rgb+thermal": (1.0, 1.0), "rgb": (1.0, 0.0), "thermal": (0.0, 1.0)}


def require_known(precisions: Sequence[str]) -> None:
    """Refuse a precision that no bundle has.

    Raises:
        SartmError: with the choices.
    """
    if unknown := [precision for precision in precisions if precision not in PRECISIONS]:
        raise SartmError(
            "this version cannot write that precision",
            got=", ".join(unknown),
            expected=", ".join(PRECISIONS),
        )


def add_precisions(
    bundle: Bundle, precisions: Sequence[str], out: Path, feeds: Iterable[Feed]
) -> Bundle:
    """Write a bundle with further model files; ``out`` may be the bundle's own folder.

    Each file is compared with the fp32 masks of sample.npz, every operator computed as the file
    says; what ``sartm verify`` will ask of it is said now if it is missed.

    Args:
        bundle: has an fp32 file.
        precisions: of :data:`PRECISIONS`; those that it has are made anew, but for ``fp32``.
        out: folder of the bundle that is written.
        feeds: frames for the ranges of INT8, from :func:`calibration_feeds`.

    Raises:
        SartmError: an unknown precision, a bundle without an fp32 file or sample frames, or one for
            a camera.
    """
    require_known(precisions)
    if bundle.rgb_size != bundle.input_size:
        raise SartmError(
            f"bundle '{bundle.name}' is for a camera",
            got="RGB images of {1}x{0}".format(*bundle.rgb_size),
            remedy="start from the bundle that it was made from",
        )
    wanted = [precision for precision in dict.fromkeys(precisions) if precision != "fp32"]
    kept = list(feeds) if any(name.startswith("int8") for name in wanted) else []
    source = bundle.model_path("fp32")
    with tempfile.TemporaryDirectory() as folder:
        files = {file.name: file for file in bundle.path.iterdir() if file.name != MANIFEST}
        with progress("other precisions", len(wanted)) as bar:
            for precision in wanted:
                target = Path(folder, MODEL_FILES[precision])
                if precision == "fp16":
                    to_half(source, target)
                else:
                    quantize(source, target, kept, symmetric=precision == "int8")
                files[target.name] = target
                bar.advance()
        manifest = {
            key: value
            for key, value in bundle.manifest.items()
            if key not in ("schema_version", "files")
        }
        written = write_bundle(out, manifest, files)
    for precision in wanted:
        engine = OnnxRuntime(written, precision=precision, threads=default_threads())
        result = verify(written, engine)
        engine.close()
        line = f"{precision}: mean IoU between its masks and those of fp32 {result.agreement:.3f}"
        if not result.ok:
            line = f"warning: {line}, below the {result.threshold:g} that `sartm verify` asks for"
        console.print(line)
    return written


def calibration_feeds(
    sources: Sequence[tuple[str, str | None]], size: tuple[int, int], count: int = FRAMES
) -> Iterator[Feed]:
    """Real frames as the network's inputs, some also as it sees them when a camera is missing.

    Args:
        sources: (``KIND:PATH``, list or None = everything); frames are taken evenly over each list.
            Generated ones are taken only where there are no others, as ranges that are measured on
            them fit them alone.
        size: (height, width) of the network's input.
        count: how many frames at least, all sources together.
    """
    opened = _open(sources)
    if not opened:
        console.print(
            "warning: INT8 ranges are measured on synthetic frames; name real ones with --calibrate"
        )
        yield from synthetic_feeds(*size, count=count)
    for dataset in opened:
        step = max(1, len(opened) * len(dataset.stems) // count)
        for index, stem in enumerate(dataset.stems[::step]):
            feed = _feed(dataset.read(stem), size)
            for name, present in CAMERAS.items():
                if name == "rgb+thermal" or index % ALONE_EVERY == 0:
                    yield {**feed, "present": np.array([present], np.float32)}


def _open(sources: Sequence[tuple[str, str | None]]) -> list[Dataset]:
    """A run's frames may be on another machine: what cannot be opened is named and left out."""
    opened = []
    for name, split in sources:
        if name != SYNTHETIC:
            try:
                opened.append(open_dataset(name, split))
            except SartmError as error:
                console.print(f"warning: no frames for INT8 ranges from {name}: {error}")
    return opened


def _feed(sample: Sample, size: tuple[int, int]) -> Feed:
    levels = normalise(sample.thermal, valid=sample.thermal_valid)
    valid = np.ones_like(levels) if sample.thermal_valid is None else sample.thermal_valid
    return {
        "rgb": _fitted(sample.rgb, size, cv2.INTER_LINEAR)[None],
        "thermal": _fitted(levels, size, cv2.INTER_LINEAR)[None, ..., None],
        "thermal_valid": _fitted(valid, size, cv2.INTER_NEAREST)[None, ..., None],
    }


def _fitted(image: Image, size: tuple[int, int], interpolation: int) -> Image:
    resized = cv2.resize(image, size[::-1], interpolation=interpolation)
    return np.ascontiguousarray(resized, np.uint8)
