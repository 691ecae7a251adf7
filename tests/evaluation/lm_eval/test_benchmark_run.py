"""The harness over local tasks and tiny models, against values computed without it."""

import math
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval.api.instance import Instance
from peft import LoraConfig, get_peft_model
from tokenizers.processors import TemplateProcessing

from pipelines.errors import UserError
from pipelines.evaluation.lm_eval.benchmark_run import BenchmarkPlan, as_harness_model, run_tasks
from pipelines.evaluation.lm_eval.benchmarking import quiet_harness
from pipelines.inference.loading import load_for_inference
from pipelines.modeling import LoadedModel
from tests.evaluation.lm_eval.local_tasks import CHOOSING, DISTANCE, N_ITEMS, READING, WRITING, items, local_tasks


@pytest.fixture(scope="module")
def base(tiny_model_folder: Path) -> LoadedModel:
    return load_for_inference(str(tiny_model_folder), name="base", dtype="float32")


@pytest.fixture(scope="module")
def adapted(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """An adapter that trained two tokens of an embedding that is tied to the output."""
    folder = tmp_path_factory.mktemp("adapter") / "adapter"
    model = load_for_inference(str(tiny_model_folder)).model
    torch.manual_seed(1)
    lora = LoraConfig(r=2, target_modules=["q_proj"], trainable_token_indices={"embed_tokens": [2, 3]})
    adapter = get_peft_model(model, lora)
    with torch.no_grad():
        for name, weights in adapter.named_parameters():
            if weights.requires_grad:
                weights += torch.randn_like(weights) * (1.0 if "lora" in name else 0.1)
    adapter.save_pretrained(folder)
    return load_for_inference(str(tiny_model_folder), str(folder), name="instruct", dtype="float32")


def prompt_text(loaded: LoadedModel, question: str, with_template: bool) -> str:
    request = f"Question: {question}\nAnswer:"
    if not with_template:
        return request
    message = [{"role": "user", "content": request}]
    return str(loaded.tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True))


def token_ids(loaded: LoadedModel, text: str) -> list[int]:
    return list(loaded.tokenizer(text, add_special_tokens=False)["input_ids"])


def log_likelihood(loaded: LoadedModel, ids: list[int], start: int) -> float:
    """Of the tokens from place `start`, by a loop without the harness."""
    with torch.no_grad():
        logits = loaded.model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return sum(float(logits[place - 1, ids[place]]) for place in range(start, len(ids)))


def likeliest_choice(loaded: LoadedModel, row: dict[str, Any], with_template: bool) -> int:
    prompt = prompt_text(loaded, row["question"], with_template)
    scores = []
    for choice in row["choices"]:
        whole = token_ids(loaded, prompt + ("" if with_template else " ") + choice)
        scores.append(log_likelihood(loaded, whole, len(token_ids(loaded, prompt.rstrip()))))
    return max(range(len(scores)), key=scores.__getitem__)


def greedy_text(loaded: LoadedModel, question: str, with_template: bool) -> str:
    ids = token_ids(loaded, prompt_text(loaded, question, with_template))
    found = loaded.model.generate(input_ids=torch.tensor([ids]), max_new_tokens=8, do_sample=False)[0, len(ids) :]
    return str(loaded.tokenizer.decode(found, skip_special_tokens=True)).split("\n\n")[0]


@pytest.mark.parametrize("with_template", [False, True])
def test_choices_of_a_local_task_are_those_of_a_loop_without_the_harness(base, adapted, tmp_path, with_template):
    tasks = local_tasks(tmp_path, CHOOSING)
    for loaded in (base, adapted):
        [accuracy] = run_tasks(loaded, tasks, BenchmarkPlan(), with_template=with_template)
        right = [float(likeliest_choice(loaded, row, with_template) == row["answer"]) for row in items()]
        assert accuracy.items == tuple((one, 1.0) for one in right)
        assert (accuracy.metric, accuracy.n, accuracy.n_shot, accuracy.version) == ("acc", N_ITEMS, 0, "1.5")
        assert accuracy.value == pytest.approx(sum(right) / N_ITEMS)
        assert accuracy.stderr is not None


@pytest.mark.parametrize("with_template", [False, True])
def test_a_bos_of_the_tokenizer_is_added_to_plain_text_only(base, with_template):
    tokenizer = deepcopy(base.tokenizer)
    tokenizer.bos_token = "<|endoftext|>"
    bos = [("<|endoftext|>", tokenizer.bos_token_id)]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<|endoftext|> $A", special_tokens=bos)
    loaded = replace(base, tokenizer=tokenizer)
    context, continuation = prompt_text(loaded, "What is 1 + 1?", with_template), " 2"
    n_bos = 0 if with_template else 1
    whole = [0] * n_bos + token_ids(loaded, context + continuation)
    expected = log_likelihood(loaded, whole, len(token_ids(loaded, context.rstrip())) + n_bos)
    harness_model = as_harness_model(loaded, 1, with_template)
    request = Instance("loglikelihood", {}, (context, continuation), 0)
    [(found, _)] = harness_model.loglikelihood([request], disable_tqdm=True)
    assert found == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("with_template", [False, True])
