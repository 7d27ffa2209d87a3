"""Built engines on disk: each under the hash of all that made it, beside what is known of it.

An engine is its file as TensorRT wrote it, so that NVIDIA's tools can read it too; what belongs to
it stands in a JSON file of the same name. One lock for the folder makes processes that start
together build one after the other, and the second then finds what the first has built.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sartm_core.errors import SartmError
from sartm_core.files import (
    atomic_path,
    cache_folder,
    sha256_file,
    write_bytes_atomic,
    write_json_atomic,
)

logger = logging.getLogger(__name__)

LIMIT_BYTES = 4 << 30
ENGINE_SUFFIX, TIMINGS_SUFFIX = ".engine", ".timings"
_LOCK = ".lock"


@dataclass(frozen=True, slots=True)
class EngineKey:
    """All that decides whether an engine is the right one here.

    Attributes:
        bundle: its name.
        precision: of the ONNX file.
        onnx: its SHA-256.
        module: ``tensorrt`` or ``tensorrt_rtx``.
        version: of that module, in full.
        gpu: its name.
        compute_capability: of the GPU.
        multiprocessors: of the GPU: every Orin has the same name.
        shapes: name -> shape of inputs and outputs.
        options: what the builder was told.
    """

    bundle: str
    precision: str
    onnx: str
    module: str
    version: str
    gpu: str
    compute_capability: str
    multiprocessors: int
    shapes: Mapping[str, list[int]]
    options: Mapping[str, Any]

    @property
    def stem(self) -> str:
        """What the files are called: readable, and different for every key."""
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]
        return "-".join((*self._family, self.version, _slug(self.gpu), digest))

    @property
    def timings_name(self) -> str:
        """Timings of layers are those of a GPU and a TensorRT, whatever the network."""
        parts = (self.module, self.version, _slug(self.gpu), self.compute_capability)
        return "-".join(parts) + TIMINGS_SUFFIX

    @property
    def pattern(self) -> str:
        """Glob of the files of other versions, GPUs or ONNX files."""
        return "-".join(self._family) + "-*.json"

    @property
    def _family(self) -> tuple[str, ...]:
        return _slug(self.bundle), self.precision, self.module


@dataclass(frozen=True, slots=True)
class CachedEngine:
    """An engine on disk.

    Attributes:
        path: of the engine.
        facts: what its sidecar says: ``key``, ``sha256``, ``created``, ``build_seconds`` and, once
            it was verified, ``verification``.
    """

    path: Path
    facts: Mapping[str, Any]

    def read(self) -> bytes:
        """The engine.

        Raises:
            SartmError: the file is gone since it was found.
        """
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise SartmError(
                f"the engine {self.path} cannot be read",
                got=error.strerror or error,
                remedy="start again",
            ) from error


class EngineCache:
    """A folder of engines.

    Args:
        folder: it need not exist; None = ``engines`` in the user's cache folder.
        limit_bytes: past this the engines that were not used for longest are removed.
    """

    def __init__(self, folder: Path | None = None, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self.folder = cache_folder("engines") if folder is None else folder
        self._limit_bytes = limit_bytes

    def find(self, key: EngineKey) -> CachedEngine | None:
        """The engine of a key; None if there is none, or none that may be loaded, with the reason
        logged."""
        path = self._path(key)
        if not path.is_file():
            return None
        facts = read_facts(path)
        try:
            problem = _problem(path, facts, key)
        except OSError as error:
            problem = f"it cannot be read ({error.strerror or error})"
        if problem:
            logger.warning("%s is not used: %s", path, problem)
            return None
        return CachedEngine(path, facts)

    def store(self, key: EngineKey, engine: bytes, facts: Mapping[str, Any]) -> CachedEngine:
        """Keep an engine, in place of any other of its key: both files, or none.

        Raises:
            SartmError: it cannot be written; what was there before is intact.
        """
        path = self._path(key)
        digest = hashlib.sha256(engine).hexdigest()
        whole = {"key": asdict(key), "sha256": digest, **facts}
        with _explained(self.folder), atomic_path(path) as aside:
            aside.write_bytes(engine)
            write_json_atomic(path.with_suffix(".json"), whole)
        try:
            self._evict(keep=path)
        except OSError as error:
            logger.warning("%s stays larger than its limit: %s", self.folder, error)
        return CachedEngine(path, whole)

    def note(self, cached: CachedEngine, **facts: Any) -> CachedEngine:
        """Add to what is known of an engine; where that cannot be written, it is for this process
        alone, with a warning."""
        whole = {**cached.facts, **facts}
        try:
            write_json_atomic(cached.path.with_suffix(".json"), whole)
        except OSError as error:
            logger.warning("not remembered beside %s: %s", cached.path, error)
        return CachedEngine(cached.path, whole)

    def touch(self, cached: CachedEngine) -> None:
        """It was used now: the last to be evicted."""
        try:
            os.utime(cached.path)
        except OSError as error:
            logger.debug("%s: %s", cached.path, error)

    def timings(self, key: EngineKey) -> bytes:
        """What an earlier build measured on this GPU; empty if nothing."""
        try:
            return (self.folder / key.timings_name).read_bytes()
        except OSError:
            return b""

    def store_timings(self, key: EngineKey, timings: bytes) -> None:
        """Keep what a build measured; where that cannot be written, the next build takes longer."""
        try:
            write_bytes_atomic(self.folder / key.timings_name, timings)
        except OSError as error:
            logger.warning("timings of layers are not kept in %s: %s", self.folder, error)

    @contextmanager
    def lock(self, room: int) -> Iterator[None]:
        """Be the only process that builds for this folder; waits for the one that does.

        Args:
            room: bytes that an engine will need at least: better refused now than after minutes.

        Raises:
            SartmError: nothing can be written there, or not as much.
        """
        with _explained(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            if shutil.disk_usage(self.folder).free < room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            handle = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            with _explained(self.folder):  # some network file systems have no locks
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    logger.warning("waiting for another process that builds in %s", self.folder)
                    fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)  # which unlocks, as does the death of the process

    def _path(self, key: EngineKey) -> Path:
        return self.folder / (key.stem + ENGINE_SUFFIX)

    def warn_of_others(self, key: EngineKey) -> None:
        """Log why the engines of this model that are there are not the one that is wanted."""
        wanted = asdict(key)
        for sidecar in sorted(self.folder.glob(key.pattern)):
            has = read_facts(sidecar).get("key", {})
            other = [f"{name} {has.get(name)}" for name in wanted if has.get(name) != wanted[name]]
            if other:
                logger.warning("%s is not for here: it has %s", sidecar.stem, ", ".join(other))

    def _evict(self, keep: Path) -> None:
        engines = sorted(
            self.folder.glob("*" + ENGINE_SUFFIX), key=lambda path: path.stat().st_mtime
        )
        total = sum(path.stat().st_size for path in engines)
        for path in engines:
            if total <= self._limit_bytes:
                return
            if path != keep:
                total -= path.stat().st_size
                logger.info("%s is removed: the cache is larger than its limit", path)
                remove_engine(path)


def remove_engine(path: Path) -> None:
    """Delete an engine, or another file of the cache, and the sidecar that it may have."""
    path.unlink(missing_ok=True)
    path.with_suffix(".json").unlink(missing_ok=True)


def read_facts(path: Path) -> dict[str, Any]:
    """What the sidecar of an engine says; nothing if it is missing or broken."""
    try:
        facts = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) and isinstance(facts.get("key"), dict) else {}


def _problem(path: Path, facts: Mapping[str, Any], key: EngineKey) -> str:
    """Why an engine must not be loaded, "" if it may."""
    if not facts:
        return "nothing says what it is (its .json is missing or broken)"
    if facts.get("key") != json.loads(json.dumps(asdict(key))):
        return f"it was built for {facts.get('key')}"
    if sha256_file(path) != facts.get("sha256"):
        return "it is damaged (wrong sha256)"
    return ""


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SartmError(
            f"the folder of engines {folder} cannot be written",
            got=error.strerror or error,
            expected="a folder of this user with room for an engine",
            remedy="make room there (`sartm cache rm`), or name another folder "
            "(--engine-cache, model.engine_cache)",
        ) from error


def _slug(text: str) -> str:
    """Letters, digits, dots and underscores: what a file name may hold everywhere."""
    return re.sub(r"[^A-Za-z0-9._]+", "_", text).strip("_")
