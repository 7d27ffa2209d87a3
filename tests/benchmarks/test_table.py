"""Result files become tables; what was not measured is left out."""

import json

from benchmarks.table import BEGIN, END, PAGE, tables

MACHINE = {"cpu": "CPU", "cores": 2, "memory_gib": 8.0, "versions": {"numpy": "2"}}


def test_only_what_was_measured_is_shown(tmp_path):
    assert tables(tmp_path) == ""
    rgb = {"sent": 900, "received": 897, "lost_percent": 0.33}
    run = {"width": 640, "height": 480, "rate_hz": 30.0, "seconds": 30.0, "profile": True}
    result = {"runs": [{**run, "rgb": rgb}], "machine": MACHINE}
    (tmp_path / "transport.json").write_text(json.dumps(result))
    text = tables(tmp_path)
    assert "| 640x480 at 30 Hz | shipped | 30 | 900 | 897 | 0.33 % |" in text
    assert text.endswith("CPU, 2 cores, 8 GiB; numpy 2.")
    assert "inference" not in text


def test_the_page_has_the_place_for_them():
    page = PAGE.read_text()
    assert page.index(BEGIN) < page.index(END)
