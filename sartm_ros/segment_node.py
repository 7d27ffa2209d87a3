"""The process of the node ``segment``: ``python -m sartm_ros.segment_node --ros-args ...``.

Nothing heavy is imported at the top: signals and the allocator must be set before rclpy is.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any

STOP_SIGNALS = {signal.SIGINT, signal.SIGTERM}
STOP_WITHIN_S = 1.5

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_MIB = 1 << 20


def main(args: Sequence[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM; returns the process's exit code."""
    # Blocked here, so in every thread: only the thread that waits for them gets them, and no
    # KeyboardInterrupt ever hits the middle of a callback.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    keep_freed_pages()

    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.signals import SignalHandlerOptions
    from rclpy.task import Future

    from sartm_core.errors import SartmError
    from sartm_ros import logs
    from sartm_ros.node import SegmentNode

    try:
        rclpy.init(
            args=None if args is None else list(args),
            signal_handler_options=SignalHandlerOptions.NO,
        )
    except Exception as error:  # rclpy has a dozen kinds for one wrong argument
        print(f"segment: cannot start ROS: {error}", file=sys.stderr)
        return 2
    try:
        node = SegmentNode()
    except SartmError as error:
        rclpy.logging.get_logger("segment").fatal(str(error))
        rclpy.shutdown()
        return 1
    logs.forward(node.get_logger())
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    stop: Any = Future(executor=executor)
    stopped = threading.Event()
    threading.Thread(target=_await_signal, args=(stop, stopped), daemon=True).start()
    node.start()
    executor.spin_until_future_complete(stop)
    node.stop()
    executor.shutdown()
    node.destroy_node()
    rclpy.shutdown()
    stopped.set()
    return 0


def keep_freed_pages() -> None:
    """Tell glibc to keep the pages of freed images.

    Receiving an image otherwise spends two thirds of its CPU time on fresh pages. The values are
    those of ``mallopt(3)``; other C libraries have no such switch.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(_M_MMAP_THRESHOLD, 1024 * _MIB)
    mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
    mallopt(_M_TOP_PAD, 64 * _MIB)


def _await_signal(stop: Any, stopped: threading.Event) -> None:
    """End the executor's spinning on the first stop signal, and the process if that hangs."""
    signal.sigwait(STOP_SIGNALS)
    stop.set_result(None)
    if not stopped.wait(STOP_WITHIN_S):
        print("segment: did not stop in time: ending the process", file=sys.stderr, flush=True)
        os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
