"""Switches that do not go together are refused before anything is read, by key and choices."""

from __future__ import annotations

from pathlib import Path

import pytest

from sartm_core.cli import main
from tests.training_runs import TEACHER, write_config, write_words

WORDS = "language.encoder=file"
ALIGNED = (WORDS, "language.alignment=1")
TAUGHT = ("distill.teachers=[a.ckpt]", "distill.logits=1")


@pytest.mark.parametrize(
    ("overrides", "key", "choices"),
    [
        (["method=published"], "method", "sartm, released"),
        (["model.architecture=techer"], "model.architecture", "student, teacher"),
        (["model.encoder=vit"], "model.encoder", "sam_vit_b, sam_vit_h, sam_vit_l"),
        (["model.sharing=none"], "model.sharing", "shared, per_modality"),
        (["model.fusion=add"], "model.fusion", "gated, cmx, concat"),
        (["model.fusion_channels=[8,8,16,2]"], "model.fusion_channels", "4 or more each"),
        (["model.lora_rank=-1"], "model.lora_rank", "0 or more"),
        (["model.lora_rank=some"], "model.lora_rank", "Integer"),
        (["model.gradient_checkpointing=true"], "model.gradient_checkpointing", "BatchNorm"),
        (["model.heads=[]"], "model.heads", "main, aux or both"),
        (["model.heads=[main,text]"], "model.heads", "main, aux"),
        (["model.heads=[main]", "model.inference_head=aux"], "model.inference_head", "main, mean"),
        (["model.inference_head=text"], "model.inference_head", "main, aux, mean"),
        (["cmkd.gap=1", "data.modalities=rgb"], "data.modalities", "rgb+thermal, for cmkd.gap"),
        (["cmkd.gapp=1"], "cmkd.gapp", "gap, gap_prototype, relation"),
        (["cmkd.relation=1"], "language.encoder", "words, for cmkd.relation"),
        (["cmkd.relation=1", WORDS, "model.heads=[main]"], "model.heads", "aux, for relation"),
        (["cmkd.alignment_prototype=1", WORDS], "language.alignment", "a head in text space"),
        (["cmkd.gap=-1"], "cmkd.gap", "0 or more"),
        (["cmkd.temperature=0"], "cmkd.temperature", "above 0"),
        (["cmkd.tau_visual=0"], "cmkd.tau_visual", "above 0"),
        (["cmkd.ema=1"], "cmkd.ema", "0 up to below 1"),
        (["method=released", "cmkd.gap=1"], "cmkd.gap", "0, for method=released"),
        (["language.encoder=clip"], "language.encoder", "none, minilm, open_clip, file"),
        (["language.alignment=1"], "language.encoder", "words, for language.alignment"),
        (["language.alignment=-1"], "language.alignment", "0 or more"),
        ([*ALIGNED, "language.path=''"], "language.path", "a file, for language.encoder=file"),
        ([*ALIGNED, "language.temperature=0"], "language.temperature", "above 0"),
        ([*ALIGNED, "language.grounding=true"], "language.encoder", "minilm or open_clip"),
        (["language.grounding=true"], "language.alignment", "a head in text space"),
        ([*ALIGNED, "model.architecture=student"], "model.architecture", "teacher, for"),
        (["distill.logit=1"], "distill.logit", "flip, scales, cache, logits, feature"),
        (["distill.logits=1"], "distill.teachers", "at least one checkpoint, for distill.logits"),
        (["distill.teachers=[a]"], "distill", "distill.logits, distill.feature, distill.relation"),
        ([*TAUGHT, "distill.feature=-1"], "distill.feature", "0 or more"),
        ([*TAUGHT, "distill.temperature=0"], "distill.temperature", "above 0"),
        ([*TAUGHT, "distill.unlabelled_share=2"], "distill.unlabelled_share", "0 to 1"),
        ([*TAUGHT, "distill.scales=[]"], "distill.scales", "factors of 0.1 to 8"),
        ([*TAUGHT, "distill.scales=[1,9]"], "distill.scales", "factors of 0.1 to 8"),
        ([*TAUGHT, "distill.ema=1"], "distill.ema", "0 up to below 1"),
        (
            [*TAUGHT, "distill.feature=1", "model.heads=[main]"],
            "model.heads",
            "aux, for distill.feature",
        ),
        (["train.schedule=step"], "train.schedule", "cosine, poly"),
        (["train.precision=int8"], "train.precision", "bf16, fp16"),
        (["train.accumulate=0"], "train.accumulate", "above 0"),
        (["train.workers=-1"], "train.workers", "0 or more"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_refused_in_one_line_that_names_key_and_choices(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    overrides: list[str],
    key: str,
    choices: str,
) -> None:
    def load(*_: object, **__: object) -> None:
        raise AssertionError("something was loaded")

    monkeypatch.setattr("sartm_core.training.train.build_step", load)
    monkeypatch.setattr("sartm_core.training.train.load_data", load)
    out = tmp_path / "run"
    words = ["--config", str(write_config(tmp_path)), f"out={out}", *TEACHER]
    path = f"language.path={write_words(tmp_path)}"
    assert main(["train", *words, path, *overrides]) == 1
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert message.count("\n") == 1
    assert key in message
    assert choices in message
    assert not out.exists()


def test_the_pieces_of_these_runs_go_together(tmp_path: Path) -> None:
    from sartm_core.training.config import load_config

    words = f"language.path={write_words(tmp_path)}"
    config = load_config(write_config(tmp_path), [*TEACHER, *ALIGNED, words, "cmkd.relation=1"])
    assert config.language.encoder == "file"
    released = load_config(write_config(tmp_path), [*TEACHER, "method=released"])
    assert released.method == "released"
