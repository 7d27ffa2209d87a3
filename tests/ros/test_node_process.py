"""A child process that never outlives its parent, in a ROS domain of its own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sartm_core.errors import SartmError
from sartm_ros.replay.node_process import NodeProcess, free_domain, isolated_environment

ROOT = Path(__file__).resolve().parents[2]
SLEEP = [sys.executable, "-S", "-c", "import time; print('up', flush=True); time.sleep(60)"]


def ended(pid, within_s=5.0):
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def test_leaving_the_block_ends_the_process(tmp_path):
    with NodeProcess(SLEEP, os.environ, tmp_path / "log") as process:
        process.check()
        pid = process.pid
        assert not ended(pid, within_s=0.2)
        assert process.resident_mib() > 1
    assert ended(pid)


def test_a_process_that_ignores_the_interrupt_is_killed(tmp_path):
    stubborn = "import signal, time; signal.signal(2, signal.SIG_IGN); time.sleep(60)"
    with NodeProcess([sys.executable, "-S", "-c", stubborn], os.environ, tmp_path / "log") as child:
        time.sleep(0.3)
        assert child.stop(patience_s=0.2) == -signal.SIGKILL


def test_a_signal_is_sent_and_the_end_awaited(tmp_path):
    with NodeProcess(SLEEP, os.environ, tmp_path / "log") as process:
        assert process.wait(timeout_s=0.1) is None
        process.send(signal.SIGTERM)
        assert process.wait(timeout_s=10) == -signal.SIGTERM


def test_an_early_end_is_told_with_its_last_words(tmp_path):
    failing = [sys.executable, "-S", "-c", "raise SystemExit('no such camera')"]
    with NodeProcess(failing, os.environ, tmp_path / "log") as process:
        assert ended(process.pid)
        with pytest.raises(SartmError, match=r"ended early; got exit code 1.*no such camera"):
            process.check()


def test_a_killed_parent_leaves_no_orphan(tmp_path):
    parent = (
        "import os, sys, time; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from sartm_ros.replay.node_process import NodeProcess\n"
        "with NodeProcess(eval(sys.argv[2]), os.environ, Path(sys.argv[3])) as child:\n"
        "    print(child.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    command = [sys.executable, "-c", parent, str(ROOT), repr(SLEEP), str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        child = int(process.stdout.readline())
        assert Path(f"/proc/{child}").exists()
        process.kill()
    assert ended(child)


def test_the_environment_is_cut_off_from_other_robots(monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", "0")
    monkeypatch.setenv("ROS_STATIC_PEERS", "robot.local")
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "SUBNET")
    monkeypatch.delenv("FASTRTPS_DEFAULT_PROFILES_FILE", raising=False)
    monkeypatch.delenv("FASTDDS_DEFAULT_PROFILES_FILE", raising=False)
    environment = isolated_environment()
    assert 1 <= int(environment["ROS_DOMAIN_ID"]) <= 101
    assert environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
    assert "ROS_STATIC_PEERS" not in environment
    assert Path(environment["FASTRTPS_DEFAULT_PROFILES_FILE"]).is_file()


def test_the_profile_of_the_user_wins(monkeypatch):
    monkeypatch.setenv("FASTRTPS_DEFAULT_PROFILES_FILE", "/mine.xml")
    environment = isolated_environment()
    assert environment["FASTRTPS_DEFAULT_PROFILES_FILE"] == "/mine.xml"
    assert "FASTDDS_DEFAULT_PROFILES_FILE" not in environment
    assert "FASTRTPS_DEFAULT_PROFILES_FILE" not in isolated_environment(profile=False)


def test_a_domain_in_use_is_not_taken(monkeypatch):
    import socket

    taken = free_domain()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as participant:
        participant.bind(("", 7400 + 250 * taken + 10))
        other = free_domain()
        monkeypatch.setattr("random.sample", lambda *_: [taken, other])
        assert free_domain() == other
