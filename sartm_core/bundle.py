"""The model bundle: the folder that export writes and every runtime reads."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sartm_core.classes import IGNORE_ID, ClassTable, read_table
from sartm_core.errors import SartmError
from sartm_core.files import sha256_file, write_json_atomic
from sartm_core.share import share_roots
from sartm_core.thermal import ThermalSpec

SCHEMA_VERSION = 1
MANIFEST = "bundle.json"
SAMPLE = "sample.npz"
WEIGHTS = "weights.safetensors"
MODEL_CARD = "MODEL_CARD.md"
MODEL_FILES = {
    "fp32": "model.onnx",
    "fp16": "model.fp16.onnx",
    "int8": "model.int8.onnx",
    "int8cpu": "model.int8cpu.onnx",
}
OPSETS = range(18, 21)  # 23 emits Attention, which TensorRT's parser refuses

_MANIFEST_SIZE_LIMIT = 4 << 20
_SIDE_MULTIPLE = 32


@dataclass(frozen=True, slots=True)
class Bundle:
    """A model bundle whose manifest was checked.

    Attributes:
        path: the folder.
        name: the model's name.
        classes: what the mask's ids mean.
        input_size: (height, width) of the network's input, pixels.
        resize: how an image reaches ``input_size``; ``stretch``.
        thermal: what the thermal input means by default.
        manifest: all of bundle.json, unknown keys included.
    """

    path: Path
    name: str
    classes: ClassTable
    input_size: tuple[int, int]
    resize: str
    thermal: ThermalSpec
    manifest: Mapping[str, Any] = field(repr=False)

    @property
    def precisions(self) -> tuple[str, ...]:
        return tuple(self.manifest["files"])

    @property
    def rgb_size(self) -> tuple[int, int]:
        """(height, width) of the RGB images that go in: ``input_size``, or that of the camera whose
        images the graph itself resizes."""
        camera = self.manifest.get("input", {}).get("camera")
        return (int(camera["height"]), int(camera["width"])) if camera else self.input_size

    @property
    def sample_path(self) -> Path:
        """sample.npz: synthetic frames and the masks that the fp32 model gave for them."""
        return self.path / SAMPLE

    def model_path(self, precision: str = "fp32") -> Path:
        """The ONNX file of a precision, its SHA-256 compared with the manifest.

        Raises:
            SartmError: the bundle has no such precision, or the file is missing, damaged or of an
                opset that runtimes may refuse.
        """
        files = self.manifest["files"]
        if precision not in files:
            raise SartmError(
                f"bundle '{self.name}' has no {precision} model",
                expected=", ".join(files),
                remedy=f"sartm export CKPT --out {self.path} --precision {precision}",
            )
        opset = files[precision].get("opset")
        if opset not in OPSETS:
            raise SartmError(
                f"the {precision} model of bundle '{self.name}' has an opset that runtimes may "
                "refuse",
                got=opset,
                expected=f"{OPSETS[0]} to {OPSETS[-1]}",
                remedy="export it with `sartm export`",
            )
        return self._verified(files[precision])

    def weights_path(self) -> Path:
        """The weights as PyTorch takes them, their SHA-256 compared with the manifest.

        Raises:
            SartmError: the bundle has none, or the file is missing or damaged.
        """
        if "network" not in self.manifest:
            raise SartmError(
                f"bundle '{self.name}' has no weights for PyTorch, only ONNX files",
                expected=f"{WEIGHTS} and the section 'network' of {MANIFEST}",
                remedy="sartm export CKPT --out BUNDLE --weights",
            )
        return self._verified(self.manifest["network"]["weights"])

    def sha256(self, precision: str = "fp32") -> str:
        """The SHA-256 that names this model in masks' metadata and metrics: of the file of the
        precision, or of the fp32 file where there is none, as PyTorch makes its own float16."""
        files = self.manifest["files"]
        return str(files[precision if precision in files else "fp32"]["sha256"])

    def _verified(self, entry: Mapping[str, Any]) -> Path:
        path = self.path / str(entry["path"])
        if not path.is_file():
            raise SartmError(
                f"bundle '{self.name}' is incomplete",
                got=f"no file {path}",
                remedy="copy the whole folder again, or export it again",
            )
        digest = sha256_file(path)
        if digest != entry["sha256"]:
            raise SartmError(
                f"bundle '{self.name}' is damaged: {path.name} has the wrong sha256",
                got=digest[:12],
                expected=str(entry["sha256"])[:12],
                remedy="copy the file again, or export the bundle again",
            )
        return path


def load_bundle(name_or_path: str | Path) -> Bundle:
    """Read a bundle named by its folder or, if it ships with sartm, by its name.

    A shipped name is looked up in the checkout's ``models/``, then in ``share/sartm_ros/models``
    of each AMENT prefix, then of ``sys.prefix``.

    Raises:
        SartmError: no such bundle, or its manifest is broken, too new or names no model.
    """
    folder = _find(name_or_path)
    manifest = _read_manifest(folder / MANIFEST)
    try:
        return _parse(folder, manifest)
    except (KeyError, TypeError, ValueError) as error:
        raise SartmError(
            f"{folder / MANIFEST} is not a valid bundle manifest",
            got=f"{type(error).__name__}: {error}",
            remedy="export the bundle again",
        ) from error


def shipped_bundles() -> dict[str, Path]:
    """Name -> folder of every bundle that ships with this installation."""
    found: dict[str, Path] = {}
    for root in share_roots():
        for manifest in sorted(root.glob(f"models/*/{MANIFEST}")):
            found.setdefault(manifest.parent.name, manifest.parent)
    return found


def write_bundle(
    folder: str | Path, manifest: Mapping[str, Any], files: Mapping[str, Path]
) -> Bundle:
    """Write a bundle folder; the manifest comes last, so a half-written bundle never loads.

    Args:
        folder: where to; made if missing. Files of the same names are replaced.
        manifest: bundle.json without ``schema_version`` and ``files``. Unknown keys are kept.
        files: file name in the bundle -> file to copy. The names in ``MODEL_FILES`` become the
            manifest's ``files``, with SHA-256 and opset.

    Returns:
        The bundle as :func:`load_bundle` reads it.

    Raises:
        SartmError: no model file given, or the manifest is not valid.
    """
    folder = Path(folder)
    names = {file: precision for precision, file in MODEL_FILES.items()}
    models = {names[name]: name for name in files if name in names}
    if not models:
        raise SartmError(
            "a bundle needs a model", got=sorted(files), expected=", ".join(MODEL_FILES.values())
        )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    for name, source in files.items():
        if source.resolve() != (folder / name).resolve():
            shutil.copyfile(source, folder / name)
    entries = {
        precision: {
            "path": name,
            "sha256": sha256_file(folder / name),
            "opset": _opset(folder / name),
        }
        for precision, name in models.items()
    }
    whole = {"schema_version": SCHEMA_VERSION, **manifest, "files": entries}
    _parse(folder, whole)
    write_json_atomic(folder / MANIFEST, whole)
    return load_bundle(folder)


def _find(name_or_path: str | Path) -> Path:
    folder = Path(name_or_path).expanduser()
    if (folder / MANIFEST).is_file():
        return folder
    shipped = shipped_bundles()
    if str(name_or_path) in shipped:
        return shipped[str(name_or_path)]
    if folder.exists():
        raise SartmError(
            f"{folder} is not a model bundle",
            got="a file" if folder.is_file() else f"a folder without {MANIFEST}",
            expected="the folder that `sartm export` wrote",
        )
    raise SartmError(
        "no such model bundle",
        got=repr(str(name_or_path)),
        expected="a bundle folder or a shipped name: " + (", ".join(shipped) or "none installed"),
    )


def _read_manifest(path: Path) -> dict[str, Any]:
    if path.stat().st_size > _MANIFEST_SIZE_LIMIT:
        raise SartmError(f"{path} is too large for a manifest", got=f"{path.stat().st_size} bytes")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise SartmError(f"{path} is not JSON", got=error) from error
    if not isinstance(manifest, dict):
        raise SartmError(f"{path} is not a bundle manifest", expected="a JSON object")
    version = manifest.get("schema_version")
    if not isinstance(version, int):
        raise SartmError(f"{path} has no schema_version", got=repr(version), expected="an integer")
    if version > SCHEMA_VERSION:
        raise SartmError(
            f"{path} was written by a newer sartm",
            got=f"schema_version {version}",
            expected=f"at most {SCHEMA_VERSION}",
            remedy=f"install a sartm that reads bundle schema {version}",
        )
    return manifest


def _parse(folder: Path, manifest: Mapping[str, Any]) -> Bundle:
    name = str(manifest["name"])
    if manifest["ignore_id"] != IGNORE_ID:
        raise SartmError(f"bundle '{name}' has the wrong ignore_id", expected=IGNORE_ID)
    size = (int(manifest["input"]["height"]), int(manifest["input"]["width"]))
    if any(side <= 0 or side % _SIDE_MULTIPLE for side in size):
        raise SartmError(
            f"bundle '{name}' has a wrong input size",
            got=f"{size[1]}x{size[0]}",
            expected=f"multiples of {_SIDE_MULTIPLE}",
        )
    if manifest["input"]["resize"] != "stretch":
        raise SartmError(
            f"bundle '{name}' has an unknown resize",
            got=repr(manifest["input"]["resize"]),
            expected="stretch",
        )
    entries = [*manifest["files"].values()]
    if "network" in manifest:
        entries.append(manifest["network"]["weights"])
    for entry in entries:
        if Path(entry["path"]).name != entry["path"]:
            raise SartmError(
                f"bundle '{name}' names a file outside its folder", got=repr(entry["path"])
            )
    window = manifest["thermal"].get("window")
    bundle = Bundle(
        path=folder,
        name=name,
        classes=read_table(name, manifest["classes"]),
        input_size=size,
        resize=str(manifest["input"]["resize"]),
        thermal=ThermalSpec(
            contract=manifest["thermal"]["contract"],
            scale=float(manifest["thermal"].get("scale", 1.0)),
            offset=float(manifest["thermal"].get("offset", 0.0)),
            window=None if window is None else (float(window[0]), float(window[1])),
        ),
        manifest=manifest,
    )
    if any(side <= 0 for side in bundle.rgb_size):
        raise SartmError(f"bundle '{name}' has a wrong camera size", got=bundle.rgb_size)
    return bundle


def _opset(path: Path) -> int:
    """The opset of the default ONNX domain."""
    import onnx

    model = onnx.load(path, load_external_data=False)
    return int(
        max(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    )
