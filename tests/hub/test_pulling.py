"""Names become files of one commit, fetched from a Hub without what could run; what cannot be had is one line."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.hub_server.real_client import ClientError, RealClient
from tests.hub_server.server import Fault, LocalHub

FETCHED = {
    "config.json", "tokenizer.json", "chat_template.jinja", "merges.txt", "tokenizer.model", "tekken.json",
    "additional_chat_templates/rag.jinja",
}  # fmt: skip
LEFT = {
    "README.md", "pytorch_model.bin", "training_args.bin", "model.pt", "modeling_evil.py",
    "consolidated.safetensors", "checkpoint-1/model.safetensors", "checkpoint-1/config.json",
    "checkpoint-1/chat_template.jinja", "checkpoint-1/additional_chat_templates/rag.jinja", "notes.jinja",
}  # fmt: skip
PULL = (
    "from pipelines.hub.pulling import local_copy\n"
    "found = local_copy(name, weights=weights)\n"
    "files = sorted(str(file.relative_to(found.folder)) for file in found.folder.rglob('*') if file.is_file())\n"
    "answer = [str(found.folder), found.commit, found.pinned, files]"
)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalHub]:
    with LocalHub(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


@pytest.fixture(scope="module")
def token(hub: LocalHub) -> str:
    return hub.add_user("ann")


@pytest.fixture(scope="module")
def environment(hub: LocalHub, token: str) -> dict[str, str]:
    return hub.environment(token)


@pytest.fixture(scope="module")
def client(environment: dict[str, str]) -> Iterator[RealClient]:
    """Ann's; it starts with a cache that is empty."""
    with RealClient(environment) as client:
        yield client


@pytest.fixture(scope="module")
def model(hub: LocalHub, client: RealClient) -> str:
    """A repository with all that people put beside a model, tagged v1."""
    client.run("api.create_repo('ann/model')")
    commit(client, **{name: name for name in (*FETCHED, *LEFT, "model.safetensors")})
    repository = hub.repository("ann/model")
    repository.tags["v1"] = repository.branches["main"]
    return "ann/model"


def commit(client: RealClient, repo: str = "ann/model", **files: str) -> str:
    """A commit with these files and texts; its id."""
    code = (
        "operations = [CommitOperationAdd(name, text.encode()) for name, text in files.items()]\n"
        "answer = api.create_commit(repo, operations, commit_message='files').oid"
    )
    return str(client.run(code, repo=repo, files=files))


def pull(client: RealClient, name: str, *, weights: bool = False) -> list[Any]:
    answer: list[Any] = client.run(PULL, name=name, weights=weights)
    return answer


def test_only_what_cannot_run_is_fetched_and_weights_when_they_are_asked_for(hub, client, model):
    before = len(hub.requests)
    _, head, pinned, files = pull(client, model)
    assert set(files) == FETCHED
    assert head == hub.repository(model).branches["main"]
    assert pinned == f"{model}@{head}"
    _, _, _, files = pull(client, model, weights=True)
    assert set(files) == FETCHED | {"model.safetensors"}
    bodies = [path for method, path in hub.requests[before:] if method == "GET" and not path.startswith("/api/")]
    assert len(bodies) == len(FETCHED) + 1


def test_a_branch_means_one_commit_as_long_as_the_process_lives(hub, client, model):
    _, head, _, _ = pull(client, model)
    newer = commit(client, **{"config.json": "newer"})
    assert pull(client, model)[1] == head
    assert pull(client, f"{model}@main")[1] == head
    assert pull(client, f"{model}@{newer}")[1] == newer
    assert pull(client, f"{model}@v1")[1] == hub.repository(model).tags["v1"]


@pytest.mark.usefixtures("model")
def test_commits_that_differ_in_the_card_alone_have_the_same_weights(client):
    first = commit(client, **{"README.md": "one"})
    card = commit(client, **{"README.md": "two"})
    weights = commit(client, **{"model.safetensors": "others"})
    ask = "from pipelines.hub.pulling import same_weights; answer = same_weights('ann/model', one, other)"
    assert client.run(ask, one=first, other=card) is True
    assert client.run(ask, one=card, other=weights) is False


