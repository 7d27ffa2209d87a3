"""Arrays kept on disk under the hash of everything that made them."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sartm_core.files import cache_folder, write_bytes_atomic

FOLDER = "text"  # in the cache

Arrays = dict[str, npt.NDArray[Any]]
_log = logging.getLogger(__name__)


def recall(key: Mapping[str, Any]) -> Arrays | None:
    """What was remembered under the key; None if nothing was, or the file is damaged."""
    path = _path(key)
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        _log.warning("%s is damaged and made anew: %s", path, error)
        return None


def remember(key: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
    """Keep arrays under a key; where nothing can be written, say so and go on without."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    try:
        write_bytes_atomic(_path(key), buffer.getvalue())
    except OSError as error:
        _log.warning("nothing is kept in %s: %s", cache_folder(FOLDER), error)


def _path(key: Mapping[str, Any]) -> Path:
    digest = hashlib.sha256(json.dumps(key, sort_keys=True, ensure_ascii=False).encode())
    return cache_folder(FOLDER) / f"{digest.hexdigest()}.npz"
