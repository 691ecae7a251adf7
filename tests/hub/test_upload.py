"""Upload to a local Hub with the real client: what arrives, what is refused, what a broken connection does."""

import re
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from pipelines.errors import UserError
from pipelines.hub.base import HubBase
from pipelines.hub.repository import writable_repository
from pipelines.hub.upload import plan_lines, upload
from pipelines.hub.upload_plan import PublishedRun, UploadPlan
from tests.hub.conftest import FAST_RETRIES
from tests.hub.run_folder import CARD, COMMIT, PUBLISHED, lock_of, write_base, write_run, write_weights
from tests.hub_server.server import Fault, LocalHub

BASE = HubBase("org/base", COMMIT)
OF_THE_HUB = {".gitattributes"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run")


def plan_of(folder: Path, branch: str = "main", base: HubBase = BASE, card: str = CARD) -> UploadPlan:
    return PublishedRun(folder, lock_of(), card, base).plan(branch)


def puts(hub: LocalHub) -> list[str]:
    return [path for method, path in hub.requests if method == "PUT"]


def commits(hub: LocalHub) -> int:
    return sum("/commit/" in path for method, path in hub.requests if method == "POST")


def test_exactly_the_published_files_arrive_in_one_private_commit(hub, repository, folder):
    [line] = upload(repository, [plan_of(folder)], private=True)
    there = hub.repository("me/instruct")
    files = there.files()
    assert files.keys() == PUBLISHED | OF_THE_HUB
    assert files["adapter_model.safetensors"] == (folder / "adapter_model.safetensors").read_bytes()
    assert there.private
    assert commits(hub) == 1
    assert re.fullmatch(rf"{hub.url}/me/instruct/tree/main: commit {there.branches['main'][:8]}", line)


def test_a_plan_lists_all_and_sends_nothing(hub, repository, folder):
    lines = plan_lines(repository, [plan_of(folder)], private=True)
    assert lines[0] == "me/instruct: will be created, private"
    assert re.fullmatch(r"branch main \(new\), 8 files, 1\.\d kB", lines[1])
    assert [line.split()[0] for line in lines[2:]] == sorted(PUBLISHED)
    assert re.fullmatch(r"  adapter_model\.safetensors +\d+ B", lines[4])
    assert {method for method, _ in hub.requests} == {"GET"}


def test_a_repository_keeps_its_visibility_and_the_plan_says_so(hub, repository, folder, token):
    HfApi(token=token).create_repo("me/instruct", private=False)
    [first, *_] = plan_lines(repository, [plan_of(folder)], private=True)
    assert first == "me/instruct: exists and stays public (change that on its settings page)"
    upload(repository, [plan_of(folder)], private=True)
    assert not hub.repository("me/instruct").private


def test_a_second_push_sends_what_changed(hub, repository, folder):
    upload(repository, [plan_of(folder)], private=True)
    n_puts, first = len(puts(hub)), hub.repository("me/instruct").branches["main"]
    [line] = upload(repository, [plan_of(folder)], private=True)
    assert line.endswith("already up to date, nothing sent")
    upload(repository, [plan_of(folder, card=f"{CARD}more\n")], private=True)
    assert len(puts(hub)) == n_puts
    last = hub.repository("me/instruct").commit()
    assert last is not None
    assert last.parent == first
    assert hub.repository("me/instruct").files()["README.md"].endswith(b"more\n")


def test_a_file_that_the_new_push_lacks_is_removed_and_others_stay(hub, repository, folder, token):
    (folder / "perplexity.json").write_text("{}")
    upload(repository, [plan_of(folder)], private=True)
    HfApi(token=token).upload_file(repo_id="me/instruct", path_or_fileobj=b"png", path_in_repo="figure.png")
    (folder / "perplexity.json").unlink()
    assert plan_lines(repository, [plan_of(folder)], private=True)[-1].split() == ["perplexity.json", "removed"]
    upload(repository, [plan_of(folder)], private=True)
    assert hub.repository("me/instruct").files().keys() == PUBLISHED | OF_THE_HUB | {"figure.png"}


def test_files_of_something_else_are_not_written_over_unasked(hub, repository, folder, token):
    HfApi(token=token).create_repo("me/instruct")
    HfApi(token=token).upload_file(repo_id="me/instruct", path_or_fileobj=b"mine", path_in_repo="README.md")
    for refused in (plan_lines, upload):
        with pytest.raises(UserError, match=r"unrelated files \(README\.md\).*--overwrite"):
            refused(repository, [plan_of(folder)], private=True)
    assert hub.repository("me/instruct").files()["README.md"] == b"mine"
    upload(repository, [plan_of(folder)], private=True, overwrite=True)
    assert hub.repository("me/instruct").files()["README.md"] == CARD.encode()


@pytest.mark.parametrize("content", [b"{}", b'{"base": "org/base"}'])
def test_a_lock_of_something_else_is_no_earlier_push(repository, folder, token, content):
    HfApi(token=token).create_repo("me/instruct")
    HfApi(token=token).upload_file(repo_id="me/instruct", path_or_fileobj=content, path_in_repo="lock.json")
    from_scratch = PublishedRun(folder, lock_of() | {"base": None}, CARD, None).plan("main")
    for plan in (from_scratch, plan_of(folder)):
        with pytest.raises(UserError, match=r"unrelated files \(lock\.json\)"):
            upload(repository, [plan], private=True)


def test_a_new_branch_beside_files_of_something_else_is_written_after_a_failure_too(hub, repository, folder, token):
    HfApi(token=token).create_repo("me/instruct")
    HfApi(token=token).upload_file(repo_id="me/instruct", path_or_fileobj=b"mine", path_in_repo="README.md")
    hub.faults.append(Fault("POST .*/commit/v2", status=500))
    upload(repository, [plan_of(folder, "v2")], private=True)
    assert hub.repository("me/instruct").files("v2").keys() == PUBLISHED | OF_THE_HUB
    assert hub.repository("me/instruct").files()["README.md"] == b"mine"


def test_an_adapter_of_another_base_is_not_written_over_unasked(hub, repository, folder):
    upload(repository, [plan_of(folder)], private=True)
    before = dict(hub.repository("me/instruct").branches)
    other = plan_of(folder, base=HubBase("org/other", COMMIT))
    with pytest.raises(UserError, match=r"main of me/instruct holds a model on org/base, expected one on org/other"):
        upload(repository, [other], private=True)
    assert hub.repository("me/instruct").branches == before
    upload(repository, [other], private=True, overwrite=True)
    assert b"org/other" in hub.repository("me/instruct").files()["adapter_config.json"]


def test_each_form_has_a_branch_of_its_own(hub, repository, folder, tmp_path):
    merged, gguf = write_base(tmp_path / "merged"), tmp_path / "mine.gguf"
    gguf.write_bytes(b"GGUF")
    run = PublishedRun(folder, lock_of(), CARD, BASE)
    plans = [
        run.plan("main"),
        run.merged_plan(merged, "main", "me/instruct"),
        run.gguf_plan(gguf, "main"),
        run.checkpoint_plan(folder, 100),
        run.merged_plan(merged, "v2", "me/instruct"),
    ]
    upload(repository, plans, private=True)
    there = hub.repository("me/instruct")
    assert there.branches.keys() == {"main", "merged", "gguf", "step-000100", "v2-merged"}
    assert there.files("main").keys() == there.files("step-000100").keys() == PUBLISHED | OF_THE_HUB
    assert there.files("merged").keys() == OF_THE_HUB | {
        "README.md", "config.json", "lock.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip
    assert there.files("gguf").keys() == OF_THE_HUB | {"README.md", "lock.json", "mine.gguf"}
    assert b'revision="v2-merged"' in there.files("v2-merged")["README.md"]
    assert there.files("merged")["README.md"].startswith(b"---\nlicense: mit\nlibrary_name: peft\n---\n\n> This branch")


def test_something_private_stops_all_before_the_first_request(hub, repository, folder):
    n_requests = len(hub.requests)
    clean, leaking = plan_of(folder), plan_of(folder, "v2", card=f"{CARD}{repository.token}\n")
    for refused in (plan_lines, upload):
        with pytest.raises(UserError, match=r"a token in README\.md \(line 7\)") as caught:
            refused(repository, [clean, leaking], private=True)
        assert repository.token not in str(caught.value)
    assert len(hub.requests) == n_requests


@pytest.mark.parametrize(
    "pattern", ["POST /api/repos/create", "POST .*/preupload/", "POST .*/commit/", "GET /api/models/me/instruct"]
)
@pytest.mark.parametrize("status", [429, 500])
def test_a_busy_hub_gets_the_whole_push_all_the_same(hub, repository, folder, pattern, status):
    hub.faults.append(Fault(pattern, status=status))
    upload(repository, [plan_of(folder)], private=True)
    assert hub.repository("me/instruct").files().keys() == PUBLISHED | OF_THE_HUB


def test_a_commit_whose_answer_was_lost_is_not_made_twice(hub, repository, folder):
    hub.faults.append(Fault("POST .*/commit/", lose_answer=True))
    upload(repository, [plan_of(folder)], private=True)
    assert commits(hub) == 1
    assert hub.repository("me/instruct").files().keys() == PUBLISHED | OF_THE_HUB


def test_a_push_that_was_cut_off_goes_on_without_sending_again_what_arrived(hub, repository, folder):
    hub.faults.append(Fault("POST .*/commit/", cut_after_bytes=10, times=99))
    with pytest.raises(UserError, match=r"after 3 tries.*uploaded files are not sent again"):
        upload(repository, [plan_of(folder)], private=True)
    assert len(puts(hub)) == 1
    hub.faults.clear()
    upload(repository, [plan_of(folder)], private=True)
    assert len(puts(hub)) == 1
    weights = hub.repository("me/instruct").files()["adapter_model.safetensors"]
    assert weights == (folder / "adapter_model.safetensors").read_bytes()


def test_a_push_in_between_is_not_written_over(repository, folder, token, monkeypatch):
    upload(repository, [plan_of(folder)], private=True)
    write_weights(folder / "adapter_model.safetensors", seed=5)
    real = HfApi.create_commit

    def after_another(api: HfApi, *arguments: object, **options: object) -> object:
        monkeypatch.setattr(HfApi, "create_commit", real)
        HfApi(token=token).upload_file(repo_id="me/instruct", path_or_fileobj=b"x", path_in_repo="other.txt")
        return real(api, *arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(HfApi, "create_commit", after_another)
    with pytest.raises(UserError, match=r"me/instruct changed during the push \(status 412"):
        upload(repository, [plan_of(folder)], private=True)


def test_metadata_that_the_hub_does_not_take_is_one_line(repository, folder):
    with pytest.raises(UserError) as caught:
        upload(repository, [plan_of(folder, card="---\nlicense: [\n---\n")], private=True)
    assert "README.md" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "role", "words"),
    [
        ("others/instruct", "write", "me is not a member of others"),
        ("instruct", "read", "the token of me has read permission only"),
        ("in valid", "write", "Repo id must use alphanumeric chars"),
    ],
)
def test_who_may_not_write_is_told_before_anything(hub, name, role, words):
    token = hub.add_user("me", role=role)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=words):
        writable_repository(name, token, FAST_RETRIES)
    assert all(method == "GET" for method, _ in hub.requests)


def test_no_token_and_a_wrong_one_are_told(hub):
    with pytest.raises(UserError, match=r"there is no token for the Hub; run `hf auth login`"):
        writable_repository("me/instruct", None, FAST_RETRIES)
    with pytest.raises(UserError, match=r"does not accept the token \(status 401"):
        writable_repository("me/instruct", "hf_" + "z" * 30, FAST_RETRIES)
    assert all(method == "GET" for method, _ in hub.requests)


def test_an_organization_takes_what_its_members_push(hub, token, folder):
    repository = writable_repository("team/instruct", token, FAST_RETRIES)
    upload(repository, [plan_of(folder)], private=True)
    assert hub.repository("team/instruct").files().keys() == PUBLISHED | OF_THE_HUB
