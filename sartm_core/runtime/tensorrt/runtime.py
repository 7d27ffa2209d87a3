"""A bundle on TensorRT: its engine found or built, proven on the sample frames, and run."""

from __future__ import annotations

import logging
import shlex
import time
from contextlib import ExitStack
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from sartm_core.bundle import Bundle
from sartm_core.errors import MissingEngineError, SartmError
from sartm_core.frames import Image
from sartm_core.runtime.interface import batch_of_one, interface
from sartm_core.runtime.tensorrt.builder import Progress, build_engine, build_options
from sartm_core.runtime.tensorrt.cuda import Device
from sartm_core.runtime.tensorrt.engine_cache import CachedEngine, EngineCache, EngineKey
from sartm_core.runtime.tensorrt.library import Library, load_library
from sartm_core.runtime.tensorrt.runner import Runner

logger = logging.getLogger(__name__)

PRECISIONS = ("int8", "fp16", "fp32")  # each is safer than the one before


class TensorrtRuntime:
    """A bundle's network as an engine of TensorRT or TensorRT-RTX, which is safe to share.

    An engine runs only after its masks of the bundle's sample frames were found to be right on this
    machine, once. Where they are wrong, the next safer precision that the bundle has runs instead;
    that is logged, and remembered beside the engine.

    Args:
        bundle: whose network.
        precision: ``fp32``, ``fp16`` or ``int8``.
        module: ``tensorrt`` or ``tensorrt_rtx``.
        engine_cache: folder of engines; None = the user's cache folder.
        allow_build: build what is missing, which takes minutes, instead of refusing.
        on_progress: told the share of a build that is done; the log is anyway, in tenths.

    Attributes:
        precision: what runs: that which was asked for, or a safer one.
        engine: the file that runs, and what is known of it.
        built: whether anything was built for it now.

    Raises:
        MissingEngineError: the engine is missing and may not be built.
        SartmError: TensorRT or a GPU is missing, the engine cannot be built or kept, or no
            precision gives the right masks.
    """

    device = "cuda"
    precision: str
    engine: CachedEngine
    _runner: Runner

    def __init__(
        self,
        bundle: Bundle,
        *,
        precision: str,
        module: str,
        engine_cache: Path | None = None,
        allow_build: bool = False,
        on_progress: Progress | None = None,
    ) -> None:
        candidates = _candidates(bundle, precision)
        self.name = module
        self.built = False
        self._library = load_library(module)
        self._cache = EngineCache(engine_cache)
        self._allow_build = allow_build
        self._on_progress = _logged(on_progress)
        with ExitStack() as stack:
            self._device = Device()
            stack.callback(self._device.close)
            if not any(self._starts(bundle, candidate) for candidate in candidates):
                raise SartmError(
                    f"no engine of bundle '{bundle.name}' gives the right masks on this machine",
                    got=f"wrong ones in {', '.join(candidates)}",
                    remedy="use runtime=onnxruntime, and report it with `sartm doctor --json`",
                )
            self._held = stack.pop_all()

    def infer(
        self,
        rgb: Image,
        thermal: Image,
        thermal_valid: Image,
        present: npt.NDArray[np.float32],
    ) -> tuple[Image, Image]:
        outputs = self._runner.infer(batch_of_one(rgb, thermal, thermal_valid, present))
        return cast(Image, outputs["mask"][0]), cast(Image, outputs["confidence"][0])

    def close(self) -> None:
        self._runner.close()
        self._held.close()

    def _starts(self, bundle: Bundle, precision: str) -> bool:
        """Load the engine of a precision; False if its masks are wrong, now or when it was new."""
        cached = self._find_or_build(bundle, precision)
        if not _rejected(cached):
            self._runner = Runner(self._library, self._device, cached, bundle)
            self.precision = precision
            with ExitStack() as stack:
                stack.callback(self._runner.close)
                cached = self._verified(bundle, cached)
                if not _rejected(cached):
                    self._cache.touch(cached)
                    self.engine = cached
                    stack.pop_all()
                    return True
        found = cached.facts["verification"]
        logger.warning(
            "%s in %s on %s gives wrong masks and is not used: agreement %.4f, needs %s (%s)",
            *(bundle.name, precision, self._device.name),
            *(found["agreement"], found["threshold"], cached.path),
        )
        return False

    def _verified(self, bundle: Bundle, cached: CachedEngine) -> CachedEngine:
        """The engine with the result of its verification, which is made if it never was."""
        from sartm_core.runtime.verify import verify

        if "verification" in cached.facts:
            return cached
        result = verify(bundle, self)
        return self._cache.note(cached, verification={**asdict(result), "ok": result.ok})

    def _find_or_build(self, bundle: Bundle, precision: str) -> CachedEngine:
        library, cache = self._library, self._cache
        key = engine_key(library, self._device, bundle, precision)
        if cached := cache.find(key):
            return cached
        cache.warn_of_others(key)
        if not self._allow_build:
            raise _missing(bundle, key, cache)
        self._on_progress(0.0)  # the wait for another process that builds is part of it
        with cache.lock(room=bundle.model_path(precision).stat().st_size):
            if cached := cache.find(key):  # built by the process that held the lock
                return cached
            logger.info(
                "building an engine of %s in %s with %s %s for %s: this takes minutes",
                *(bundle.name, precision, library.name, library.version, self._device.name),
            )
            start = time.monotonic()
            engine, timings = build_engine(
                library,
                bundle,
                precision,
                timings=cache.timings(key),
                on_progress=self._on_progress,
            )
            self.built = True
            facts = {
                "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                "build_seconds": round(time.monotonic() - start, 1),
            }
            cached = cache.store(key, engine, facts)
            if timings:
                cache.store_timings(key, timings)
            return cached


