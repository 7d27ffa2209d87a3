"""`sartm build-engine`, `sartm cache` and `sartm export --engine` on the fake machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sartm_core.bundle import Bundle
from sartm_core.cli import export, main
from sartm_core.language.cache import remember
from tests.core.runtime.tensorrt.machine import Machine, without_car, write_whole_bundle


@pytest.fixture(autouse=True)
def user_cache(monkeypatch: pytest.MonkeyPatch, machine: Machine) -> None:
    monkeypatch.setenv("SARTM_CACHE", str(machine.cache.parent))


def build(bundle: Bundle, *words: str) -> int:
    return main(["build-engine", str(bundle.path), *words])


def test_one_line_says_what_was_built_and_where(
    machine: Machine, bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(bundle, "--precision", "fp16") == 0
    (engine,) = machine.engines()
    said = capsys.readouterr().out
    assert said.startswith("tiny fp16: engine for tensorrt 10.3.0 on Fake Orin built in ")
    assert said.endswith(f"agreement 1.0000: {engine}\n")
    assert build(bundle, "--precision", "fp16") == 0
    assert "already built on 20" in capsys.readouterr().out
    assert machine.built == 1


def test_json_says_what_runs(
    machine: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = write_whole_bundle(tmp_path / "wrong", int8=without_car)
    assert build(bundle, "--precision", "int8", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["asked"], result["precision"], result["built"]) == ("int8", "fp16", True)
    assert result["verification"]["ok"]
    assert (result["gpu"], result["compute_capability"]) == ("Fake Orin", "8.7")
    assert Path(result["engine"]).is_file()
    assert build(bundle, "--precision", "int8") == 0
    assert capsys.readouterr().out.startswith("tiny fp16, not int8: engine for")


def test_a_runtime_without_engines_is_refused(
    bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(bundle, "--runtime", "onnxruntime") == 1
    assert "only TensorRT has engines; got 'onnxruntime'" in capsys.readouterr().err


def test_what_is_kept_is_listed(
    machine: Machine, bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cache", "ls"]) == 0
    assert capsys.readouterr().out == "0 files, 0.000 MB\n"
    build(bundle)
    remember({"word": "car"}, {"vector": [1.0]})
    (engine,) = machine.engines()
    capsys.readouterr()
    assert main(["cache", "ls"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[1] for row in rows[:-1]] == ["engine", "timings", "text"]
    assert rows[0].startswith(engine.name)
    assert rows[0].endswith("tiny fp32, tensorrt 10.3.0, Fake Orin, agreement 1.0000")
    assert rows[-1].startswith("3 files, ")
    assert main(["cache", "ls", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["bytes"] == sum(each["bytes"] for each in listed["files"])
    assert listed["files"][0]["bytes"] > engine.stat().st_size


def test_files_are_removed_by_name_or_all(
    machine: Machine, bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    for precision in ("fp32", "fp16"):
        build(bundle, "--precision", precision)
    half, single = machine.engines()
    capsys.readouterr()
    assert main(["cache", "rm", half.name]) == 0
    assert capsys.readouterr().out.startswith("1 files removed")
    assert machine.engines() == [single]
    assert not half.with_suffix(".json").exists()
    assert main(["cache", "rm", half.name]) == 1
    assert f"no such file in the cache; got {half.name}" in capsys.readouterr().err
    assert main(["cache", "rm", "--all", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["removed"]) == 2
    assert [path.name for path in machine.cache.iterdir()] == [".lock"]


@pytest.mark.parametrize("words", [[], ["name", "--all"]])
def test_removing_needs_names_or_all(words: list[str]) -> None:
    assert main(["cache", "rm", *words]) == 2


def test_a_broken_sidecar_is_listed_too(
    machine: Machine, bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    build(bundle)
    (engine,) = machine.engines()
    engine.with_suffix(".json").write_text("{}")
    capsys.readouterr()
    assert main(["cache", "ls"]) == 0
    assert "nothing says what it is" in capsys.readouterr().out


def test_export_builds_engines_too(
    machine: Machine,
    bundle: Bundle,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One of each precision that is not for CPUs alone."""
    monkeypatch.setattr(export, "_add_precisions", lambda *_: bundle)
    words = ["export", str(bundle.path), "--out", "unused", "--engine"]
    assert main([*words, "--precision", "fp16,int8,int8cpu", "--json"]) == 0
    engines = json.loads(capsys.readouterr().out)["engines"]
    assert [engine["asked"] for engine in engines] == ["fp16", "int8"]
    assert {Path(engine["engine"]) for engine in engines} == {*machine.engines()}


def test_weights_alone_have_no_engine(tmp_path: Path) -> None:
    out = tmp_path / "weights.safetensors"
    assert main(["export", "last.ckpt", "--out", str(out), "--engine"]) == 2
