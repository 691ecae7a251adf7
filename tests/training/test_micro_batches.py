"""Micro-batches by length: the fewest tokens within the budget, and the gradient of the whole step."""

import itertools
import random

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback
from trl import ModelConfig, SFTConfig

from pipelines.errors import UserError
from pipelines.recipe import parse_recipe
from pipelines.recipe.arguments import InstructionArguments
from pipelines.training.data.instruction_set import instruction_set
from pipelines.training.data.rows import recipe_rows
from pipelines.training.fine_tuning import load_bundle, load_training_tokenizer, sft_trainer
from pipelines.training.micro_batches import cut_by_length
from pipelines.training.starting_point import starting_point
from tests.run_files import read_json, write_jsonl
from tests.training.sft_runs import KEYS

LENGTHS = [3, 40, 9, 75, 1, 22, 60, 5]  # of the answers
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def uneven_rows(tmp_path_factory):
    rows = [{"instruction": f"Say {n}.", "output": "so it is " * n} for n in LENGTHS]
    return write_jsonl(tmp_path_factory.mktemp("rows") / "rows.jsonl", rows)


@pytest.fixture
def step_of(base, uneven_rows, tmp_path):
    """One step with a budget: its gradients, its log, the evaluation, and the micro-batches that were computed."""

    def run(more, budget):
        command = (
            f"--model_name_or_path {base} --dataset_name {uneven_rows} --output_dir {tmp_path}/run {KEYS} "
            f"--max_steps 1 --max_length 1024 --lora_dropout 0 --max_grad_norm 1000 {more} "
            f"--max_tokens_per_micro_batch {budget}"
        )
        data, training, model = parse_recipe([InstructionArguments, SFTConfig, ModelConfig], command.split()).arguments
        tokenizer, new_tokens = load_training_tokenizer(starting_point(model, None), training, conversational=True)
        rows = instruction_set(*recipe_rows(data, 0, evaluates=False), data, training)
        train, _, _ = rows.tokenize(tokenizer)
        bundle = load_bundle(starting_point(model, None), model, training, tokenizer, new_tokens)
        trainer = sft_trainer(bundle, training, train, train, data.max_tokens_per_micro_batch)
        shapes, gradients = [], {}
        trainer.model.register_forward_pre_hook(
            lambda _, __, given: shapes.append(tuple(given["input_ids"].shape)), with_kwargs=True
        )

        class Gradients(TrainerCallback):
            def on_pre_optimizer_step(self, *_, model, **__):
                named = model.named_parameters()
                gradients.update((name, one.grad.clone()) for name, one in named if one.grad is not None)

        trainer.add_callback(Gradients())
        trainer.train()
        log, trained, shapes[:] = trainer.state.log_history[0], list(shapes), []
        return gradients, log, trainer.evaluate(), trained

    return run


@pytest.mark.parametrize(
    "more",
    [
        "--use_peft",
        "--use_peft false",
        "--use_peft --use_dora",
        "--use_peft --load_in_4bit",
        "--use_peft --gradient_accumulation_steps 2",
        "--use_peft --per_device_train_batch_size 8",
        "--use_peft --packing",
        "--use_peft --label_smoothing_factor 0.1",
        "--use_peft --loss_type dft",
        "--use_peft --activation_checkpointing true",
    ],
)
def test_a_step_in_micro_batches_has_the_gradient_and_losses_of_the_whole_step(step_of, more):
    (whole, log, held_out, shapes), (cut, log_cut, held_out_cut, shapes_cut) = (step_of(more, n) for n in (0, 200))
    assert whole
    assert whole.keys() == cut.keys()
    assert len(shapes_cut) > len(shapes) or "packing" in more or "steps" in more
    assert max(n_rows * longest for n_rows, longest in shapes_cut if n_rows > 1) <= 200
    for name, gradient in whole.items():
        assert (gradient - cut[name]).norm() <= TOLERANCE * gradient.norm(), name
    for before, after in ((log, log_cut), (held_out, held_out_cut)):
        means = (
            () if "steps" in more else ("entropy", "accuracy")
        )  # TRL takes the mean of means over accumulated batches
        same = [key for key in before if key.endswith(("loss", "grad_norm", "num_tokens", *means))]
        assert len(same) >= 2
        assert {key: after[key] for key in same} == pytest.approx({key: before[key] for key in same}, rel=TOLERANCE)


