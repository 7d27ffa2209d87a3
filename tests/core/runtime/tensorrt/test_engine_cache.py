"""Engines on disk: the right one is found, no other is loaded, and nothing is lost."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sartm_core.bundle import Bundle
from sartm_core.errors import SartmError
from sartm_core.runtime.tensorrt.cuda import Device
from sartm_core.runtime.tensorrt.engine_cache import EngineCache, EngineKey
from sartm_core.runtime.tensorrt.library import load_library
from sartm_core.runtime.tensorrt.runtime import engine_key
from tests.core.runtime.tensorrt.fake_tensorrt import fake_tensorrt
from tests.core.runtime.tensorrt.machine import Machine

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture
def key(machine: Machine, bundle: Bundle) -> EngineKey:
    return engine_key(load_library("tensorrt"), Device(), bundle, "fp32")


def test_an_engine_is_built_once(machine: Machine, bundle: Bundle) -> None:
    first = machine.start(bundle)
    first.close()
    second = machine.start(bundle)
    assert (machine.built, first.built, second.built) == (1, True, False)
    (engine,) = machine.engines()
    assert engine.name.startswith("tiny-fp32-tensorrt-10.3.0-Fake_Orin-")
    facts = json.loads(engine.with_suffix(".json").read_text())
    assert set(facts) == {"key", "sha256", "created", "build_seconds", "verification"}
    assert facts["verification"]["agreement"] == 1


@pytest.mark.parametrize(
    "change",
    [
        {"onnx": "0" * 64},
        {"version": "10.3.1"},
        {"module": "tensorrt_rtx"},
        {"gpu": "Orin NX"},
        {"compute_capability": "8.6"},
        {"multiprocessors": 8},
        {"precision": "fp16"},
        {"shapes": {"rgb": [1, 64, 64, 3]}},
        {"options": {"optimization_level": 5}},
        {"bundle": "other"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_all_that_matters_is_in_the_name(key: EngineKey, change: dict[str, object]) -> None:
    assert replace(key, **change).stem != key.stem  # type: ignore[arg-type]


def test_engines_of_another_tensorrt_or_gpu_are_not_for_here(
    machine: Machine,
    bundle: Bundle,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    machine.start(bundle).close()
    machine.driver.name, machine.driver.capability = "Fake Thor", (11, 0)
    newer = fake_tensorrt(machine.driver, "10.16.1.11")
    monkeypatch.setitem(sys.modules, "tensorrt", newer)
    load_library.cache_clear()
    machine.start(bundle).close()
    assert caplog.text.count("is not for here: ") == 1
    assert "it has version 10.3.0, gpu Fake Orin, compute_capability 8.7" in caplog.text
    assert len(machine.engines()) == 2


def test_engines_of_a_larger_gpu_of_the_same_name_are_not_for_here(
    machine: Machine, bundle: Bundle
) -> None:
    """A card that is moved from an AGX Orin to an Orin Nano, both of which are called Orin."""
    machine.start(bundle).close()
    machine.driver.multiprocessors = 8
    with pytest.raises(SartmError, match="remedy: sartm build-engine"):
        machine.start(bundle, allow_build=False)


def _truncate(engine: Path) -> None:
    engine.write_bytes(engine.read_bytes()[:-10])


def _flip(engine: Path) -> None:
    data = bytearray(engine.read_bytes())
    data[len(data) // 2] ^= 1
    engine.write_bytes(data)


def _foreign(engine: Path) -> None:
    """The files of another machine under the name of this one's."""
    sidecar = engine.with_suffix(".json")
    facts = json.loads(sidecar.read_text())
    facts["key"]["gpu"] = "Orin NX"
    sidecar.write_text(json.dumps(facts))


def _nameless(engine: Path) -> None:
    engine.with_suffix(".json").unlink()


def _garbled(engine: Path) -> None:
    engine.with_suffix(".json").write_text('{"key": ')


def _keyless(engine: Path) -> None:
    engine.with_suffix(".json").write_text('{"key": null}')


