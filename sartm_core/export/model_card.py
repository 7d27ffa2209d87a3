"""MODEL_CARD.md: what a bundle was trained on, how well it does, and what it is not for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from string import Template
from typing import Any

_TEMPLATE = Template("""\
# $name

Semantic segmentation of RGB + thermal image pairs: $classes.

| | |
|---|---|
| network | $network |
| parameters | $parameters M |
| input | $input_width x $input_height, RGB + thermal, either camera may be missing |
| thermal | $thermal |
| initialisation | $initialisation |
| training | $schedule |
| code | revision `$git_rev` |
| licence | Apache-2.0 (the weights; the data sets below have their own terms) |

## Data
$data
$dev

## Measured
$metrics

`sample.npz` holds $frames synthetic frames and the masks that `model.onnx` gives for them on ONNX
Runtime, CPU; `sartm verify` compares other runtimes with these. Parity of the exported logits with
PyTorch: largest difference $parity.

## Confidence
$confidence

## Limits
$limits
- One training run with one seed; single rare classes vary by several points between seeds.
- Not a safety function. Check it on your own recordings (`sartm bag eval`) before a robot depends
  on it.
""")

_SYNTHETIC_LIMIT = (
    "- Trained on synthetic scenes alone: it shows that everything works. On real cameras its masks"
    "\n  mean little."
)
_REAL_LIMITS = (
    "- Real training frames are few and come from one pair of cameras in one city; other cameras,\n"
    "  other lenses, indoor scenes and other climates were not seen.\n"
    "- Small objects (cones, bollards, distant people) are often missed; classes with few\n"
    "  training frames are unreliable."
)

_NOT_CALIBRATED = (
    "It is the largest softmax probability at temperature 1. It was not calibrated: a high value\n"
    "is no guarantee."
)
_CALIBRATED = """\
It is the largest softmax probability, at a temperature for each set of cameras. Expected
calibration error (15 bins of equal mass; pixels whose label or prediction is foreground) on
{frames} held-out frames of {dataset}, at temperature 1 and at that temperature:

| cameras | temperature | before | after |
|---|---|---|---|
{rows}

{whose}"""
_FITTED_HERE = "The temperatures were fitted on these frames; on others the error is larger."
_TAKEN_OVER = (
    "The temperatures were fitted, and the errors measured, with the bundle `{name}` (sha256\n"
    "`{sha256:.12}`), which has the same settings; this one was not measured."
)


def render(manifest: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """The card as Markdown.

    Args:
        manifest: the bundle's, with ``training`` from the checkpoint.
        facts: what the manifest does not hold: encoder, width, parameters, batch, crop size,
            modalities, pretrained, frames, parity.
    """
    training = manifest["training"]
    names = [entry["name"] for entry in manifest["classes"]]
    real = [entry for entry in training["dataset"] if entry["dataset"] != "synthetic"]
    return _TEMPLATE.substitute(
        facts,
        name=manifest["name"],
        classes=", ".join(names),
        input_width=manifest["input"]["width"],
        input_height=manifest["input"]["height"],
        thermal=manifest["thermal"]["normalisation"],
        initialisation="ImageNet (classification)" if facts["pretrained"] else "random",
        git_rev=training["git_rev"],
        network=(
            f"{facts['encoder']}: a stream per camera up to 1/{facts['fuse_at']}, "
            f"{facts['fusion']} fusion at each level, one stream from there on, FPN decoder of "
            f"{facts['width']} channels; works at {facts['scale']:g} of the input size, thermal at "
            f"{facts['thermal_scale']:g} of that"
        ),
        schedule=(
            f"{training['steps']} steps of {facts['batch']} crops of {facts['crop_width']} x "
            f"{facts['crop_height']}, seed {training['seed']}, modalities {facts['modalities']}"
        ),
        data="\n".join(_data_line(entry, training["dataset"]) for entry in training["dataset"]),
        dev=(
            f"- {training['dev_frames']} frames of these sets were held out to choose the weights."
            if training["dev_frames"]
            else "- No frame was held out: the weights are those of the last step."
        ),
        metrics=_metrics(training["metrics"]),
        confidence=_confidence(manifest.get("calibration", {})),
        limits=_REAL_LIMITS if real else _SYNTHETIC_LIMIT,
    )


def _data_line(entry: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> str:
    share = entry["weight"] / sum(other["weight"] for other in entries)
    split = f", list `{entry['split']}`" if entry["split"] else ""
    return f"- `{entry['dataset']}`{split}: {entry['frames']} frames, {share:.0%} of the samples"


def _metrics(metrics: Mapping[str, Any]) -> str:
    if not metrics:
        return "Nothing was measured when this bundle was written."
    return "\n\n".join(_scores(name, entry) for name, entry in metrics.items())


def _scores(name: str, entry: Mapping[str, Any]) -> str:
    frames = f", {entry['frames']} frames" if "frames" in entry else ""
    head = f"Mean IoU **{_figure(entry['score'])}**, protocol `{entry['protocol']}`"
    if "interval" in entry:
        low, high = entry["interval"]
        head += f"; 95 % interval over blocks of neighbouring frames {low:.3f} to {high:.3f}"
    parts = [f"### {name}{frames}", f"{head}.", _classes(entry)]
    if "protocols" in entry:
        parts.append(_table(entry["protocols"], [[*map(_figure, entry["protocols"].values())]]))
    if "ece" in entry:
        parts.append(f"Expected calibration error {_figure(entry['ece'])}.")
    if "corruptions" in entry:
        head_row = ["part of the score kept, by strength", "1", "2", "3", "mean"]
        rows = [
            [kind.replace("_", " "), *(_figure(kept.get(strength)) for strength in head_row[1:])]
            for kind, kept in entry["corruptions"].items()
        ]
        parts.append(_table(head_row, rows))
    return "\n\n".join(parts)


def _classes(entry: Mapping[str, Any]) -> str:
    """IoU of each class, and how many frames show it; a column for each other set of cameras and
    time of day."""
    columns = {"all": entry, **entry.get("columns", {})}
    counts = entry.get("frames_with")
    rows = [["**mean**", *(_figure(part["score"]) for part in columns.values())]]
    rows += [
        [name, *(_figure(part["iou"].get(name)) for part in columns.values())]
        for name in entry["iou"]
    ]
    head = ["class", *columns]
    if counts is not None:
        head.insert(1, "frames")
        rows[0].insert(1, str(entry["frames"]))
        for row in rows[1:]:
            row.insert(1, str(counts.get(row[0], 0)))
    return _table(head, rows)


def _table(head: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    names = list(head)
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _confidence(calibration: Mapping[str, Any]) -> str:
    if "ece" not in calibration:
        return _NOT_CALIBRATED
    rows = [
        f"| {cameras} | {calibration['temperature'][cameras]:.2f} | {_figure(ece['before'])} | "
        f"{_figure(ece['after'])} |"
        for cameras, ece in calibration["ece"].items()
    ]
    origin = calibration.get("from")
    whose = _TAKEN_OVER.format(**origin) if origin else _FITTED_HERE
    return _CALIBRATED.format(**calibration, rows="\n".join(rows), whose=whose)


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
