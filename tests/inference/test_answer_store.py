"""Finished answers on disk: found again, not generated again, whatever the kill left behind."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.errors import UserError
from pipelines.inference import generation
from pipelines.inference.answer_store import Answer, AnswerStore, open_answer_store
from pipelines.inference.generation import SamplingPolicy, generate_answers
from pipelines.inference.loading import load_for_inference
from pipelines.inference.sampling import Request
from pipelines.modeling import LoadedModel
from tests.run_files import read_jsonl

PROMPTS = [[10, 11, 12], [20], [30, 31], [10, 11, 12], [40, 41, 42, 43]]
HOSTILE = Answer('a\n"b"\u2028\x00\ud800</script>\u202e', 3, True, (5, 6, 7, 0))
PLAIN = Answer("c", 1, False, (8,))


def test_answers_are_found_again_as_they_were(tmp_path):
    store = AnswerStore(tmp_path / "new" / "store")
    store.add({"a": HOSTILE})
    store.add({"b": PLAIN})
    again = AnswerStore(tmp_path / "new" / "store")
    assert (again.get("a"), again.get("b"), again.get("c"), len(again)) == (HOSTILE, PLAIN, None, 2)


def test_a_torn_last_line_counts_as_not_written_and_another_that_is_no_answer_is_named(tmp_path):
    path = tmp_path / "store"
    AnswerStore(path).add({"a": HOSTILE, "b": PLAIN})
    whole = path.read_bytes()
    for n_bytes in range(len(whole.split(b"\n")[0]) + 1, len(whole)):
        path.write_bytes(whole[:n_bytes])
        store = AnswerStore(path)
        assert (store.get("a"), store.get("b")) == (HOSTILE, None)
    store.add({"b": PLAIN})
    assert path.read_bytes() == whole
    path.write_text('{"key": "a"}\n')
    with pytest.raises(UserError, match=r"line 1 of .*store is not a finished answer: '\{\"key\": \"a\"\}'"):
        AnswerStore(path)


def test_the_files_of_all_processes_are_read_and_removed(tmp_path):
    for number, name in enumerate(["s", "s.1", "s.12"]):
        AnswerStore(tmp_path / name).add({str(number): PLAIN})
    (tmp_path / "s.bak").write_text("mine")
    store = AnswerStore(tmp_path / "s")
    assert [store.get(key) for key in ("0", "1", "2")] == [PLAIN] * 3
    store.remove()
    assert [path.name for path in tmp_path.iterdir()] == ["s.bak"]


def test_a_leftover_is_refused_unless_it_is_to_be_resumed(tmp_path):
    output = tmp_path / "answers.jsonl"
    open_answer_store(output, resume=False).add({"a": PLAIN})
    with pytest.raises(UserError, match=r"answers\.jsonl\.partial has 1 answers of an interrupted call; add --resume"):
        open_answer_store(output, resume=False)
    assert len(open_answer_store(output, resume=True)) == 1


@pytest.fixture(scope="module")
def loaded(tiny_model_folder: Path) -> LoadedModel:
    return load_for_inference(str(tiny_model_folder))


@pytest.fixture
def generated(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """The requests that were really decoded."""
    decoded: list[Request] = []
    decode = generation.decode

    def watched(loaded: LoadedModel, requests: list[Request], *rest: object) -> object:
        decoded.extend(requests)
        return decode(loaded, requests, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(generation, "decode", watched)
    return decoded


SAMPLED = SamplingPolicy(temperature=1.0, num_samples=2, max_new_tokens=5)


def test_what_is_stored_is_not_generated_again(loaded, tmp_path, generated, capsys):
    expected = generate_answers(loaded, PROMPTS, SAMPLED)
    generated.clear()
    generate_answers(loaded, PROMPTS[:2], SAMPLED, store=AnswerStore(tmp_path / "s"), batch_size=3)
    assert len(generated) == 4
    generated.clear()
    assert generate_answers(loaded, PROMPTS, SAMPLED, store=AnswerStore(tmp_path / "s")) == expected
    assert sorted(one.token_ids for one in generated) == [(30, 31)] * 2 + [(40, 41, 42, 43)] * 2
    assert "4 of 8 answers were finished before" in capsys.readouterr().err
    generated.clear()
    more = generate_answers(loaded, PROMPTS, replace(SAMPLED, num_samples=3), store=AnswerStore(tmp_path / "s"))
    assert [samples[:2] for samples in more] == expected
    assert {one.sample for one in generated} == {2}


@pytest.mark.parametrize("change", ["seed", "temperature", "max_new_tokens", "end_token", "dtype", "weights"])
def test_an_answer_of_other_settings_is_not_found(loaded, tiny_model_folder, tmp_path, generated, change):
    generate_answers(loaded, PROMPTS, SAMPLED, store=AnswerStore(tmp_path / "s"))
    generated.clear()
    policy, other = SAMPLED, loaded
    if change in ("seed", "temperature", "max_new_tokens"):
        policy = replace(SAMPLED, **{change: 3})
    else:
        other = load_for_inference(str(tiny_model_folder), dtype="float64" if change == "dtype" else "auto")
        if change == "end_token":
            other.model.generation_config.eos_token_id = 9
        if change == "weights":
            folder = tmp_path / "other"
            other.model.save_pretrained(folder, max_shard_size="20KB")  # other files, other fingerprint
            other.tokenizer.save_pretrained(folder)
            other = load_for_inference(str(folder))
    generate_answers(other, PROMPTS, policy, store=AnswerStore(tmp_path / "s"))
    assert len(generated) == 8


def test_answers_reach_the_disk_batch_by_batch(loaded, tmp_path):
    class Interrupted(AnswerStore):
        n_batches = 0

        def add(self, answers: dict[str, Answer]) -> None:  # type: ignore[override]
            super().add(answers)
            self.n_batches += 1
            if self.n_batches == 2:
                raise KeyboardInterrupt

    policy = SamplingPolicy(max_new_tokens=5)
    prompts = [[n] for n in range(10, 30)]
    with pytest.raises(KeyboardInterrupt):
        generate_answers(loaded, prompts, policy, batch_size=4, store=Interrupted(tmp_path / "s"))
    assert len(read_jsonl(tmp_path / "s")) == 8
    uninterrupted = generate_answers(loaded, prompts, policy)
    assert generate_answers(loaded, prompts, policy, store=AnswerStore(tmp_path / "s")) == uninterrupted
