"""Each run of a sweep is trained once, its result is kept, and a changed row is noticed."""

from __future__ import annotations

import dataclasses
import json
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sartm_core.cli import main
from sartm_core.errors import SartmError
from sartm_core.training import sweep as recipe
from sartm_core.training.run_folder import RunFolder
from sartm_core.training.sweep import RunState, run_state, run_sweep, seconds_left
from sartm_core.training.sweep_file import Sweep, load_sweep
from sartm_core.training.sweep_result import read_result
from tests.sweeps import finish, row, tiny_sweep, write_sweep

ROOT = Path(__file__).resolve().parents[3]
ONE_STEP = 1e-9  # minutes


@pytest.fixture(autouse=True)
def working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a sweep whose rows `rgb` and `both` are trained."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        outcome = run_sweep(tiny_sweep(folder), only=["both", "rgb"])
    assert outcome.finished == ["rgb seed 0", "both seed 0"]
    return folder


def never(*_: Any, **__: Any) -> None:
    raise AssertionError("called")


def test_result_holds_what_a_table_needs(trained: Path) -> None:
    path = trained / "results/both-seed0.json"
    result = read_result(path)
    assert list(result.scores) == ["rgb+thermal", "rgb", "thermal", "mean"]
    three = [result.scores[name]["miou"] for name in ("rgb+thermal", "rgb", "thermal")]
    assert result.scores["mean"]["miou"] == pytest.approx(np.mean(three))
    assert result.protocol == "mfnet8"
    assert result.scores["rgb"]["iou"].keys() >= {"car", "person"}
    assert (result.steps, result.scored_step) == (3, 3)
    assert result.seconds == pytest.approx(3 * result.seconds_per_step, abs=0.1)
    assert result.machine["device"]
    assert list(result.frames) == ["rgb+thermal", "rgb", "thermal"]
    for frames in result.frames.values():
        assert [name.split("/")[-1][:5] for name in frames.names] == ["00002", "00003"]
        assert frames.confusion.dtype == np.int64
        assert (frames.confusion.sum(axis=(1, 2)) == 96 * 64).all()
    assert path.stat().st_size < 40_000
    assert list(read_result(trained / "results/rgb-seed0.json").scores) == ["rgb"]


def test_result_names_no_folder_of_this_machine(trained: Path) -> None:
    for path in (trained / "results").iterdir():
        assert str(trained) not in path.read_text()


def test_finished_runs_are_not_repeated(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained)
    monkeypatch.setattr(recipe, "train", never)
    assert run_sweep(tiny_sweep(trained), only=["rgb", "both"]).finished == []


def test_stopped_run_goes_on_to_the_same_result(trained: Path, tmp_path: Path) -> None:
    sweep = tiny_sweep(tmp_path)
    both = row(sweep, "both")
    for step in (1, 2):  # each call makes the step that was under way, and starts no other run
        assert run_sweep(sweep, only=["both", "wide"], max_minutes=ONE_STEP).finished == []
        state = run_state(both)
        assert (state.step, state.steps_left, state.finished) == (step, 3 - step, False)
        assert run_state(row(sweep, "wide")).step is None
    assert run_sweep(sweep, only=["both"]).finished == ["both seed 0"]
    ours, once = read_result(both.result), read_result(trained / both.result)
    assert ours.scores == once.scores
    for name, frames in once.frames.items():
        assert np.array_equal(ours.frames[name].confusion, frames.confusion)


def test_ctrl_c_ends_the_sweep_with_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = tiny_sweep(tmp_path)
    log = RunFolder.log

    def log_and_interrupt(run: RunFolder, values: dict[str, Any]) -> None:
        log(run, values)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("sartm_core.training.train.LOG_EVERY", 1)
    monkeypatch.setattr(RunFolder, "log", log_and_interrupt)
    outcome = run_sweep(sweep)
    assert (outcome.interrupted, outcome.finished) == (True, [])
    assert run_state(row(sweep, "rgb")).step == 1
    assert run_state(row(sweep, "both")).step is None


def test_all_rows_get_their_first_seed_before_any_gets_its_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []

    def note(run: Any, _: float | None) -> tuple[bool, bool]:
        order.append(str(run))
        return True, False

    monkeypatch.setattr(recipe, "_train", note)
    run_sweep(tiny_sweep(tmp_path), only=["wide", "rgb"], seeds=[1, 0])
    assert order == ["rgb seed 1", "wide seed 1", "rgb seed 0", "wide seed 0"]


