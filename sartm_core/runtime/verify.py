"""Does a runtime give the masks that it should? Asked on the bundle's own sample frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sartm_core.bundle import Bundle
from sartm_core.errors import SartmError
from sartm_core.evaluation.metrics import confusion
from sartm_core.runtime import Runtime

Counts = npt.NDArray[np.int64]

THRESHOLDS = {"fp32": 0.99, "fp16": 0.95, "int8": 0.90, "int8cpu": 0.90}


@dataclass(frozen=True, slots=True)
class Verification:
    """How far a runtime's masks agree with the reference.

    Attributes:
        agreement: mean IoU over the classes that occur in either mask, all frames together, 0..1.
        worst: the same of the frame with the lowest value.
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
        SartmError: the bundle has no sample frames, or not of its size.
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
    if rgb.shape[1:3] != bundle.rgb_size:
        raise SartmError(
            f"{bundle.sample_path} has frames of another size",
            got=rgb.shape[1:3],
            expected=bundle.rgb_size,
        )
    present = np.ones(2, np.float32)
    classes = len(bundle.classes)
    counts = [
        confusion(expected[i], runtime.infer(rgb[i], thermal[i], valid[i], present)[0], classes)
        for i in range(len(rgb))
    ]
    return Verification(
        agreement=mean_iou(np.sum(counts, axis=0)),
        worst=min(mean_iou(frame) for frame in counts),
        threshold=THRESHOLDS[runtime.precision],
    )


def mean_iou(counts: Counts) -> float:
    """Mean IoU over the classes that occur in either mask, 0..1, from [C, C+1] counts.

    Pixel agreement would not do: a mask of background alone agrees above 0.97 with the truth on a
    third of road frames. Nor would the mean of the frames' own values: a class that is lost, but
    shows in few frames, would hardly lower it.
    """
    each = class_iou(counts)
    return 1.0 if np.isnan(each).all() else float(np.nanmean(each))


def class_iou(counts: Counts) -> npt.NDArray[np.float64]:
    """[C] IoU of each class, NaN where it occurs in neither mask, from [C, C+1] counts."""
    overlap = np.diag(counts)
    union = counts.sum(axis=1) + counts[:, : len(overlap)].sum(axis=0) - overlap
    values: npt.NDArray[np.float64] = np.where(union > 0, overlap / np.maximum(union, 1), np.nan)
    return values
