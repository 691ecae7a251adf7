"""What the real client reads: trees in pages, snapshots and their cache, older revisions; what strangers may not."""

import pytest

from tests.conftest import PROJECT
from tests.hub_server import LocalHub
from tests.hub_server.conftest import FILES
from tests.hub_server.real_client import ClientError, RealClient

SNAPSHOT = """
from pathlib import Path
from tempfile import mkdtemp
cache = cache or mkdtemp()
folder = Path(snapshot_download(repo, revision=revision, cache_dir=cache))
answer = [cache, {str(f.relative_to(folder)): f.read_bytes().hex() for f in sorted(folder.rglob("*")) if f.is_file()}]
"""


def bodies(hub: LocalHub, since: int) -> list[str]:
    """The files whose bytes were sent since a request."""
    return [
        path
        for method, path in hub.requests[since:]
        if method == "GET" and ("/resolve/" in path or "/storage/" in path)
    ]


def test_a_tree_is_listed_page_by_page(hub: LocalHub, client: RealClient, thing: str) -> None:
    before = len(hub.requests)
    tree = client.run("answer = [f.path for f in api.list_repo_tree(repo, recursive=True)]", repo=thing)
    assert tree == sorted([*FILES, ".gitattributes", "sub"])
    assert len(hub.requests) - before == 4  # seven entries in pages of two
    assert client.run("answer = [f.path for f in api.list_repo_tree(repo, 'sub')]", repo=thing) == [
        "sub/many.safetensors",
        "sub/notes.txt",
    ]
    with pytest.raises(ClientError, match="nowhere does not exist"):
        client.run("list(api.list_repo_tree(repo, 'nowhere'))", repo=thing)
    last = "answer = {f.path: f.last_commit.title for f in api.list_repo_tree(repo, expand=True)}"
    assert client.run(last, repo=thing)[".gitattributes"] == "initial commit"


def test_paths_and_repositories_are_described(hub: LocalHub, client: RealClient, thing: str) -> None:
    facts = client.run(
        "info = api.model_info(repo, files_metadata=True)\n"
        "answer = [info.sha, info.card_data.license, info.tags,\n"
        "          {s.rfilename: s.lfs.size for s in info.siblings if s.lfs}]",
        repo=thing,
    )
    assert facts == [
        hub.repository(thing).branches["main"],
        "mit",
        ["test"],
        {"one.safetensors": 8, "sub/many.safetensors": 2560},
    ]
    paths = "answer = [type(p).__name__ for p in api.get_paths_info(repo, ['config.json', 'sub', 'nowhere'])]"
    assert client.run(paths, repo=thing) == ["RepoFile", "RepoFolder"]
    exist = "answer = [api.file_exists(repo, name) for name in ('sub/notes.txt', 'nowhere')]"
    assert client.run(exist, repo=thing) == [True, False]


def test_a_snapshot_fills_an_empty_cache_and_sends_no_body_twice(hub: LocalHub, client: RealClient, thing: str) -> None:
    before = len(hub.requests)
    cache, first = client.run(SNAPSHOT, repo=thing, revision="main", cache=None)
    assert {name: bytes.fromhex(content) for name, content in first.items() if name != ".gitattributes"} == FILES
    assert len(bodies(hub, before)) == len(FILES) + 1
    before = len(hub.requests)
    _, second = client.run(SNAPSHOT, repo=thing, revision="main", cache=cache)
    assert second == first
    assert bodies(hub, before) == []


def test_an_older_revision_stays_readable(hub: LocalHub, client: RealClient) -> None:
    add = "answer = api.upload_file(path_or_fileobj=text.encode(), path_in_repo='a.txt', repo_id='ann/old').oid"
    client.run("api.create_repo('ann/old')")
    first = client.run(add, text="first")
    client.run("api.create_tag('ann/old', tag='v1')")
    client.run(add, text="second")
    for revision, expected in [("main", b"second"), ("v1", b"first"), (first, b"first")]:
        _, files = client.run(SNAPSHOT, repo="ann/old", revision=revision, cache=None)
        assert bytes.fromhex(files["a.txt"]) == expected
    assert [commit.title for commit in hub.repository("ann/old").commits()][-1] == "initial commit"
    with pytest.raises(ClientError) as refused:
        client.run(SNAPSHOT, repo="ann/old", revision="v2", cache=None)
    assert refused.value.name == "RevisionNotFoundError"


