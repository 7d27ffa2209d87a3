"""Procedural RGB-thermal scenes with exact MFNet labels, by day and night, on roads and indoors."""

from sartm_core.data.synthetic.folder import write_folder
from sartm_core.data.synthetic.scene import Scene, SceneSequence, generate_scene

__all__ = ["Scene", "SceneSequence", "generate_scene", "write_folder"]
