"""lock.json: complete before the first weight loads, completed by the result, and free of secrets."""

import json
import random
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import UserError
from pipelines.records import (
    DatasetIdentity,
    Inputs,
    License,
    ModelIdentity,
    Parallelism,
    Run,
    fingerprints,
    git_state,
    open_run,
    read_lock,
)
from pipelines.records.lock import parallelism
from pipelines.records.lock_shape import first_misfit
from tests.data_prep.cleaning.made_keys import MAKERS
from tests.run_files import lock as whole_lock

INPUTS = Inputs(
    base=ModelIdentity("org/base", "c0ffee", "hub:org/base@c0ffee", "mit"),
    datasets=(
        DatasetIdentity("train", "rows", None, "sha256:1", 10, (License("numpy 2.0", "BSD-3-Clause"),)),
        DatasetIdentity("validation", "rows", None, "sha256:2", 2),
    ),
    tokenizer_sha256="aa",
    template_sha256="bb",
)


def start(folder: Path, **changes: Any) -> Run:
    options: dict[str, Any] = {"program": "sft", "recipe": {}, "seeds": {"seed": 1}, "resume": False, "writes": True}
    run = open_run(folder, **{**options, **changes})
    run.note(n_processes=1)
    return run


def test_the_lock_has_all_inputs_before_there_is_a_result(tmp_path):
    start(tmp_path / "run", recipe={"dataset_name": "rows"}).lock(INPUTS)
    lock = read_lock(tmp_path / "run")
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (lock["kind"], lock["version"], lock["program"], lock["result"]) == ("lock", 1, "sft", None)
    assert lock["base"] == {
        "name_or_path": "org/base", "revision": "c0ffee", "fingerprint": "hub:org/base@c0ffee", "license": "mit",
    }  # fmt: skip
    assert lock["datasets"][0]["licenses"] == [{"source": "numpy 2.0", "license": "BSD-3-Clause"}]
    assert [one["n_rows"] for one in lock["datasets"]] == [10, 2]
    assert {key: lock[key] for key in ("recipe", "versions", "seeds", "machine", "n_processes")} == {
        key: run[key] for key in ("recipe", "versions", "seeds", "machine", "n_processes")
    }
    assert run["base"] == {"path": "org/base", "fingerprint": "hub:org/base@c0ffee"}
    assert run["dataset"] == {"path": "rows", "fingerprint": "sha256:1", "n_rows": 10}


def test_a_run_that_finishes_completes_its_lock(tmp_path):
    folder = tmp_path / "run"
    run = start(folder)
    run.lock(INPUTS)
    (folder / "adapter_model.safetensors").write_bytes(safetensors({"a": b"\x01\x02"}))
    history = [{"step": 1, "loss": 2.5}, {"step": 1, "eval_loss": 2.0}, {"step": 2, "loss": 2.25}]
    history.append({"step": 3, "loss": float("nan")})
    (folder / "trainer_state.json").write_text(json.dumps({"log_history": history}))
    run.finish(metrics={"eval_loss": 2.0})
    result = read_lock(folder / "lock.json")["result"]
    assert result["loss_curve"] == [[1, 2.5], [2, 2.25]]
    assert result["metrics"] == {"eval_loss": 2.0}
    assert result["weights_sha256"] == weights(folder)


def test_a_resumed_run_with_another_input_is_refused_by_its_name(tmp_path):
    start(tmp_path / "run").lock(INPUTS)
    start(tmp_path / "run", resume=True).lock(INPUTS)
    changed = replace(INPUTS, datasets=(replace(INPUTS.datasets[0], fingerprint="sha256:9"), INPUTS.datasets[1]))
    with pytest.raises(UserError, match="began with another train dataset; resume"):
        start(tmp_path / "run", resume=True).lock(changed)
    assert fingerprints(read_lock(tmp_path / "run"))["train dataset"] == "sha256:1"


def test_a_rank_that_does_not_write_locks_nothing(tmp_path):
    start(tmp_path / "run", writes=False).lock(INPUTS)
    assert not (tmp_path / "run").exists()


@dataclass
class Part:
    path: str
    token: str | None = None
    weight: float | None = None


def test_no_secret_reaches_the_lock_and_entries_of_a_mixture_stay_entries(tmp_path):
    recipe = {
        "hub_token": "hf_secret",
        "model_init_kwargs": {"token": "hf_secret"},
        "datasets": [Part("a", "hf_secret")],
    }
    start(tmp_path / "run", recipe=recipe).lock(INPUTS)
    assert "hf_secret" not in (tmp_path / "run" / "lock.json").read_text()
    assert read_lock(tmp_path / "run")["recipe"] == {"model_init_kwargs": {}, "datasets": [{"path": "a"}]}


def safetensors(tensors: dict[str, bytes], dtype: str = "U8", metadata: dict[str, str] | None = None) -> bytes:
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": metadata}
    place = 0
    for name, data in tensors.items():
        header[name] = {"dtype": dtype, "shape": [len(data)], "data_offsets": [place, place + len(data)]}
        place += len(data)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + b"".join(tensors.values())


def weights(folder: Path) -> str | None:
    from pipelines.records.weights import weights_sha256

    return weights_sha256(folder)


