"""Generation: left padding, stopping, sampling, limits, and what a model folder must not smuggle in."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoTokenizer, MistralConfig, MistralForCausalLM

from pipelines.errors import UserError
from pipelines.inference.generation import Answer, SamplingPolicy, generate_answers, token_choices_of
from pipelines.inference.loading import load_for_inference
from pipelines.modeling import LoadedModel
from tests.evaluation.chain_models import lively_model, save_chain_model, save_successors

PROMPTS = [[10, 11, 12, 13, 14, 15, 16], [20], [30, 31, 32], [40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51], [60, 61]]
SAMPLED = SamplingPolicy(temperature=1.0, top_p=0.9, num_samples=3, seed=7, max_new_tokens=70)


@pytest.fixture(scope="module")
def lively(tiny_model_folder: Path) -> LoadedModel:
    """The tiny model in float64 with weights so large that each token depends on all tokens before it."""
    return lively_model(tiny_model_folder, None)


def plainly(loaded: LoadedModel, prompt: list[int], n_tokens: int) -> list[int]:
    """Greedy decoding as its definition says: no cache, no padding, no batch."""
    token_ids = list(prompt)
    for _ in range(n_tokens):
        with torch.inference_mode():
            logits = loaded.model(input_ids=torch.tensor([token_ids])).logits[0, -1]
        token_ids.append(int(logits.argmax()))
        if token_ids[-1] in (0, 3):
            break
    return token_ids[len(prompt) :]


def test_greedy_answers_are_those_of_each_prompt_alone(lively):
    expected = [plainly(lively, prompt, 120) for prompt in PROMPTS]
    lengths = {len(token_ids) for token_ids in expected}
    assert min(lengths) < 64 < max(lengths) == 120  # some rows leave the batch, some stay
    assert len({token for token_ids in expected for token in token_ids}) > 40  # no model that repeats one token
    for batch_size in (1, 2, 5):
        answers = generate_answers(lively, PROMPTS, SamplingPolicy(max_new_tokens=120), batch_size=batch_size)
        assert [list(only.token_ids) for [only] in answers] == expected


def test_a_model_with_sliding_windows_keeps_its_own_kind_of_cache(tiny_model_folder):
    torch.manual_seed(4)
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = MistralConfig(vocab_size=285, num_key_value_heads=2, sliding_window=6, initializer_range=0.5, **sizes)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model_folder)
    model = MistralForCausalLM(config).double().eval()
    model.generation_config.eos_token_id = None
    loaded = LoadedModel("mistral", "mistral", model, tokenizer)
    answers = generate_answers(loaded, PROMPTS, SamplingPolicy(max_new_tokens=40), batch_size=5)
    assert [list(only.token_ids) for [only] in answers] == [plainly(loaded, prompt, 40) for prompt in PROMPTS]


def test_samples_depend_on_the_seed_and_not_on_batch_neighbors_or_the_random_state(lively):
    torch.manual_seed(3)
    drawn = torch.rand(1)
    torch.manual_seed(3)
    all_at_once = generate_answers(lively, PROMPTS, SAMPLED, batch_size=16)
    assert torch.rand(1) == drawn
    other = generate_answers(lively, PROMPTS, replace(SAMPLED, seed=8))
    assert all(a != b for a, b in zip(all_at_once, other, strict=True))
    assert all(len({answer.token_ids for answer in samples}) == 3 for samples in all_at_once)
    assert generate_answers(lively, PROMPTS, SAMPLED, batch_size=2) == all_at_once
    assert generate_answers(lively, PROMPTS[::-1], SAMPLED)[::-1] == all_at_once
    assert generate_answers(lively, [PROMPTS[3]], SAMPLED) == [all_at_once[3]]


@pytest.fixture(scope="module")
def hello(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A model that answers `helo world` and stops."""
    folder = tmp_path_factory.mktemp("chain")
    return load_for_inference(str(save_chain_model(tiny_model_folder, folder, ["helo w", "r", "d"], ends=True)))


