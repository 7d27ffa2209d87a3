"""From a bundle to masks on the fake machine, in every version of TensorRT."""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path

import numpy as np
import pytest

from sartm_core.bundle import Bundle
from sartm_core.cli import main
from sartm_core.errors import SartmError
from sartm_core.runtime import choice, create_runtime
from sartm_core.runtime.choice import choose
from sartm_core.runtime.tensorrt import has_engine
from sartm_core.segmenter import load
from tests.core.runtime.tensorrt.api import VERSIONS
from tests.core.runtime.tensorrt.machine import (
    Machine,
    without_car,
    without_person,
    write_whole_bundle,
)

Frame = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
EVERYWHERE = [("tensorrt", version) for version in VERSIONS] + [("tensorrt_rtx", "11.4.0.106")]


def frame(bundle: Bundle, seed: int) -> Frame:
    rng = np.random.default_rng(seed)
    height, width = bundle.input_size
    image = rng.integers(0, 256, (height, width, 4), np.uint8)
    valid = rng.integers(0, 2, (height, width), np.uint8)
    present = np.array([seed % 2 == 0, seed % 3 != 1], np.float32)
    return np.ascontiguousarray(image[..., :3]), image[..., 3], valid, present


@pytest.mark.parametrize("machine", EVERYWHERE, indirect=True, ids="-".join)
@pytest.mark.parametrize("integrated", [False, True], ids=["copied", "mapped"])
def test_masks_are_those_of_onnxruntime(machine: Machine, bundle: Bundle, integrated: bool) -> None:
    machine.driver.integrated = integrated
    reference = create_runtime("onnxruntime", bundle, threads=1)
    runtime = machine.start(bundle)
    assert (runtime.name, runtime.device, runtime.precision) == (
        machine.trt.__name__,
        "cuda",
        "fp32",
    )
    kept = []
    for seed in range(6):
        found, expected = (each.infer(*frame(bundle, seed)) for each in (runtime, reference))
        kept.append((found, expected))
    for found, expected in kept:  # a later frame has changed none of them
        assert np.array_equal(found[0], expected[0])
        assert np.array_equal(found[1], expected[1])
    runtime.close()
    runtime.close()
    assert machine.driver.held == 0


def test_a_frame_is_one_launch_and_allocates_nothing(machine: Machine, bundle: Bundle) -> None:
    runtime = machine.start(bundle)
    before, held = dict(machine.driver.calls), machine.driver.held
    for seed in range(3):
        runtime.infer(*frame(bundle, seed))
    made = {name: n - before.get(name, 0) for name, n in machine.driver.calls.items()}
    assert {name: n for name, n in made.items() if n} == {
        "cuCtxSetCurrent": 3,
        "cuGraphLaunch": 3,
        "cuStreamSynchronize": 3,
    }
    assert machine.driver.held == held
    assert before["cuMemHostAlloc"] == 2  # one block of inputs, one of outputs


def test_an_engine_that_cannot_be_recorded_is_queued(machine: Machine, bundle: Bundle) -> None:
    machine.faults.add("capture")
    runtime, reference = machine.start(bundle), create_runtime("onnxruntime", bundle, threads=1)
    inputs = frame(bundle, 0)
    assert np.array_equal(runtime.infer(*inputs)[0], reference.infer(*inputs)[0])
    assert "cuGraphLaunch" not in machine.driver.calls


