"""The node in this process: what it answers to which images."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy: the ros-jazzy wheels or a ROS 2")

from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import Image
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

from sartm_ros.faults.poison import RAISES
from tests.bundles import CAR, CONFIDENCE, PERSON, write_tiny_bundle
from tests.ros.probe import LATCHED, Probe, image, rgb_image, thermal_image, values, wait_for

pytestmark = pytest.mark.ros

MakeNode = Callable[..., Any]
START = 1_700_000_000_123_456_789
PERIOD = 100_000_000


def pixels(message: Image) -> np.ndarray:
    channels = message.step // message.width
    array = np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, channels)
    return array[..., 0] if channels == 1 else array


def test_mask_has_the_header_and_size_of_the_rgb_image(
    make_node: MakeNode, probe: Probe, tiny_bundle: Path
) -> None:
    make_node(model__path=str(tiny_bundle))
    probe.wait_until_connected()
    probe.send(START, height=60, width=80)
    mask = wait_for(lambda: probe.masks and probe.masks[0], "a mask")
    assert mask.header == rgb_image(START).header
    assert (mask.encoding, mask.height, mask.width, mask.step) == ("mono8", 60, 80, 80)
    assert set(np.unique(pixels(mask)[:, :38])) == {PERSON}
    assert set(np.unique(pixels(mask)[:, 42:])) == {CAR}


def test_frame_info_joins_the_mask(make_node: MakeNode, probe: Probe, tiny_bundle: Path) -> None:
    make_node(model__path=str(tiny_bundle))
    probe.wait_until_connected()
    probe.thermal.publish(thermal_image(START - 30_000_000))
    probe.rgb.publish(rgb_image(START))
    info = wait_for(lambda: probe.infos and probe.infos[0], "a frame_info")
    assert info.header == probe.masks[0].header
    found = values(info.status[0])
    assert found["modalities"] == "rgb+thermal"
    assert found["degraded"] == "no"
    assert found["thermal_stamp"] == "1700000000.093456789"
    assert float(found["thermal_age_ms"]) == pytest.approx(30.0)
    assert found["model"] == "tiny"
    assert len(found["model_sha256"]) == 64
    for stage in ("intake", "pairing", "queue", "decode", "pre", "infer", "post"):
        assert float(found[f"time_{stage}_ms"]) >= 0
    assert float(found["time_total_ms"]) >= float(found["time_infer_ms"])


def test_without_thermal_the_mask_is_degraded(
    make_node: MakeNode, probe: Probe, tiny_bundle: Path
) -> None:
    make_node(model__path=str(tiny_bundle))
    probe.wait_until_connected()
    probe.rgb.publish(rgb_image(START))
    info = wait_for(lambda: probe.infos and probe.infos[0], "a frame_info")
    found = values(info.status[0])
    assert (found["modalities"], found["degraded"], found["degraded_reason"]) == (
        "rgb",
        "yes",
        "no_thermal",
    )
    assert info.status[0].level == DiagnosticStatus.WARN
    assert set(np.unique(pixels(probe.masks[0]))) == {CAR}


def test_thermal_alone_gives_masks_with_its_header(
    make_node: MakeNode, probe: Probe, tiny_bundle: Path
) -> None:
    node = make_node(model__path=str(tiny_bundle), sync__max_hold_s=0.1)
    probe.wait_until_connected()
    for i in range(4):
        probe.thermal.publish(thermal_image(START + i * PERIOD, height=30, width=40))
        time.sleep(0.05)
    mask = wait_for(lambda: probe.masks and probe.masks[0], "a mask")
    assert mask.header.frame_id == "thermal_optical_frame"
    assert (mask.height, mask.width) == (30, 40)
    wait_for(lambda: node.accounts().thermal.published_alone > 0, "the count")
    assert node.accounts().rgb.received == 0


def test_output_size_network(make_node: MakeNode, probe: Probe, tiny_bundle: Path) -> None:
    make_node(model__path=str(tiny_bundle), output__size="network")
    probe.wait_until_connected()
    probe.send(START)
    mask = wait_for(lambda: probe.masks and probe.masks[0], "a mask")
    assert (mask.height, mask.width) == (96, 128)


def test_pictures_are_made_only_while_somebody_looks(
    make_node: MakeNode, probe: Probe, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sartm_core import viz

    made: list[str] = []
    for name in ("colorize", "overlay"):
        real = getattr(viz, name)
        monkeypatch.setattr(
            viz, name, lambda *a, real=real, name=name, **k: made.append(name) or real(*a, **k)
        )
    make_node(model__path=str(tiny_bundle))
    probe.wait_until_connected()
    probe.send(START)
    wait_for(lambda: probe.masks, "a mask")
    time.sleep(0.1)
    assert made == []
    pictures = {
        name: probe.record(Image, f"segment/{name}")
        for name in ("confidence", "mask_color", "overlay")
    }
    time.sleep(0.5)  # discovery of the new subscriptions
    probe.send(START + PERIOD)
    wait_for(lambda: all(pictures.values()), "the pictures")
    assert set(made) == {"colorize", "overlay"}
    for name, encoding in (("confidence", "mono8"), ("mask_color", "rgb8"), ("overlay", "rgb8")):
        picture = pictures[name][0]
        assert (picture.encoding, picture.height, picture.width) == (encoding, 60, 80)
        assert picture.header == rgb_image(START + PERIOD).header
    assert set(np.unique(pixels(pictures["confidence"][0]))) == {CONFIDENCE}


def test_class_map_reaches_late_subscribers_before_and_after_activation(
    make_node: MakeNode, probe: Probe, tiny_bundle: Path
) -> None:
    node = make_node(start=False, model__path=str(tiny_bundle))
    for transition in (node.trigger_configure, node.trigger_activate, node.trigger_deactivate):
        assert transition().name == "SUCCESS"
        time.sleep(0.2)
        maps = probe.record(String, "segment/class_map", LATCHED)
        text = wait_for(lambda maps=maps: maps and maps[0], "the class map").data
        classes = json.loads(text)
        assert classes["version"] == 1
        assert classes["2"] == {"name": "person", "color": [64, 64, 0]}


def test_pixels_less_sure_than_min_confidence_are_unlabelled(
    make_node: MakeNode, probe: Probe, tiny_bundle: Path
) -> None:
    make_node(model__path=str(tiny_bundle), output__min_confidence=0.9)
    probe.wait_until_connected()
    probe.send(START)
    mask = wait_for(lambda: probe.masks and probe.masks[0], "a mask")
    assert set(np.unique(pixels(mask))) == {255}


def _bad_rgb() -> dict[str, Image]:
    good = {name: rgb_image(START) for name in ("bad_step", "truncated", "zero_size", "encoding")}
    good["bad_step"].step = 10
    good["truncated"].data = good["truncated"].data[:-1]
    good["zero_size"].height = 0
    good["encoding"].encoding = "mono16"
    return good


def test_bad_images_are_counted_and_survived(
    make_node: MakeNode, probe: Probe, tiny_bundle: Path
) -> None:
    node = make_node(model__path=str(tiny_bundle))
    probe.wait_until_connected()
    for message in _bad_rgb().values():
        probe.rgb.publish(message)
    kelvin = np.full((60, 80), 300.0, np.float32)
    kelvin[5, 5] = np.nan
    probe.thermal.publish(image(kelvin, "32FC1", START))
    probe.thermal.publish(rgb_image(START))
    wait_for(lambda: node.accounts().thermal.received == 2, "the bad thermal images")
    wait_for(lambda: sum(node.accounts().rgb.dropped.values()) == 4, "the counts")
    assert len(node.accounts().rgb.dropped) == 4
    assert set(node.accounts().thermal.unused.values()) == {1}
    status = probe.wait_for_status("rgb input", lambda s: "dropped" in s.message)
    assert status.level == DiagnosticStatus.WARN

    probe.send(START + PERIOD)
    mask = wait_for(lambda: probe.masks and probe.masks[0], "a mask after bad images")
    assert mask.header.stamp.nanosec == (START + PERIOD) % 1_000_000_000
    assert values(probe.infos[0].status[0])["modalities"] == "rgb+thermal"


def test_a_failing_engine_is_reported_and_survived(
    make_node: MakeNode, probe: Probe, tmp_path: Path
) -> None:
    node = make_node(model__path=str(write_tiny_bundle(tmp_path / "b", poisoned=True)))
    probe.wait_until_connected()
    probe.rgb.publish(rgb_image(START, red=RAISES))
    wait_for(lambda: node.accounts().rgb.dropped == {"inference_error": 1}, "the count")
    status = probe.wait_for_status("model", lambda s: s.level == DiagnosticStatus.ERROR)
    assert "indices" in status.message
    probe.rgb.publish(rgb_image(START + PERIOD))
    wait_for(lambda: probe.masks, "a mask after the failure")
    probe.wait_for_status("model", lambda s: s.level == DiagnosticStatus.OK)


def test_a_failure_while_a_report_is_made_is_told_by_the_next(
    make_node: MakeNode, probe: Probe, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sartm_ros import node as module

    node = make_node(model__path=str(tiny_bundle))
    real, fail = module.statuses, [True]

    def failing_meanwhile(*facts: Any) -> Any:
        if fail and fail.pop():
            node._on_failure(RuntimeError("too late for this report"))
        return real(*facts)

    monkeypatch.setattr(module, "statuses", failing_meanwhile)
    status = probe.wait_for_status("model", lambda s: s.level == DiagnosticStatus.ERROR)
    assert "too late for this report" in status.message


def test_accounting_closes_under_overload(
    make_node: MakeNode, probe: Probe, tmp_path: Path
) -> None:
    bundle = write_tiny_bundle(tmp_path / "slow", height=160, width=192, work=6)
    node = make_node(model__path=str(bundle), sync__missing_thermal="drop", model__threads=1)
    probe.wait_until_connected()
    sent = 60
    for i in range(sent):
        stamp = START + i * 10_000_000
        if i % 2 == 0 and i < 50:
            probe.thermal.publish(thermal_image(stamp))
        probe.rgb.publish(rgb_image(stamp))
        time.sleep(0.002)
        rgb, thermal = node.accounts().rgb, node.accounts().thermal
        in_flight = sum(rgb.in_flight.values())
        assert rgb.received == rgb.published + sum(rgb.dropped.values()) + in_flight
        assert thermal.received == thermal.used + sum(thermal.unused.values()) + thermal.buffered
    wait_for(
        lambda: (
            sum(node.accounts().rgb.in_flight.values()) == 0
            and node.accounts().rgb.received + (node.accounts().rgb.lost_in_transport or 0) == sent
        ),
        "the end",
    )
    rgb = node.accounts().rgb
    assert rgb.received == rgb.published + sum(rgb.dropped.values())
    assert rgb.dropped["overwritten"] > 0
    assert rgb.published > 0
    wait_for(lambda: len(probe.masks) == rgb.published, "all masks")
    stamps = [m.header.stamp.sec * 10**9 + m.header.stamp.nanosec for m in probe.masks]
    assert stamps == sorted(stamps), "old frames must never follow newer ones"


def test_max_rate_drops_before_the_model(
    make_node: MakeNode, probe: Probe, tiny_bundle: Path
) -> None:
    node = make_node(model__path=str(tiny_bundle), output__max_rate_hz=0.1)
    probe.wait_until_connected()
    for i in range(5):
        probe.send(START + i * PERIOD)
    wait_for(lambda: sum(node.accounts().rgb.dropped.values()) == 4, "the drops")
    assert node.accounts().rgb.dropped == {"rate_limit": 4}


def test_diagnostics_speak_while_nothing_arrives(
    make_node: MakeNode, probe: Probe, tiny_bundle: Path, namespace: str
) -> None:
    make_node(model__path=str(tiny_bundle), diagnostics__max_silence_s=0.2)
    status = probe.wait_for_status("rgb input", lambda s: s.level == DiagnosticStatus.ERROR)
    assert f"on {namespace}/rgb/image; 1 publishers" in status.message
    assert status.message.startswith("no RGB image received for ")
    assert values(status)["silent_s"] == "n/a"
    assert probe.status("thermal input").level == DiagnosticStatus.WARN
    assert probe.status("pairing").message == "n/a"
    assert probe.status("model").hardware_id == "cpu/tiny"
    assert values(probe.status("output"))["state"] == "active"


def test_an_image_without_content_is_told(
    make_node: MakeNode, probe: Probe, tiny_bundle: Path
) -> None:
    make_node(model__path=str(tiny_bundle))
    probe.wait_until_connected()
    probe.rgb.publish(rgb_image(START))  # all of it red
    status = probe.wait_for_status("rgb input", lambda s: "same value everywhere" in s.message)
    assert status.level == DiagnosticStatus.WARN
    probe.send(START + PERIOD)  # the thermal one has two halves
    wait_for(lambda: len(probe.masks) == 2, "both masks")
    assert "everywhere" not in probe.status("thermal input").message


def test_a_broken_model_leaves_the_node_alive_and_says_why(
    make_node: MakeNode, probe: Probe, tmp_path: Path
) -> None:
    bundle = write_tiny_bundle(tmp_path / "b")
    (bundle / "model.onnx").write_bytes(b"no model")
    node = make_node(model__path=str(bundle))
    status = probe.wait_for_status("model", lambda s: s.level == DiagnosticStatus.ERROR)
    assert "sha256" in status.message
    assert values(probe.status("output"))["state"] == "unconfigured"
    write_tiny_bundle(bundle)
    assert node.trigger_configure().name == "SUCCESS"


def test_enable_switches_masks_off_and_on(
    make_node: MakeNode, probe: Probe, tiny_bundle: Path
) -> None:
    node = make_node(model__path=str(tiny_bundle))
    probe.wait_until_connected()
    assert probe.call(SetBool, "enable", SetBool.Request(data=False)).success
    probe.send(START)
    wait_for(lambda: node.accounts().rgb.dropped == {"disabled": 1}, "the drop")
    assert probe.call(SetBool, "enable", SetBool.Request(data=True)).success
    probe.send(START + PERIOD)
    wait_for(lambda: probe.masks, "a mask")


def test_reload_takes_the_new_model_and_keeps_the_old_one_if_that_fails(
    make_node: MakeNode, probe: Probe, tmp_path: Path
) -> None:
    bundle = write_tiny_bundle(tmp_path / "b")
    make_node(model__path=str(bundle))
    probe.wait_until_connected()
    model = bundle / "model.onnx"
    good = model.read_bytes()
    model.write_bytes(good[:-1] + b"!")
    answer = probe.call(Trigger, "reload_model", Trigger.Request())
    assert not answer.success
    assert "sha256" in answer.message
    probe.send(START)
    wait_for(lambda: probe.masks, "a mask of the old model")

    write_tiny_bundle(bundle, name="newer")
    assert probe.call(Trigger, "reload_model", Trigger.Request()).success
    probe.send(START + PERIOD)
    info = wait_for(lambda: len(probe.infos) > 1 and probe.infos[1], "the second frame_info")
    assert values(info.status[0])["model"] == "newer"
    assert values(info.status[0])["class_list_version"] == "2"


def test_the_node_comes_back_after_deactivation_and_cleanup(
    make_node: MakeNode, probe: Probe, tiny_bundle: Path
) -> None:
    node = make_node(model__path=str(tiny_bundle))
    probe.wait_until_connected()
    probe.send(START)
    wait_for(lambda: len(probe.masks) == 1, "the first mask")
    seen = len(probe.reports)
    assert node.trigger_deactivate().name == "SUCCESS"
    final = wait_for(lambda: probe.status("rgb input", since=seen), "the last report")
    assert values(final)["published"] == "1"
    assert node.trigger_cleanup().name == "SUCCESS"
    assert node.trigger_configure().name == "SUCCESS"
    assert node.trigger_activate().name == "SUCCESS"
    probe.wait_until_connected()
    probe.send(START + PERIOD)
    wait_for(lambda: len(probe.masks) == 2, "the second mask")
    rgb = node.accounts().rgb
    assert (rgb.received, rgb.published) == (2, 2)


def test_what_a_full_queue_overwrites_counts_as_lost(
    make_node: MakeNode, probe: Probe, tiny_bundle: Path
) -> None:
    node = make_node(model__path=str(tiny_bundle))
    probe.wait_until_connected()
    probe.rgb.publish(rgb_image(START))
    wait_for(lambda: node.accounts().rgb.received == 1, "the first image")
    with node._lock:  # the executor waits in its callback
        for i in range(1, 21):
            probe.rgb.publish(rgb_image(START + i * PERIOD))
            time.sleep(0.01)
    probe.rgb.publish(rgb_image(START + 21 * PERIOD))
    wait_for(
        lambda: node.accounts().rgb.received + (node.accounts().rgb.lost_in_transport or 0) == 22,
        "every image to be accounted for",
    )
    assert node.accounts().rgb.lost_in_transport
