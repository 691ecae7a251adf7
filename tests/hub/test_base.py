"""The base that an adapter is said to stand on: the Hub's, with the very weights of the run."""

from pathlib import Path

import pytest
from huggingface_hub import HfApi

from pipelines.errors import UserError
from pipelines.hub.base import HubBase, hub_base
from tests.hub.run_folder import COMMIT, write_weights
from tests.hub_server.server import Fault

FROM_THE_HUB = {"name_or_path": "org/base@v1", "revision": COMMIT, "fingerprint": f"hub:org/base@{COMMIT}"}


def local(folder: Path) -> dict[str, str]:
    return {"name_or_path": str(folder), "fingerprint": "sha256:abc"}


def test_a_model_from_scratch_has_none(repository):
    assert hub_base(None, None, repository) is None


def test_a_base_of_the_hub_is_the_commit_that_was_trained_on(hub, repository):
    n_asked = len(hub.requests)
    assert hub_base(FROM_THE_HUB, None, repository) == HubBase("org/base", COMMIT)
    assert hub_base(FROM_THE_HUB, "org/base", repository) == HubBase("org/base", COMMIT)
    assert len(hub.requests) == n_asked
    with pytest.raises(UserError, match=r"--base_model is me/other, but the run was trained on org/base"):
        hub_base(FROM_THE_HUB, "me/other", repository)


def test_a_base_without_a_commit_names_none(repository):
    assert hub_base({**FROM_THE_HUB, "fingerprint": "hub:org/base@main"}, None, repository) == HubBase("org/base", None)


def test_a_local_base_has_to_be_named_for_an_adapter_only(base, repository):
    with pytest.raises(UserError, match=r"an adapter needs a base on the Hub.*--base_model"):
        hub_base(local(base), None, repository)
    assert hub_base(local(base), None, repository, is_needed=False) is None


def test_a_copy_of_a_local_base_is_known_by_its_weights(hub, base, repository):
    commit = hub.repository("me/base").branches["main"]
    assert hub_base(local(base), "me/base", repository) == HubBase("me/base", commit)
    assert hub_base(local(base), f"me/base@{commit}", repository) == HubBase("me/base", commit)


def test_an_earlier_revision_has_its_own_weights(hub, base, token, repository):
    first = hub.repository("me/base").branches["main"]
    other = write_weights(base.parent / "other.safetensors", seed=9)
    HfApi(token=token).upload_file(repo_id="me/base", path_or_fileobj=other, path_in_repo="model.safetensors")
    assert hub_base(local(base), f"me/base@{first}", repository) == HubBase("me/base", first)
    with pytest.raises(UserError, match=r"trained on .*, and me/base has different weights or none in model"):
        hub_base(local(base), "me/base", repository)


def test_a_base_that_is_stored_without_lfs_is_compared_too(base, token, repository):
    api = HfApi(token=token)
    api.create_repo("me/small")
    api.upload_file(repo_id="me/small", path_or_fileobj=b"", path_in_repo=".gitattributes")
    api.upload_folder(repo_id="me/small", folder_path=base)
    assert api.model_info("me/small", files_metadata=True).siblings
    found = hub_base(local(base), "me/small", repository)
    assert found is not None
    write_weights(base / "model.safetensors", seed=2)
    with pytest.raises(UserError, match="different weights"):
        hub_base(local(base), "me/small", repository)


@pytest.mark.parametrize("named", ["me/nobody", "me/base@v9", "me/in valid"])
def test_a_base_that_is_not_there_is_one_line(base, repository, named):
    with pytest.raises(UserError) as caught:
        hub_base(local(base), named, repository)
    assert "\n" not in str(caught.value)


def test_a_base_folder_that_is_gone_cannot_be_compared(base, repository):
    (base / "model.safetensors").unlink()
    with pytest.raises(UserError, match="no safetensors weights to compare with me/base"):
        hub_base(local(base), "me/base", repository)


def test_a_busy_hub_is_asked_again(hub, base, repository):
    hub.faults.append(Fault(r"GET /api/models/me/base", status=503, times=2))
    assert hub_base(local(base), "me/base", repository) is not None
