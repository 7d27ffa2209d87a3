"""The sweep file: the rows of a table, each a training configuration, checked before any runs.

    config: config/train/student.yaml        # what every row starts from
    results: benchmarks/results/ablation     # one JSON file for each finished run
    page: docs/ablation.md                   # optional: the table is written between its markers
    seeds: [0]
    reference: concat                        # the row that the others are compared with
    overrides: [train.steps=450]             # optional: of every row
    rows:
      - {name: rgb, overrides: [data.modalities=rgb]}
      - {name: concat, overrides: [model.fusion=concat]}
      - {name: dropout, after: concat, overrides: [augment.drop_rgb=0.2]}

Paths are relative to the working directory, like those of a training run.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sartm_core.errors import SartmError
from sartm_core.page import page_parts
from sartm_core.training.checkpoint import FREE_KEYS, flatten
from sartm_core.training.config import Config, explained, load_config
from sartm_core.training.run_folder import public_values

RUNS = Path("out/sweep")
SET_BY_SWEEP = {"name", "out", "resume", "train.seed"}
ROW_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")


@dataclass(frozen=True)
class RowEntry:
    """One row as the file has it.

    Attributes:
        name: lower-case letters, digits, ``_``, ``-`` and ``.``: it names files.
        overrides: ``key=value`` over the configuration, or over the row that ``after`` names.
        after: a row above, whose overrides this one adds to.
    """

    name: str
    overrides: list[str] = field(default_factory=list)
    after: str | None = None


@dataclass(frozen=True)
class SweepFile:
    """The file's keys; see the head of this module.

    Attributes:
        name: of the sweep; by default that of the file.
        config, results, page: paths.
        reference: name of a row.
        seeds: every row is trained once with each.
        rows: in the order of the table.
        overrides: ``key=value``, of every row.
    """

    config: str
    results: str
    reference: str
    rows: list[RowEntry]
    name: str = ""
    overrides: list[str] = field(default_factory=list)
    seeds: list[int] = field(default_factory=lambda: [0])
    page: str | None = None


@dataclass(frozen=True)
class Row:
    """A configuration of the table.

    Attributes:
        name: of the row.
        adds: its own overrides.
        overrides: these, after those of the rows that it builds on.
        previous: the row it builds on, else the row above; None for the first one.
        config: the training configuration, of no seed in particular.
        hash: SHA-256 of what decides the result of a run, except for the seed.
    """

    name: str
    adds: tuple[str, ...]
    overrides: tuple[str, ...]
    previous: str | None
    config: Config
    hash: str


@dataclass(frozen=True)
class Run:
    """One training of a row.

    Attributes:
        row: what is trained.
        seed: ``train.seed``.
        config: the training configuration, with its run folder.
        result: where the result is kept.
    """

    row: Row
    seed: int
    config: Config
    result: Path

    def __str__(self) -> str:
        return f"{self.row.name} seed {self.seed}"


@dataclass(frozen=True)
class Sweep:
    """A sweep file whose rows can all be trained.

    Attributes:
        name: of the sweep.
        rows: in the order of the table.
        reference: name of the row that the others are compared with.
        seeds: every row is trained once with each.
        results: folder of the result files.
        page: where the table is written, None = nowhere.
    """

    name: str
    rows: tuple[Row, ...]
    reference: str
    seeds: tuple[int, ...]
    results: Path
    page: Path | None

    @property
    def folder(self) -> Path:
        """Where the run folders are."""
        return RUNS / self.name

    def select(self, names: Sequence[str]) -> list[Row]:
        """The rows of these names in the order of the table.

        Raises:
            SartmError: a row that does not exist.
        """
        known = {row.name for row in self.rows}
        for name in names:
            _require_row(name, known, "no such row")
        return [row for row in self.rows if row.name in names]

    def run(self, row: Row, seed: int) -> Run:
        """The training of a row with a seed."""
        folder = self.folder / f"{row.name}-seed{seed}-{row.hash[:8]}"
        config = replace(
            row.config,
            name=f"{self.name}-{row.name}",
            out=str(folder),
            resume="auto",
            train=replace(row.config.train, seed=seed),
        )
        return Run(row, seed, config, self.results / f"{row.name}-seed{seed}.json")

    def seeds_of(self, row: Row) -> list[int]:
        """The seeds of the file, and those of which there is a result or a run."""
        traces = [path.stem for path in self.results.glob("*.json")]
        traces += [path.name for path in self.folder.glob(f"*-{row.hash[:8]}")]
        pattern = re.compile(rf"{re.escape(row.name)}-seed(\d+)(-{row.hash[:8]})?")
        found = {int(match[1]) for trace in traces if (match := pattern.fullmatch(trace))}
        return sorted(found | set(self.seeds))


def load_sweep(path: Path | str) -> Sweep:
    """Read a sweep file and the configuration of every row; nothing is loaded nor written.

    Raises:
        SartmError: no such file, an unknown key or row, a row that no run can use, or rows that
            cannot be compared.
    """
    path = Path(path)
    if not path.is_file():
        raise SartmError("no such sweep file", got=path, expected="see config/train/sweeps/")
    entries = _read(path)
    rows: dict[str, Row] = {}
    for entry in entries.rows:
        rows[entry.name] = _resolve(entry, entries, rows)
    if not rows:
        raise SartmError(f"{path}: no rows", expected="rows: [{name: ..., overrides: [...]}]")
    _require_row(entries.reference, set(rows), f"{path}: reference names no row")
    if not entries.seeds or min(entries.seeds) < 0:
        raise SartmError(f"{path}: bad seeds", got=entries.seeds, expected="numbers of 0 or more")
    _require_comparable(list(rows.values()))
    name = entries.name or path.stem
    if entries.page:
        page_parts(Path(entries.page), *page_markers(name))
    return Sweep(
        name=name,
        rows=tuple(rows.values()),
        reference=entries.reference,
        seeds=tuple(dict.fromkeys(entries.seeds)),
        results=Path(entries.results),
        page=Path(entries.page) if entries.page else None,
    )


def page_markers(name: str) -> tuple[str, str]:
    """The lines between which a page has the table of a sweep."""
    return f"<!-- sweep {name}: written by `sartm sweep` -->", f"<!-- end of sweep {name} -->"


def _read(path: Path) -> SweepFile:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise ValueError(f"a {type(values).__name__}")
        schema = OmegaConf.structured(SweepFile)
        OmegaConf.set_readonly(schema, False)
        return cast(SweepFile, OmegaConf.to_object(OmegaConf.merge(schema, values)))
    except OmegaConfBaseException as error:
        raise explained(error, str(path)) from error
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise SartmError(
            f"{path} is no sweep file", got=error, expected="KEY: VALUE lines"
        ) from error


def _resolve(entry: RowEntry, file: SweepFile, above: dict[str, Row]) -> Row:
    where = f"row '{entry.name}'"
    if entry.name in above or not ROW_NAME.fullmatch(entry.name):
        raise SartmError(
            f"{where} cannot have this name",
            got="a second row of this name" if entry.name in above else repr(entry.name),
            expected="letters a-z, digits, _ - . and every name once",
        )
    previous = list(above)[-1] if above else None
    inherited: tuple[str, ...] = ()
    if entry.after is not None:
        _require_row(entry.after, set(above), f"{where}: 'after' names no row above")
        previous, inherited = entry.after, above[entry.after].overrides
    overrides = (*inherited, *entry.overrides)
    for override in (*file.overrides, *overrides):
        if override.split("=")[0] in SET_BY_SWEEP:
            raise SartmError(
                f"{where} cannot override this key",
                got=override,
                remedy="the sweep sets " + ", ".join(sorted(SET_BY_SWEEP)),
            )
    try:
        config = load_config(file.config, (*file.overrides, *overrides))
    except SartmError as error:
        raise SartmError(
            f"{where}: {error.what}", got=error.got, expected=error.expected, remedy=error.remedy
        ) from error
    if not (config.data.dev or config.data.dev_sources):
        raise SartmError(
            f"{where}: data.dev is empty", expected="the frames that the rows are compared on"
        )
    return Row(entry.name, tuple(entry.overrides), overrides, previous, config, config_hash(config))


def _require_row(name: str, known: set[str], what: str) -> None:
    if name not in known:
        raise SartmError(what, got=repr(name), expected="one of " + ", ".join(sorted(known)))


def _require_comparable(rows: Sequence[Row]) -> None:
    first = rows[0].config.data
    for row in rows[1:]:
        for key in ("classes", "dev", "dev_sources"):
            ours, theirs = getattr(row.config.data, key), getattr(first, key)
            if ours != theirs:
                raise SartmError(
                    f"row '{row.name}' cannot be compared with row '{rows[0].name}'",
                    got=f"data.{key} = {ours}",
                    expected=f"the same as there: {theirs}",
                )


def deciding_values(values: Mapping[str, Any]) -> dict[str, str]:
    """Dotted key -> value, of the keys that decide the result of a run, except for the seed.

    Args:
        values: of :func:`public_values`.
    """
    ignored = FREE_KEYS | SET_BY_SWEEP
    return {key: text for key, text in flatten(values).items() if key not in ignored}


def config_hash(config: Config) -> str:
    """SHA-256 of :func:`deciding_values`: the same on every machine."""
    text = json.dumps(deciding_values(public_values(config)), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