def _unreadable(engine: Path) -> None:
    """A file whose first byte cannot be read."""
    engine.unlink()
    engine.symlink_to("/proc/self/mem")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_truncate, "it is damaged (wrong sha256)"),
        (_flip, "it is damaged (wrong sha256)"),
        (_foreign, "it was built for {'bundle': 'tiny'"),
        (_nameless, "nothing says what it is"),
        (_garbled, "nothing says what it is"),
        (_keyless, "nothing says what it is"),
        (_unreadable, "it cannot be read (Input/output error)"),
    ],
)
def test_a_damaged_engine_is_built_again_and_never_loaded(
    machine: Machine,
    bundle: Bundle,
    caplog: pytest.LogCaptureFixture,
    damage: object,
    reason: str,
) -> None:
    machine.start(bundle).close()
    (engine,) = machine.engines()
    assert callable(damage)
    damage(engine)
    with pytest.raises(SartmError, match="remedy: sartm build-engine"):
        machine.start(bundle, allow_build=False)
    assert f"{engine} is not used: {reason}" in caplog.text
    machine.start(bundle).close()
    assert machine.built == 2
    machine.start(bundle, allow_build=False).close()


def test_timings_of_layers_are_kept_for_the_next_build(machine: Machine, bundle: Bundle) -> None:
    machine.start(bundle, "fp32").close()
    (timings,) = machine.cache.glob("*.timings")
    assert timings.read_bytes() == b"timed "
    machine.start(bundle, "fp16").close()
    assert timings.read_bytes() == b"timed timed "
    timings.write_bytes(b"damaged")
    machine.start(bundle, "int8").close()
    assert timings.read_bytes() == b"timed "


@pytest.mark.parametrize("machine", [("tensorrt_rtx", "11.4.0.106")], indirect=True)
def test_rtx_has_no_timings(machine: Machine, bundle: Bundle) -> None:
    machine.start(bundle).close()
    assert not [*machine.cache.glob("*.timings")]


def test_the_engine_that_was_not_used_for_longest_is_evicted(
    key: EngineKey, tmp_path: Path
) -> None:
    cache = EngineCache(tmp_path, limit_bytes=250)
    first, second, third = (replace(key, bundle=name) for name in ("first", "second", "third"))
    old = cache.store(first, bytes(100), {})
    recent = cache.store(second, bytes(100), {})
    os.utime(old.path, (1, 1))
    os.utime(recent.path, (0, 0))
    cache.touch(recent)
    newest = cache.store(third, bytes(100), {})
    assert {*tmp_path.glob("*.engine")} == {recent.path, newest.path}
    assert len([*tmp_path.glob("*.json")]) == 2
    large = cache.store(first, bytes(1000), {})  # what was just built stays, however large
    assert [*tmp_path.glob("*.engine")] == [large.path]


def test_what_cannot_be_evicted_does_not_cost_what_was_built(
    key: EngineKey, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "folder.engine").mkdir()
    cache = EngineCache(tmp_path, limit_bytes=50)
    assert cache.store(key, bytes(100), {}).read() == bytes(100)
    assert f"{tmp_path} stays larger than its limit" in caplog.text


def test_an_engine_that_vanishes_while_it_is_loaded(key: EngineKey, tmp_path: Path) -> None:
    """Another process evicts it, or its user says `sartm cache rm`."""
    cached = EngineCache(tmp_path).store(key, bytes(100), {})
    cached.path.unlink()
    with pytest.raises(SartmError, match=r"cannot be read; got No such file .*; remedy: start"):
        cached.read()


