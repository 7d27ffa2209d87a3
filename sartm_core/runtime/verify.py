"""Does a runtime give the masks that it should? Asked on the bundle's own sample frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sartm_core.bundle import Bundle
from sartm_core.errors import SartmError
from sartm_core.evaluation.metrics import confusion
from sartm_core.frames import Image
from sartm_core.runtime import Runtime

THRESHOLDS = {"fp32": 0.99, "fp16": 0.95, "int8": 0.90, "int8cpu": 0.90}


@dataclass(frozen=True, slots=True)
class Verification:
    """How far a runtime's masks agree with the reference.

    Attributes:
        agreement: mean over the frames of :func:`mask_agreement`, 0..1.
        worst: the frame with the lowest agreement.
        threshold: what the precision must reach.
    """

    agreement: float
    worst: float
    threshold: float

    @property
    def ok(self) -> bool:
        return self.agreement >= self.threshold


def verify(bundle: Bundle, runtime: Runtime) -> Verification:
    """Compare a runtime with the masks that ONNX Runtime on a CPU gave in fp32.

    Raises:
        SartmError: the bundle has no sample frames, or not of its input size.
    """
    if not bundle.sample_path.is_file():
        raise SartmError(
            f"bundle '{bundle.name}' has no sample frames",
            got=f"no {bundle.sample_path}",
            remedy="export the bundle again",
        )
    with np.load(bundle.sample_path, allow_pickle=False) as sample:
        rgb, thermal = sample["rgb"], sample["thermal"]
        valid, expected = sample["thermal_valid"], sample["mask"]
    if rgb.shape[1:3] != bundle.input_size:
        raise SartmError(
            f"{bundle.sample_path} has frames of another size",
            got=rgb.shape[1:3],
            expected=bundle.input_size,
        )
    present = np.ones(2, np.float32)
    agreements = [
        mask_agreement(
            runtime.infer(rgb[i], thermal[i], valid[i], present)[0],
            expected[i],
            len(bundle.classes),
        )
        for i in range(len(rgb))
    ]
    return Verification(
        agreement=float(np.mean(agreements)),
        worst=float(np.min(agreements)),
        threshold=THRESHOLDS[runtime.precision],
    )


def mask_agreement(first: Image, second: Image, classes: int) -> float:
    """Mean IoU between two HxW masks over the classes that occur in either, 0..1.

    Pixel agreement would not do: a mask of background alone agrees above 0.97 with the truth on a
    third of road frames.
    """
    counts = confusion(second, first, classes)[:, :classes]
    overlap = np.diag(counts)
    union = counts.sum(0) + counts.sum(1) - overlap
    present = union > 0
    return float((overlap[present] / union[present]).mean()) if present.any() else 1.0
