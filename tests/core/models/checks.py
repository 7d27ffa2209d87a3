"""What the tests of several networks check in the same way."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable
from pathlib import Path

import onnx
import onnxruntime
import torch
from torch import nn

CHANNELS = (8, 16, 24, 32)


def random_levels(
    seed: int, batch: int, height: int, width: int, channels: tuple[int, ...] = CHANNELS
) -> list[torch.Tensor]:
    """Features at 1/4, 1/8, 1/16 and 1/32 of an image of ``height`` x ``width``."""
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(batch, width_of, height // stride, width // stride, generator=generator)
        for width_of, stride in zip(channels, (4, 8, 16, 32), strict=True)
    ]


def check_every_parameter_learns(module: nn.Module, run: Callable[[], torch.Tensor]) -> None:
    """One optimiser step changes every parameter, and running makes no new ones, named or not.

    Args:
        run: calls the module.
    """
    before = {name: value.detach().clone() for name, value in module.named_parameters()}
    assert before
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.1, weight_decay=0.0)
    output = run()
    assert torch.equal(run(), output), "weights that are no parameters"
    (
        output * torch.randn(output.shape, generator=torch.Generator().manual_seed(9))
    ).sum().backward()
    optimizer.step()
    after = dict(module.named_parameters())
    assert after.keys() == before.keys()
    stuck = [name for name, value in before.items() if torch.equal(after[name], value)]
    assert not stuck, f"never learns: {stuck}"
    assert not torch.equal(run(), output), "what learns does not reach the output"


def check_onnx_equals_torch(
    module: nn.Module, arguments: tuple[object, ...], feed: list[torch.Tensor], path: Path
) -> onnx.ModelProto:
    """Export, run with ONNX Runtime, compare to 1e-4; returns the exported model.

    Args:
        arguments: of the module's forward.
        feed: the tensors in them, in order.
    """
    module.eval()
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module, arguments, dynamo=True, external_data=False, opset_version=18, verbose=False
        )
    assert program is not None
    program.save(path, external_data=False)
    model = onnx.load(path, load_external_data=False)
    assert max(entry.version for entry in model.opset_import if entry.domain == "") in (18, 19, 20)
    onnx.checker.check_model(model, full_check=True)

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]
    assert len(names) == len(feed)
    found = session.run(None, {name: x.numpy() for name, x in zip(names, feed, strict=True)})[0]
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(found), module(*arguments), rtol=0, atol=1e-4)
    return model
