"""One exported bundle with everything that a runtime may want, of an untrained network."""

from __future__ import annotations

import sys
from typing import Any, cast

import pytest

from sartm_core.bundle import Bundle

# Tests that import openvino themselves do not let it report to Google Analytics either.
sys.modules.setdefault("openvino_telemetry", cast(Any, None))


@pytest.fixture(scope="session")
def whole_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Bundle of 96x64 with fp32, fp16, int8cpu and weights."""
    pytest.importorskip("torch")
    from sartm_core.export.export import export_bundle
    from sartm_core.export.precisions import add_precisions, calibration_feeds
    from tests.core.export.conftest import write_checkpoint

    folder = tmp_path_factory.mktemp("whole")
    write_checkpoint(folder / "last.ckpt")
    bundle = export_bundle(folder / "last.ckpt", folder / "bundle", weights=True, pool=16)
    feeds = calibration_feeds([("synthetic", None)], bundle.input_size, count=4)
    return add_precisions(bundle, ["fp16", "int8cpu"], folder / "bundle", feeds)
