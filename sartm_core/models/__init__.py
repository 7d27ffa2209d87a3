"""Networks: encoders by name, fusion, heads, and the student and teacher that are made of them."""

from sartm_core.models import encoders as _encoders  # registers the encoders
from sartm_core.models.network import Decoded, Encoded, RgbThermalNetwork
from sartm_core.models.registry import ENCODERS, Encoder, create_encoder, register_encoder
from sartm_core.models.student import STRIDE, Student

__all__ = [
    "ENCODERS",
    "STRIDE",
    "Decoded",
    "Encoded",
    "Encoder",
    "RgbThermalNetwork",
    "Student",
    "create_encoder",
    "register_encoder",
]

del _encoders
