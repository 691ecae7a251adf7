from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from pipelines.errors import UserError
from pipelines.evaluation.likelihood.likelihood import text_likelihoods
from pipelines.hub.model_names import compared_names, distinct_names
from pipelines.hub.model_ref import ModelRef, resolve_compared, resolve_model
from pipelines.inference.loading import load_for_inference, load_in_turn, with_template_of
from pipelines.inference.shared_base import adapted_copy, merged_copy
from pipelines.modeling import CHATML, LoadedModel, load_tokenizer
from pipelines.modeling.loading import load_base_model

TEXTS = ["def find_max(numbers):\n    return max(numbers)\n", "größer 😀", "<|turn|>user"]
KINDS: dict[str, dict[str, Any]] = {
    "lora": {},
    "dora": {"use_dora": True},
    "modules_to_save": {"modules_to_save": ["lm_head", "embed_tokens"], "ensure_weight_tying": True},
    "trained_tokens": {"trainable_token_indices": [5, 285]},  # one that the base has, and <|turn|>,
    "saved_embeddings": {},
    "trained_biases": {"bias": "all"},
    "olora": {"init_lora_weights": "olora"},
}


@pytest.fixture(scope="module")
def base_folder(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with biases and with weights large enough for each change to show."""
    folder = tmp_path_factory.mktemp("bases") / "base"
    tokenizer = load_tokenizer(str(tiny_model_folder))
    config = load_base_model(str(tiny_model_folder)).config
    config.attention_bias, config.initializer_range = True, 0.3
    torch.manual_seed(1)
    type(load_base_model(str(tiny_model_folder)))(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def adapters(base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One adapter of each kind, with weights that change what the base says; one with a token new to it."""
    root = tmp_path_factory.mktemp("adapters")
    for number, (kind, options) in enumerate(KINDS.items()):
        torch.manual_seed(number)
        model = load_base_model(str(base_folder))
        tokenizer = load_tokenizer(str(base_folder))
        if kind == "trained_tokens":
            tokenizer.add_special_tokens({"extra_special_tokens": ["<|turn|>"]}, replace_extra_special_tokens=False)
            model.resize_token_embeddings(len(tokenizer))
        given = {"init_lora_weights": False, "r": 2, "target_modules": "all-linear", **options}
        adapted = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **given))
        with torch.no_grad():
            for parameter in adapted.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn_like(parameter) * 0.05)
            if kind == "saved_embeddings":
                model.get_input_embeddings().weight.mul_(1.5)
        adapted.save_pretrained(root / kind, save_embedding_layers=kind == "saved_embeddings")
        tokenizer.save_pretrained(root / kind)
    return {kind: root / kind for kind in KINDS}


def nats(loaded: LoadedModel) -> list[float]:
    return [one.nll_nats for one in text_likelihoods(loaded, TEXTS)]


def in_turn_together(base_folder: Path, adapter: Path) -> tuple[LoadedModel, LoadedModel]:
    """A base, and an adapter on a copy that shares its tensors."""
    base = load_for_inference(str(base_folder))
    model = adapted_copy(base.model, str(adapter), load_tokenizer(str(adapter)))
    return base, replace(base, model=model)


