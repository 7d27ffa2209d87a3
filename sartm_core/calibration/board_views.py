"""Calibration boards: what they look like, and where one is in a picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

import cv2
import numpy as np
import numpy.typing as npt

from sartm_core.errors import SartmError
from sartm_core.frames import Image
from sartm_core.registration import Points, Size

Kind = Literal["chessboard", "circles", "asymmetric"]
_ENLARGE_BELOW = 400  # pixels of the longer side: small thermal images are also searched enlarged


@dataclass(frozen=True)
class Board:
    """A flat calibration pattern.

    Attributes:
        kind: chessboard; circles (in a rectangular grid); asymmetric (every other row of circles
            is moved by half a column).
        columns, rows: inner corners of the chessboard, or circles.
        spacing_m: between neighbours; of an asymmetric board between neighbouring rows, which is
            half the distance of neighbours in a row.
    """

    kind: Kind
    columns: int
    rows: int
    spacing_m: float

    @classmethod
    def parse(cls, text: str) -> Board:
        """Read ``KIND:COLUMNSxROWS:SPACING``, for example ``chessboard:9x6:0.04``.

        Raises:
            SartmError: it is none.
        """
        try:
            kind, counts, spacing = text.split(":")
            columns, rows = (int(count) for count in counts.split("x"))
            board = cls(cast(Kind, kind), columns, rows, float(spacing))
        except ValueError:
            board = None
        if (
            board is None
            or board.kind not in get_args(Kind)
            or not 2 <= min(board.columns, board.rows) <= max(board.columns, board.rows) <= 50
            or not 0 < board.spacing_m < 10
        ):
            raise SartmError(
                f"'{text}' is no calibration board",
                expected=f"KIND:COLUMNSxROWS:SPACING with KIND one of {', '.join(get_args(Kind))}, "
                "inner corners (or circles) per row and column, metres between them",
                remedy="write for example chessboard:9x6:0.04",
            )
        if board.kind != "asymmetric" and board.columns == board.rows:
            raise SartmError(
                "a board with as many columns as rows looks the same when it is turned",
                got=counts,
                expected="different numbers, for example 9x6",
            )
        return board

    def points(self) -> npt.NDArray[np.float32]:
        """[N,3] metres, row by row, z = 0."""
        row, column = np.divmod(np.arange(self.columns * self.rows), self.columns)
        across = 2 * column + row % 2 if self.kind == "asymmetric" else column
        flat = np.stack([across, row, np.zeros_like(row)], axis=1) * self.spacing_m
        return flat.astype(np.float32)

    def find(self, picture: Image) -> Points | None:
        """The board's points in a picture, row by row; either polarity is tried.

        Args:
            picture: HxW uint8.

        Returns:
            [N,2] pixels, or None where the board is not seen whole. Which end of a chessboard or
            of a grid of circles comes first is not told: see `same_order`.
        """
        scales = (1, 2) if max(picture.shape) < _ENLARGE_BELOW else (1,)
        for scale in scales:
            size = (picture.shape[1] * scale, picture.shape[0] * scale)
            enlarged = np.asarray(
                cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC), np.uint8
            )
            for polarity in (enlarged, 255 - enlarged):
                found, points = self._find(polarity)
                if found:
                    return (np.asarray(points, np.float64).reshape(-1, 2) + 0.5) / scale - 0.5
        return None

    def _find(self, picture: Image) -> tuple[bool, object]:
        size = (self.columns, self.rows)
        if self.kind == "chessboard":
            # The image as it is first: after OpenCV's normalisation corners are less accurate
            # (0.3 instead of 0.1 pixels on drawn boards).
            for flags in (cv2.CALIB_CB_ACCURACY, cv2.CALIB_CB_NORMALIZE_IMAGE):
                found, points = cv2.findChessboardCornersSB(picture, size, flags=flags)
                if found:
                    return True, points
            return False, None
        grid = (
            cv2.CALIB_CB_SYMMETRIC_GRID
            if self.kind == "circles"
            else cv2.CALIB_CB_ASYMMETRIC_GRID | cv2.CALIB_CB_CLUSTERING
        )
        parameters = cv2.SimpleBlobDetector.Params()
        parameters.minArea = 12
        parameters.maxArea = picture.size / (self.columns * self.rows)
        parameters.minDistBetweenBlobs = 4
        detector = cv2.SimpleBlobDetector.create(parameters)
        found, points = cv2.findCirclesGrid(picture, size, flags=grid, blobDetector=detector)
        return found, points

    def same_order(self, points: Points, other: Points) -> Points:
        """``points`` in the order of ``other``, of a camera that is turned by less than 90 degrees.

        A chessboard and a grid of circles can be read from either end.
        """
        if self.kind != "asymmetric" and np.dot(points[-1] - points[0], other[-1] - other[0]) < 0:
            return points[::-1].copy()
        return points


@dataclass(frozen=True)
class BoardViews:
    """Where one camera saw the board.

    Attributes:
        size: (width, height) of its images.
        images: how many there were.
        points: name -> [N,2] pixels, of the images that show the board.
    """

    size: Size
    images: int
    points: dict[str, Points]


def find_board(
    board: Board, camera: str, files: Mapping[str, Path], pictures: Iterator[Image]
) -> BoardViews:
    """Look for the board in every image of a camera.

    Args:
        board: the board.
        camera: its name in errors.
        files: name -> file.
        pictures: HxW uint8 of each of ``files``.

    Raises:
        SartmError: no images, sizes that differ, no board in any.
    """
    size: Size | None = None
    points: dict[str, Points] = {}
    for (name, file), picture in zip(files.items(), pictures, strict=True):
        own = (picture.shape[1], picture.shape[0])
        size = size or own
        if own != size:
            raise SartmError(
                f"the {camera} images differ in size",
                got="{}x{} in {}".format(*own, file),
                expected="{}x{} as in the first".format(*size),
                remedy="keep one camera mode throughout",
            )
        found = board.find(picture)
        if found is not None:
            points[name] = found
    if size is None:
        raise SartmError(f"no {camera} images", expected="PNG or JPEG files")
    if not points:
        raise SartmError(
            f"the board is in none of {len(files)} {camera} images",
            expected=f"{board.columns}x{board.rows} "
            + ("inner corners" if board.kind == "chessboard" else "circles"),
            remedy="check columns and rows (inner corners, not squares), that the whole board with "
            "its margin is in view and, in thermal, that it has been heated",
        )
    return BoardViews(size, len(files), points)
