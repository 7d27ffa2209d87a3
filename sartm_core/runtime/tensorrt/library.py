"""NVIDIA's Python module, TensorRT or TensorRT-RTX: found, old enough to be known, and listened to.

What TensorRT has to say it says to its logger, not in its return values: a builder that fails
returns None. So its messages go to Python's logging, and the errors among them into ours.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

from sartm_core.errors import SartmError

logger = logging.getLogger(__name__)

MODULES = ("tensorrt", "tensorrt_rtx")

_OLDEST = (10, 3)  # of TensorRT; JetPack 6.1 has it. TensorRT-RTX counts from 1.
_REMEDIES = {
    "tensorrt": "on a Jetson `sudo apt install python3-libnvinfer` and an environment with "
    "--system-site-packages, elsewhere `pip install --extra-index-url https://pypi.nvidia.com "
    "tensorrt-cu13`",
    "tensorrt_rtx": "pip install tensorrt-rtx-cu13",
}
# TensorRT's levels by name; what it calls INFO is a step of its work.
_LEVELS = {
    "INTERNAL_ERROR": logging.ERROR,
    "ERROR": logging.ERROR,
    "WARNING": logging.WARNING,
    "INFO": logging.DEBUG,
}


class Messages:
    """TensorRT's last complaints, which explain the None or False that it returned."""

    def __init__(self) -> None:
        self._errors: deque[str] = deque(maxlen=8)

    def clear(self) -> None:
        self._errors.clear()

    def add(self, severity: str, text: str) -> None:
        level = _LEVELS.get(severity)
        if level is None:
            return  # VERBOSE: hundreds of thousands of lines
        logger.log(level, "%s", text)
        if level >= logging.ERROR:
            self._errors.append(" ".join(text.split()))

    def said(self) -> str:
        """The errors since ``clear``, each once."""
        return "; ".join(dict.fromkeys(self._errors)) or "no reason given"


@dataclass(frozen=True, slots=True)
class Library:
    """A TensorRT that was loaded.

    Attributes:
        name: of the module, ``tensorrt`` or ``tensorrt_rtx``.
        trt: the module.
        version: in full, e.g. 10.3.0.
        log: TensorRT's ``ILogger``; one for the process, as TensorRT wants it.
        messages: what came through it.
    """

    name: str
    trt: Any
    version: str
    log: Any
    messages: Messages

    def required(self, value: Any, failed: str, remedy: str) -> Any:
        """``value``; if it is None or False, that is an error for which TensorRT's messages are the
        reason.

        Args:
            value: what TensorRT returned.
            failed: the fact, after the name and version of the library.
            remedy: what to do then.

        Raises:
            SartmError: ``value`` is None or False.
        """
        if value is None or value is False:
            raise self.error(failed, self.messages.said(), remedy)
        return value

    def error(self, failed: str, got: str, remedy: str) -> SartmError:
        """The error that says that this library failed."""
        return SartmError(f"{self.name} {self.version} {failed}", got=got, remedy=remedy)


@cache
def load_library(name: str) -> Library:
    """Import ``tensorrt`` or ``tensorrt_rtx``.

    Raises:
        SartmError: it is not installed, does not load, or is older than 10.3.
    """
    try:
        trt = import_module(name)
        version = str(trt.__version__)
    # OSError: a library of CUDA is missing. AttributeError: an empty folder is left of the package.
    except (ImportError, OSError, AttributeError) as error:
        raise SartmError(
            f"{name} is not installed, or not whole",
            got=error,
            remedy=f"{_REMEDIES[name]}; or use runtime=onnxruntime",
        ) from error
    if name == "tensorrt" and tuple(int(part) for part in version.split(".")[:2]) < _OLDEST:
        raise SartmError(
            "this TensorRT is too old: it does not know strongly typed networks",
            got=f"TensorRT {version}",
            expected=f"{'.'.join(map(str, _OLDEST))} or newer",
            remedy="upgrade to JetPack 6.1 or use runtime=onnxruntime",
        )
    messages = Messages()

    class Log(trt.ILogger):  # type: ignore[name-defined, misc] # the base is known only now
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, msg: str) -> None:
            messages.add(severity.name, msg)

    return Library(name, trt, version, Log(), messages)
