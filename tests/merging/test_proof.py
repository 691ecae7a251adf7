"""A merge that went wrong is refused with its figures, and a folder that is not complete with what it lacks."""

import json
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from pipelines.errors import AnswerIsNo, UserError
from pipelines.merging import merge_into_base as merging
from pipelines.merging.adapter_mix import AdapterMix, attach
from pipelines.merging.held_out_rows import HeldOutRows, RowLimits, held_out_rows
from pipelines.merging.merge_into_base import MergedModel, merge_into_base, tokenizer_of
from pipelines.merging.proof import MAX_KL, Subject, prove
from tests.merging.adapters import read_here, save_adapter
from tests.merging.conftest import Twin

LIMITS = RowLimits(n_rows=6, seed=0, max_new_tokens=6, max_positions=256, vocab_size=400)


@dataclass(frozen=True)
class Merge:
    """A base with an adapter, to be merged into a folder and proven there."""

    base: Path
    adapter: Path
    rows: HeldOutRows

    def into(self, folder: Path, dtype: str = "auto") -> Subject:
        mix = AdapterMix((str(self.adapter),))
        folder.mkdir()
        written = merge_into_base(mix, str(self.base), folder, dtype=dtype, max_shard_size="5GB")
        return Subject(mix, str(self.base), folder, written, tokenizer_of(mix, str(self.base)))

    def prove(self, subject: Subject, **options: Any) -> Any:
        return prove(subject, self.rows, max_new_tokens=6, reader=read_here, **options)


@pytest.fixture(scope="module")
def merge(twin: Twin, tmp_path_factory: pytest.TempPathFactory) -> Merge:
    base = twin("llama-3.2-1b")
    adapter = save_adapter(base, tmp_path_factory.mktemp("proof") / "adapter", trained_rows_of=("embed_tokens",))
    rows = held_out_rows(tokenizer_of(AdapterMix((str(adapter),)), str(base)), str(adapter), None, "test", LIMITS)
    return Merge(base, adapter, rows)


def change(folder: Path, **tensors: Callable[[dict[str, torch.Tensor]], torch.Tensor | None]) -> None:
    """Write the weights of `folder` anew with the tensors that the functions make of the old, None to leave out."""
    weights = load_file(folder / "model.safetensors")
    made = {name.replace("__", "."): make(weights) for name, make in tensors.items()}
    kept = {name: tensor for name, tensor in {**weights, **made}.items() if tensor is not None}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})


def scaled_adapter(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    """Merge with every adapter scaled by `factor`."""

    def attach_scaled(*arguments: Any, **options: Any) -> Any:
        model = attach(*arguments, **options)
        for module in model.modules():
            if isinstance(module, LoraLayer):
                module.scale_layer(factor)
        return model

    monkeypatch.setattr(merging, "attach", attach_scaled)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_adapter_scaled_by_a_tenth_more_is_refused(dtype, merge, tmp_path, monkeypatch):
    right = merge.prove(merge.into(tmp_path / "right", dtype))
    assert right.measured.kl_mean <= right.max_kl
    scaled_adapter(monkeypatch, 1.1)
    with pytest.raises(AnswerIsNo, match=r"the base with its adapter: KL .* allowed.* greedy answers equal"):
        merge.prove(merge.into(tmp_path / "wrong", dtype))


@contextmanager
def files_limited_to(n_bytes: int) -> Iterator[None]:
    """No file may grow beyond `n_bytes`: what the system then says stands for a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_one_line_while_merging_and_while_proving(merge, tmp_path):
    with files_limited_to(50_000), pytest.raises(UserError, match=r"cannot write the merged model to .* too large"):
        merge.into(tmp_path / "half")
    subject = merge.into(tmp_path / "merged")
    with files_limited_to(50_000), pytest.raises(UserError, match=r"cannot write the logits of the proof .* too large"):
        merge.prove(subject)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["half", "merged"]


def test_a_larger_tolerance_is_the_users_own(merge, tmp_path, monkeypatch):
    scaled_adapter(monkeypatch, 1.001)
    subject = merge.into(tmp_path / "merged")
    assert 0 < merge.prove(subject, max_kl=1.0).measured.kl_mean < 1e-4
    with pytest.raises(AnswerIsNo):
        merge.prove(subject, max_kl=1e-12)


def test_a_module_left_out_is_refused(merge, tmp_path):
    subject = merge.into(tmp_path / "merged")
    name = "model.layers.1.mlp.down_proj.weight"
    change(subject.folder, **{name.replace(".", "__"): lambda _: load_file(merge.base / "model.safetensors")[name]})
    with pytest.raises(AnswerIsNo, match="differs from the base with its adapter"):
        merge.prove(subject)


def test_a_head_untied_with_other_rows_is_refused(merge, tmp_path):
    subject = merge.into(tmp_path / "merged")
    change(subject.folder, lm_head__weight=lambda old: old["model.embed_tokens.weight"].roll(1, 0).contiguous())
    config = json.loads((subject.folder / "config.json").read_text())
    (subject.folder / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": False}))
    with pytest.raises(AnswerIsNo, match="differs in heads tied: expected True, got False"):
        merge.prove(subject)
    as_if_meant = MergedModel(torch.float32, {**subject.merged.record, "tied": False})
    untied = Subject(**{**vars(subject), "merged": as_if_meant})
    with pytest.raises(AnswerIsNo, match="differs from the base with its adapter"):
        merge.prove(untied)


def test_a_tokenizer_of_another_size_is_refused(merge, tmp_path):
    subject = merge.into(tmp_path / "merged")
    tokenizer = AutoTokenizer.from_pretrained(subject.folder)
    tokenizer.add_tokens(["<|one more|>"])
    tokenizer.save_pretrained(subject.folder)
    with pytest.raises(AnswerIsNo, match="differs in n tokens of tokenizer"):
        merge.prove(subject)


def test_another_template_or_end_token_is_refused(merge, tmp_path):
    subject = merge.into(tmp_path / "merged")
    template = subject.folder / "chat_template.jinja"
    template.write_text(template.read_text().replace("assistant", "helper"))
    with pytest.raises(AnswerIsNo, match="differs in rendered"):
        merge.prove(subject)
    subject = merge.into(tmp_path / "again")
    generation = json.loads((subject.folder / "generation_config.json").read_text())
    (subject.folder / "generation_config.json").write_text(json.dumps(generation | {"eos_token_id": 3}))
    with pytest.raises(AnswerIsNo, match="differs in end token ids"):
        merge.prove(subject)


def test_a_tensor_that_is_missing_is_refused(merge, tmp_path):
    subject = merge.into(tmp_path / "merged")
    change(subject.folder, model__norm__weight=lambda _: None)
    with pytest.raises(AnswerIsNo, match=r"differs in not loaded: .*model.norm.weight"):
        merge.prove(subject)


def test_texts_that_differ_though_the_logits_do_not_are_refused(merge, tmp_path):
    subject = merge.into(tmp_path / "merged")

    def reader(place: Path, request: dict[str, Any]) -> None:
        read_here(place, request)
        facts = json.loads((place / "merged" / "facts.json").read_text())
        facts["answers"][0][2] = (facts["answers"][0][2] + 1) % 300
        (place / "merged" / "facts.json").write_text(json.dumps(facts))

    with pytest.raises(AnswerIsNo, match="gives other answers"):
        prove(subject, merge.rows, max_new_tokens=6, reader=reader)
    assert merge.prove(subject).measured.kl_mean <= MAX_KL
