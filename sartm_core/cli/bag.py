"""`sartm bag`: make bags, look into them, measure a model on them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sartm_core.cli.output import RUNTIME_HELP, emit, progress
from sartm_core.errors import SartmError

if TYPE_CHECKING:
    from sartm_core.data.bag_make import BagOptions

app = typer.Typer(no_args_is_help=True, add_completion=False)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
RgbTopic = Annotated[str | None, typer.Option(help="RGB topic [told by type and name].")]
ThermalTopic = Annotated[str | None, typer.Option(help="Thermal topic [told by type and name].")]
Slop = Annotated[float, typer.Option(min=0, help="Largest offset within a pair, seconds.")]
Offset = Annotated[float, typer.Option(help="Added to thermal stamps before pairing, seconds.")]


@app.callback()
def bag() -> None:
    """Bags (mcap, db3; reading also ROS 1 .bag), without ROS."""


@app.command()
def make(
    out: Annotated[Path, typer.Argument(help="OUT.mcap, OUT.db3, or a folder.")],
    data: Annotated[str, typer.Option(help="KIND:PATH, or synthetic:SEED with --duration.")],
    split: Annotated[str | None, typer.Option(help="List of the data set [everything].")] = None,
    duration: Annotated[
        float | None, typer.Option(min=0, help="Length in seconds of a synthetic drive.")
    ] = None,
    width: Annotated[int, typer.Option(help="Of a synthetic drive, pixels.")] = 320,
    height: Annotated[int, typer.Option(help="Of a synthetic drive, pixels.")] = 240,
    rate: Annotated[float, typer.Option(help="RGB images per second.")] = 10.0,
    thermal_rate: Annotated[
        float | None, typer.Option(help="Thermal images per second [as RGB].")
    ] = None,
    offset: Annotated[
        float, typer.Option(help="Seconds that thermal stamps are behind; sync.thermal_offset_s.")
    ] = 0.0,
    jitter: Annotated[float, typer.Option(help="Largest deviation from the rate, seconds.")] = 0.0,
    drop: Annotated[float, typer.Option(help="Share of images that are missing, 0 to 1.")] = 0.0,
    encoding: Annotated[
        str, typer.Option(help="Of RGB images: rgb8, bgr8, rgba8, bgra8, jpeg, png.")
    ] = "rgb8",
    thermal_encoding: Annotated[
        str,
        typer.Option(
            help="Of thermal images: auto (raw, as the data are), jpeg, png, mono16 or png16 "
            "(hundredths of a kelvin)."
        ),
    ] = "auto",
    loop: Annotated[int, typer.Option(help="How often a data set is repeated.")] = 1,
    seed: Annotated[int, typer.Option(help="Of jitter and drops.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT.")] = False,
    as_json: Json = False,
) -> None:
    """Write a bag with RGB, thermal, ground truth and frame names.

    Example: sartm bag make --data folder:data/site --split val site.mcap
    """
    from sartm_core.data.bag_make import BagOptions

    options = BagOptions(
        rate_hz=rate,
        thermal_rate_hz=thermal_rate,
        offset_s=offset,
        jitter_s=jitter,
        drop=drop,
        encoding=encoding,
        thermal_encoding=thermal_encoding,
        loops=loop,
        seed=seed,
    )
    if duration is None:
        counts = _make_from_dataset(data, split, out, options, overwrite)
    else:
        if loop != 1 or split is not None:
            raise typer.BadParameter("--loop and --split are for data sets, not for --duration")
        counts = _make_from_drive(data, duration, (width, height), out, options, overwrite)
    emit(
        {"bag": str(out), "topics": counts},
        as_json,
        [f"{out}", *(f"  {count:6d}  {topic}" for topic, count in counts.items())],
    )


def _make_from_dataset(
    data: str, split: str | None, out: Path, options: BagOptions, overwrite: bool
) -> dict[str, int]:
    from sartm_core.data.bag_make import count_images, make_bag_from_dataset
    from sartm_core.data.datasets import open_dataset

    dataset = open_dataset(data, split)
    images = count_images(options, len(dataset.stems) * options.loops / options.rate_hz)
    with progress("writing images", images) as bar:
        return make_bag_from_dataset(
            dataset, out, options, overwrite=overwrite, advance=bar.advance
        )


def _make_from_drive(
    data: str,
    duration: float,
    size: tuple[int, int],
    out: Path,
    options: BagOptions,
    overwrite: bool,
) -> dict[str, int]:
    from sartm_core.data.bag_make import count_images, make_bag_from_sequence
    from sartm_core.data.synthetic import SceneSequence

    kind, _, seed = data.partition(":")
    if kind != "synthetic" or not seed.isdecimal():
        raise SartmError(
            "--duration is for a synthetic drive", got=f"--data {data}", expected="synthetic:SEED"
        )
    width, height = size
    sequence = SceneSequence(int(seed), width=width, height=height)
    with progress("drawing images", count_images(options, duration)) as bar:
        return make_bag_from_sequence(
            sequence,
            out,
            duration,
            options,
            name=f"synthetic-{seed}",
            overwrite=overwrite,
            advance=bar.advance,
        )


@app.command()
def info(
    bag: Annotated[Path, typer.Argument(help="The bag.")],
    rgb_topic: RgbTopic = None,
    thermal_topic: ThermalTopic = None,
    slop: Slop = 0.06,
    thermal_offset: Offset = 0.0,
    as_json: Json = False,
) -> None:
    """Show topics, rates, the clock offset between the cameras, and how well they pair.

    Example: sartm bag info my.mcap
    """
    from sartm_core.data.bag_info import bag_info
    from sartm_core.data.bags import BagReader
    from sartm_core.synchronizer import SyncParameters

    params = SyncParameters(slop_s=slop, thermal_offset_s=thermal_offset)
    with progress("reading messages", sum(BagReader(bag).counts.values())) as bar:
        result = bag_info(
            bag, params, rgb_topic=rgb_topic, thermal_topic=thermal_topic, advance=bar.advance
        )
    emit(result, as_json, _info_lines(result))


def _info_lines(result: dict[str, Any]) -> list[str]:
    size = result["bytes"] / 1e6
    lines = [f"{result['bag']}: {result['duration_s']:.1f} s, {size:.1f} MB"]
    for name, topic in result["topics"].items():
        rate = f"{topic['rate_hz']:.1f} Hz" if topic["rate_hz"] else ""
        refused = [f"refused: {n} {reason}" for reason, n in topic.get("refused", {}).items()]
        encodings = [name.strip() for name in topic.get("encodings", [])]
        images = ", ".join([*encodings, *topic.get("sizes", []), *refused])
        lines.append(
            f"  {topic['count']:6d}  {rate:>8}  {name}  {topic['type']}  {images}".rstrip()
        )
    pairing = result["pairing"]
    if "error" in pairing:
        return [*lines, f"pairing: {pairing['error']}"]
    counters, offset = pairing["counters"], pairing["offset_ms"]
    lines.append(
        f"pairing: {counters['rgb_paired']} of {counters['rgb_received']} RGB images with thermal, "
        f"{counters['thermal_used']} of {counters['thermal_received']} thermal images used"
    )
    if offset["pairs"]:
        lines.append(
            f"offset thermal - RGB: mean {offset['mean']:.1f} ms, absolute mean "
            f"{offset['mean_absolute']:.1f}, p95 {offset['p95_absolute']:.1f}, "
            f"largest {offset['largest_absolute']:.1f} ms"
        )
    return [*lines, *_forecast_lines(pairing)]


def _forecast_lines(pairing: dict[str, Any]) -> list[str]:
    clock, suggested = pairing["time_offset"], pairing["suggested"]
    if "unsure" in clock:
        lines = [f"clock offset by motion: unknown; {clock['unsure']}"]
    else:
        lines = [
            f"clock offset by motion: sync.thermal_offset_s {clock['offset_s']:.3f} "
            f"({clock['low_s']:.3f} to {clock['high_s']:.3f}, correlation "
            f"{clock['correlation']:.2f})"
        ]
    entries = pairing["forecast"]
    slops = sorted({entry["slop_s"] for entry in entries})
    used = suggested.get("sync.thermal_offset_s", pairing["parameters"]["thermal_offset_s"])
    lines.append(
        f"RGB images with thermal and mean offset, by sync.max_wait_s and sync.slop_s, at "
        f"sync.thermal_offset_s {used:g}:"
    )
    titles = "".join(f"   slop_s {slop:<9g}" for slop in slops)
    lines.append(f"  max_wait_s  mean wait{titles}".rstrip())
    for wait in sorted({entry["max_wait_s"] for entry in entries}):
        row = {entry["slop_s"]: entry for entry in entries if entry["max_wait_s"] == wait}
        cells = "".join(f"   {_forecast_cell(row[slop]):<16}" for slop in slops)
        waited = max((entry["mean_wait_ms"] or 0.0) for entry in row.values())
        lines.append(f"  {wait:<10g}  {waited:6.1f} ms{cells}".rstrip())
    if suggested:
        words = " ".join(f"-p {name}:={value:g}" for name, value in suggested.items())
        lines.append(f"set: {words}")
    return lines


def _forecast_cell(entry: dict[str, Any]) -> str:
    mean = "" if entry["mean_offset_ms"] is None else f"{entry['mean_offset_ms']:5.1f} ms"
    return f"{entry['share']:4.0%}  {mean}"


@app.command(name="eval")
def evaluate(
    bags: Annotated[list[Path], typer.Argument(help="One or more bags.")],
    model: Annotated[str, typer.Option(help="Model bundle: a folder or a shipped name.")],
    out: Annotated[Path, typer.Option(help="Folder to write; a subfolder for each of several.")],
    through_node: Annotated[
        bool, typer.Option("--through-node", help="Use the ROS 2 node, in a process of its own.")
    ] = False,
    pace: Annotated[
        str | None, typer.Option(help="lockstep or realtime, with --through-node [lockstep].")
    ] = None,
    rate_factor: Annotated[
        float | None, typer.Option(help="Play so many times faster, at --pace realtime.")
    ] = None,
    loop: Annotated[int, typer.Option(min=1, help="Passes over the bag, through the node.")] = 1,
    rgb_topic: RgbTopic = None,
    thermal_topic: ThermalTopic = None,
    slop: Slop = 0.06,
    thermal_offset: Offset = 0.0,
    runtime: Annotated[str, typer.Option(help=RUNTIME_HELP)] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads [cores - 1].")] = None,
    as_json: Json = False,
) -> None:
    """Segment bags and score the masks: metrics.json, report.html and masks/ in OUT.

    Example: sartm bag eval my.mcap --model sartm-s --out out/my
    """
    from sartm_core.cli.bag_eval import Evaluation

    if not through_node and (pace is not None or rate_factor is not None or loop != 1):
        raise typer.BadParameter("--pace, --rate-factor and --loop are for --through-node")
    if pace not in (None, "lockstep", "realtime"):
        raise typer.BadParameter(f"--pace is lockstep or realtime, not {pace}")
    evaluation = Evaluation(
        model=model,
        through_node=through_node,
        pace=pace or "lockstep",
        rate_factor=rate_factor or 1.0,
        loops=loop,
        rgb_topic=rgb_topic,
        thermal_topic=thermal_topic,
        slop_s=slop,
        thermal_offset_s=thermal_offset,
        runtime=runtime,
        threads=threads,
    )
    folders = [out] if len(bags) == 1 else [out / path.stem for path in bags]
    if len(set(folders)) < len(folders):
        raise typer.BadParameter("several bags have the same name")
    results = [evaluation.run(path, folder) for path, folder in zip(bags, folders, strict=True)]
    lines = [line for result, folder in zip(results, folders, strict=True)
             for line in _score_lines(result, folder)]  # fmt: skip
    emit(results[0] if len(results) == 1 else {"bags": results}, as_json, lines)


def _score_lines(metrics: dict[str, Any], out: Path) -> list[str]:
    rgb = metrics["accounting"]["rgb"]
    lines = [f"{metrics['bag']}: {rgb['published']} masks for {rgb['received']} RGB images"]
    lines += [f"  dropped: {count} {reason}" for reason, count in metrics["drops"].items()]
    for protocol, scores in metrics.get("protocols", {}).items():
        value = "n/a" if scores["miou"] is None else f"{scores['miou']:.4f}"
        lines.append(f"  {protocol:<20} mIoU {value}")
    return [*lines, f"  {out / 'report.html'}"]
