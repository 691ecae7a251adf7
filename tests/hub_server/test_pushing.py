"""What the real client writes arrives, and is refused where the Hub would refuse it."""

from pathlib import Path

import pytest

from tests.hub_server import LocalHub
from tests.hub_server.conftest import FILES
from tests.hub_server.real_client import ClientError, RealClient


def test_a_repository_is_created_once(hub: LocalHub, client: RealClient) -> None:
    assert client.run("answer = api.create_repo('ann/once', private=True)") == f"{hub.url}/ann/once"
    assert client.run("answer = api.create_repo('once', exist_ok=True).repo_id") == "ann/once"
    with pytest.raises(ClientError, match="You already created this model repo") as refused:
        client.run("api.create_repo('ann/once')")
    assert refused.value.status == 409
    assert hub.repository("ann/once").private
    client.run("api.update_repo_settings('ann/once', private=False)")
    assert not hub.repository("ann/once").private
    client.run("api.delete_repo('ann/once')")
    assert client.run("answer = api.repo_exists('ann/once')") is False


def test_small_large_and_multipart_files_arrive_in_one_commit(hub: LocalHub, client: RealClient, folder: Path) -> None:
    client.run("api.create_repo('ann/folder')")
    before = len(hub.requests)
    url = client.run("answer = api.upload_folder(repo_id='ann/folder', folder_path=folder)", folder=str(folder))
    repository = hub.repository("ann/folder")
    assert {name: content for name, content in repository.files().items() if name != ".gitattributes"} == FILES
    assert [commit.title for commit in repository.commits()] == [
        "Upload folder using huggingface_hub",
        "initial commit",
    ]
    assert url.endswith(f"/ann/folder/commit/{repository.branches['main']}")
    sent = [path.rpartition("/")[2] for method, path in hub.requests[before:] if method == "PUT"]
    assert sorted(sent)[:3] == ["1", "2", "3"]  # 2560 bytes in parts of 1000
    assert len(sent) == 4


def test_a_second_commit_sends_what_changed_and_keeps_the_first(
    hub: LocalHub, client: RealClient, thing: str, folder: Path
) -> None:
    first = hub.repository(thing).branches["main"]
    before = len(hub.requests)
    client.run(
        "api.create_branch(repo, branch='next')\n"
        "operations = [CommitOperationAdd('config.json', b'{\"a\": 1}'),\n"
        "              CommitOperationAdd('copy.safetensors', b'one part'),\n"
        "              CommitOperationDelete('README.md'), CommitOperationDelete('sub/')]\n"
        "api.create_commit(repo, operations, commit_message='second', revision='next', parent_commit=parent)",
        repo=thing,
        parent=first,
    )
    assert not [path for method, path in hub.requests[before:] if method == "PUT"], "the content was there already"
    repository = hub.repository(thing)
    assert set(repository.files("next")) == {".gitattributes", "config.json", "copy.safetensors", "one.safetensors"}
    assert repository.files("next")["config.json"] == b'{"a": 1}'
    assert repository.branches["main"] == first
    with pytest.raises(ClientError, match="A commit has happened since") as refused:
        client.run(
            "api.create_commit(repo, [CommitOperationAdd('x', b'x')], commit_message='late', revision='next',"
            " parent_commit=parent)",
            repo=thing,
            parent=first,
        )
    assert refused.value.status == 412
    again = client.run("answer = api.upload_folder(repo_id=repo, folder_path=folder)", repo=thing, folder=str(folder))
    assert again.endswith(first), "an unchanged folder makes no commit"


def test_branches_and_tags_name_commits(hub: LocalHub, client: RealClient, thing: str) -> None:
    client.run(
        "api.create_tag(repo, tag='v1'); api.create_branch(repo, branch='step-000100', revision='v1')", repo=thing
    )
    repository = hub.repository(thing)
    assert repository.tags == {"v1": repository.branches["main"]}
    refs = client.run(
        "refs = api.list_repo_refs(repo); answer = [[r.name, r.target_commit] for r in refs.branches + refs.tags]",
        repo=thing,
    )
    assert ["step-000100", repository.branches["main"]] in refs
    assert ["v1", repository.branches["main"]] in refs
    with pytest.raises(ClientError, match="already exists"):
        client.run("api.create_tag(repo, tag='v1')", repo=thing)
    client.run("api.create_tag(repo, tag='v1', exist_ok=True)", repo=thing)
    with pytest.raises(ClientError, match="Invalid rev id"):
        client.run("api.upload_file(path_or_fileobj=b'x', path_in_repo='x', repo_id=repo, revision='v1')", repo=thing)


@pytest.mark.parametrize(
    ("content", "words"),
    [("---\na: [\n---\n", "invalid YAML"), ("---\n- a\n---\n", "must be a mapping")],
    ids=["not YAML", "no mapping"],
)
def test_a_card_with_broken_metadata_is_refused(client: RealClient, thing: str, content: str, words: str) -> None:
    with pytest.raises(ClientError, match=words):
        client.run(
            "api.upload_file(path_or_fileobj=card.encode(), path_in_repo='README.md', repo_id=repo)",
            card=content,
            repo=thing,
        )


def test_tokens_write_where_they_may(hub: LocalHub, client: RealClient) -> None:
    reader = hub.add_user("reader", role="read")
    narrow = hub.add_user("narrow", role="fineGrained", orgs=["acme", "other"], scopes=["acme"])
    visitor = hub.add_user("visitor", orgs=[("acme", "read")])
    create = "api.create_repo(repo, token=token, exist_ok=True)"
    for token, repo in [(reader, "reader/a"), (narrow, "narrow/a"), (narrow, "other/a"), (visitor, "acme/a")]:
        with pytest.raises(ClientError, match="don't have the rights") as refused:
            client.run(create, token=token, repo=repo)
        assert refused.value.status == 403
    client.run(create, token=narrow, repo="acme/a")
    assert hub.repository("acme/a").branches
    who = client.run("answer = api.whoami(token)", token=narrow)
    assert who["auth"]["accessToken"]["role"] == "fineGrained"
    assert [org["name"] for org in who["orgs"]] == ["acme", "other"]
    with pytest.raises(ClientError, match="Invalid user token"):
        client.run("api.whoami('hf_unknown')")
