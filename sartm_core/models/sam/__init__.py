"""SAM and SAM 2 as encoders of four levels."""

from sartm_core.models.torchvision_ops import ensure_torchvision_ops

ensure_torchvision_ops()  # before any module here imports segment_anything, which needs torchvision
