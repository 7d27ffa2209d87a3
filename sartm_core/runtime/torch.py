"""PyTorch: the network itself, as it was trained, on the CPU or an NVIDIA GPU."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from sartm_core.bundle import Bundle
from sartm_core.errors import SartmError
from sartm_core.frames import Image
from sartm_core.runtime.interface import Batch, batch_of_one

if TYPE_CHECKING:
    from torch import nn

_PRECISIONS = {"cpu": ("fp32",), "cuda": ("fp32", "fp16")}
_CAMERAS = ("rgb+thermal", "rgb", "thermal")


class TorchRuntime:
    """The graph that export writes, run by PyTorch on a bundle's weights.safetensors.

    ``threads`` holds for all of PyTorch in this process, not for this runtime alone.

    Args:
        bundle: whose network; one that was exported with ``--weights``.
        precision: ``fp32``; on a GPU also ``fp16``, with norms and all behind the logits in
            float32. No file of that precision is needed.
        threads: CPU threads.
        device: ``cpu`` or ``cuda``.

    Raises:
        SartmError: PyTorch or what the network is built from is not installed, the bundle has no
            weights, there is no such GPU, or the precision is not one of the device.
    """

    def __init__(
        self, bundle: Bundle, *, precision: str, threads: int, device: str = "cpu"
    ) -> None:
        if find_spec("torch") is None:
            raise SartmError("torch is not installed", remedy="pip install torch")
        if precision not in _PRECISIONS[device]:
            raise SartmError(
                f"the torch runtime cannot compute in {precision} on {device}",
                expected=", ".join(_PRECISIONS[device]),
                remedy="use precision=fp32, or runtime=onnxruntime",
            )
        bundle.weights_path()  # before the seconds that PyTorch takes to load
        import torch

        if device == "cuda" and not torch.cuda.is_available():
            raise SartmError(
                "torch sees no CUDA device",
                got=f"torch {torch.__version__}",
                expected="an NVIDIA GPU with its driver, and a torch built for CUDA",
                remedy="install one from https://pytorch.org/get-started, or use runtime=torch",
            )
        torch.set_num_threads(threads)
        self.name = "torch" if device == "cpu" else f"torch:{device}"
        self.device = device
        self.precision = precision
        graph = _graph(bundle).to(device)
        self._graph = to_half(graph) if precision == "fp16" else graph

    def infer(
        self,
        rgb: Image,
        thermal: Image,
        thermal_valid: Image,
        present: npt.NDArray[np.float32],
    ) -> tuple[Image, Image]:
        batch = batch_of_one(rgb, thermal, thermal_valid, present)
        return run_graph(self._graph, self.device, batch)

    def close(self) -> None:
        del self._graph


def run_graph(graph: nn.Module, device: str, batch: Batch) -> tuple[Image, Image]:
    """Mask and confidence, both HxW uint8, of a ``MaskGraph`` or one with its outputs.

    Args:
        graph: on the device.
        device: as PyTorch names it.
        batch: the network's inputs, in its order.
    """
    import torch

    with torch.inference_mode():
        mask, confidence, _ = graph(
            *(torch.tensor(array, device=device) for array in batch.values())
        )
        return cast(Image, mask[0].cpu().numpy()), cast(Image, confidence[0].cpu().numpy())


def to_half(graph: nn.Module) -> nn.Module:
    """Weights in float16; norms and a head in text space in float32; each layer takes its input in
    its own dtype.

    Without autocast, which would cast every weight again for every frame.

    Args:
        graph: a ``MaskGraph``; it is changed.
    """
    import torch
    from torch import nn
    from torch.nn.modules.batchnorm import _NormBase

    from sartm_core.models.text_head import TextHead

    network = graph.get_submodule("network")
    heads = (layer for layer in network.modules() if isinstance(layer, TextHead))
    kept = {part for head in heads for part in head.modules()}
    for layer in network.modules():
        own = [*layer.parameters(recurse=False)]
        if not own or layer in kept:
            continue
        if not isinstance(layer, (_NormBase, nn.LayerNorm, nn.GroupNorm)):
            for parameter in own:
                parameter.data = parameter.data.half()
        layer.register_forward_pre_hook(_in_dtype_of(own[0]))
    network.register_forward_hook(lambda layer, inputs, logits: cast(torch.Tensor, logits).float())
    return graph


def _in_dtype_of(parameter: nn.Parameter) -> Any:
    import torch

    def cast_inputs(layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(
            value.to(parameter.dtype)
            if isinstance(value, torch.Tensor) and value.is_floating_point()
            else value
            for value in inputs
        )

    return cast_inputs


def _graph(bundle: Bundle) -> nn.Module:
    try:
        from sartm_core.export.graph import MaskGraph
        from sartm_core.export.weights import read_network
        from sartm_core.models.branches import merge_branches

        network = merge_branches(read_network(bundle))
    except ImportError as error:
        raise SartmError(
            "what builds the network is not installed",
            got=error,
            remedy="pip install -r requirements/train.txt",
        ) from error
    fitted = bundle.manifest.get("calibration", {}).get("temperature", {})
    both, rgb, thermal = (float(fitted.get(cameras, 1.0)) for cameras in _CAMERAS)
    return MaskGraph(network, (both, rgb, thermal)).eval()
