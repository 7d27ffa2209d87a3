"""Image files in, arrays out, with the refusals a data set needs.

Every picture that sartm reads from disk (data sets, `predict`, `score`) comes through here, so one
file decodes to the same bytes everywhere.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sartm_core.errors import SartmError
from sartm_core.files import atomic_path
from sartm_core.frames import Image

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
MAX_PIXELS = 64_000_000
"""An image header that announces more is refused before a single pixel is decoded."""


def read_rgb(path: Path) -> Image:
    """Read a colour picture as HxWx3 uint8 RGB; grey is repeated, alpha is dropped."""
    picture = _open(path)
    if picture.mode not in ("RGB", "RGBA", "L", "P"):
        raise SartmError(
            f"{path} is not an 8-bit colour picture",
            got=f"pixel mode {picture.mode}",
            expected="8-bit RGB",
            remedy="convert the file to 8-bit RGB PNG or JPEG",
        )
    return np.array(picture.convert("RGB"), dtype=np.uint8)


def read_thermal(path: Path) -> Image | npt.NDArray[np.uint16]:
    """Read a thermal picture as HxW, uint8 (AGC) or uint16 (raw), values untouched."""
    pixels = np.array(_open(path))
    if pixels.ndim == 3 and (pixels[..., :1] == pixels[..., :3]).all():
        pixels = pixels[..., 0]
    if pixels.ndim != 2:
        raise SartmError(
            f"{path} is not a thermal picture",
            got="colours that differ between channels",
            expected="one channel, 8 or 16 bit",
            remedy="use the camera's grey output, not its false-colour one",
        )
    if pixels.dtype == np.uint8:
        return pixels
    return _as_uint16(pixels, path)


def read_rgb_thermal(path: Path) -> tuple[Image, Image]:
    """Read a picture with thermal as its fourth channel: HxWx3 RGB and HxW thermal, uint8."""
    picture = _open(path)
    if picture.mode != "RGBA":
        raise SartmError(
            f"{path} does not hold RGB and thermal",
            got=f"pixel mode {picture.mode}",
            expected="8-bit RGBA PNG with thermal as the fourth channel",
            remedy="use MFNet's own files, or lay rgb/ and thermal/ out as a folder data set",
        )
    pixels = np.array(picture, dtype=np.uint8)
    return np.ascontiguousarray(pixels[..., :3]), np.ascontiguousarray(pixels[..., 3])


def read_ids(path: Path) -> Image:
    """Read a label or mask as HxW uint8 class ids (grey or palette PNG, where ids are indices)."""
    if path.suffix.lower() != ".png":
        raise SartmError(
            f"{path} cannot hold class ids",
            got=f"a {path.suffix or 'nameless'} file",
            expected="a PNG file (JPEG changes ids)",
            remedy="save labels and masks as 8-bit single-channel PNG",
        )
    pixels = np.array(_open(path))
    if pixels.ndim != 2 or pixels.dtype == np.bool_:
        raise SartmError(
            f"{path} does not hold class ids",
            got="a colour or 1-bit picture",
            expected="a single-channel PNG whose values are class ids",
            remedy="save the id image, not its coloured rendering",
        )
    if pixels.dtype == np.uint8:
        return pixels
    wide = _as_uint16(pixels, path)
    if int(wide.max(initial=0)) > 255:
        raise SartmError(
            f"{path} holds ids that are out of range",
            got=f"id {int(wide.max())}",
            expected="ids from 0 to 255",
            remedy="check that this is a label image",
        )
    return wide.astype(np.uint8)


def list_images(folder: Path) -> dict[str, Path]:
    """Stem -> file of every PNG and JPEG picture in a folder."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            continue
        if path.stem in found:
            raise SartmError(
                f"{folder} holds one frame twice",
                got=f"{found[path.stem].name} and {path.name}",
                expected="one picture for each name",
                remedy="remove one of the two",
            )
        found[path.stem] = path
    return found


def write_png(path: Path, picture: Image | npt.NDArray[np.uint16]) -> None:
    """Write HxW ids (uint8 or uint16) or an HxWx3 RGB picture (uint8) as PNG.

    A failure leaves the old file.
    """
    from PIL import Image as Pillow

    with atomic_path(path) as aside:
        Pillow.fromarray(picture).save(aside, format="PNG")


def _as_uint16(pixels: npt.NDArray[Any], path: Path) -> npt.NDArray[np.uint16]:
    if pixels.dtype.kind not in "ui" or pixels.min(initial=0) < 0 or pixels.max(initial=0) > 65535:
        raise SartmError(
            f"{path} has an unknown pixel type",
            got=str(pixels.dtype),
            expected="8 or 16 bit integers",
            remedy="save the file as 8- or 16-bit PNG",
        )
    return pixels.astype(np.uint16)


def _open(path: Path) -> Any:
    """Decode PATH with its native pixel mode, after its announced size was judged."""
    import PIL.Image

    try:
        with PIL.Image.open(path, formats=("PNG", "JPEG")) as picture:
            width, height = picture.size
            if width * height > MAX_PIXELS:
                raise _too_large(path, f"{width}x{height}")
            picture.load()
            return picture
    except FileNotFoundError as error:
        raise SartmError(
            f"{path} does not exist",
            got="no such file",
            expected="a PNG or JPEG picture",
            remedy="check the path",
        ) from error
    except PIL.Image.DecompressionBombError as error:
        raise _too_large(path, "a larger one") from error
    except PIL.UnidentifiedImageError as error:
        raise SartmError(
            f"{path} is not an image",
            got="bytes that are neither PNG nor JPEG",
            expected="a PNG or JPEG picture",
            remedy="check the file, whatever its name says",
        ) from error
    except (OSError, SyntaxError, ValueError, struct.error, zlib.error) as error:
        raise SartmError(
            f"{path} cannot be read",
            got=str(error) or type(error).__name__,
            expected="a whole PNG or JPEG picture",
            remedy="the file is damaged or cut off: copy it again",
        ) from error


def _too_large(path: Path, size: str) -> SartmError:
    return SartmError(
        f"{path} announces an absurd size",
        got=size,
        expected=f"at most {MAX_PIXELS // 1_000_000} megapixels",
        remedy="check the file; it may be damaged or hostile",
    )