def test_the_empty_batches_of_an_accumulated_step_cost_no_forward(step_of):
    *_, shapes = step_of("--use_peft --gradient_accumulation_steps 2", 100_000)
    assert sum(n_rows for n_rows, _ in shapes) == len(LENGTHS)


def test_in_16_bits_a_processor_meets_few_shapes(step_of):
    *_, shapes = step_of("--use_peft --bf16 true", 200)
    assert {longest % 32 for _, longest in shapes} == {0}
    assert sum(n_rows for n_rows, _ in shapes) == 4


def test_two_processes_take_the_step_of_whole_batches(base, uneven_rows, tmp_path, run_cli):
    found = []
    for budget in (0, 150):
        folder = tmp_path / str(budget)
        command = (
            f"pipelines/sft.py --model_name_or_path {base} --dataset_name {uneven_rows} --output_dir {folder} {KEYS} "
            f"--max_steps 2 --max_length 1024 --use_peft --lora_dropout 0 --learning_rate 1 --optim sgd --doctor off "
            f"--eval_strategy steps --eval_steps 1 --test_split_size 3 --per_device_train_batch_size 2 "
            f"--max_tokens_per_micro_batch {budget}"
        )
        run_cli(*command.split(), n_processes=2)
        found.append((load_file(folder / "adapter_model.safetensors"), read_json(folder / "trainer_state.json")))
    (weights, state), (weights_cut, state_cut) = found
    for name, weight in weights.items():
        assert (weight - weights_cut[name]).norm() <= TOLERANCE * weight.norm(), name
    for before, after in zip(state["log_history"], state_cut["log_history"], strict=True):
        same = {key: value for key, value in before.items() if key.endswith(("loss", "grad_norm"))}
        assert {key: after[key] for key in same} == pytest.approx(same, rel=TOLERANCE)


@pytest.mark.parametrize("padded", [True, False])
def test_no_other_cut_of_the_sorted_rows_costs_fewer_tokens(padded):
    def cost(groups):
        sizes = [len(group) * max(group) if padded else sum(group) for group in groups]
        fits = all(size <= 100 or len(group) == 1 for size, group in zip(sizes, groups, strict=True))
        return sum(sizes) + 10 * len(groups) if fits else float("inf")

    drawn = random.Random(0)
    for _ in range(50):
        lengths = [drawn.randint(1, 120) for _ in range(7)]
        cuts = cut_by_length(lengths, 100, 10, padded=padded)
        assert sorted(itertools.chain(*cuts)) == list(range(7))
        places = [sorted(chosen) for n in range(7) for chosen in itertools.combinations(range(1, 7), n)]
        ordered = sorted(lengths)
        others = ([ordered[a:b] for a, b in itertools.pairwise([0, *inner, 7])] for inner in places)
        assert cost([[lengths[place] for place in cut] for cut in cuts]) == min(map(cost, others))


def test_a_row_over_the_budget_is_alone_and_the_longest_come_first():
    assert cut_by_length([4, 500, 4, 90], 100, 1) == [[1], [3], [0, 2]]


@pytest.mark.parametrize("written", ["many", "-1", "1.5"])
def test_a_budget_that_is_no_number_of_tokens_is_refused(run_sft, tmp_path, written):
    with pytest.raises(UserError, match="expected auto or a number of tokens"):
        run_sft(tmp_path, f"--max_tokens_per_micro_batch {written}")


def test_joined_rows_keep_their_own_attention(step_of, monkeypatch):
    """With a kernel for different lengths, packed rows stay one row; sdpa's mask shows that the rows are the same."""
    whole, log, *_ = step_of("--use_peft --packing", 0)
    monkeypatch.setattr("pipelines.training.micro_batches.has_variable_length_kernel", lambda _: True)
    joined, log_joined, _, shapes = step_of("--use_peft --packing", 100_000)
    assert all(n_rows == 1 for n_rows, _ in shapes)
    assert log_joined["loss"] == pytest.approx(log["loss"], rel=TOLERANCE)
    assert all((whole[name] - one).norm() <= TOLERANCE * one.norm() for name, one in joined.items())
    assert all(torch.isfinite(one).all() for one in joined.values())
