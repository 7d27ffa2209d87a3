"""TensorBoard files of a run: the rows of metrics.jsonl as curves, and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sartm_core.frames import Image
from sartm_core.losses import CrossModalDistillation

FOLDER = "tensorboard"


class Board:
    """Writes TensorBoard events into a run folder.

    Args:
        folder: of the run.
        step: what an earlier, killed part of the run wrote after this step is hidden.
    """

    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(folder / FOLDER), purge_step=step + 1)

    def log(self, row: dict[str, Any]) -> None:
        """A row of metrics.jsonl: every number becomes a point of the curve of its name."""
        for name, value in row.items():
            if isinstance(value, dict):
                self.log({"step": row["step"], **{f"{name}/{key}": v for key, v in value.items()}})
            elif name != "step" and isinstance(value, int | float):
                self._writer.add_scalar(name, value, row["step"])

    def similarities(self, step: int, cmkd: CrossModalDistillation) -> None:
        """Pictures of the class relations: the words', and each view's prototypes'; none where no
        class has a word."""
        for name, matrix in cmkd.similarities().items():
            if matrix.numel() > 0:
                picture = similarity_picture(matrix.cpu().numpy())
                self._writer.add_image(f"similarity/{name}", picture, step, dataformats="HWC")

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()


def similarity_picture(matrix: npt.NDArray[np.float32], cell: int = 24) -> Image:
    """A matrix of cosines as cells from blue (-1) over white (0) to red (1); NaN is grey.

    Args:
        matrix: float [K,K].
        cell: side of a cell in pixels.

    Returns:
        uint8 [K*cell,K*cell,3], RGB.
    """
    value = np.clip(np.nan_to_num(matrix), -1.0, 1.0)[..., None]
    red, blue, white = np.array([[178, 24, 43], [33, 102, 172], [247, 247, 247]], np.float32)
    colour = np.where(value > 0, white + value * (red - white), white - value * (blue - white))
    colour[np.isnan(matrix)] = 127
    return np.kron(colour.round().astype(np.uint8), np.ones((cell, cell, 1), np.uint8))
