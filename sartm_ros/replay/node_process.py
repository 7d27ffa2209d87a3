"""A ROS node as a child process, in a ROS domain that reaches nothing but this machine."""

from __future__ import annotations

import ctypes
import os
import random
import signal
import socket
import subprocess
import time
from collections import deque
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType, TracebackType

from sartm_core.errors import SartmError
from sartm_core.share import find_shared

PROFILE = "config/fastdds.xml"
PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
SETTINGS = (
    "ROS_DOMAIN_ID",
    "ROS_AUTOMATIC_DISCOVERY_RANGE",
    "ROS_LOCALHOST_ONLY",
    *PROFILE_VARIABLES,
    "PYTHONPATH",
)
REACHES_OUT = ("ROS_DISCOVERY_SERVER", "ROS_STATIC_PEERS", "ROS_LOCALHOST_ONLY")

_PACKAGE_ROOT = Path(__file__).resolve().parents[2]
_PR_SET_PDEATHSIG = 1


def isolated_environment(profile: bool = True) -> dict[str, str]:
    """This process's environment, changed so that ROS reaches no other robot or test.

    A ROS domain that nobody uses on this machine, discovery on this machine only, and, unless
    the user has one, the DDS profile that keeps images from being lost. It must be in place
    before rclpy is initialised.

    Args:
        profile: whether to set the DDS profile at all; without it Fast DDS has its defaults.
    """
    environment = {k: v for k, v in os.environ.items() if k not in REACHES_OUT}
    environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    if environment.get("ROS_DISTRO") == "humble":  # it knows nothing else; later ones dislike it
        environment["ROS_LOCALHOST_ONLY"] = "1"
    environment["ROS_DOMAIN_ID"] = str(free_domain())
    if not profile:
        for variable in PROFILE_VARIABLES:
            environment.pop(variable, None)
    else:
        use_profile(environment)
    packages = [str(_PACKAGE_ROOT), *filter(None, [environment.get("PYTHONPATH")])]
    environment["PYTHONPATH"] = os.pathsep.join(packages)
    return environment


def use_profile(environment: MutableMapping[str, str]) -> None:
    """Set the DDS profile that keeps images from being lost, unless the user has one."""
    if any(environment.get(variable) for variable in PROFILE_VARIABLES):
        return
    if (path := find_shared(PROFILE)) is None:
        raise SartmError(
            f"{PROFILE} is not installed",
            remedy="install sartm again, or set FASTRTPS_DEFAULT_PROFILES_FILE",
        )
    environment.update(dict.fromkeys(PROFILE_VARIABLES, str(path)))


def isolate_this_process() -> None:
    """Put `isolated_environment()` in place; before rclpy is initialised."""
    for variable in REACHES_OUT:
        os.environ.pop(variable, None)
    os.environ.update(isolated_environment())


def free_domain() -> int:
    """A ROS domain id from 1 to 101 whose first discovery port nobody on this machine has.

    101 is the last domain whose ports lie below the range of ephemeral ports on Linux.
    """
    for domain in random.sample(range(1, 102), 101):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("", 7400 + 250 * domain + 10))
            except OSError:
                continue
            return domain
    raise SartmError("every ROS domain from 1 to 101 is in use on this machine")


class NodeProcess:
    """A child process that ends with its parent, whatever ends the parent.

    Use it as a context manager, from the main thread: leaving the block interrupts the child as
    Ctrl-C would, and kills its process group if it is still there 5 s later.

    Args:
        command: program and arguments.
        environment: the whole environment of the child.
        log: file that takes its stdout and stderr.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.command = list(command)
        self.log = log
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self.started_ns = 0

    def __enter__(self) -> NodeProcess:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.started_ns = time.monotonic_ns()
        with open(self.log, "wb") as log:
            self._process = subprocess.Popen(
                self.command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C at the terminal reaches the parent alone
                preexec_fn=_end_with_parent,
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def check(self) -> None:
        """Raise SartmError, with the end of the log, if the process has ended."""
        assert self._process is not None
        if (code := self._process.poll()) is not None:
            how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            raise SartmError(
                "the node ended early", got=f"{how}; its last words: {self.last_words()}"
            )

    def last_words(self, lines: int = 6) -> str:
        """The end of the log, on one line."""
        with open(self.log, encoding="utf-8", errors="replace") as log:
            tail = [line.strip() for line in deque(log, lines)]
        return " | ".join(line for line in tail if line) or f"none ({self.log} is empty)"

    def resident_mib(self) -> float:
        """Peak resident memory of the process so far."""
        with open(f"/proc/{self.pid}/status") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return round(int(line.split()[1]) / 1024, 1)
        raise SartmError("the memory of the node cannot be read", got=f"/proc/{self.pid}/status")

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self, timeout_s: float) -> int | None:
        """The exit code (-N = ended by signal N) once the process has ended; None = it has not."""
        assert self._process is not None
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout_s)
        return None

    def stop(self, patience_s: float = 5.0) -> int:
        """Interrupt the process, kill it if that does not help, and return its exit code."""
        process = self._process
        assert process is not None
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(patience_s)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        return process.wait()


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGINT and SIGTERM end the block by an exception, once, so that it cleans up.

    A second signal is ignored: Ctrl-C reaches a whole group of processes, and the parent may pass
    it on while the cleaning up goes on. SIGINT raises KeyboardInterrupt, SIGTERM SystemExit.
    """
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def leave(number: int, frame: FrameType | None) -> None:
        for each in previous:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    for number in previous:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class AttachedNode:
    """Stands for a node that somebody else has started, e.g. `ros2 launch`."""

    def check(self) -> None:
        """Nothing is known about its process; whether it answers is seen elsewhere."""

    def last_words(self) -> str:
        """Where to look."""
        return "unknown here: see the terminal or the launch file that started the node"

    def resident_mib(self) -> None:
        """Nothing is known about its process."""


AnyNode = NodeProcess | AttachedNode


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