def test_a_run_that_fails_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = recipe.train

    def diverge(config: Any) -> Any:
        if config.model.width == 24:
            raise SartmError("the loss is not finite at step 2")
        return train(config)

    monkeypatch.setattr(recipe, "train", diverge)
    rows = "\n  - {name: wide, overrides: [model.width=24]}\n  - {name: both}\n"
    outcome = run_sweep(tiny_sweep(tmp_path, rows=rows))
    assert outcome.failed == {"wide seed 0": "the loss is not finite at step 2"}
    assert outcome.finished == ["both seed 0"]


def test_changed_row_is_stale_until_it_is_trained_again(tmp_path: Path) -> None:
    finish(row(tiny_sweep(tmp_path), "both"), [0.8, 0.6, 0.5])
    changed = tiny_sweep(tmp_path, "train.lr_decoder=0.01")
    state = run_state(row(changed, "both"))
    assert not state.finished
    assert state.changed == ("train.lr_decoder",)
    assert state.steps_left == 3
    finish(row(changed, "both"), [0.8, 0.6, 0.5])
    assert run_state(row(changed, "both")).finished


def test_key_that_is_younger_than_a_result_counts_as_its_default(tmp_path: Path) -> None:
    sweep = tiny_sweep(tmp_path)
    run = row(sweep, "both")
    finish(run, [0.8, 0.6, 0.5])
    values = json.loads(run.result.read_text())
    del values["config"]["train"]["ema"]
    run.result.write_text(json.dumps(values | {"hash": "0" * 64}))
    assert run_state(run).finished

    values["config"]["train"]["ema"] = 0.5
    run.result.write_text(json.dumps(values | {"hash": "0" * 64}))
    assert run_state(run).changed == ("train.ema",)

    values["config"]["train"] |= {"ema": 0.995, "gone": 1}  # a key of older code
    run.result.write_text(json.dumps(values | {"hash": "0" * 64}))
    assert run_state(run).changed == ("train.gone",)


@pytest.mark.parametrize(
    ("override", "same"),
    [
        ("train.threads=2", True),
        ("train.max_minutes=3", True),
        ("train.checkpoint_every=1", True),
        ("train.steps=4", False),
        ("model.width=32", False),
        ("data.modalities=thermal", False),
    ],
)
def test_hash_is_of_what_decides_the_result(tmp_path: Path, override: str, same: bool) -> None:
    plain, other = tiny_sweep(tmp_path).rows[1], tiny_sweep(tmp_path, override).rows[1]
    assert (plain.hash == other.hash) is same


def test_hash_is_the_same_on_every_machine_and_for_every_seed(tmp_path: Path) -> None:
    for machine in ("one", "two"):
        (tmp_path / machine).mkdir()
    one, two = (load_sweep(write_sweep(tmp_path / machine)) for machine in ("one", "two"))
    assert one.rows[1].config.data.sources != two.rows[1].config.data.sources
    assert one.rows[1].hash == two.rows[1].hash
    other = load_sweep(write_sweep(tmp_path / "one", data="another_site"))
    assert other.rows[1].hash != one.rows[1].hash

    first, second = row(one, "both", 0), row(one, "both", 1)
    assert (first.config.train.seed, second.config.train.seed) == (0, 1)
    assert first.row.hash == second.row.hash
    assert first.config.folder != second.config.folder
    assert first.result != second.result


def test_rows_add_to_the_row_that_they_follow(tmp_path: Path) -> None:
    rows = """
  - {name: both, overrides: [model.width=24]}
  - {name: other}
  - {name: more, after: both, overrides: [train.batch=1]}
  - {name: most, after: more, overrides: [train.batch=3, loss.dice=0.25]}
"""
    sweep = tiny_sweep(tmp_path, rows=rows)
    settings = [
        (row.config.model.width, row.config.train.batch, row.config.loss.dice) for row in sweep.rows
    ]
    assert [setting[:2] for setting in settings] == [(24, 2), (16, 2), (24, 1), (24, 3)]
    assert settings[3][2] == 0.25
    assert [row.previous for row in sweep.rows] == [None, "both", "both", "more"]


def test_time_left_is_the_median_step_times_what_is_left(tmp_path: Path) -> None:
    sweep = tiny_sweep(tmp_path)

    def state(step: int | None, seconds: float | None) -> RunState:
        return RunState(row(sweep, "both"), None, (), step, seconds)

    assert seconds_left([state(None, None), state(None, None)]) is None
    # 3 + 2 + 0 steps of 2 s: the median of 1, 2 and 9
    finished = run_state(_finished(sweep, "wide"))
    states = [state(None, None), state(1, 1.0), dataclasses.replace(finished, seconds_per_step=9.0)]
    assert seconds_left([*states, finished]) == pytest.approx(5 * 2.0)


