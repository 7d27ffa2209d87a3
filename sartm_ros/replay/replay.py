"""`python -m sartm_ros.replay`: a bag through the real node, in a process of its own, measured.

Player and recorder live in this process, the segment node in a child process; ROS reaches nobody
else. docs/benchmarks.md says what is measured and how.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from sartm_core.data.bags import BagMessage, BagReader, replay_order
from sartm_core.errors import SartmError
from sartm_core.files import write_json_atomic
from sartm_core.machine import describe_machine
from sartm_core.progress import console, progress
from sartm_core.synchronizer import SyncParameters
from sartm_core.timing import describe
from sartm_ros.replay.journal import Journal, rate_hz
from sartm_ros.replay.node_process import (
    AnyNode,
    AttachedNode,
    NodeProcess,
    ended_by_signals,
    isolate_this_process,
)
from sartm_ros.replay.player import Outgoing, Player, Survey, survey, timeline
from sartm_ros.replay.recorder import Recorder
from sartm_ros.replay.recording import Recording, write_masks
from sartm_ros.replay.session import (
    node_command,
    node_parameter,
    ros_node,
    settle,
    spinning,
    wait_until_ready,
)

ANSWER_TIMEOUT_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Replay:
    """What to play, to which node, and how.

    Attributes:
        bag: a bag with RGB and thermal images (sensor_msgs/Image).
        model: bundle folder or shipped name.
        out: folder for masks/, recorded.mcap, replay.json and node.log.
        pace: ``lockstep`` (the next pair after the mask of the last) or ``realtime``.
        rate_hz: play RGB images at this rate; None = as recorded, times ``rate_factor``.
        loops: passes over the bag.
        min_masks: go on looping until so many masks were recorded.
        keep_stamps: later passes repeat the stamps of the first instead of continuing them.
        rgb_topic, thermal_topic: in the bag; None = told by their names.
        parameters: of the node, by name; they win over ``params_file`` and over what the pace sets.
        attach: play to a node ``segment`` that runs in the namespace already, as it is.
    """

    bag: Path
    model: str
    out: Path
    pace: str = "lockstep"
    rate_hz: float | None = None
    rate_factor: float = 1.0
    loops: int = 1
    min_masks: int = 0
    keep_stamps: bool = False
    namespace: str = "/sartm_eval"
    rgb_topic: str | None = None
    thermal_topic: str | None = None
    params_file: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    attach: bool = False

    @property
    def target(self) -> str:
        return f"{self.namespace}/segment"

    def inputs(self, content: Survey) -> dict[str, str]:
        """Camera topic in the bag -> the node's input."""
        inputs = {}
        for camera, topic in (("rgb", content.topics.rgb), ("thermal", content.topics.thermal)):
            transport = content.transports[topic]
            suffix = "" if transport == "raw" else f"/{transport}"
            inputs[topic] = f"{self.namespace}/{camera}/image{suffix}"
        return inputs

    def node_parameters(self, content: Survey) -> dict[str, Any]:
        """The node's parameters, with those that make a lockstep replay repeatable."""
        parameters: dict[str, Any] = {
            "model.path": self.model,
            "input.rgb_transport": content.transports[content.topics.rgb],
            "input.thermal_transport": content.transports[content.topics.thermal],
        }
        if self.pace == "lockstep":
            parameters |= {
                f"qos_overrides.{topic}.subscription.reliability": "reliable"
                for topic in self.inputs(content).values()
            }
            # How fast this machine is must not decide about pairs: every partner is sent before
            # its RGB image, and thermal images without one are no sign of a silent camera.
            parameters |= {"sync.max_wait_s": 0.5, "sync.missing_rgb": "drop"}
        return parameters | self.parameters


def run(replay: Replay) -> dict[str, Any]:
    """Play the bag through a node process; returns what replay.json says.

    Call it from the main thread of a process whose environment is isolated.

    Raises:
        SartmError: the node ends early or does not answer, the bag lacks what is needed, or the
            accounting does not close.
    """
    content = survey(
        BagReader(replay.bag), rgb_topic=replay.rgb_topic, thermal_topic=replay.thermal_topic
    )
    with (
        _node(replay, content) as process,
        Recording(replay.out / "recorded") as recording,
        ros_node("replay", replay.namespace) as node,
    ):
        recorder = Recorder(node, replay.target, recording.write)
        player = Player(node, replay.inputs(content))
        with spinning(node):
            wait_until_ready(player, recorder, process)
            journal = _play(replay, content, player, recorder, process)
            balance = settle(content.topics.rgb, player, recorder, process)
        memory = process.resident_mib()
    sources = [journal.source(mask).message for mask in recorder.masks]
    names = [(content.stem(source.source_ns), source.loop + 1) for source in sources]
    masks = write_masks(replay.out / "recorded", f"{replay.target}/mask", replay.out, names)
    result = {
        "bag": str(replay.bag),
        "model": replay.model,
        "pace": replay.pace,
        "accounting": balance.as_json(),
        "timing_ms": journal.timing_ms(recorder.masks, recorder.infos),
        "output_rate_hz": rate_hz(recorder.masks),
        "node_resident_mib": memory,
        "machine": describe_machine(),
        "masks": masks,
    }
    write_json_atomic(replay.out / "replay.json", result)
    if not balance.closes:
        print(balance.table(), file=sys.stderr)
        raise SartmError("the accounting does not close", got="; ".join(balance.mismatches))
    return result


