"""What sartm_core logs is the node's log too: on the console, in its file, on /rosout."""

from __future__ import annotations

import logging

from rclpy.impl.rcutils_logger import RcutilsLogger


def forward(logger: RcutilsLogger) -> None:
    """Hand on what sartm_core says from now on: which runtime and why, how far a build is, ..."""
    core = logging.getLogger("sartm_core")
    core.setLevel(logging.INFO)
    core.addHandler(_Forward(logger))


class _Forward(logging.Handler):
    def __init__(self, logger: RcutilsLogger) -> None:
        super().__init__(logging.INFO)
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        # A call each: rclpy ties the severity to the place in the source.
        if record.levelno >= logging.ERROR:
            self._logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(text)
        else:
            self._logger.info(text)
