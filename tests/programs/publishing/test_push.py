"""push.py, and push_to_hub in recipes: a real run, the real client, a local Hub; and nothing private on the way."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines import dpo, pretrain, push, sft
from pipelines.errors import UserError
from pipelines.hub.model_ref import model_fingerprint
from tests.conftest import PROJECT
from tests.hub_server.server import Fault, LocalHub
from tests.programs.publishing.pushed_run import KEYS, OF_A_MODEL, OF_A_RUN, USER, Pushed, pushed_run


@pytest.fixture(scope="module")
def pushed(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pushed]:
    with pushed_run(tiny_model_folder, tmp_path_factory.mktemp("push")) as one:
        yield one


def pushing(*arguments: str | Path) -> None:
    push.main([str(argument) for argument in arguments])


def again(pushed: Pushed, name: str, *arguments: str | Path) -> None:
    """The same run to another repository."""
    pushing(pushed.run, "--repo_id", name, "--base_model", "me/base", *arguments)


def stored_bytes(hub: LocalHub) -> list[tuple[str, bytes]]:
    """All that the Hub holds: contents, file names, commit messages, branches."""
    return [one for repository in hub.repositories.values() for one in repository.stored()]


def test_a_recipe_pushes_each_save_to_its_branch_and_the_run_to_main(pushed):
    there = pushed.there
    assert there.branches.keys() == {"main", "step-000001", "step-000002"}
    assert there.private
    assert there.files("main").keys() == OF_A_RUN
    assert there.files("step-000001").keys() == there.files("step-000002").keys() == OF_A_RUN
    for branch, folder in {"main": "", "step-000001": "checkpoint-1", "step-000002": "checkpoint-2"}.items():
        local = pushed.run / folder / "adapter_model.safetensors"
        assert there.files(branch)["adapter_model.safetensors"] == local.read_bytes()
    assert f"{pushed.hub.url}/me/mine/tree/main: commit " in pushed.log


def test_what_arrived_names_the_hubs_base_and_is_described_by_records(pushed):
    files, base = pushed.there.files(), pushed.hub.repository("me/base").branches["main"]
    config, lock = json.loads(files["adapter_config.json"]), json.loads(files["lock.json"])
    assert (config["base_model_name_or_path"], config["revision"]) == ("me/base", base)
    assert lock["base"]["name_or_path"] == "me/base"
    assert lock["result"]["loss_curve"]
    assert lock["recipe"]["dataset_name"] == "rows.jsonl"
    assert 'name = "me/mine"' in files["README.md"].decode()
    assert files["README.md"].startswith(b"---\nbase_model: me/base\n")


def test_no_token_home_folder_or_users_name_reaches_the_hub(pushed):
    contents = stored_bytes(pushed.hub)
    assert any(b"adapter_model" in content for _, content in contents)
    assert any(b"Push of 8 files" in content for _, content in contents)
    for path, content in contents:
        for private in (pushed.token, str(pushed.home), USER):
            assert private.encode() not in content, path


def test_the_run_folder_holds_the_projects_card(pushed):
    card = (pushed.run / "README.md").read_text()
    assert "is a LoRA adapter of rank 4 on `base`, fine-tuned (SFT) on 12 rows of `rows.jsonl`" in card
    assert "It was not compared with its base." in card
    assert "More Information Needed" not in card


def test_no_token_stays_in_the_log_or_in_the_run_folder(pushed):
    assert pushed.token not in pushed.log
    for path in pushed.run.rglob("*"):
        assert not path.is_file() or pushed.token.encode() not in path.read_bytes(), path


def test_transformers_own_push_uploads_nothing_beside_ours(pushed):
    commits = [path for method, path in pushed.hub.requests if method == "POST" and "/me/mine/commit/" in path]
    assert [path.rpartition("/")[2] for path in commits] == ["step-000001", "step-000002", "main"]


def test_the_program_lists_then_pushes_and_its_second_call_sends_nothing(pushed):
    def call(*more: str) -> tuple[str, set[str]]:
        n_before = len(pushed.hub.requests)
        arguments = [str(pushed.run), "--repo_id", "listed", "--base_model", "me/base", *more]
        done = subprocess.run(
            [sys.executable, str(PROJECT / "pipelines/push.py"), *arguments],
            env=pushed.environment(), cwd=PROJECT, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert pushed.token not in done.stdout + done.stderr
        return done.stdout, {method for method, _ in pushed.hub.requests[n_before:]}

    said, methods = call("--dry_run")
    assert methods == {"GET"}
    assert said.startswith("me/listed: will be created, private\nbranch main (new), 8 files, ")
    assert said.endswith("nothing was sent (--dry_run)\n")
    assert all(f"  {name} " in said for name in OF_A_RUN - {".gitattributes"})
    assert "PUT" in call()[1]
    assert pushed.hub.repository("me/listed").files().keys() == OF_A_RUN
    said, methods = call()
    assert said.endswith("main: already up to date, nothing sent\n")
    assert "PUT" not in methods


def test_a_dry_run_without_a_token_lists_the_files_and_says_what_it_did_not_check(pushed):
    n_before = len(pushed.hub.requests)

    def call(name: str, *more: str) -> "subprocess.CompletedProcess[str]":
        arguments = [str(pushed.run), "--repo_id", name, "--dry_run", *more]
        environment = {key: value for key, value in pushed.environment().items() if key != "HF_TOKEN"}
        return subprocess.run(
            [sys.executable, str(PROJECT / "pipelines/push.py"), *arguments],
            env=environment, cwd=PROJECT, capture_output=True, text=True,
        )  # fmt: skip

    done = call("me/listed", "--base_model", "me/base")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("me/listed: private if it is new\nbranch main (not checked), 8 files, ")
    assert all(f"  {name} " in done.stdout for name in OF_A_RUN - {".gitattributes"})
    for unchecked in ("you may write to me", "me/listed already holds", "me/base has the weights of the base"):
        assert unchecked in done.stdout.partition("not checked, because there is no token")[2]
    assert done.stdout.endswith("nothing was sent (--dry_run)\n")
    assert "--base_model" in call("me/listed").stderr
    assert "Cannot have -- or" in call("me/in--valid", "--base_model", "me/base").stderr
    assert len(pushed.hub.requests) == n_before


@pytest.mark.parametrize(
    ("name", "line", "what"),
    [
        ("chat_template.jinja", "{# {token} #}", "a token"),
        ("generation_config.json", '{"made_in": "{home}/base"}', "the path of the home folder"),
        ("special_tokens_map.json", '{"x": "/data/{user}/x"}', "the user's name in a path"),
    ],
)
def test_something_planted_is_refused_by_the_files_name(pushed, monkeypatch, name, line, what):
    monkeypatch.setenv("HOME", str(pushed.home))
    monkeypatch.setenv("USER", USER)
    path = pushed.run / name
    before = path.read_bytes() if path.exists() else None
    for key, value in {"{token}": pushed.token, "{home}": str(pushed.home), "{user}": USER}.items():
        line = line.replace(key, value)
    try:
        path.write_text(line)
        with pytest.raises(UserError) as caught:
            again(pushed, "me/planted")
    finally:
        path.unlink() if before is None else path.write_bytes(before)
    assert f"{what} in {name} (line 1)" in str(caught.value)
    assert pushed.token not in str(caught.value)
    assert ("POST", "/api/repos/create") not in pushed.hub.requests[-4:]


def test_a_broken_hub_ends_in_one_line(pushed):
    pushed.hub.faults.append(Fault("POST .*/commit/", status=500, times=99))
    try:
        with pytest.raises(UserError, match=r"did not accept me/broken: status 500 after 3 tries"):
            again(pushed, "me/broken")
    finally:
        pushed.hub.faults.clear()
    again(pushed, "me/broken", "--revision", "v2")
    assert pushed.hub.repository("me/broken").files("v2").keys() == OF_A_RUN
    assert b'name, revision="v2"' in pushed.hub.repository("me/broken").files("v2")["README.md"]


def test_public_is_asked_for(pushed):
    again(pushed, "me/public", "--public")
    assert not pushed.hub.repository("me/public").private


def test_a_merge_of_another_adapter_is_not_pushed_beside_this_run(pushed, tiny_model_folder, tmp_path):
    merged = tmp_path / "merged"
    shutil.copytree(tiny_model_folder, merged)
    with pytest.raises(UserError, match=r"holds no merge\.json, expected this run's adapter merged"):
        again(pushed, "me/merges", "--merged", merged)
    adapters = [{"name_or_path": "x", "fingerprint": "sha256:other"}]
    (merged / "merge.json").write_text(json.dumps({"kind": "merge", "adapters": adapters}))
    with pytest.raises(UserError, match="holds a merge of other adapters"):
        again(pushed, "me/merges", "--merged", merged)
    adapters[0]["fingerprint"] = model_fingerprint(str(pushed.run))
    (merged / "merge.json").write_text(json.dumps({"kind": "merge", "adapters": adapters}))
    again(pushed, "me/merges", "--merged", merged)
    there = pushed.hub.repository("me/merges")
    assert there.branches.keys() == {"main", "merged"}
    assert {"merge.json", "model.safetensors"} <= there.files("merged").keys()


def test_figures_of_weights_that_the_run_folder_no_longer_holds_are_not_pushed(pushed, tmp_path):
    with pytest.raises(UserError, match=r"holds no comparison\.json"):
        again(pushed, "me/compared", "--comparison", tmp_path)
    models = {"mine": {"path": str(pushed.run), "fingerprint": "sha256:before"}}
    (tmp_path / "comparison.json").write_text(json.dumps({"kind": "comparison", "models": models}))
    with pytest.raises(UserError, match="holds a comparison of other weights"):
        again(pushed, "me/compared", "--comparison", tmp_path)


def test_a_model_from_scratch_goes_whole_and_at_its_end_alone(pushed, tiny_model_folder, tmp_path):
    (tmp_path / "corpus.txt").write_text("def find_max(numbers):\n    return max(numbers)\n\n" * 40)
    shape = "{hidden_size: 32, intermediate_size: 64, num_hidden_layers: 1, num_attention_heads: 2}"
    words = (
        f"--model_type llama --max_length 32 --max_steps 2 --save_steps 1 --logging_steps 1 --bf16 false --doctor off "
        f"--report_to none --disable_tqdm true --n_samples 0 --dataset_name {tmp_path}/corpus.txt --push_to_hub true "
        f"--tokenizer_name_or_path {tiny_model_folder} --output_dir {tmp_path}/scratch --hub_strategy end"
    )
    pretrain.main([*words.split(), "--model_config", shape])
    there = pushed.hub.repository("me/scratch")
    assert there.branches.keys() == {"main"}
    assert there.files().keys() == OF_A_MODEL
    assert json.loads(there.files()["lock.json"])["base"] is None
    assert "scratch is a full model, pretrained on" in (tmp_path / "scratch" / "README.md").read_text()


def test_preferences_go_on_the_same_way(pushed, tmp_path):
    pairs = [{"instruction": f"Say {n}.", "chosen": f"{n} it is", "rejected": f"no {n}"} for n in range(8)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    words = (
        f"{KEYS} --adapter_name_or_path {pushed.run} --dataset_name {tmp_path}/pairs.jsonl --push_to_hub true "
        f"--output_dir {tmp_path}/preferred --hub_base_model me/base --save_strategy no"
    )
    dpo.main(words.replace("--use_peft true --lora_r 4 ", "").replace("--save_steps 1 ", "").split())
    there = pushed.hub.repository("me/preferred")
    assert there.files().keys() == OF_A_RUN
    assert json.loads(there.files()["lock.json"])["adapter"]["name_or_path"] == "mine"
    assert "tuned to preferences (DPO) on 8 pairs" in (tmp_path / "preferred" / "README.md").read_text()


def test_an_unfinished_run_is_not_pushed(pushed, tmp_path):
    (tmp_path / "run.json").write_text('{"kind": "run", "status": "started"}')
    with pytest.raises(UserError, match="a finished run"):
        pushing(tmp_path, "--repo_id", "me/unfinished")
    with pytest.raises(UserError, match="is a checkpoint, expected the folder of a run"):
        pushing(pushed.run / "checkpoint-1", "--repo_id", "me/unfinished")


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("--hub_token hf_zzzzzzzzzzzzzzzzzzzzzzzzzzzzzz --hub_base_model me/base", "the Hub does not accept the token"),
        ("--hub_model_id others/mine --hub_base_model me/base", "me is not a member of others"),
        ("--hub_model_id me/in--valid --hub_base_model me/base", "Cannot have -- or"),
        ("", "an adapter needs a base on the Hub"),
        ("--hub_base_model me/mine", "me/mine has different weights"),
        ("--hub_model_id me/base --hub_base_model me/base", "unrelated files"),
    ],
)
def test_a_recipe_whose_push_would_fail_does_not_train(pushed, tmp_path, keys, words):
    where = f"--model_name_or_path {pushed.home}/base --dataset_name {pushed.home}/rows/rows.jsonl"
    with pytest.raises(UserError, match=words):
        sft.main(f"{KEYS} {where} --output_dir {tmp_path}/run --push_to_hub true {keys}".split())
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_of_two_processes_one_pushes_and_both_hear_a_refusal(pushed, tmp_path):
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", "accelerate_configs/cpu_ddp.yaml"]
    where = f"--model_name_or_path {pushed.home}/base --dataset_name {pushed.home}/rows/rows.jsonl"
    keys = f"{KEYS} {where} --output_dir {tmp_path}/both --push_to_hub true --hub_base_model me/base"

    def call(*more: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*launcher, "pipelines/sft.py", *keys.split(), *more],
            env=pushed.environment(), cwd=PROJECT, capture_output=True, text=True, timeout=300,
        )  # fmt: skip

    refused = call("--hub_model_id", "others/both")
    assert refused.returncode != 0
    assert refused.stderr.count("error: the token may not write to others: me is not a member") == 2
    assert not (tmp_path / "both").exists()
    assert call().returncode == 0
    commits = [path for method, path in pushed.hub.requests if method == "POST" and "/me/both/commit/" in path]
    assert [path.rpartition("/")[2] for path in commits] == ["step-000001", "step-000002", "main"]
