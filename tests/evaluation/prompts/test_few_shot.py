"""The few-shot base: which examples, what the base reads, where its answer ends, what the record says."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from data_prep.conversation import PlainText
from data_prep.dataset_folder import DatasetKind, SplitSizes, write_dataset_folder
from pipelines.errors import UserError
from pipelines.evaluation.compare.comparison import comparison_of
from pipelines.evaluation.compare.measuring import DecodingPlan, Measurement, MeasurementPlan
from pipelines.evaluation.compare.responses import responses_of
from pipelines.evaluation.prompts.few_shot import END_OF_ANSWER, SEPARATOR, FewShot, FewShotPool, example_text
from pipelines.evaluation.prompts.prompt import Prompt
from pipelines.hub.model_names import Role
from pipelines.hub.model_ref import ModelRef
from pipelines.inference.generation import generate_answers
from pipelines.inference.loading import load_for_inference
from pipelines.inference.sampling import SamplingPolicy
from pipelines.modeling import LoadedModel, load_tokenizer, render_prompt
from tests.evaluation.chain_models import save_chain_model
from tests.run_files import write_jsonl

HELD_OUT = [Prompt(0, "Say 1.", "", "1"), Prompt(1, "Say 9.", "", "9", group="g")]
EXAMPLES = (Prompt(0, "Say 3.", "", "3"), Prompt(1, "Say 4.", "please", "4"))


def rows(n: int) -> list[dict[str, Any]]:
    return [{"instruction": f"Say {number}.", "output": str(number), "group": str(number % 4)} for number in range(n)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_jsonl(tmp_path / "rows.jsonl", [*rows(20), {"instruction": "Say.", "output": ""}])


@pytest.fixture(scope="module")
def tiny(tiny_model_folder: Path) -> LoadedModel:
    return load_for_inference(str(tiny_model_folder), name="base")


@pytest.fixture(scope="module")
def with_separator(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer with a token for the line that ends an answer: a chain model says each token once."""
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer = load_tokenizer(str(tiny_model_folder))
    tokenizer.add_tokens([END_OF_ANSWER])
    tokenizer.save_pretrained(folder)
    return folder


def test_examples_are_drawn_with_the_seed_of_different_groups_and_never_what_is_held_out(file, tiny):
    pool = FewShotPool.read(3, Path("held_out.jsonl"), file, HELD_OUT, seed=0)
    shots = pool.examples_for(tiny)
    again = FewShotPool.read(3, Path("held_out.jsonl"), file, HELD_OUT, seed=0).examples_for(tiny)
    assert shots == again != FewShotPool.read(3, Path("held_out.jsonl"), file, HELD_OUT, seed=1).examples_for(tiny)
    assert len({one.group for one in shots.examples}) == 3
    assert not {one.instruction for one in pool.candidates} & {"Say 1.", "Say 9.", "Say."}


def test_the_training_split_of_the_prompts_folder_is_the_default(tmp_path, tiny):
    folder = tmp_path / "set"
    described: dict[str, Any] = {"sources": [], "rejected": [], "command": "test", "seed": 0}
    provenance = {"input": "", "source": "s", "source_row": "0"}
    made = [row | provenance | {"group": row["instruction"]} for row in rows(60)]
    write_dataset_folder(folder, made, kind=DatasetKind.INSTRUCTIONS, split_sizes=SplitSizes(0, 0.5), **described)
    shots = FewShotPool.read(2, folder, None, HELD_OUT, 0).examples_for(tiny)
    assert shots.to_json()["source"] == "train split of set"


@pytest.mark.parametrize(
    ("n", "reason"), [(0, "turned off by --base_few_shot 0"), (3, "prompts.jsonl has no training split; give")]
)
def test_without_examples_the_reason_is_reported(n, reason, tiny, capsys):
    pool = FewShotPool.read(n, Path("prompts.jsonl"), None, HELD_OUT, 0)
    assert str(pool.why_not).startswith(reason)
    plan = MeasurementPlan(DecodingPlan(max_new_tokens=4, num_samples=0), few_shot=pool)
    assert Measurement(HELD_OUT, plan).few_shot_base(tiny) is None
    assert ("no few-shot baseline: prompts.jsonl has no training split" in capsys.readouterr().err) == bool(n)


