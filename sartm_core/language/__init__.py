"""Words as vectors: text encoders, class tables and prompts in one text space.

Nothing here imports torch before a text is embedded that is not in the cache.
"""

from sartm_core.language.encoders import create_text_encoder
from sartm_core.language.templates import TEMPLATES
from sartm_core.language.text_space import TextEncoder, require_same_space
from sartm_core.language.words import WordTable, embed_classes, embed_words, reference_centre

__all__ = [
    "TextEncoder",
    "create_text_encoder",
    "require_same_space",
    "TEMPLATES",
    "WordTable",
    "embed_classes",
    "embed_words",
    "reference_centre",
]
