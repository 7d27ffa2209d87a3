"""`python -m sartm_ros.demo`: a synthetic RGB-thermal drive through the real node, for newcomers.

It makes a bag, plays it to the segment node over DDS in real time, records the masks, scores them
and shows them as a video and a report. This is what `make demo` and demo.launch.py run.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sartm_core.bundle import Bundle, load_bundle
from sartm_core.data.bag_dataset import BagDataset
from sartm_core.data.bag_make import BagOptions, count_images, make_bag_from_sequence
from sartm_core.data.bags import BagReader, find_topics
from sartm_core.data.images import read_ids
from sartm_core.data.synthetic import Scene, SceneSequence
from sartm_core.errors import SartmError
from sartm_core.evaluation.bag import Run, replay_through_node, score_run
from sartm_core.evaluation.report import write_report
from sartm_core.evaluation.verdict import headline_protocol
from sartm_core.files import write_json_atomic
from sartm_core.frames import Image
from sartm_core.machine import describe_machine, git_revision
from sartm_core.progress import console, progress
from sartm_core.thermal import normalise
from sartm_core.viz import overlay, thermal_to_rgb
from sartm_core.viz.video import caption, side_by_side, write_video
from sartm_ros.replay.node_process import ended_by_signals

NAMESPACE = "/sartm_demo"
ENOUGH = 0.8
"""Share of the images that must get a mask: a machine that needs the whole 100 ms between two
images for one mask skips some, as the node is meant to."""
_DAY_SEED, _NIGHT_SEED = 2_000_900_002, 2_000_900_006
_RED = (255, 90, 90)


@dataclass(frozen=True, kw_only=True)
class Demo:
    """What is shown.

    Attributes:
        out: folder for demo.mcap, masks/, metrics.json, report.html and overlay.mp4.
        model: bundle folder or shipped name.
        seconds, rate_hz, thermal_rate_hz, thermal_offset_s, width, height: of the drive.
        attach: the node runs already, in ``NAMESPACE``, with ``node_parameters``.
    """

    out: Path = Path("out/demo")
    model: str = "sartm-demo"
    seconds: float = 10.0
    rate_hz: float = 10.0
    thermal_rate_hz: float = 9.0
    thermal_offset_s: float = 0.02
    width: int = 640
    height: int = 480
    attach: bool = False

    @property
    def node_parameters(self) -> dict[str, Any]:
        """What the node has to know about these cameras, beside the model."""
        return {
            "sync.thermal_offset_s": self.thermal_offset_s,
            # The nearest thermal image may come half its interval after the RGB image.
            "sync.max_wait_s": round(0.5 / self.thermal_rate_hz + 0.005, 3),
        }

    def run(self) -> dict[str, Any]:
        """Run the demo; returns the metrics.

        Raises:
            SartmError: a step failed, the accounting does not close or too many masks are missing.
        """
        bundle = load_bundle(self.model)
        console.print(
            "[bold]1/4[/] a drive through synthetic worlds, half by day, half by night, as a bag"
        )
        bag = self._make_bag()
        console.print(
            "[bold]2/4[/] the bag is played in real time; the node runs in a process of its own"
        )
        run = replay_through_node(bag, self.model, self.out, self._replay_options())
        console.print("[bold]3/4[/] masks against ground truth")
        dataset = BagDataset.open(bag, find_topics(bag), bundle.classes)
        metrics = self._score(dataset, run, bundle)
        console.print("[bold]4/4[/] video: RGB | thermal | overlay")
        files = {row["stem"]: self.out / row["file"] for row in run["masks"]}
        with progress("encoding", len(dataset.stems)) as bar:
            pictures = panels(dataset, files, bundle)
            write_video(
                self.out / "overlay.mp4", _counted(pictures, bar.advance), rate_hz=self.rate_hz
            )
        account = metrics["accounting"]["rgb"]
        if account["published"] < ENOUGH * account["sent"]:
            raise SartmError(
                "too many images got no mask",
                got=f"{account['published']} masks for {account['sent']} images",
                expected=f"{ENOUGH:.0%}",
                remedy="the model is too slow for this machine, or it is busy: try again",
            )
        return metrics

    def _make_bag(self) -> BagReader:
        options = BagOptions(
            rate_hz=self.rate_hz,
            thermal_rate_hz=self.thermal_rate_hz,
            offset_s=self.thermal_offset_s,
        )
        drive = DayAndNight(self.width, self.height, dusk_s=self.seconds / 2)
        path = self.out / "demo.mcap"
        with progress("rendering", count_images(options, self.seconds)) as bar:
            make_bag_from_sequence(
                drive, path, self.seconds, options, overwrite=True, advance=bar.advance
            )
        return BagReader(path)

    def _replay_options(self) -> list[str]:
        words = ["--pace", "realtime", "--namespace", NAMESPACE]
        if self.attach:
            return [*words, "--attach"]
        for name, value in self.node_parameters.items():
            words += ["-p", f"{name}:={value}"]
        return words

    def _score(self, dataset: BagDataset, run: Run, bundle: Bundle) -> dict[str, Any]:
        with progress("scoring masks"):
            metrics, pictures = score_run(
                dataset, run, self.out, model=bundle.name, classes=bundle.classes
            )
            machine = describe_machine()
            metrics["provenance"] = {
                "git_rev": git_revision(),
                "bundle_sha256": bundle.sha256(),
                "through_node": True,
                "versions": machine.pop("versions"),
                "machine": machine,
            }
            write_json_atomic(self.out / "metrics.json", metrics)
            write_report(metrics, pictures, self.out)
        return metrics


class DayAndNight:
    """A drive by day, then one by night; both worlds lie outside of those used for training.

    Args:
        width, height: of both cameras' pictures.
        dusk_s: when night falls.
    """

    def __init__(self, width: int, height: int, *, dusk_s: float) -> None:
        size = {"width": width, "height": height, "indoor": False}
        self._day = SceneSequence(_DAY_SEED, night=False, **size)
        self._night = SceneSequence(_NIGHT_SEED, night=True, **size)
        self._dusk_s = dusk_s

    def render(self, time_s: float) -> Scene:
        """The scene at a time in seconds."""
        if time_s < self._dusk_s:
            return self._day.render(time_s)
        return self._night.render(time_s - self._dusk_s)


def panels(dataset: BagDataset, masks: dict[str, Path], bundle: Bundle) -> Iterator[Image]:
    """RGB | thermal | overlay, one picture for each RGB image; a missing mask is marked."""
    for stem in dataset.stems:
        sample = dataset.read(stem)
        if stem in masks:
            right = overlay(sample.rgb, read_ids(masks[stem]), bundle.classes)
            right = caption(right, bundle.name)
        else:
            right = caption(sample.rgb // 3, "no mask for this image", _RED)
        thermal = caption(thermal_to_rgb(normalise(sample.thermal)), "thermal")
        yield side_by_side([caption(sample.rgb, f"RGB {stem}"), thermal, right])


def last_lines(demo: Demo, metrics: dict[str, Any]) -> list[str]:
    """What happened, and what to try next."""
    account = metrics["accounting"]["rgb"]
    dropped = sum(account["dropped"].values())
    score = metrics["protocols"][headline_protocol(metrics)]
    parts = {"all": score} | {
        subset: part["protocols"][headline_protocol(metrics)]
        for subset, part in metrics["subsets"].items()
    }
    means = ", ".join(f"{name} {part['miou']:.2f}" for name, part in parts.items() if part["miou"])
    iou = [(value, name) for name, value in score["iou"].items() if value is not None]
    classes = ", ".join(f"{name} {value:.2f}" for value, name in sorted(iou, reverse=True)[:3])
    in_environment = Path(os.path.relpath(Path(sys.executable).parent / "sartm"))
    sartm = "sartm" if shutil.which("sartm") else in_environment
    return [
        f"{account['sent']} RGB images ({demo.rate_hz:g} Hz) and thermal images "
        f"({demo.thermal_rate_hz:g} Hz, stamped {demo.thermal_offset_s * 1e3:.0f} ms early) went "
        f"through the ROS 2 node: {account['published']} masks, {dropped} dropped, "
        f"{account['lost_in_transport']} lost; median {metrics['timing_ms']['p50']:.0f} ms from "
        "image to mask.",
        f"Against the exact labels of this synthetic drive: mean IoU {means}; best: {classes}.",
        f"Look:        {demo.out / 'overlay.mp4'} and {demo.out / 'report.html'} in a browser; "
        f"the masks are in {demo.out / 'masks'}.",
        f"Your bag:    {sartm} bag eval my.mcap --model sartm-s --through-node --out out/mine",
        "Your robot:  ros2 launch sartm_ros segment.launch.py rgb_topic:=/cam/rgb "
        "thermal_topic:=/cam/thermal model:=sartm-s",
    ]


def _counted(pictures: Iterator[Image], advance: Any) -> Iterator[Image]:
    for picture in pictures:
        yield picture
        advance()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m sartm_ros.demo", description=__doc__, epilog="example: make demo"
    )
    parser.add_argument("--out", type=Path, default=Demo.out)
    parser.add_argument("--model", default=Demo.model, help="bundle folder or shipped name")
    parser.add_argument("--seconds", type=float, default=Demo.seconds)
    parser.add_argument("--attach", action="store_true", help="the node runs already (launch)")
    options = parser.parse_args(arguments)
    demo = Demo(**vars(options))
    try:
        with ended_by_signals():
            metrics = demo.run()
    except SartmError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print("\n".join(last_lines(demo, metrics)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