def has_engine(
    bundle: Bundle, precision: str, module: str, engine_cache: Path | None = None
) -> bool:
    """Whether :class:`TensorrtRuntime` would start without building anything.

    Raises:
        SartmError: TensorRT or a GPU is missing, or the bundle has no such precision.
    """
    library, cache = load_library(module), EngineCache(engine_cache)
    device = Device()
    try:
        for candidate in _candidates(bundle, precision):
            cached = cache.find(engine_key(library, device, bundle, candidate))
            if cached is None or not _rejected(cached):
                return cached is not None
        return False
    finally:
        device.close()


def engine_key(library: Library, device: Device, bundle: Bundle, precision: str) -> EngineKey:
    """What the engine of a precision must have been built from, by and for."""
    return EngineKey(
        bundle=bundle.name,
        precision=precision,
        onnx=bundle.sha256(precision),
        module=library.name,
        version=library.version,
        gpu=device.name,
        compute_capability=device.compute_capability,
        multiprocessors=device.multiprocessors,
        shapes={name: shape for name, (_, shape) in interface(bundle).items()},
        options=build_options(library),
    )


def _candidates(bundle: Bundle, precision: str) -> list[str]:
    """The precision, then the safer ones that the bundle has."""
    if precision not in PRECISIONS:
        raise SartmError(
            "unknown precision for TensorRT", got=precision, expected=", ".join(PRECISIONS)
        )
    bundle.model_path(precision)
    safer = PRECISIONS[PRECISIONS.index(precision) :]
    return [candidate for candidate in safer if candidate in bundle.precisions]


def _rejected(cached: CachedEngine) -> bool:
    return not cached.facts.get("verification", {"ok": True})["ok"]


def _missing(bundle: Bundle, key: EngineKey, cache: EngineCache) -> MissingEngineError:
    command = ["sartm", "build-engine", str(bundle.path), "--runtime", key.module]
    command += ["--precision", key.precision]
    if cache.folder != EngineCache().folder:
        command += ["--engine-cache", str(cache.folder)]
    return MissingEngineError(
        f"no engine of bundle '{bundle.name}' in {key.precision} for this machine",
        got=f"none in {cache.folder} for {key.module} {key.version} on {key.gpu}",
        remedy=shlex.join(command),
    )


def _logged(listener: Progress | None) -> Progress:
    tenths = 0

    def tell(share: float) -> None:
        nonlocal tenths
        if int(10 * share) != tenths:
            tenths = int(10 * share)
            logger.info("building the engine: %d %%", 10 * tenths)
        if listener is not None:
            listener(share)

    return tell