def in_turn(*choices: ModelRef) -> Iterator[LoadedModel]:
    return load_in_turn(choices, distinct_names(choices))


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_leaves_the_base_as_it_was(base_folder, adapters, kind):
    base, adapted = ModelRef(str(base_folder)), ModelRef(str(base_folder), str(adapters[kind]))
    alone = {name: tensor.clone() for name, tensor in load_base_model(str(base_folder)).state_dict().items()}
    found, places = [], []
    for loaded in in_turn(base, adapted, base):
        found.append(nats(loaded))
        if loaded.path == str(base_folder):
            state = loaded.model.state_dict()
            assert state.keys() == alone.keys()
            assert all(tensor.equal(alone[name]) for name, tensor in state.items())
            assert loaded.model.config.vocab_size == loaded.model.get_input_embeddings().weight.shape[0]
            places.append(state["model.layers.0.self_attn.q_proj.weight"].data_ptr())
    assert found[0] == found[2] != found[1]
    assert places[0] == places[1], "the base was not loaded again"
    assert found[1] == pytest.approx(nats(load_for_inference(str(base_folder), str(adapters[kind]))), rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_merged_copy_has_the_logits_of_its_adapter_and_leaves_both_models_as_they_were(base_folder, adapters, kind):
    base, adapted = in_turn_together(base_folder, adapters[kind])
    before, token_ids = nats(adapted), torch.arange(5, 60)[None]
    merged = merged_copy(adapted.model)
    assert merged is not None
    assert not any("lora" in name for name, _ in merged.named_modules())
    with torch.inference_mode():
        expected, found = adapted.model(token_ids).logits, merged(token_ids).logits
    assert (expected - found).abs().max() < 1e-4 * expected.abs().max()
    assert nats(adapted) == before
    for name, tensor in load_base_model(str(base_folder)).state_dict().items():
        assert base.model.state_dict()[name].equal(tensor)


def test_no_copy_is_merged_where_that_would_round_or_change_a_tied_weight(base_folder, adapters, monkeypatch):
    rounded = load_for_inference(str(base_folder), str(adapters["lora"]), dtype="bfloat16")
    assert merged_copy(rounded.model) is None
    tied = load_for_inference(str(base_folder))
    tied.model.lm_head.weight = tied.model.model.embed_tokens.weight
    on_head = get_peft_model(tied.model, LoraConfig(r=2, target_modules=["lm_head"]))
    assert merged_copy(on_head) is None
    adapted = load_for_inference(str(base_folder), str(adapters["lora"]))
    monkeypatch.setattr("pipelines.inference.shared_base._MAX_MERGED_BYTES", 1000)
    assert merged_copy(adapted.model) is None


def test_models_and_adapters_in_turn(base_folder, adapters, tiny_model_folder):
    paths = [tiny_model_folder, *adapters.values(), base_folder, tiny_model_folder]
    found = [(one.path, nats(one)) for one in in_turn(*(resolve_model(str(path)) for path in paths))]
    assert [path for path, _ in found] == [str(path) for path in paths]
    for path, values in found:
        assert values == pytest.approx(nats(load_for_inference(path)), rel=1e-6)
    assert len({tuple(values) for _, values in found}) == len(paths) - 1


def test_a_model_is_emptied_when_the_next_is_asked_for(base_folder, tiny_model_folder):
    models = in_turn(ModelRef(str(base_folder)), ModelRef(str(tiny_model_folder)))
    first, second = next(models), next(models)
    assert all(parameter.numel() == 0 for parameter in first.model.parameters())
    assert all(parameter.numel() > 0 for parameter in second.model.parameters())


def test_a_base_that_is_written_in_two_ways_is_one(base_folder, monkeypatch):
    monkeypatch.chdir(base_folder.parent)
    choices = [ModelRef(base_folder.name), ModelRef(f"./{base_folder.name}/"), ModelRef(str(base_folder))]
    assert len({choice.base_folder for choice in choices}) == 1
    places = [next(one.model.parameters()).data_ptr() for one in in_turn(*choices)]
    assert len(set(places)) == 1


def test_an_adapter_of_another_base_is_refused(tiny_model_folder, adapters, tmp_path):
    models = in_turn(ModelRef(str(tmp_path / "absent")), ModelRef(str(tiny_model_folder), str(adapters["lora"])))
    with pytest.raises(UserError, match=r"the adapter .*lora was trained on .* as the base, or an adapter"):
        next(models)


def test_a_template_with_tokens_new_to_the_base(base_folder, adapters):
    def grown_tokenizer() -> Any:
        tokenizer = load_tokenizer(str(base_folder))
        tokenizer.chat_template = CHATML.replace("<|im_start|>", "<|turn|>")
        tokenizer.add_special_tokens({"extra_special_tokens": ["<|turn|>"]}, replace_extra_special_tokens=False)
        return tokenizer

    base = load_for_inference(str(base_folder))
    before = nats(base)
    one, other = (with_template_of(base, grown_tokenizer()).model.get_input_embeddings().weight for _ in range(2))
    assert one.equal(other)
    assert one.shape[0] == 286
    assert base.model.get_input_embeddings().weight.shape[0] == base.model.config.vocab_size == 285
    assert nats(base) == before
    adapted = load_for_inference(str(base_folder), str(adapters["lora"]))
    assert with_template_of(adapted, grown_tokenizer()) is None
    assert with_template_of(adapted, load_tokenizer(str(base_folder))).model is adapted.model


def test_names_that_differ(tiny_model_folder, tmp_path):
    choices = [ModelRef("a/base"), ModelRef("a/base", "runs/base"), ModelRef("b/instruct/")]
    assert distinct_names(choices) == ["base", "base_2", "instruct"]
    folders = [tmp_path / name for name in ("x/a", "y/a_4", "z/a", "z/base")]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
    names = compared_names(resolve_compared(str(tiny_model_folder), [str(folder) for folder in folders]))
    assert names == ["base", "a", "a_4", "a_2", "base_2"]