def test_weights_are_known_by_their_tensors_and_not_by_their_files(tmp_path):
    def hash_of(name: str, *files: bytes) -> str | None:
        (tmp_path / name).mkdir()
        for number, file in enumerate(files):
            (tmp_path / name / f"model-{number}.safetensors").write_bytes(file)
        return weights(tmp_path / name)

    one = hash_of("one", safetensors({"a": b"\x01", "b": b"\x02\x03"}))
    assert one == hash_of("order", safetensors({"b": b"\x02\x03", "a": b"\x01"}, metadata={"format": "pt"}))
    assert one == hash_of("shards", safetensors({"b": b"\x02\x03"}), safetensors({"a": b"\x01"}))
    others = [{"a": b"\x01", "b": b"\x02\x04"}, {"a": b"\x01", "c": b"\x02\x03"}, {"a": b"\x01\x02", "b": b"\x03"}]
    hashes = {hash_of(f"other {number}", safetensors(other)) for number, other in enumerate(others)}
    assert len({one, *hashes, hash_of("dtype", safetensors({"a": b"\x01", "b": b"\x02\x03"}, dtype="I8"))}) == 5
    assert hash_of("none") is None


def test_keys_that_were_others_before_a_run_was_resumed_are_kept(tmp_path):
    def lock_with(rate: float, *, resume: bool = True) -> dict[str, Any]:
        recipe = {"learning_rate": rate, "seed": 1, "resume": resume}
        start(tmp_path / "run", recipe=recipe, resume=resume).lock(INPUTS)
        return read_lock(tmp_path / "run")

    assert "before_resume" not in lock_with(0.1, resume=False)
    assert "before_resume" not in lock_with(0.1)
    assert lock_with(0.2)["before_resume"] == {"learning_rate": 0.1}
    assert lock_with(0.2)["before_resume"] == {"learning_rate": 0.1}
    assert lock_with(0.1)["before_resume"] == {"learning_rate": 0.2}


def test_the_precision_is_locked_and_so_is_that_of_a_run_before_it_was_resumed(tmp_path):
    def lock_in(choice: str, *, resume: bool = True) -> dict[str, Any]:
        run = start(tmp_path / "run", resume=resume)
        run.note(precision={"choice": choice, "wish": None, "wished_by": None, "reason": "measured"})
        run.lock(INPUTS)
        return read_lock(tmp_path / "run")

    assert lock_in("bfloat16", resume=False)["precision"]["choice"] == "bfloat16"
    assert lock_in("float32")["before_resume"] == {"precision": "bfloat16"}


def _changed(value: Any, place: list[Any], new: Any) -> Any:
    """`value` with `new` at `place`; without what lies there if `new` is `...`."""
    step, *further = place
    items: dict[Any, Any] = dict(enumerate(value)) if isinstance(value, list) else dict(value)
    items[step] = _changed(items[step], further, new) if further else new
    kept = {key: one for key, one in items.items() if one is not ...}
    return list(kept.values()) if isinstance(value, list) else kept


@pytest.mark.parametrize(
    ("place", "new", "named"),
    [
        ("recipe", None, "recipe"),
        ("base.fingerprint", ..., "base"),
        ("datasets", None, "datasets"),
        ("datasets.0.split", ..., "datasets.0"),
        ("datasets.1.fingerprint", 7, "datasets.1.fingerprint"),
        ("git.commit", ..., "git"),
        ("machine", None, "machine"),
        ("n_processes", "2", "n_processes"),
        ("result", {}, "result"),
        ("result.loss_curve.0", ["a", None], "result.loss_curve.0.0"),
    ],
)
def test_a_lock_that_was_edited_is_told_by_the_place(place, new, named):
    whole, steps = whole_lock(), [int(step) if step.isdecimal() else step for step in place.split(".")]
    assert first_misfit(whole) is None
    assert first_misfit(_changed(whole, steps, new)) == named


def test_a_lock_that_is_none_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"there is no lock\.json"):
        read_lock(tmp_path)
    (tmp_path / "lock.json").write_text(json.dumps({"kind": "lock", "version": 2}))
    with pytest.raises(UserError, match="is lock, version 2, expected a lock of version 1"):
        read_lock(tmp_path)
    (tmp_path / "lock.json").write_text(json.dumps({"kind": "lock", "version": 1, "recipe": {}}))
    with pytest.raises(UserError, match="has no program, base"):
        read_lock(tmp_path)
    (tmp_path / "lock.json").write_text(json.dumps(whole_lock(n_processes="2")))
    with pytest.raises(UserError, match="n_processes is not what a run writes"):
        read_lock(tmp_path)


def test_the_launcher_says_how_processes_share_their_work(monkeypatch):
    assert (parallelism(1), parallelism(2)) == (Parallelism.NONE, Parallelism.DDP)
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert parallelism(2) is Parallelism.FSDP


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with one file under version control."""
    (tmp_path / "file.txt").write_text("one\n")
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    for words in (["init", "-q"], ["add", "file.txt"], [*identity, "commit", "-q", "-m", "one"]):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    return tmp_path


def test_code_is_known_by_its_commit_and_what_was_changed_since(checkout):
    clean = git_state(checkout)
    assert (clean["diff_sha256"], clean["diff"]) == (None, None)
    (checkout / "file.txt").write_text("two\n")
    (checkout / "untracked.txt").write_text("notes\n")
    changed = git_state(checkout)
    assert changed["commit"] == clean["commit"]
    assert "+two" in str(changed["diff"])
    assert "notes" not in str(changed["diff"])
    assert len(str(changed["diff_sha256"])) == 64


@pytest.mark.parametrize(
    "text",
    [
        "x" * 201_000,
        "hub_token: hf_" + "a" * 34,
        "wandb_api_key = 'abcdefghijklmnopqrstuvwx'",
        MAKERS["AWS_ACCESS_KEY"](random.Random(0)),
    ],
    ids=["long", "hub", "wandb", "aws"],
)
def test_a_diff_that_is_long_or_holds_a_token_is_known_by_its_hash_alone(checkout, text):
    (checkout / "file.txt").write_text(text)
    state = git_state(checkout)
    assert state["diff"] is None
    assert state["diff_sha256"]


def test_outside_a_checkout_nothing_is_said_of_the_code(tmp_path):
    assert set(git_state(tmp_path).values()) == {None}
