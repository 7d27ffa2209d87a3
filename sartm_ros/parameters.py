"""The node's parameters: one frozen dataclass per concern.

Each field's metadata holds its ``description`` and, where it has them, its ``range`` (low, high) or
its ``choices``. The ROS descriptors, the checks at start and at run time and the table in the docs
all come from there.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from sartm_core.errors import SartmError
from sartm_core.orientation import FLIPS, ROTATIONS, Orientation
from sartm_core.registration import Registration, load_registration
from sartm_core.runtime import RUNTIMES, default_threads
from sartm_core.synchronizer import SyncParameters
from sartm_core.thermal import CONTRACTS, Contract, ThermalSpec

DEMO_BUNDLE = "sartm-demo"


@dataclass(frozen=True, slots=True)
class ModelParameters:
    """Which model runs, and how."""

    path: str = field(
        default="",
        metadata={
            "description": "bundle folder or shipped name; empty = sartm-demo, "
            "trained on synthetic scenes only"
        },
    )
    runtime: str = field(
        default="auto",
        metadata={"description": "engine that runs the model", "choices": ("auto", *RUNTIMES)},
    )
    precision: str = field(
        default="auto",
        metadata={
            "description": "precision of the model file, one that the bundle has",
            "choices": ("auto", "fp32", "fp16", "int8", "int8cpu"),
        },
    )
    threads: int = field(
        default=0,
        metadata={
            "description": "CPU threads of the model; 0 = all cores but one",
            "range": (0, 256),
        },
    )

    engine_cache: str = field(
        default="",
        metadata={"description": "folder of TensorRT engines; empty = the user's cache folder"},
    )
    allow_build: bool = field(
        default=False,
        metadata={
            "description": "build a TensorRT engine that is missing, which takes minutes, instead "
            "of refusing to start"
        },
    )

    @property
    def bundle(self) -> str:
        return self.path or DEMO_BUNDLE

    @property
    def thread_count(self) -> int:
        return self.threads or default_threads()

    @property
    def engine_folder(self) -> Path | None:
        return Path(self.engine_cache).expanduser() if self.engine_cache else None


@dataclass(frozen=True, slots=True)
class InputParameters:
    """How the images come."""

    rgb_transport: str = field(
        default="raw",
        metadata={
            "description": "raw: rgb/image; compressed: CompressedImage on rgb/image/compressed, "
            "after remapping",
            "choices": ("raw", "compressed"),
        },
    )
    thermal_transport: str = field(
        default="raw",
        metadata={
            "description": "raw: thermal/image; compressed, compressedDepth: CompressedImage on "
            "thermal/image/compressed or .../compressedDepth, after remapping",
            "choices": ("raw", "compressed", "compressedDepth"),
        },
    )


@dataclass(frozen=True, slots=True)
class ThermalParameters:
    """What the numbers in the thermal image mean."""

    contract: str = field(
        default="auto",
        metadata={
            "description": "agc8: 8 bit after automatic gain; raw16: 16 bit counts; kelvin: "
            "32 bit float; auto: by the image's encoding",
            "choices": ("auto", *CONTRACTS),
        },
    )
    scale: float = field(
        default=1.0,
        metadata={
            "description": "kelvin per count of raw16, e.g. 0.01 for a Lepton's centikelvin; "
            "used with thermal.window",
            "range": (1e-9, 1e9),
        },
    )
    offset: float = field(
        default=0.0,
        metadata={
            "description": "kelvin at count 0 of raw16; used with thermal.window",
            "range": (-1e9, 1e9),
        },
    )
    window: tuple[float, ...] = field(
        default=(0.0, 0.0),
        metadata={
            "description": "[low, high] in kelvin (grey levels for agc8) shown to the model as "
            "0 and 255; equal = the percentiles of each image",
            "length": 2,
        },
    )
    smoothing_s: float = field(
        default=0.0,
        metadata={
            "description": "time constant with which the levels of the images follow the scene; "
            "0 = each image by its own",
            "range": (0.0, 60.0),
        },
    )
    freeze_s: float = field(
        default=1.5,
        metadata={
            "description": "the same image for longer than this is reported as frozen, also of RGB",
            "range": (0.1, 1e6),
        },
    )

    rotate: int = field(
        default=0,
        metadata={
            "description": "degrees clockwise by which images are turned first",
            "choices": ROTATIONS,
        },
    )
    flip: str = field(
        default="none",
        metadata={"description": "then mirrored", "choices": FLIPS},
    )

    def orientation(self) -> Orientation:
        """How images are turned upright."""
        return Orientation(self.rotate, self.flip)

    def spec(self) -> ThermalSpec | None:
        """What the segmenter is told; None = by the dtype, with the bundle's own values.

        Raises:
            SartmError: values that do not go together.
        """
        low, high = self.window
        if self.contract == "auto":
            if low != high:
                raise SartmError(
                    "thermal.window has no meaning while thermal.contract is auto",
                    got=list(self.window),
                    remedy="set thermal.contract, too: agc8, raw16 or kelvin",
                )
            return None
        return ThermalSpec(
            contract=cast(Contract, self.contract),
            scale=self.scale,
            offset=self.offset,
            window=None if low == high else (low, high),
        )


@dataclass(frozen=True, slots=True)
class RegistrationParameters:
    """How thermal comes onto the RGB image plane."""

    file: str = field(
        default="",
        metadata={
            "description": "file of `sartm calibrate`; empty = both cameras show the same view "
            "already"
        },
    )

    depth_m: float = field(
        default=0.0,
        metadata={
            "description": "without a file: from both cameras' camera_info and the static TF "
            "between them, right at this distance before the RGB camera; 0 = not",
            "range": (0.0, 10_000.0),
        },
    )

    def load(self) -> Registration | None:
        """The file's registration, or None without one.

        Raises:
            SartmError: see :func:`load_registration`.
        """
        return load_registration(Path(self.file).expanduser()) if self.file else None


@dataclass(frozen=True, slots=True)
class OutputParameters:
    """What is published."""

    size: str = field(
        default="rgb",
        metadata={
            "description": "size of the mask: the RGB image's, or the network's own",
            "choices": ("rgb", "network"),
        },
    )
    min_confidence: float = field(
        default=0.0,
        metadata={
            "description": "pixels less sure than this become 255 (unlabelled); 0 = none",
            "range": (0.0, 1.0),
        },
    )
    max_rate_hz: float = field(
        default=0.0,
        metadata={
            "description": "frames that come faster are dropped before the model; 0 = no limit",
            "range": (0.0, 1000.0),
        },
    )
    save_folder: str = field(
        default="",
        metadata={
            "description": "where ~/save_frame writes; empty = sartm_frames in ROS_HOME (~/.ros)"
        },
    )

    @property
    def folder(self) -> Path:
        home = os.environ.get("ROS_HOME") or "~/.ros"
        return Path(self.save_folder or Path(home, "sartm_frames")).expanduser()


@dataclass(frozen=True, slots=True)
class DiagnosticsParameters:
    """When /diagnostics speaks up."""

    max_processing_ms: float = field(
        default=200.0,
        metadata={
            "description": "WARN when a mask takes longer than this from its image's arrival",
            "range": (0.1, 1e6),
        },
    )
    max_silence_s: float = field(
        default=1.0,
        metadata={
            "description": "a camera silent for longer than this is reported",
            "range": (0.01, 1e6),
        },
    )
    hang_s: float = field(
        default=10.0,
        metadata={
            "description": "an inference longer than this ends the process with exit code 1, "
            "so that launch starts it again",
            "range": (0.01, 1e6),
        },
    )


@dataclass(frozen=True, slots=True)
class Parameters:
    """All concerns together; a field's name is the parameters' prefix."""

    model: ModelParameters = field(default_factory=ModelParameters)
    input: InputParameters = field(default_factory=InputParameters)
    sync: SyncParameters = field(default_factory=SyncParameters)
    thermal: ThermalParameters = field(default_factory=ThermalParameters)
    registration: RegistrationParameters = field(default_factory=RegistrationParameters)
    output: OutputParameters = field(default_factory=OutputParameters)
    diagnostics: DiagnosticsParameters = field(default_factory=DiagnosticsParameters)