def test_answers_to_a_local_task_are_those_of_the_model_one_by_one(base, adapted, tmp_path, with_template):
    for loaded in (base, adapted):
        texts = [greedy_text(loaded, row["question"], with_template) for row in items()]
        written = [text if number % 3 else "another" for number, text in enumerate(texts)]
        tasks = local_tasks(tmp_path, WRITING, written)
        [found] = run_tasks(loaded, tasks, BenchmarkPlan(batch_size=5), with_template=with_template)
        assert found.items == tuple((float(number % 3 > 0), 1.0) for number in range(N_ITEMS))


def test_a_metric_that_is_not_a_mean_has_no_items(base, tmp_path):
    tasks = local_tasks(tmp_path, CHOOSING + DISTANCE)
    found = run_tasks(base, tasks, BenchmarkPlan(limit=6), with_template=False)
    assert {one.metric: one.items is None for one in found} == {"acc": False, "brier_score": True}
    assert {one.n for one in found} == {6}


def test_bits_per_byte_of_a_text_are_those_of_a_loop_without_the_harness(base, tmp_path):
    [found] = run_tasks(base, local_tasks(tmp_path, READING), BenchmarkPlan(), with_template=False)
    for row, (bits, n_bytes) in zip(items(), found.items, strict=True):
        ids = [base.tokenizer.eos_token_id, *token_ids(base, row["question"])]
        assert bits == pytest.approx(-log_likelihood(base, ids, 1) / math.log(2), rel=1e-5)
        assert n_bytes == len(row["question"].encode())
    total_bits, total_bytes = map(sum, zip(*found.items, strict=True))
    assert (found.value, found.better) == (pytest.approx(total_bits / total_bytes), "lower")


def test_examples_are_text_for_a_base_and_turns_behind_a_template_and_the_same_ones(base, tmp_path):
    tasks = local_tasks(tmp_path, CHOOSING, seed=3, num_fewshot=2)
    contexts = []
    for with_template in (False, True):
        [first] = run_tasks(base, tasks, BenchmarkPlan(limit=5, seed=3), with_template=with_template)
        assert (first.n_shot, first.n) == (2, 5)
        contexts.append([one.args[0] for one in tasks["tasks"]["local"].instances])
    for plain, chat in zip(*contexts, strict=True):
        assert plain.count("Question:") == chat.count("<|im_start|>user\nQuestion:") == 3
        assert chat.count("<|im_start|>assistant\n") == 3
        assert [line for line in plain.splitlines() if "What" in line] == [
            line for line in chat.splitlines() if "What" in line
        ]


def test_a_limit_draws_items_with_the_seed(base, tmp_path):
    tasks = local_tasks(tmp_path, CHOOSING)

    def measured(seed: int) -> list[str]:
        run_tasks(base, tasks, BenchmarkPlan(limit=4, seed=seed), with_template=False)
        return sorted({one.args[0] for one in tasks["tasks"]["local"].instances})

    assert measured(0) == measured(0)
    assert measured(0) != measured(1)
    assert len(measured(0)) == 4


def test_the_harness_prints_nothing_and_prompts_that_were_cut_are_counted(base, tmp_path, capfd):
    with quiet_harness() as notes:
        tasks = local_tasks(tmp_path, f"description: '{'padding ' * 200}'\n{CHOOSING}")
        run_tasks(base, tasks, BenchmarkPlan(limit=2), with_template=False)
    assert list(notes) == ["a prompt was truncated on the left to fit the model"]
    assert capfd.readouterr() == ("", "")


def test_a_task_that_does_not_fit_the_model_is_one_line(base, tmp_path):
    tasks = local_tasks(tmp_path, WRITING.replace("max_gen_toks: 8", "max_gen_toks: 256"))
    with pytest.raises(UserError, match=r"local.*maximum sequence length"):
        run_tasks(base, tasks, BenchmarkPlan(), with_template=False)


def test_the_harness_leaves_the_adapter_unchanged(adapted, tmp_path):
    ids = torch.tensor([[2, 40, 3, 50]])
    with torch.no_grad():
        before = adapted.model(input_ids=ids).logits
    run_tasks(adapted, local_tasks(tmp_path, CHOOSING), BenchmarkPlan(limit=2), with_template=True)
    with torch.no_grad():
        assert torch.equal(adapted.model(input_ids=ids).logits, before)