def test_a_private_repository_does_not_exist_for_strangers(hub: LocalHub, client: RealClient) -> None:
    client.run("api.create_repo('ann/private', private=True)")
    stranger = hub.add_user("stranger")
    for token, status in [(stranger, 404), (False, 401)]:
        for question in ("model_info(repo, token=token)", "hf_hub_download(repo, '.gitattributes', token=token)"):
            for repo in ("ann/private", "ann/nothing"):
                with pytest.raises(ClientError) as refused:
                    client.run(f"api.{question}", repo=repo, token=token)
                assert (refused.value.name, refused.value.status) == ("RepositoryNotFoundError", status)


def test_a_gated_repository_shows_its_tree_and_not_its_files(hub: LocalHub, client: RealClient) -> None:
    client.run("api.create_repo('ann/gated'); api.update_repo_settings('ann/gated', gated='manual')")
    stranger = hub.add_user("curious")
    assert client.run("answer = api.list_repo_files('ann/gated', token=token)", token=stranger) == [".gitattributes"]
    with pytest.raises(ClientError) as refused:
        client.run("api.hf_hub_download('ann/gated', '.gitattributes', token=token)", token=stranger)
    assert (refused.value.name, refused.value.status) == ("GatedRepoError", 403)


def test_datasets_loads_a_dataset_at_a_revision(client: RealClient) -> None:
    client.run("api.create_repo('ann/rows', repo_type='dataset'); operation = CommitOperationAdd")
    add = (
        "answer = api.create_commit('ann/rows', [operation('train.jsonl', rows.encode())], commit_message='rows',"
        " repo_type='dataset').oid"
    )
    load = "import datasets; answer = list(datasets.load_dataset('ann/rows', split='train', revision=revision)['text'])"
    first = client.run(add, rows='{"text": "a"}\n')
    client.run(add, rows='{"text": "b"}\n')
    assert client.run(load, revision=first) == ["a"]
    assert client.run(load, revision=None) == ["b"]
    ours = (
        f"import sys; sys.path.insert(0, {str(PROJECT)!r}); from data_prep.dataset_folder import load_rows\n"
        "answer = [list(load_rows('ann/rows', split, revision=revision)) for split in ('train', 'train[1:]')]"
    )
    dated = client.run(add, rows='{"text": "2024-01-01"}\n{"text": "2024-01-02", "n": 4}\n')
    second = {"text": "2024-01-02", "n": "4"}
    assert client.run(ours, revision=dated) == [[{"text": "2024-01-01", "n": None}, second], [second]]
    assert client.run(ours, revision=first) == [[{"text": "a"}], []]


@pytest.mark.parametrize("name", ["config.json", "sub/many.safetensors"], ids=["from the Hub", "from the storage"])
def test_a_range_of_a_file_is_sent(client: RealClient, thing: str, name: str) -> None:
    ask = (
        "response = get_session().get(hf_hub_url(repo, name), headers={'Range': asked})\n"
        "answer = [response.status_code, response.content.hex(), response.headers.get('Content-Range')]"
    )
    content, client_names = FILES[name], {"repo": thing, "name": name}
    for asked, part in [("bytes=1-1", content[1:2]), ("bytes=1-", content[1:]), ("bytes=-1", content[-1:])]:
        status, sent, where = client.run(ask, asked=asked, **client_names)
        assert (status, bytes.fromhex(sent)) == (206, part)
        assert where.endswith(f"/{len(content)}")
    assert client.run(ask, asked=f"bytes={len(content)}-", **client_names)[0] == 416
