import json
from pathlib import Path

import pytest

from sartm_core.files import atomic_path, sha256_file, write_bytes_atomic, write_json_atomic


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    target = tmp_path / "state.bin"
    write_bytes_atomic(target, b"old")

    def write_half() -> None:
        with atomic_path(target) as aside:
            aside.write_bytes(b"ha")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_half()
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_new_files_have_the_usual_mode(tmp_path: Path) -> None:
    plain, atomic = tmp_path / "plain", tmp_path / "deep" / "atomic"
    plain.write_bytes(b"x")
    write_bytes_atomic(atomic, b"x")
    assert atomic.stat().st_mode == plain.stat().st_mode


def test_json_round_trip_and_no_nan(tmp_path: Path) -> None:
    write_json_atomic(tmp_path / "a.json", {"kerb": "Bordstein – ä"})
    assert json.loads((tmp_path / "a.json").read_text()) == {"kerb": "Bordstein – ä"}
    with pytest.raises(ValueError, match="JSON"):
        write_json_atomic(tmp_path / "b.json", {"x": float("nan")})
    assert not (tmp_path / "b.json").exists()


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    assert sha256_file(tmp_path / "f").startswith("ba7816bf")