def test_a_negative_number_of_examples_is_refused(file):
    with pytest.raises(UserError, match="--base_few_shot is -1, expected 0 or more"):
        FewShotPool.read(-1, file, None, HELD_OUT, 0)


def test_the_base_reads_the_examples_and_then_the_prompt_and_fewer_where_there_is_no_room(tiny):
    shots = FewShot(EXAMPLES, "train split of set")
    before = f"Say 3.\n\n3{SEPARATOR}Say 4.\n\nplease\n\n4{SEPARATOR}"
    asked = shots.asked(tiny, HELD_OUT[0], n_new=8).asked
    assert asked == PlainText(before + "Say 1.\n\n", "")
    for left_out in (1, 2):
        text = "".join(example_text(one) for one in EXAMPLES[left_out:]) + "Say 1.\n\n"
        n_new = tiny.max_positions - len(render_prompt(tiny.tokenizer, PlainText(text, "")))
        assert shots.asked(tiny, HELD_OUT[0], n_new).full_text == text
    raw = replace(HELD_OUT[0], context=PlainText("def f():", ""))
    assert shots.asked(tiny, raw, 8).full_text == before + "def f():", "no empty line after it"


@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize("stop", ["(n", END_OF_ANSWER])
def test_an_answer_ends_where_the_next_example_would_begin(stop, batch_size, with_separator, tmp_path):
    text = f"max{END_OF_ANSWER}" if stop == END_OF_ANSWER else "max(numbers"
    loaded = load_for_inference(str(save_chain_model(with_separator, tmp_path / "chain", [text], ends=False)))
    prompts = [render_prompt(loaded.tokenizer, PlainText(one, "")) for one in ("def\n", "\n", "d\n")]
    policy = SamplingPolicy(max_new_tokens=12, stop_text=stop)
    for [answer] in generate_answers(loaded, prompts, policy, batch_size=batch_size):
        assert (answer.text, answer.stopped) == ("max", True)
        assert answer.n_tokens == len(answer.token_ids) == len(loaded.tokenizer("max")["input_ids"])
    [[whole]] = generate_answers(loaded, prompts[:1], SamplingPolicy(max_new_tokens=12))
    assert stop in whole.text
    assert not whole.stopped


def test_the_record_has_the_few_shot_base_as_a_model_and_the_differences_to_it(with_separator, tmp_path):
    base = save_chain_model(with_separator, tmp_path / "base", [f"1{END_OF_ANSWER}"], ends=False)
    instruct = save_chain_model(with_separator, tmp_path / "instruct", ["1"], ends=True)
    pool = FewShotPool(2, EXAMPLES, "train split of set")
    plan = MeasurementPlan(DecodingPlan(max_new_tokens=16, num_samples=0), few_shot=pool)
    measurement = Measurement(HELD_OUT, plan)
    loaded = load_for_inference(str(base), name="base")
    few_shot = measurement.few_shot_base(loaded)
    assert (few_shot.name, few_shot.role) == ("base (2-shot)", Role.FEW_SHOT_BASE)
    assert [one.text for one in few_shot.greedy] == ["1", "1"]
    models = [measurement.base(loaded, ModelRef(str(instruct)))]
    models += [measurement.instruct(load_for_inference(str(instruct), name="instruct")), few_shot]
    responses = responses_of(HELD_OUT, models)
    record = comparison_of(HELD_OUT, models, responses, [], pool)
    assert list(record["models"]) == ["base", "instruct", "base (2-shot)"]
    stops = {name: one["metrics"]["stopped_by_itself"]["value"] for name, one in record["models"].items()}
    assert stops == {"base": 0, "instruct": 1, "base (2-shot)": 1}
    assert set(record["differences"]) == {"instruct"}
    assert record["differences"]["instruct"]["stopped_by_itself"]["value"] == 1
    few = record["few_shot"]
    assert (few["name"], few["n_examples"], few["separator"]) == ("base (2-shot)", 2, SEPARATOR)
    against = record["against"][few["name"]]
    assert against["differences"]["instruct"]["stopped_by_itself"]["value"] == 0
    assert "response_bits_per_byte" in against["differences"]["instruct"]
    assert set(against["sentences"]) == {"instruct"}
    without = comparison_of(HELD_OUT, models[:2], responses, [], FewShotPool(0, why_not="no"))
    assert without["few_shot"] == {"why_not": "no"}
