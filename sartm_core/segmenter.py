"""Frame in, segmentation out: the whole line from two images to a mask."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from sartm_core.bundle import Bundle, load_bundle
from sartm_core.classes import IGNORE_ID
from sartm_core.errors import BadImageError, SartmError
from sartm_core.frames import Image, Segmentation, ThermalImage
from sartm_core.runtime import Runtime, create_runtime
from sartm_core.thermal import ThermalSpec, detect_contract, normalise
from sartm_core.thermal_levels import LevelSmoothing

logger = logging.getLogger(__name__)

ASPECT_TOLERANCE = 0.02


def load(
    model: str | Path,
    runtime: str = "auto",
    *,
    precision: str = "auto",
    threads: int | None = None,
    engine_cache: Path | None = None,
    allow_build: bool = False,
    on_progress: Callable[[float], None] | None = None,
    thermal: ThermalSpec | None = None,
    min_confidence: float = 0.0,
) -> Segmenter:
    """Load a model bundle into a runtime.

    Args:
        model: bundle folder or shipped name, e.g. ``"sartm-s"``.
        runtime: ``auto`` or one of :data:`sartm_core.runtime.RUNTIMES`.
        precision: one that the bundle has, or ``auto``.
        threads: CPU threads; None = all cores but one.
        engine_cache: folder of built engines (TensorRT); None = the user's cache folder.
        allow_build: build an engine that is missing, which takes minutes, instead of refusing.
        on_progress: told the share of such a build that is done, 0..1.
        thermal: what the thermal camera sends; None = by the image's dtype.
        min_confidence: 0..1; pixels below it become 255 (unlabelled).

    Raises:
        SartmError: no such bundle, damaged, or the runtime cannot run it.
    """
    bundle = load_bundle(model)
    return Segmenter(
        bundle,
        create_runtime(
            runtime,
            bundle,
            precision=precision,
            threads=threads,
            engine_cache=engine_cache,
            allow_build=allow_build,
            on_progress=on_progress,
        ),
        thermal=thermal,
        min_confidence=min_confidence,
    )


class Segmenter:
    """Runs a bundle on images as cameras give them; safe to call from several threads.

    ``thermal`` and ``min_confidence`` (see :func:`load`) may be changed between calls, and so may
    ``output_size``: ``rgb`` = masks at the RGB image's size, ``network`` = at the network's own.
    """

    def __init__(
        self,
        bundle: Bundle,
        runtime: Runtime,
        *,
        thermal: ThermalSpec | None = None,
        min_confidence: float = 0.0,
    ) -> None:
        self.bundle = bundle
        self.runtime = runtime
        self.thermal = thermal
        self.min_confidence = min_confidence
        self.output_size = "rgb"
        height, width = bundle.input_size
        self._no_rgb = np.zeros((*bundle.rgb_size, 3), np.uint8)
        self._no_thermal = np.zeros((height, width), np.uint8)
        self._all_valid = np.ones((height, width), np.uint8)
        self._resized_shapes: set[tuple[int, ...]] = set()

    def __call__(
        self,
        rgb: Image | None,
        thermal: ThermalImage | None,
        thermal_valid: Image | None = None,
        *,
        smoothing: LevelSmoothing | None = None,
        thermal_stamp_ns: int = 0,
    ) -> Segmentation:
        """Segment one frame; either camera may be missing.

        Args:
            rgb: HxWx3 uint8 in RGB order, or None.
            thermal: hxw uint8, uint16 or float32 on the RGB image's plane, or None. Another
                resolution of the same aspect is resized.
            thermal_valid: hxw uint8, 0 where the thermal camera does not look, or None = it looks
                everywhere.
            smoothing: levels of this thermal camera over time, one object for each camera; None =
                each image by its own levels.
            thermal_stamp_ns: when the thermal image was taken, for the smoothing.

        Returns:
            Mask and confidence at the RGB image's size (the thermal image's without RGB).

        Raises:
            BadImageError: an image of the wrong shape, dtype or content, or two of different
                aspect.
            SartmError: both cameras are missing.
        """
        start = time.perf_counter()
        size = self._output_size(rgb, thermal)
        rgb_input, inside = self._no_rgb, self.bundle.input_size
        if rgb is not None:
            rgb_input = _fit(rgb, self.bundle.rgb_size, cv2.INTER_LINEAR)
        thermal_input, valid_input = self._no_thermal, self._all_valid
        if thermal is not None:
            levels = normalise(
                thermal,
                self._thermal_spec(thermal),
                thermal_valid,
                smoothing=smoothing,
                stamp_ns=thermal_stamp_ns,
            )
            thermal_input = _fit(levels, inside, cv2.INTER_LINEAR)
            if thermal_valid is not None:
                valid_input = _fit(thermal_valid, inside, cv2.INTER_NEAREST)
        present = np.array([rgb is not None, thermal is not None], np.float32)
        prepared = time.perf_counter()
        mask, confidence = self.runtime.infer(rgb_input, thermal_input, valid_input, present)
        inferred = time.perf_counter()
        if self.min_confidence > 0:
            mask = np.where(confidence < 255 * self.min_confidence, IGNORE_ID, mask)
            mask = mask.astype(np.uint8)
        if self.output_size == "rgb" and mask.shape != size:
            mask = _resize(mask, size, cv2.INTER_NEAREST)
            confidence = _resize(confidence, size, cv2.INTER_LINEAR)
        done = time.perf_counter()
        return Segmentation(
            mask=mask,
            confidence=confidence,
            timings={
                "pre": 1e3 * (prepared - start),
                "infer": 1e3 * (inferred - prepared),
                "post": 1e3 * (done - inferred),
            },
            modalities=tuple(
                name for name, there in zip(("rgb", "thermal"), present, strict=True) if there
            ),
        )

    def warm_up(self) -> None:
        """Run the network once, so that the first frame is as fast as the others."""
        self.runtime.infer(self._no_rgb, self._no_thermal, self._all_valid, np.ones(2, np.float32))

    def close(self) -> None:
        """Free the engine."""
        self.runtime.close()

    def __enter__(self) -> Segmenter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _output_size(self, rgb: Image | None, thermal: ThermalImage | None) -> tuple[int, int]:
        if rgb is None:
            if thermal is None:
                raise SartmError("no image", expected="an RGB image, a thermal image or both")
            height, width = thermal.shape[:2]
            return height, width
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or rgb.size == 0:
            raise BadImageError(
                "wrong_shape",
                "RGB image has the wrong shape or dtype",
                got=f"{rgb.shape} {rgb.dtype}",
                expected="HxWx3 uint8",
            )
        if thermal is not None:
            self._check_plane(rgb, thermal)
        return rgb.shape[0], rgb.shape[1]

    def _check_plane(self, rgb: Image, thermal: ThermalImage) -> None:
        if thermal.shape[:2] == rgb.shape[:2] or thermal.ndim != 2 or thermal.size == 0:
            return
        sizes = f"RGB {rgb.shape[1]}x{rgb.shape[0]}, thermal {thermal.shape[1]}x{thermal.shape[0]}"
        ratio = (rgb.shape[1] * thermal.shape[0]) / (rgb.shape[0] * thermal.shape[1])
        if abs(ratio - 1) > ASPECT_TOLERANCE:
            raise BadImageError(
                "wrong_aspect",
                "RGB and thermal image differ in aspect",
                got=sizes,
                expected="the same aspect within 2 %",
                remedy="register thermal onto RGB with `sartm calibrate`",
            )
        if thermal.shape not in self._resized_shapes:
            self._resized_shapes.add(thermal.shape)
            logger.warning("%s: thermal is resized as if both cameras saw the same view", sizes)

    def _thermal_spec(self, thermal: ThermalImage) -> ThermalSpec:
        if self.thermal is not None:
            return self.thermal
        contract = detect_contract(thermal.dtype)
        known = self.bundle.thermal
        return known if known.contract == contract else ThermalSpec(contract)


def _fit(image: Image, size: tuple[int, int], interpolation: int) -> Image:
    if image.shape[:2] == size:
        return np.ascontiguousarray(image)
    return _resize(image, size, interpolation)


def _resize(image: Image, size: tuple[int, int], interpolation: int) -> Image:
    """``image`` at ``size`` = (height, width)."""
    return np.asarray(cv2.resize(image, size[::-1], interpolation=interpolation), np.uint8)