def test_two_threads_share_a_runtime(machine: Machine, bundle: Bundle) -> None:
    runtime, reference = machine.start(bundle), create_runtime("onnxruntime", bundle, threads=1)
    frames = [frame(bundle, seed) for seed in range(4)]
    expected = [reference.infer(*inputs)[0] for inputs in frames]
    wrong = []

    def repeat(order: list[int]) -> None:
        for index in 5 * order:
            if not np.array_equal(runtime.infer(*frames[index])[0], expected[index]):
                wrong.append(index)

    threads = [threading.Thread(target=repeat, args=(o,)) for o in ([0, 1, 2, 3], [3, 1, 0, 2])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_progress_grows_to_one(machine: Machine, bundle: Bundle) -> None:
    shares: list[float] = []
    machine.start(bundle, on_progress=shares.append)
    assert shares == sorted(set(shares))
    assert shares[-1] == 1
    assert len(shares) > 4  # steps within steps


def test_the_log_tells_the_progress(
    machine: Machine, bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="sartm_core.runtime.tensorrt"):
        machine.start(bundle)
    assert "this takes minutes" in caplog.text
    assert "building the engine: 50 %" in caplog.text


def test_without_an_engine_it_names_the_command(
    machine: Machine, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SARTM_CACHE", str(machine.cache.parent))
    command = f"remedy: sartm build-engine {bundle.path} --runtime tensorrt --precision fp16"
    with pytest.raises(SartmError) as told:
        machine.start(bundle, "fp16", allow_build=False)
    assert str(told.value).endswith(command)
    assert "for tensorrt 10.3.0 on Fake Orin" in str(told.value)


def test_the_command_is_one_that_helps(
    machine: Machine, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It builds into the folder where the engine was looked for."""
    with pytest.raises(SartmError, match="remedy: sartm ") as told:
        machine.start(bundle, allow_build=False)
    monkeypatch.setenv("SARTM_CACHE", str(machine.cache / "another"))
    assert main(str(told.value.remedy).split()[1:]) == 0
    machine.start(bundle, allow_build=False).close()


def test_auto_takes_an_engine_that_is_there(
    machine: Machine, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "cuda_devices", lambda: 1)
    monkeypatch.setattr(choice, "find_spec", lambda name: name == "tensorrt" or None)
    assert choose(bundle, precision="fp32", engine_cache=machine.cache).name != "tensorrt"
    machine.start(bundle).close()
    assert choose(bundle, precision="fp32", engine_cache=machine.cache).name == "tensorrt"
    assert choose(bundle, precision="int8", engine_cache=machine.cache).name != "tensorrt"
    assert machine.driver.held == 0


def test_the_segmenter_takes_the_cache_and_the_permission(machine: Machine, bundle: Bundle) -> None:
    shares: list[float] = []
    with load(
        bundle.path,
        "tensorrt",
        engine_cache=machine.cache,
        allow_build=True,
        on_progress=shares.append,
    ) as segmenter:
        assert segmenter.runtime.name == "tensorrt"
    assert len(machine.engines()) == 1
    assert shares[-1] == 1


def test_wrong_masks_fall_back_and_are_remembered(
    machine: Machine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The int8 and fp16 files have each lost a class."""
    wrong = {"int8": without_car, "fp16": without_person}
    bundle = write_whole_bundle(tmp_path / "wrong", **wrong)
    runtime = machine.start(bundle, "int8")
    assert (runtime.precision, machine.built) == ("fp32", 3)
    for precision in wrong:
        assert f"tiny in {precision} on Fake Orin gives wrong masks and is not used" in caplog.text
    facts = [json.loads(path.read_text()) for path in sorted(machine.cache.glob("*.json"))]
    assert {f["key"]["precision"]: f["verification"]["ok"] for f in facts} == {
        "int8": False,
        "fp16": False,
        "fp32": True,
    }
    runtime.close()

    queued = machine.driver.calls["cuGraphInstantiateWithFlags"]
    again = machine.start(bundle, "int8", allow_build=False)
    assert (again.precision, machine.built) == ("fp32", 3)
    assert machine.driver.calls["cuGraphInstantiateWithFlags"] == queued + 1  # fp32 alone
    assert has_engine(bundle, "int8", "tensorrt", machine.cache)


def test_where_nothing_safer_is_right_nothing_runs(machine: Machine, tmp_path: Path) -> None:
    bundle = write_whole_bundle(tmp_path / "wrong", fp32=without_person)
    with pytest.raises(SartmError, match=r"no engine .*right masks.*wrong ones in fp32"):
        machine.start(bundle)
    assert not has_engine(bundle, "fp32", "tensorrt", machine.cache)
    assert machine.driver.held == 0


def test_an_engine_that_was_never_verified_is(machine: Machine, bundle: Bundle) -> None:
    """Its process was killed between the build and the verification, say."""
    machine.start(bundle).close()
    (sidecar,) = machine.cache.glob("*.json")
    facts = json.loads(sidecar.read_text())
    assert facts.pop("verification")["ok"]
    sidecar.write_text(json.dumps(facts))
    machine.start(bundle, allow_build=False).close()
    assert json.loads(sidecar.read_text())["verification"]["ok"]


def test_a_precision_for_cpus_is_refused(machine: Machine, bundle: Bundle) -> None:
    with pytest.raises(SartmError, match="unknown precision for TensorRT; got int8cpu"):
        machine.start(bundle, "int8cpu")