def newline_prompt(loaded: LoadedModel, n_before: int = 0) -> list[int]:
    return [50] * n_before + [loaded.tokenizer.convert_tokens_to_ids("Ċ")]


@pytest.mark.parametrize(("n_new", "stopped"), [(7, False), (8, False), (9, True), (20, True)])
def test_an_answer_has_stopped_if_its_end_token_came(hello, n_new, stopped):
    [[answer]] = generate_answers(hello, [newline_prompt(hello)], SamplingPolicy(max_new_tokens=n_new))
    assert (answer.text, answer.stopped, answer.n_tokens) == ("helo wrd"[:n_new], stopped, min(n_new, 8))
    assert answer.token_ids[8:] == ((hello.tokenizer.convert_tokens_to_ids("<|im_end|>"),) if stopped else ())


def test_a_row_that_ends_early_is_not_filled_up_by_its_batch(hello):
    d = hello.tokenizer.convert_tokens_to_ids("d")
    answers = generate_answers(hello, [newline_prompt(hello, 3), [50, d], [d]], SamplingPolicy(max_new_tokens=20))
    assert [(one.text, one.stopped, one.n_tokens) for [one] in answers] == [("helo wrd", True, 8)] + [("", True, 0)] * 2


def test_without_an_end_token_answers_run_to_the_limit(hello, monkeypatch, capsys):
    monkeypatch.setattr("pipelines.inference.decoding.stop_token_ids", lambda *_: [])
    [[answer]] = generate_answers(hello, [newline_prompt(hello)], SamplingPolicy(max_new_tokens=12))
    assert (answer.stopped, answer.n_tokens, answer.text[:8]) == (False, 12, "helo wrd")
    assert "no end token in its tokenizer or generation config, so every answer runs to" in capsys.readouterr().err


def test_special_tokens_and_broken_characters_do_not_break_the_text(tiny_model_folder, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model_folder)
    ids = tokenizer.convert_tokens_to_ids
    smile = tokenizer("\U0001f600", add_special_tokens=False)["input_ids"]
    said = [*tokenizer("\0\x1b<>", add_special_tokens=False)["input_ids"], *smile, *ids(["<|im_start|>", "é", "a"])]
    steps = dict(zip([ids("Ċ"), *said], [*said, ids("<|endoftext|>")], strict=True))
    loaded = load_for_inference(str(save_successors(tokenizer, tmp_path / "odd", steps)))
    [[answer]] = generate_answers(loaded, [[ids("Ċ")]], SamplingPolicy(max_new_tokens=40))
    assert answer.text == "\0\x1b<>\U0001f600\ufffda"
    assert (answer.stopped, answer.n_tokens) == (True, len(said))
    shown = [choice.token for choice in token_choices_of(loaded, [[ids("Ċ")]], [answer])[0]]
    assert shown[:4] == ["\0", "\x1b", "<", ">"]
    assert shown[4:8] == tokenizer.convert_ids_to_tokens(smile)
    assert shown[-1] == "<|endoftext|>"


def test_a_prompt_near_the_models_last_position_gets_what_room_there_is(hello):
    prompts = [newline_prompt(hello, n) for n in (0, 250, 251, 254, 255, 300)]
    answers = [one for [one] in generate_answers(hello, prompts, SamplingPolicy(max_new_tokens=20), batch_size=6)]
    assert [one.n_tokens for one in answers] == [8, 5, 4, 1, 0, 0]
    assert [one.stopped for one in answers] == [True, False, False, False, False, False]
    assert answers[-1] == Answer("", 0, False, ())


