"""A locked recipe is run with commits pinned, pushes nothing, and runs nobody's code unasked."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.errors import UserError
from pipelines.recipe import Stage
from pipelines.reproduction.locked_recipe import locked_recipe
from tests.run_files import lock


def with_keys(**keys: Any) -> dict[str, Any]:
    return lock(recipe=lock()["recipe"] | keys)


def written(locked: dict[str, Any], *overrides: str) -> dict[str, Any]:
    """The keys of the file that the program is run with."""
    with locked_recipe(locked, overrides, Path("again")) as again:
        keys = yaml.safe_load(again.path.read_text())
        assert again.program is Stage.SFT
        assert again.recipe.arguments[1].output_dir == "again"
    assert not again.path.exists()
    return keys


def test_commits_are_pinned_and_the_user_s_keys_are_over_the_locked_ones():
    keys = written(with_keys(model_revision="main"), "--dataset_name", "elsewhere", "--learning_rate", "1e-4")
    assert (keys["model_name_or_path"], keys["model_revision"]) == ("org/base@c0ffee", "main")
    assert (keys["dataset_name"], keys["learning_rate"]) == ("elsewhere", 1e-4)
    assert written(with_keys(model_name_or_path="org/base@main"))["model_name_or_path"] == "org/base@c0ffee"
    assert written(lock(), "--model_name_or_path", "my/copy")["model_name_or_path"] == "my/copy"


def test_a_precision_that_the_command_line_asked_for_is_asked_for_again():
    asked = {**with_keys(bf16=True, dtype="bfloat16"), "precision": {"choice": "bfloat16", "wished_by": "command line"}}
    for locked, overrides, flags in (
        (asked, [], ("--bf16", "true", "--dtype", "bfloat16")),
        (asked, ["--bf16", "false"], ("--bf16", "false", "--dtype", "bfloat16")),
        (with_keys(bf16=True), [], ()),
        (with_keys(bf16=True), ["--bf16", "true"], ("--bf16", "true")),
    ):
        with locked_recipe(locked, overrides, Path("again")) as again:
            assert again.flags == flags


def test_a_hub_dataset_and_each_part_of_a_mixture_are_pinned_to_their_commits():
    one = lock()["datasets"][0]
    assert written(lock(datasets=[one | {"revision": "d00d"}]))["dataset_revision"] == "d00d"
    parts = [{"path": "org/a", "revision": "d00d"}, {"path": "b", "revision": None}]
    mixture = with_keys(dataset_name=None, datasets=[{"path": "org/a"}, {"path": "b", "split": "all"}])
    keys = written(mixture | {"datasets": [one | {"parts": parts}]})
    assert keys["datasets"] == [{"path": "org/a", "revision": "d00d"}, {"path": "b", "split": "all"}]


def test_a_second_run_pushes_nothing_and_sets_no_variable(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "here")
    keys = written(
        with_keys(
            push_to_hub=True, hub_model_id="me/mine", report_to="trackio", project="p", resume=True,
            env={"HF_ENDPOINT": "there"},
        )
    )  # fmt: skip
    assert keys["report_to"] == "none"
    assert not keys.keys() & {"push_to_hub", "hub_model_id", "project", "resume", "env"}


@pytest.mark.parametrize(("key", "value"), [
    ("trust_remote_code", True), ("model_init_kwargs", {"trust_remote_code": True}),
    ("attn_implementation", "org/kernel"),
])  # fmt: skip
def test_code_of_the_hub_is_refused_until_the_user_asks_for_it(key, value):
    with pytest.raises(UserError, match=f"repeat --{key}"):
        written(with_keys(**{key: value}))
    assert written(with_keys(**{key: value}), f"--{key}", yaml.safe_dump(value, default_flow_style=True))[key] == value


def test_a_lock_of_no_training_program_is_refused():
    with pytest.raises(UserError, match="expected one of pretrain, sft, dpo"):
        written(lock(program="../../evil"))


def test_a_stray_word_and_an_unknown_key_are_told():
    with pytest.raises(UserError, match="2 problems in "):
        written(lock(), "stray", "--learnig_rate", "1")
