"""Networks from configurations."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sartm_core.models.sam.variants import SAM_VARIANTS
from sartm_core.models.teacher import Teacher
from sartm_core.training.build import build_network
from tests.core.models.tiny_sam import TINY, write_sam
from tests.training_runs import tiny_config


@pytest.mark.parametrize("pretrained", [True, False])
def test_encoder_and_mask_decoder_start_from_sams_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pretrained: bool
) -> None:
    monkeypatch.setitem(SAM_VARIANTS, "sam_vit_b", TINY)
    sam = write_sam(tmp_path / "sam.pth").state_dict()
    config = tiny_config(
        tmp_path / "run",
        *("model.architecture=teacher", "model.encoder=sam_vit_b", "model.lora_rank=2"),
        f"model.checkpoint={tmp_path / 'sam.pth'}",
    )
    teacher = build_network(config, pretrained=pretrained)
    assert isinstance(teacher, Teacher)
    own = teacher.state_dict()
    for name, theirs in (
        ("mask_decoder.pe_layer.", "prompt_encoder.pe_layer."),
        ("mask_decoder.transformer.", "mask_decoder.transformer."),
        ("encoder.stream.image_encoder.neck.", "image_encoder.neck."),
    ):
        pairs = [(own[k], sam[theirs + k.removeprefix(name)]) for k in own if k.startswith(name)]
        assert pairs
        assert all(torch.equal(*pair) for pair in pairs) is pretrained
