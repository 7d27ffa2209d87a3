"""What teachers say about each frame: asked once, kept, asked again only where it has to be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import distributed, multiprocessing

from sartm_core.classes import class_table
from sartm_core.errors import SartmError
from sartm_core.training import teacher_outputs
from sartm_core.training.build import load_network
from sartm_core.training.config import Config
from sartm_core.training.data import load_data
from sartm_core.training.frame import Frame
from sartm_core.training.samples import Source
from sartm_core.training.teacher_outputs import TeacherOutputs, ask_teachers
from tests.training_runs import DISTILL, tiny_config, write_teacher

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_teacher(tmp_path_factory.mktemp("teacher"))


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_teacher(tmp_path_factory.mktemp("second"), name="second")


@pytest.fixture
def config(tmp_path: Path, teacher: Path) -> Config:
    taught = f"distill.teachers=[{teacher}]", f"distill.cache={tmp_path}/said"
    return tiny_config(tmp_path / "run", *DISTILL, *taught)


@pytest.fixture
def sources(config: Config) -> list[Source]:
    return load_data(config)[0]


def with_distill(config: Config, **changes: object) -> Config:
    return replace(config, distill=replace(config.distill, **changes))  # type: ignore[arg-type]


def files(config: Config) -> list[Path]:
    return sorted(path for path in Path(config.distill.cache).rglob("*") if path.is_file())


def spoken(frame: Frame) -> np.ndarray:
    """float32 [C,h,w] of a frame."""
    assert frame.teacher is not None
    height, width, classes = frame.teacher.codes.shape
    rows, columns = np.indices((height, width))
    found = frame.teacher.probabilities(rows.ravel(), columns.ravel())
    return found.reshape(height, width, classes).transpose(2, 0, 1)


def expected_of(teacher: Path, frame: Frame, flip: bool) -> np.ndarray:
    network, _ = load_network(teacher)
    inputs = [
        torch.from_numpy(image)[None]
        for image in (frame.rgb, frame.thermal[..., None], frame.thermal_valid[..., None])
    ]
    both = torch.ones(1, 2)

    def look(images: list[torch.Tensor]) -> torch.Tensor:
        logits = network(*images, both)
        return F.interpolate(logits, scale_factor=4, mode="bilinear").softmax(dim=1)

    with torch.no_grad():
        found = look(inputs)
        if flip:
            found = (found + look([image.flip(2) for image in inputs]).flip(3)) / 2
    return F.avg_pool2d(found, 4)[0].numpy()


@pytest.mark.parametrize("flip", [False, True])
def test_the_mean_of_all_teachers_and_looks(
    config: Config, sources: list[Source], second: Path, flip: bool
) -> None:
    teachers = [*config.distill.teachers, str(second)]
    config = with_distill(config, teachers=teachers, flip=flip)
    (asked,) = ask_teachers(config, sources, CPU)
    frame = asked.frames[1]
    expected = np.mean([expected_of(Path(name), frame, flip) for name in teachers], axis=0)
    np.testing.assert_allclose(spoken(frame), expected, rtol=0.05, atol=1e-3)
    assert abs(expected_of(second, frame, flip) - expected).max() > 0.01
    assert asked.threshold is not None
    assert asked.threshold.shape == (9,)
    assert (asked.weight, asked.labelled is sources[0].labelled) == (sources[0].weight, True)


def test_the_feature_is_the_first_teachers_around_its_mean(
    config: Config, sources: list[Source]
) -> None:
    (asked,) = ask_teachers(config, sources, CPU)
    network, _ = load_network(Path(config.distill.teachers[0]))
    frame = asked.frames[0]
    inputs = [
        torch.from_numpy(image)[None]
        for image in (frame.rgb, frame.thermal[..., None], frame.thermal_valid[..., None])
    ]
    both = torch.ones(1, 2)
    with torch.no_grad():
        feature = network.decode(network.encode(*inputs, both), both).feature
    assert feature is not None
    exact = F.avg_pool2d(feature, 4)[0].permute(1, 2, 0).numpy()
    rows, columns = (index.ravel() for index in np.indices(exact.shape[:2]))
    assert frame.teacher is not None
    assert frame.teacher.centre is not None
    found = frame.teacher.features(rows, columns) + frame.teacher.centre
    np.testing.assert_allclose(found, exact.reshape(len(rows), -1), atol=np.abs(exact).max() / 200)
    means = [f.teacher.mean_feature() for f in asked.frames if f.teacher is not None]
    np.testing.assert_allclose(frame.teacher.centre, np.mean(means, axis=0), rtol=1e-5)


def test_asked_once(config: Config, sources: list[Source], monkeypatch: pytest.MonkeyPatch) -> None:
    first = ask_teachers(config, sources, CPU)
    assert len(files(config)) == len(first[0].frames) == 4

    def load(*_: object) -> None:
        raise AssertionError("a teacher was loaded")

    monkeypatch.setattr(teacher_outputs, "load_network", load)
    again = ask_teachers(config, sources, CPU)
    for one, other in zip(first[0].frames, again[0].frames, strict=True):
        np.testing.assert_array_equal(spoken(one), spoken(other))
    only = with_distill(config, feature=0.0, relation=0.0)
    frames = ask_teachers(only, sources, CPU)[0].frames
    assert all(f.teacher is not None and f.teacher.feature is None for f in frames)


def count_asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    asked: list[str] = []
    write = TeacherOutputs.write

    def counting(self: TeacherOutputs, frame: Frame) -> object:
        asked.append(frame.stem)
        return write(self, frame)

    monkeypatch.setattr(TeacherOutputs, "write", counting)
    return asked


def test_goes_on_where_it_was_stopped(
    config: Config, sources: list[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = count_asked(monkeypatch)
    counting = TeacherOutputs.write

    def stop(self: TeacherOutputs, frame: Frame) -> object:
        if len(asked) == 2:
            raise KeyboardInterrupt
        return counting(self, frame)

    monkeypatch.setattr(TeacherOutputs, "write", stop)
    with pytest.raises(KeyboardInterrupt):
        ask_teachers(config, sources, CPU)
    assert len(files(config)) == 2
    monkeypatch.setattr(TeacherOutputs, "write", counting)
    ask_teachers(config, sources, CPU)
    assert len(asked) == len(set(asked)) == 4


@pytest.mark.parametrize("damage", ["cut", "noise", "empty", "other"])
def test_a_damaged_file_is_made_again_with_a_note(
    config: Config,
    sources: list[Source],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    damage: str,
) -> None:
    before = ask_teachers(config, sources, CPU)[0].frames
    path = files(config)[2]
    whole = path.read_bytes()
    if damage == "other":  # a readable file of another frame's size
        with open(path, "wb") as file:
            np.savez_compressed(file, codes=np.zeros((3, 4, 9), np.uint8))
    else:
        noise = np.random.default_rng(0).bytes(len(whole) // 2)
        content = {"cut": whole[: len(whole) // 2], "empty": b"", "noise": whole[:200] + noise}
        path.write_bytes(content[damage])
    asked = count_asked(monkeypatch)
    capsys.readouterr()
    after = ask_teachers(config, sources, CPU)[0].frames
    assert len(asked) == 1
    assert f"{path} is made again" in capsys.readouterr().err
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(spoken(one), spoken(other))
    with np.load(path) as file:
        assert file["codes"].shape == (16, 24, 9)


def test_a_file_is_named_by_all_that_it_was_made_from(
    config: Config, sources: list[Source], second: Path, tmp_path: Path
) -> None:
    frame = sources[0].frames[0]
    moved = tmp_path / "elsewhere.ckpt"
    moved.write_bytes(Path(config.distill.teachers[0]).read_bytes())

    def path(frame: Frame, table: str = "mfnet", **changes: object) -> Path:
        distill = with_distill(config, **changes).distill
        return TeacherOutputs(distill, class_table(table), CPU).path(frame)

    same = path(frame)
    assert path(frame, teachers=[str(moved)], logits=9.0, temperature=9.0) == same
    assert path(replace(frame, label=frame.label + 1)) == same
    others = [
        path(frame, teachers=[str(second)]),
        path(frame, teachers=[*config.distill.teachers, str(second)]),
        path(frame, flip=not config.distill.flip),
        path(frame, scales=[1.0, 1.5]),
        path(frame, table="fmb"),
        path(replace(frame, rgb=frame.rgb ^ 1)),
        path(replace(frame, thermal=frame.thermal ^ 1)),
        path(replace(frame, thermal_valid=0 * frame.thermal_valid)),
    ]
    assert len({same, *others}) == len(others) + 1


def test_frames_of_any_size(config: Config) -> None:
    rng = np.random.default_rng(0)
    shape = (70, 101)
    thermal = rng.integers(0, 256, shape).astype(np.uint8)
    rgb = np.repeat(thermal[..., None], 3, axis=2)
    frame = Frame("odd", rgb, thermal, np.ones_like(thermal), thermal * 0, night=False)
    (asked,) = ask_teachers(config, [Source([frame], 1.0)], CPU)
    planes = asked.frames[0].teacher
    assert planes is not None
    assert planes.feature is not None
    assert planes.codes.shape == (18, 26, 9)
    assert planes.feature.shape[:2] == (5, 7)


def test_a_teacher_with_other_classes_is_refused(
    config: Config, sources: list[Source], tmp_path: Path
) -> None:
    other = write_teacher(tmp_path, "data.classes=pst900", "data.sources=[{dataset: 'mfnet:none'}]")
    with pytest.raises(SartmError, match=r"other classes than the run.*survivor.*guardrail"):
        ask_teachers(with_distill(config, teachers=[str(other)]), sources, CPU)


def test_a_teacher_without_a_feature_teaches_its_predictions(
    config: Config, sources: list[Source], tmp_path: Path
) -> None:
    path = write_teacher(tmp_path, "model.heads=[main]", name="bare")
    bare = with_distill(config, teachers=[str(path)])
    with pytest.raises(SartmError, match=r"bare\.ckpt has no multi-scale feature"):
        ask_teachers(bare, sources, CPU)
    frames = ask_teachers(with_distill(bare, feature=0.0, relation=0.0), sources, CPU)[0].frames
    assert all(frame.teacher is not None for frame in frames)


def test_a_missing_teacher_is_refused_by_name(config: Config, sources: list[Source]) -> None:
    with pytest.raises(SartmError, match=r"distill\.teachers names no such file.*nowhere\.ckpt"):
        ask_teachers(with_distill(config, teachers=["nowhere.ckpt"]), sources, CPU)


def ask_in_process(rank: int, config: Config, folder: Path) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2
    )
    with pytest.MonkeyPatch.context() as patch:
        asked = count_asked(patch)
        frames = ask_teachers(config, load_data(config)[0], CPU)[0].frames
    assert len(asked) == 2
    np.save(folder / f"{rank}.npy", np.stack([spoken(frame) for frame in frames]))
    distributed.destroy_process_group()


def test_processes_share_the_work(
    config: Config, sources: list[Source], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    multiprocessing.spawn(ask_in_process, args=(config, tmp_path), nprocs=2)
    assert len(files(config)) == 4
    frames = ask_teachers(config, sources, CPU)[0].frames
    for rank in range(2):
        np.testing.assert_array_equal(
            np.load(tmp_path / f"{rank}.npy"), np.stack([spoken(frame) for frame in frames])
        )