def test_a_folder_is_taken_as_it_is_and_asks_nobody(hub, client, tmp_path):
    before = len(hub.requests)
    folder, head, pinned, _ = pull(client, str(tmp_path), weights=True)
    assert (folder, head, pinned) == (str(tmp_path), None, str(tmp_path))
    assert len(hub.requests) == before


def test_what_cannot_be_had_is_told_in_one_line(hub, client, model, token):
    client.run("[api.create_repo(f'ann/{name}', private=name == 'private') for name in ('private', 'gated')]")
    commit(client, "ann/gated", **{"config.json": "{}"})
    hub.repository("ann/gated").gated = True
    stranger = hub.add_user("stranger")
    log_in = "import os; os.environ.pop('HF_TOKEN', None); os.environ.update({'HF_TOKEN': token} if token else {})"
    cases = [
        (None, f"{model}@v9", "ann/model has no branch, tag or commit v9"),
        (None, "ann/nothing", r"at .* the repository does not exist or is private \(requested without a token\)"),
        (None, "ann/private", r"at .* the repository does not exist or is private \(requested without a token\)"),
        (stranger, "ann/private", r"at .* the repository does not exist or is private \(requested with a token\)"),
        (stranger, "ann/gated", rf"gated repository \(requested with a token\); request access at {hub.url}/ann/gated"),
        ("hf_unknown", f"{model}@other", r"the Hub does not accept the token \(requested with a token\)"),
    ]
    try:
        for other, name, words in cases:
            client.run(log_in, token=other)
            with pytest.raises(ClientError, match=words) as refused:
                pull(client, name)
            assert refused.value.name == "UserError"
            assert "\n" not in str(refused.value)
            assert "hf_" not in str(refused.value)
    finally:
        client.run(log_in, token=token)


@pytest.mark.parametrize(
    ("fault", "words"),
    [({"status": 503}, r"status 503 \(requested with a token\)"), ({"cut_after_bytes": 0}, "no answer")],
    ids=["broken", "cut"],
)
def test_a_hub_that_does_not_answer_is_told_in_one_line(hub, client, model, fault, words):
    hub.faults.append(Fault(r"GET /api/models/ann/model/revision/", **fault))  # type: ignore[arg-type]
    with pytest.raises(ClientError, match=words) as refused:
        pull(client, f"{model}@step-000100")
    assert refused.value.name == "UserError"


def test_without_network_the_cache_answers_and_what_it_lacks_is_told(hub, client, model, environment):
    here = pull(client, f"{model}@v1", weights=True)
    before = len(hub.requests)
    with RealClient({**environment, "HF_HUB_OFFLINE": "1"}) as offline:
        assert pull(offline, f"{model}@v1", weights=True) == here
        with pytest.raises(ClientError, match=r"no complete copy in the cache, .*HF_HUB_OFFLINE is set"):
            pull(offline, "ann/nothing")
    assert len(hub.requests) == before


def test_a_dataset_of_the_hub_is_loaded_at_a_revision_with_dates_as_text(client):
    client.run("api.create_repo('ann/rows', repo_type='dataset')")
    add = (
        "operations = [CommitOperationAdd('train.jsonl', rows.encode())]\n"
        "answer = api.create_commit('ann/rows', operations, commit_message='rows', repo_type='dataset').oid"
    )
    first = client.run(add, rows='{"text": "a"}\n')
    dated = client.run(add, rows='{"text": "2024-01-01"}\n{"text": "2024-01-02", "n": 4}\n')
    load = (
        "from data_prep.dataset_folder import load_rows\n"
        "answer = [list(load_rows('ann/rows', split, revision=revision)) for split in ('train', 'train[1:]')]"
    )
    second = {"text": "2024-01-02", "n": "4"}
    assert client.run(load, revision=dated) == [[{"text": "2024-01-01", "n": None}, second], [second]]
    assert client.run(load, revision=None) == client.run(load, revision=dated)
    assert client.run(load, revision=first) == [[{"text": "a"}], []]
