"""Networks: encoders by name, fusion, decoder, and the student that is made of them."""

from sartm_core.models import encoders as _encoders  # registers the encoders
from sartm_core.models.registry import ENCODERS, Encoder, create_encoder, register_encoder
from sartm_core.models.student import STRIDE, Student

__all__ = ["ENCODERS", "STRIDE", "Encoder", "Student", "create_encoder", "register_encoder"]

del _encoders
