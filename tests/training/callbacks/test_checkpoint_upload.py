"""A push that a recipe asks for: checked before the first step, a checkpoint that fails to go stops nothing."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import HubStrategy
from trl import ModelConfig, SFTConfig

from pipelines.errors import UserError
from pipelines.hub.base import HubBase
from pipelines.recipe import Recipe, parse_recipe
from pipelines.recipe.arguments import InstructionArguments
from pipelines.training.callbacks.checkpoint_upload import CheckpointUploadCallback, PlannedPush, planned_push
from tests.hub.run_folder import COMMIT, PUBLISHED, lock_of, write_json, write_run
from tests.hub_server.server import Fault, LocalHub, ask_from_this_process

BASE = "org/base"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    with LocalHub(tmp_path / "hub") as hub:
        ask_from_this_process(hub, monkeypatch)
        yield hub


@pytest.fixture
def token(hub: LocalHub) -> str:
    return hub.add_user("me")


def recipe_of(folder: Path, token: str, **keys: Any) -> Recipe:
    words = {"output_dir": folder, "push_to_hub": "true", "hub_token": token, "use_peft": "true", "bf16": "false"}
    arguments = [word for key, value in {**words, **keys}.items() for word in (f"--{key}", str(value))]
    return parse_recipe([InstructionArguments, SFTConfig, ModelConfig], arguments)


def planned(folder: Path, token: str, **keys: Any) -> Any:
    push = planned_push(recipe_of(folder, token, **keys), BASE)
    assert push is not None
    return push


def saved(push: PlannedPush, step: int, callback: CheckpointUploadCallback | None = None) -> None:
    """What the trainer does after it has written a checkpoint."""
    args, state = TrainingArguments(str(push.folder), use_cpu=True), TrainerState(global_step=step)
    (callback or CheckpointUploadCallback(push)).on_save(args, state, TrainerControl())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run that is under way, with checkpoints of steps 5 and 10."""
    folder = tmp_path / "my-run"
    folder.mkdir()
    write_json(folder / "lock.json", lock_of(BASE, f"hub:{BASE}@{COMMIT}"))
    write_run(folder / "checkpoint-5")
    write_run(folder / "checkpoint-10")
    return folder


def test_a_push_is_planned_by_its_keys_and_the_trainer_gets_no_token(tmp_path, hub, token):
    assert planned_push(recipe_of(tmp_path / "run", token, push_to_hub="false"), BASE) is None
    assert hub.requests == []
    recipe = recipe_of(tmp_path / "run", token)
    planned_push(recipe, BASE)
    assert (recipe.arguments[1].push_to_hub, recipe.arguments[1].hub_token) == (False, None)
    plain = planned(tmp_path / "my-run", token)
    assert (plain.repository.repo_id, plain.revision, plain.private) == ("me/my-run", "main", True)
    keys = {"hub_model_id": "me/other", "hub_revision": "v2", "hub_private_repo": "false", "hub_strategy": "end"}
    said = planned(tmp_path / "my-run", token, **keys)
    assert (said.repository.repo_id, said.revision, said.private) == ("me/other", "v2", False)
    assert (plain.strategy, said.strategy) == (HubStrategy.EVERY_SAVE, HubStrategy.END)


def test_checkpoints_are_followed_unless_only_the_end_is_pushed(tmp_path, token):
    callbacks: list[Any] = []
    trainer: Any = SimpleNamespace(add_callback=lambda one: callbacks.append(type(one)))
    for strategy in ("end", "every_save", "checkpoint", "all_checkpoints"):
        planned(tmp_path / "run", token, hub_strategy=strategy).follow(trainer)
        assert callbacks.count(CheckpointUploadCallback) == len(callbacks) == (strategy != "end")
        callbacks.clear()


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"hub_token": "hf_" + "z" * 30}, "the Hub does not accept the token"),
        ({"hub_model_id": "others/run"}, "me is not a member of others"),
        ({"hub_model_id": "me/in--valid"}, "Cannot have -- or"),
    ],
)
def test_a_push_that_would_fail_does_not_start(tmp_path, token, keys, words):
    with pytest.raises(UserError, match=words):
        planned(tmp_path / "run", token, **keys)


def test_a_checkpoint_goes_to_its_own_branch_with_its_card(hub, folder, token):
    push = planned(folder, token, hub_revision="v2")
    saved(push, 5)
    saved(push, 10)
    there = hub.repository("me/my-run")
    assert {"step-000005", "step-000010"} <= there.branches.keys()
    assert there.files("step-000005").keys() == PUBLISHED | {".gitattributes"}
    assert b"# my-run at step 5\n" in there.files("step-000005")["README.md"]
    assert b"are on [v2](" in there.files("step-000005")["README.md"]  # where the finished run goes
    assert there.private


def test_a_failed_upload_is_printed_and_stops_nothing(hub, folder, token, capsys):
    push = planned(folder, token)
    hub.faults.append(Fault("POST /api/repos/create", status=403, times=99))
    callback = CheckpointUploadCallback(push)
    for step in (5, 10):
        saved(push, step, callback)
    said = capsys.readouterr().err
    assert said.count("was not pushed") == 1
    assert "the checkpoint of step 5 was not pushed: the token may not write to me/my-run (status 403" in said
    assert token not in said
    hub.faults.clear()
    saved(push, 10, callback)
    assert "step-000010" in hub.repository("me/my-run").branches


@pytest.mark.parametrize(
    ("keys", "base", "flags"),
    [
        ({}, None, ""),
        ({"hub_revision": "v2", "hub_private_repo": "false"}, HubBase("me/base", COMMIT),
         " --revision v2 --base_model me/base --public"),
    ],
)  # fmt: skip
def test_the_end_says_how_to_push_again_what_did_not_go(hub, folder, token, keys, base, flags):
    spaced = folder.rename(folder.parent / "my run")
    push = replace(planned(spaced, token, hub_model_id="me/my-run", **keys), base=base)
    hub.faults.append(Fault("POST .*/commit/", status=403, times=99))
    for path in (spaced / "checkpoint-10").glob("*.*"):
        path.rename(spaced / path.name)
    with pytest.raises(UserError) as caught:
        push.finish(lambda *_, **__: "---\nlicense: mit\n---\n")
    assert str(caught.value).endswith(f"python pipelines/push.py '{spaced}' --repo_id me/my-run{flags}")


def test_a_run_from_another_rank_pushes_nothing(hub, folder):
    push = PlannedPush(folder, None, HubBase(BASE, COMMIT), "main", True, HubStrategy.EVERY_SAVE)
    saved(push, 5)
    push.finish(lambda *_, **__: "")
    assert hub.requests == []