def test_a_folder_s_decoding_settings_are_not_used(tiny_model_folder, tmp_path, caplog, recwarn):
    folder = Path(shutil.copytree(tiny_model_folder, tmp_path / "opinionated"))
    wishes = {"do_sample": True, "temperature": 9.0, "top_k": 3, "repetition_penalty": 5.0, "max_length": 9}
    wishes |= {"suppress_tokens": list(range(4, 200)), "num_beams": 3, "min_new_tokens": 5}
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": 0, "pad_token_id": 1, **wishes}))
    plain, opinionated = (load_for_inference(str(path)) for path in (tiny_model_folder, folder))
    before = opinionated.model.generation_config
    caplog.clear()
    recwarn.clear()
    policy = SamplingPolicy(max_new_tokens=16)
    assert generate_answers(opinionated, PROMPTS, policy) == generate_answers(plain, PROMPTS, policy)
    assert opinionated.model.generation_config is before
    assert before.repetition_penalty == 5.0
    assert not caplog.records
    assert not recwarn.list


def test_an_end_token_of_the_generation_config_ends_answers(hello, monkeypatch):
    w = hello.tokenizer.convert_tokens_to_ids("w")
    monkeypatch.setattr(hello.model.generation_config, "eos_token_id", [0, w])
    [[answer]] = generate_answers(hello, [newline_prompt(hello)], SamplingPolicy(max_new_tokens=20))
    assert (answer.text, answer.stopped) == ("helo ", True)


def test_an_adapter_answers_like_its_merged_weights(tiny_model_folder):
    loaded = load_for_inference(str(tiny_model_folder), dtype="float64")
    torch.manual_seed(2)
    before = loaded.model.generation_config
    lora = LoraConfig(r=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    adapted = get_peft_model(loaded.model, lora).eval()
    policy = SamplingPolicy(max_new_tokens=16)
    answers = generate_answers(replace(loaded, model=adapted), PROMPTS, policy)
    assert adapted.get_base_model().generation_config is before
    merged = replace(loaded, model=adapted.merge_and_unload())
    assert answers == generate_answers(merged, PROMPTS, policy)


def test_choices_are_the_model_s_own_and_alternatives_come_in_order(lively, monkeypatch):
    policy = SamplingPolicy(temperature=2.0, seed=3, max_new_tokens=6)
    answers = [only for [only] in generate_answers(lively, PROMPTS, policy)]
    answers[1] = Answer("", 0, False, ())
    monkeypatch.setattr("pipelines.inference.generation._MAX_LOGIT_BYTES", 4 * 285 * 21 * 2)  # two rows at a time
    together = token_choices_of(lively, PROMPTS, answers, n_alternatives=5)
    for prompt, answer, choices in zip(PROMPTS, answers, together, strict=True):
        assert [choice.token_id for choice in choices] == list(answer.token_ids)
        [alone] = token_choices_of(lively, [prompt], [answer], n_alternatives=5)
        for place, choice in enumerate(choices):
            with torch.inference_mode():
                logits = lively.model(input_ids=torch.tensor([[*prompt, *answer.token_ids[:place]]])).logits[0, -1]
            expected = logits.softmax(dim=-1)
            assert choice.probability == pytest.approx(float(expected[choice.token_id]), rel=1e-5)
            expected[choice.token_id] = 0
            others = expected.topk(5)
            assert [token for token, _ in choice.alternatives] == [token for token, _ in alone[place].alternatives]
            assert [p for _, p in choice.alternatives] == pytest.approx(others.values.tolist(), rel=1e-5)


def test_a_batch_that_does_not_fit_into_memory_is_one_line(hello, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB. GPU 0 has ...")

    monkeypatch.setattr(hello.model, "forward", full)
    monkeypatch.setattr("pipelines.inference.decoding.new_cache", lambda _: None)
    with pytest.raises(UserError, match="out of memory with 7 answers at a time: cuda out of memory; lower"):
        generate_answers(hello, [[5]], SamplingPolicy(), batch_size=7)


@pytest.mark.parametrize(
    ("prompts", "batch_size", "message"),
    [([], 0, "batch_size is 0, expected 1"), ([[5], []], 1, "prompt 2 has no tokens")],
)
def test_an_empty_batch_or_prompt_is_refused(hello, prompts, batch_size, message):
    with pytest.raises(UserError, match=message):
        generate_answers(hello, prompts, SamplingPolicy(), batch_size=batch_size)