def _node(replay: Replay, content: Survey) -> AbstractContextManager[AnyNode]:
    if replay.attach:
        return nullcontext(AttachedNode())
    command = node_command(
        "sartm_ros.segment_node",
        replay.namespace,
        replay.node_parameters(content),
        params_file=replay.params_file,
    )
    return NodeProcess(command, os.environ, replay.out / "node.log")


def _play(
    replay: Replay, content: Survey, player: Player, recorder: Recorder, process: AnyNode
) -> Journal:
    journal = Journal()
    lockstep = replay.pace == "lockstep"
    images = len(content.rgb_log_ns) * replay.loops
    with progress(f"playing {replay.bag.name}", replay.min_masks or images) as bar:
        shown = 0
        start = time.monotonic_ns()
        for message in _messages(replay, content):
            process.check()
            if replay.min_masks and len(recorder.masks) >= replay.min_masks:
                break
            answered = len(recorder.infos)
            sent = player.publish(message) if lockstep else player.publish_at(message, start)
            due = sent if lockstep else start + message.due_ns
            journal.add(message, sent_ns=sent, due_ns=due)
            if lockstep and message.topic == content.topics.rgb:
                _wait_for_answer(message, answered, recorder, process)
            done = len(recorder.masks) if replay.min_masks else player.sent[content.topics.rgb]
            bar.advance(done - shown)
            shown = done
            _check_progress(start, recorder, process)
    return journal


def _messages(replay: Replay, content: Survey) -> Iterator[Outgoing]:
    """The image messages of all passes, in the order of the pace."""

    def read() -> Iterable[BagMessage]:
        cameras = (content.topics.rgb, content.topics.thermal)
        messages = BagReader(replay.bag).messages(cameras)
        if replay.pace == "realtime":
            return messages
        return replay_order(
            messages,
            rgb_topic=content.topics.rgb,
            slop_s=replay.parameters.get("sync.slop_s", SyncParameters().slop_s),
            thermal_offset_s=replay.parameters.get("sync.thermal_offset_s", 0.0),
        )

    return timeline(
        read,
        rate_factor=replay.rate_factor * content.rate_factor(replay.rate_hz),
        loops=None if replay.min_masks else replay.loops,
        keep_stamps=replay.keep_stamps,
    )


def _wait_for_answer(
    message: Outgoing, answered: int, recorder: Recorder, process: AnyNode
) -> None:
    """Wait for the frame_info with the message's stamp among those after the first ``answered``."""

    def there() -> bool:
        return any(info.stamp_ns == message.stamp_ns for info in recorder.infos[answered:])

    if not recorder.wait(there, ANSWER_TIMEOUT_S, process.check):
        raise SartmError(
            f"no mask for the image of {message.source_ns} ns within {ANSWER_TIMEOUT_S:.0f} s",
            got=f"the node's last words: {process.last_words()}",
            remedy="play at --pace realtime if the node is meant to drop images",
        )


def _check_progress(start_ns: int, recorder: Recorder, process: AnyNode) -> None:
    latest = recorder.masks[-1].arrived_ns if recorder.masks else start_ns
    if time.monotonic_ns() - latest > ANSWER_TIMEOUT_S * 1e9:
        raise SartmError(
            f"no mask for {ANSWER_TIMEOUT_S:.0f} s",
            got=f"the node's last words: {process.last_words()}",
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    if not options.attach:
        isolate_this_process()
    try:
        with ended_by_signals():
            replay = _replay(options)
            result = run(replay)
    except SartmError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    console.print(f"latency  {describe(result['timing_ms']['latency'])}")
    console.print(f"model    {describe(result['timing_ms']['model'])}")
    console.print(f"{len(result['masks'])} masks in {replay.out / 'masks'}")
    return 0


def _replay(options: argparse.Namespace) -> Replay:
    parameters = dict(node_parameter(text) for text in options.param)
    if options.threads:
        parameters["model.threads"] = options.threads
    names = {field.name for field in fields(Replay)} - {"parameters"}
    given = {name: value for name, value in vars(options).items() if name in names}
    return Replay(**given, parameters=parameters)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sartm_ros.replay",
        description="Play a bag through the segment node, in a process of its own, and record it.",
        epilog="example: python -m sartm_ros.replay my.mcap --model sartm-s --out out/replay",
    )
    add = parser.add_argument
    add("bag", type=Path)
    add("--model", required=True, help="bundle folder or shipped name")
    add("--out", type=Path, required=True, help="folder for masks/, recorded/, replay.json")
    add("--pace", choices=("lockstep", "realtime"), default="lockstep")
    add("--rate", dest="rate_hz", type=_positive, help="RGB images per second (realtime)")
    add("--rate-factor", type=_positive, default=1.0, help="2 plays twice as fast (realtime)")
    add("--loop", dest="loops", type=_count, default=1, help="passes over the bag")
    add("--min-masks", type=_count, default=0, help="loop until so many masks were recorded")
    add(
        "--keep-stamps",
        action="store_true",
        help="later passes repeat the stamps: they jump back, as `ros2 bag play --loop` does",
    )
    add("--namespace", default="/sartm_eval", help="of the node (default %(default)s)")
    add("--attach", action="store_true", help="play to the node that runs there already")
    add("--rgb-topic", help="in the bag; default: told by its name")
    add("--thermal-topic", help="in the bag; default: told by its name")
    add("--threads", type=_count, default=0, help="CPU threads of the model; 0 = cores - 1")
    add("--params-file", help="ROS parameter file for the node")
    add("-p", "--param", action="append", default=[], metavar="NAME:=VALUE", help="for the node")
    return parser


def _positive(text: str) -> float:
    if not 0 < (value := float(text)) < 1e4:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def _count(text: str) -> int:
    if (value := int(text)) < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return value
