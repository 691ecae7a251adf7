"""Each thing that is not as it was locked is one line, and only another input makes it another run."""

import copy
from typing import Any

import pytest

from pipelines.reproduction.differences import Kind, differences, inputs_among
from tests.run_files import lock


def changed(path: str, value: Any) -> dict[str, Any]:
    """A lock with one value changed, named by its keys with dots between them."""
    here = copy.deepcopy(lock())
    *keys, last = [int(key) if key.isdecimal() else key for key in path.split(".")]
    place: Any = here
    for key in keys:
        place = place[key]
    place[last] = value
    return here


def test_where_nothing_differs_nothing_is_said():
    assert differences(lock(), lock()) == []


@pytest.mark.parametrize(("path", "value", "what", "kind"), [
    ("base.fingerprint", "sha256:other", "base", Kind.INPUT),
    ("datasets.0.fingerprint", "sha256:other", "train dataset", Kind.INPUT),
    ("datasets.1.fingerprint", "sha256:other", "validation dataset", Kind.INPUT),
    ("tokenizer_sha256", "c" * 64, "tokenizer", Kind.INPUT), ("template_sha256", None, "chat template", Kind.INPUT),
    ("adapter", {"name_or_path": "a", "fingerprint": "sha256:a"}, "adapter", Kind.INPUT),
    ("recipe.learning_rate", 1e-4, "recipe key learning_rate", Kind.INPUT),
    ("recipe.lora_r", 8, "recipe key lora_r", Kind.INPUT),
    ("recipe.use_cpu", True, "recipe key use_cpu", Kind.CIRCUMSTANCE),
    ("versions.torch", "2.14.0", "version of torch", Kind.CIRCUMSTANCE),
    ("versions.numpy", "2.0", "version of numpy", Kind.CIRCUMSTANCE),
    ("git.commit", "2" * 40, "code", Kind.CIRCUMSTANCE), ("git.diff_sha256", "d" * 64, "code", Kind.CIRCUMSTANCE),
    ("machine.processor", "another", "machine: processor", Kind.CIRCUMSTANCE),
    ("machine.accelerators", ["H100"], "machine: accelerators", Kind.CIRCUMSTANCE),
])  # fmt: skip
def test_one_change_is_one_difference_with_its_name_and_kind(path, value, what, kind):
    [found] = differences(lock(), changed(path, value))
    assert (found.what, found.kind) == (what, kind)
    assert "\n" not in found.line()
    assert bool(inputs_among([found])) == (kind is Kind.INPUT)


@pytest.mark.parametrize("key", ["dataset_name", "model_name_or_path", "output_dir", "push_to_hub", "hub_model_id"])
def test_where_things_lie_is_no_difference_since_fingerprints_say_what_lies_there(key):
    assert differences(lock(), changed(f"recipe.{key}", "elsewhere")) == []


def test_the_line_names_the_fingerprint_and_both_values():
    [found] = differences(lock(), changed("datasets.0.fingerprint", f"sha256:{'9' * 64}"))
    assert found.line() == "train dataset fingerprint: sha256:1… in the lock, sha256:999999999999… here"


def test_parts_of_a_corpus_are_told_apart_by_their_place_wherever_they_lie():
    part = {"split": "train", "revision": None, "n_rows": None, "licenses": []}
    locked = lock(datasets=[{**part, "path": "a", "fingerprint": "1"}, {**part, "path": "b", "fingerprint": "2"}])
    here = lock(datasets=[{**part, "path": "x/a", "fingerprint": "1"}, {**part, "path": "x/b", "fingerprint": "3"}])
    assert [one.what for one in differences(locked, here)] == ["train dataset 2"]


def test_another_precision_is_said_and_is_no_other_run():
    locked, here = (lock(precision={"choice": choice, "reason": choice}) for choice in ("bfloat16", "float32"))
    [found] = differences(locked, here)
    assert found.line() == "computed in: bfloat16 in the lock, float32 here"
    assert not inputs_among([found])
    assert differences(lock(), here) == []  # a lock from before it was recorded
    assert differences(here, lock(precision={"choice": "float32", "reason": "measured 40 times slower"})) == []


def test_a_run_resumed_in_another_precision_is_made_again_by_none():
    resumed = lock(before_resume={"precision": "bfloat16"}, precision={"choice": "float32"})
    (found,) = inputs_among(differences(resumed, resumed))
    assert found.line() == "recipe key precision until the run was resumed: bfloat16 in the lock, float32 here"


def test_a_run_resumed_with_another_recipe_is_made_again_by_none():
    resumed = lock(before_resume={"learning_rate": 0.1, "output_dir": "elsewhere"})
    (found,) = inputs_among(differences(resumed, lock()))
    assert found.line() == "recipe key learning_rate until the run was resumed: 0.1 in the lock, 0.001 here"
