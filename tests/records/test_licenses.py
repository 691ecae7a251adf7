"""License and commit of a model or dataset are what its card says, a folder's own or the Hub's."""

import pytest

from pipelines.records import card_of
from tests.hub_server.real_client import RealClient
from tests.hub_server.server import LocalHub


@pytest.mark.parametrize(
    ("card", "license"),
    [
        ("---\nlicense: apache-2.0\n---\n", "apache-2.0"),
        ("---\nlicense: other\nlicense_name: llama3.2\n---\n", "llama3.2"),
        ("---\nlicense: [mit, cc-by-4.0]\n---\n", "mit, cc-by-4.0"),
        ("---\nlicense: [unclosed\n---\n", None),
        ("---\n- no mapping\n---\n", None),
        ("no metadata\n", None),
        (None, None),
    ],
)
def test_the_license_of_a_folder_is_what_its_card_says(tmp_path, card, license):
    if card is not None:
        (tmp_path / "README.md").write_text(card)
    assert card_of(str(tmp_path)).license == license


def test_nothing_is_known_of_a_repository_that_cannot_be_reached():
    assert card_of("no-such-org/no-such-model", "main").revision is None


def test_the_card_of_the_hub_tells_the_commit_and_its_copy_on_disk_does_so_without_network(tmp_path):
    asked = "from pipelines.records import card_of\nfound = card_of('ann/rows', None, repo_type='dataset')\n"
    with LocalHub(tmp_path / "hub") as hub, RealClient(hub.environment(hub.add_user("ann"))) as client:
        client.run("api.create_repo('ann/rows', repo_type='dataset')")
        card = "operations = [CommitOperationAdd('README.md', b'---\\nlicense: odc-by\\n---\\n')]\n"
        done = "answer = api.create_commit('ann/rows', operations, commit_message='x', repo_type='dataset').oid"
        commit = client.run(card + done)
        assert client.run(f"{asked}answer = [found.revision, found.license]") == [commit, "odc-by"]
        n_requests = len(hub.requests)
        offline = "from huggingface_hub import constants\nconstants.HF_HUB_OFFLINE = True\n"
        assert client.run(f"{offline}{asked}answer = [found.revision, found.license]") == [commit, "odc-by"]
        assert len(hub.requests) == n_requests