def _finished(sweep: Sweep, name: str) -> Any:
    finish(row(sweep, name), [0.5, 0.5, 0.5])
    return row(sweep, name)


def test_one_sweep_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = tiny_sweep(tmp_path)

    def second(*_: Any) -> None:
        with pytest.raises(SartmError, match="running already"):
            run_sweep(sweep)
        raise SartmError("seen")

    monkeypatch.setattr(recipe, "train", second)
    assert set(run_sweep(sweep).failed.values()) == {"seen"}


@pytest.mark.parametrize(
    "damage",
    [
        lambda values: values.pop("scores"),
        lambda values: values.update(schema_version=99),
        lambda values: values.update(colour="red"),
        lambda values: values["frames"][0].update({"rgb": "900:1"}),  # outside the matrix
        lambda values: values["frames"][0].update({"rgb": "many"}),
        lambda values: values["frames"].clear(),
    ],
)
def test_damaged_result_is_refused_by_name(tmp_path: Path, damage: Any) -> None:
    run = row(tiny_sweep(tmp_path), "both")
    finish(run, [0.8, 0.6, 0.5])
    values = json.loads(run.result.read_text())
    damage(values)
    run.result.write_text(json.dumps(values))
    with pytest.raises(SartmError, match=r"both-seed0\.json is no result of a sweep"):
        run_state(run)


GOOD = "\n  - {name: both}\n"


@pytest.mark.parametrize(
    ("rows", "more", "message"),
    [
        (GOOD, "colour: red", "colour.*name, seeds|colour.*config, results"),
        (GOOD, "seeds: [a]", "seeds"),
        (GOOD, "seeds: [-1]", "0 or more"),
        (GOOD, "seeds: []", "0 or more"),
        (GOOD, "page: nowhere.md", "nowhere.md has no place.*no such file.*<!-- sweep tiny_sweep"),
        ("\n  - {name: both, colour: red}\n", "", "colour.*name, overrides, after"),
        ("\n  - {overrides: []}\n", "", "name"),
        (" []\n", "", "no rows"),
        ("\n  - {name: rgb}\n", "", "reference names no row; got 'both'; expected one of rgb"),
        (GOOD + "  - {name: more, after: bot}\n", "", "row 'more': 'after'.*got 'bot'.*both"),
        ("\n  - {name: both, after: both}\n", "", "'after' names no row above"),
        (GOOD + GOOD, "", "row 'both' cannot have this name; got a second"),
        (GOOD + "  - {name: ../x}\n", "", "row '../x' cannot have this name"),
        ("\n  - {name: both, overrides: [model.with=3]}\n", "", "row 'both'.*model.with.*width"),
        (
            "\n  - {name: both, overrides: [model.encoder=resnet]}\n",
            "",
            "row 'both': model.encoder",
        ),
        ("\n  - {name: both, overrides: [width]}\n", "", "row 'both': not an override"),
        ("\n  - {name: both, overrides: [train.seed=1]}\n", "", "got train.seed=1.*sweep sets"),
        ("\n  - {name: both, overrides: [out=x]}\n", "", "got out=x"),
        ("\n  - {name: both, overrides: ['data.dev=[]']}\n", "", "row 'both': data.dev is empty"),
        (
            GOOD + "  - {name: more, overrides: ['data.dev=[00002D-00002N]']}\n",
            "",
            "row 'more' cannot be compared with row 'both'; got data.dev",
        ),
    ],
)
def test_bad_file_is_refused_before_anything_is_read_or_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: str, more: str, message: str
) -> None:
    path = write_sweep(tmp_path, rows=rows, more=more, data="nowhere_at_all")
    before = sorted(tmp_path.iterdir())
    assert main(["sweep", str(path)]) == 1
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert re.search(message, text), text
    assert sorted(tmp_path.iterdir()) == before


def test_file_that_is_no_sweep_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SartmError, match=r"no such sweep file; got .*none\.yaml"):
        load_sweep(tmp_path / "none.yaml")
    for text in ("- a list", "name: [", "name: !!python/object/apply:os.mkdir ['made']", "", "7"):
        (tmp_path / "bad.yaml").write_text(text)
        with pytest.raises(SartmError, match=r"bad\.yaml"):
            load_sweep(tmp_path / "bad.yaml")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "path", sorted((ROOT / "config/train/sweeps").glob("*.yaml")), ids=lambda path: path.stem
)
def test_shipped_sweep_is_valid(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SARTM_DATA", str(tmp_path))
    monkeypatch.chdir(ROOT)
    sweep = load_sweep(path)
    hashes = [row.hash for row in sweep.rows]
    assert len(set(hashes)) == len(hashes)
