"""One evaluation of a bag from the command line: run, score, write the files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sartm_core.bundle import Bundle, load_bundle
from sartm_core.cli.output import progress
from sartm_core.data.bag_dataset import BagDataset
from sartm_core.data.bags import BagReader, find_topics
from sartm_core.evaluation.bag import Run, replay_through_node, score_run, segment_bag
from sartm_core.evaluation.report import write_report
from sartm_core.files import write_json_atomic
from sartm_core.machine import describe_machine, git_revision
from sartm_core.segmenter import load
from sartm_core.synchronizer import SyncParameters


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What `sartm bag eval` was told, for every bag."""

    model: str
    through_node: bool
    pace: str
    rate_factor: float
    loops: int
    rgb_topic: str | None
    thermal_topic: str | None
    slop_s: float
    thermal_offset_s: float
    runtime: str
    threads: int | None

    def run(self, path: Path, out: Path) -> dict[str, Any]:
        """Write masks/, metrics.json, per_frame.npz and report.html; returns the metrics."""
        bundle = load_bundle(self.model)
        bag = BagReader(path)
        topics = find_topics(bag, rgb=self.rgb_topic, thermal=self.thermal_topic)
        with progress(f"reading {path.name}"):
            dataset = BagDataset.open(bag, topics, bundle.classes)
        if self.through_node:
            run = replay_through_node(bag, self.model, out, self._replay_options(dataset))
        else:
            run = self._offline(dataset, out)
        with progress("scoring masks"):
            metrics, pictures = score_run(
                dataset, run, out, model=bundle.name, classes=bundle.classes
            )
            metrics["provenance"] = self._provenance(bundle)
            write_json_atomic(out / "metrics.json", metrics)
            write_report(metrics, pictures, out)
        return metrics

    def _offline(self, dataset: BagDataset, out: Path) -> Run:
        params = SyncParameters(slop_s=self.slop_s, thermal_offset_s=self.thermal_offset_s)
        images = dataset.bag.counts[dataset.topics.rgb]
        with (
            load(self.model, self.runtime, threads=self.threads) as segmenter,
            progress("segmenting", images) as bar,
        ):
            return segment_bag(dataset, segmenter, params, out, advance=bar.advance)

    def _replay_options(self, dataset: BagDataset) -> list[str]:
        words = ["--pace", self.pace, "--loop", str(self.loops)]
        words += ["--rate-factor", str(self.rate_factor)]
        words += ["--rgb-topic", dataset.topics.rgb, "--thermal-topic", dataset.topics.thermal]
        words += ["-p", f"model.runtime:={self.runtime}"]
        words += ["-p", f"sync.slop_s:={self.slop_s:.6f}"]
        words += ["-p", f"sync.thermal_offset_s:={self.thermal_offset_s:.6f}"]
        if self.threads:
            words += ["--threads", str(self.threads)]
        return words

    def _provenance(self, bundle: Bundle) -> dict[str, Any]:
        machine = describe_machine()
        return {
            "git_rev": git_revision(),
            "bundle_sha256": bundle.sha256(),
            "through_node": self.through_node,
            "versions": machine.pop("versions"),
            "machine": machine,
        }