def test_a_file_system_without_locks(
    machine: Machine, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(handle: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(SartmError, match="cannot be written; got No locks available"):
        machine.start(bundle)


def test_the_users_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SARTM_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert EngineCache().folder == tmp_path / "sartm" / "engines"
    monkeypatch.setenv("SARTM_CACHE", str(tmp_path / "own"))
    assert EngineCache().folder == tmp_path / "own" / "engines"


BUILDER = """
import logging, sys
from pathlib import Path
from pytest import MonkeyPatch
from sartm_core.bundle import load_bundle
from tests.core.runtime.tensorrt.machine import fake_machine
bundle, cache = sys.argv[1:]
logging.basicConfig(level=logging.INFO, format="%(message)s")
machine = fake_machine(MonkeyPatch(), Path(cache))
machine.faults.add("slow")
runtime = machine.start(load_bundle(bundle))
print("built", machine.built, "agreement", runtime.engine.facts["verification"]["agreement"])
"""


def builder(bundle: Path, cache: Path) -> subprocess.Popen[str]:
    """Another process that wants the engine, on a fake machine of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", BUILDER, str(bundle), str(cache)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_processes_that_start_together_build_once(bundle: Bundle, tmp_path: Path) -> None:
    processes = [builder(bundle.path, tmp_path / "engines") for _ in range(2)]
    said = [process.communicate(timeout=150) for process in processes]
    assert sorted(out.split()[1] for out, _ in said) == ["0", "1"], said
    assert all("agreement 1.0" in out for out, _ in said)


def test_who_dies_while_it_builds_leaves_nothing_behind(bundle: Bundle, tmp_path: Path) -> None:
    """Neither half an engine nor the lock."""
    folder = tmp_path / "engines"
    killed = builder(bundle.path, folder)
    while not (folder / ".lock").exists() and killed.poll() is None:
        time.sleep(0.01)
    killed.kill()
    killed.communicate()
    out, err = builder(bundle.path, folder).communicate(timeout=150)
    assert out.startswith("built 1"), err


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root can mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk(machine: Machine, key: EngineKey, small_disk: Path) -> None:
    """What was there before stays whole, and no half file joins it."""
    cache = EngineCache(small_disk)
    kept = cache.store(key, bytes(20_000), {"created": "before"})
    long = "x" * 5000  # a sidecar of two pages, where the engine leaves one
    for size, facts in ((60_000, {}), (36_000, {"created": long})):
        for unwritten in (key, replace(key, precision="fp16")):
            with pytest.raises(SartmError, match=r"cannot be written; got No space left.*cache rm"):
                cache.store(unwritten, bytes(size), facts)
    found = cache.find(key)
    assert found is not None
    assert found.facts["created"] == "before"
    assert found.path.read_bytes() == bytes(20_000)
    assert [*small_disk.glob("*.engine")] == [kept.path]


def test_an_engine_fits_where_the_timings_do_not(
    machine: Machine, bundle: Bundle, small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It was built, and it runs."""
    page, engine = 4096, bundle.model_path().stat().st_size
    room = -(-(engine + 100) // page) * page + page  # the engine and its sidecar
    (small_disk / "ballast").write_bytes(bytes((64 << 10) - room))
    machine.start(bundle, engine_cache=small_disk).close()
    assert "timings of layers are not kept" in caplog.text
    assert len([*small_disk.glob("*.engine")]) == 1


def test_a_full_disk_is_refused_before_anything_is_built(
    machine: Machine, bundle: Bundle, small_disk: Path
) -> None:
    (small_disk / "ballast").write_bytes(bytes(64 << 10))
    with pytest.raises(SartmError, match=r"cannot be written; got No space left"):
        machine.start(bundle, engine_cache=small_disk)
    assert (machine.built, machine.driver.held) == (0, 0)


@pytest.fixture
def read_only(small_disk: Path) -> Callable[[], Path]:
    """Call it to get a folder where nothing can be written from then on: root may write
    everywhere but on a file system that is mounted so."""

    def remount() -> Path:
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
        return small_disk

    return remount


def test_a_read_only_folder_is_refused_before_anything_is_built(
    machine: Machine, bundle: Bundle, read_only: Callable[[], Path]
) -> None:
    message = (
        r"cannot be written; got Read-only file system; .*"
        r"name another folder \(--engine-cache, model\.engine_cache\)"
    )
    with pytest.raises(SartmError, match=message):
        machine.start(bundle, engine_cache=read_only())
    assert machine.built == 0


def test_engines_in_a_read_only_folder_run(
    machine: Machine,
    bundle: Bundle,
    small_disk: Path,
    read_only: Callable[[], Path],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What would be remembered there is for this process alone, with a warning."""
    machine.start(bundle, engine_cache=small_disk).close()
    (sidecar,) = small_disk.glob("*.json")
    facts = json.loads(sidecar.read_text())
    del facts["verification"]
    sidecar.write_text(json.dumps(facts))
    runtime = machine.start(bundle, engine_cache=read_only())
    assert runtime.engine.facts["verification"]["ok"]
    assert machine.built == 1
    assert "not remembered beside" in caplog.text
    assert json.loads(sidecar.read_text()) == facts
