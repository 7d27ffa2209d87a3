"""Joint augmentation of an RGB-thermal pair and its label, in NumPy and OpenCV.

All geometry of a sample is one map from the crop to the source image, so that each image is
resampled once; labels are always taken from the nearest source pixel. Every random number comes
from the generator that the caller passes.
"""

from sartm_core.data.augment.config import MODALITIES, AugmentConfig
from sartm_core.data.augment.copy_paste import Donor, Region, find_regions
from sartm_core.data.augment.masking import RGB_HIDDEN, THERMAL_HIDDEN
from sartm_core.data.augment.pipeline import TrainingSample, augment
from sartm_core.data.augment.soft_targets import SoftTarget

__all__ = [
    "MODALITIES",
    "RGB_HIDDEN",
    "THERMAL_HIDDEN",
    "AugmentConfig",
    "Donor",
    "Region",
    "SoftTarget",
    "TrainingSample",
    "augment",
    "find_regions",
]
