"""Each fault reaches the real client as it would from the Hub, as often as planted and no more."""

from collections.abc import Iterator

import pytest

from tests.hub_server import Fault, LocalHub
from tests.hub_server.conftest import FILES
from tests.hub_server.real_client import ClientError, RealClient
from tests.hub_server.test_pulling import SNAPSHOT

ADD = "answer = api.create_commit(repo, [CommitOperationAdd(name, content.encode())], commit_message='add').oid"


@pytest.fixture(autouse=True)
def _no_fault_is_left(hub: LocalHub) -> Iterator[None]:
    yield
    left = [fault for fault in hub.faults if fault.times]
    hub.faults.clear()
    assert not left, "a planted fault was never met"


@pytest.mark.parametrize("status", [401, 403, 409])
def test_a_refusal_is_raised_at_once(hub: LocalHub, client: RealClient, thing: str, status: int) -> None:
    hub.faults.append(Fault(r"POST .*/commit/main", status=status))
    head = hub.repository(thing).branches["main"]
    with pytest.raises(ClientError, match="planted") as refused:
        client.run(ADD, repo=thing, name="x.txt", content="x")
    assert refused.value.status == status
    assert hub.repository(thing).branches["main"] == head


def test_busy_and_broken_servers_are_asked_again(hub: LocalHub, client: RealClient) -> None:
    client.run("api.create_repo('ann/busy')")
    hub.faults += [
        Fault(r"POST .*/preupload/", status=429, headers={"Retry-After": "0"}),
        Fault(r"POST .*/objects/batch", status=500),
        Fault(r"POST .*/objects/verify", status=503),
    ]
    client.run(ADD, repo="ann/busy", name="x.safetensors", content="x")
    assert hub.repository("ann/busy").files()["x.safetensors"] == b"x"


def test_a_connection_cut_in_an_upload_is_opened_again(hub: LocalHub, client: RealClient) -> None:
    client.run("api.create_repo('ann/cut')")
    hub.faults.append(Fault(r"PUT /storage/uploads/\w+/2", cut_after_bytes=100))
    before = len(hub.requests)
    client.run(ADD, repo="ann/cut", name="x.safetensors", content="x" * 2500)
    assert hub.repository("ann/cut").files()["x.safetensors"] == b"x" * 2500
    assert sum(method == "PUT" for method, _ in hub.requests[before:]) == 4  # three parts, the second one twice


@pytest.mark.parametrize("fault", [{"cut_after_bytes": 1000}, {"seconds_delay": 30.0}], ids=["cut", "slow"])
def test_a_download_goes_on_where_it_stopped(
    hub: LocalHub, client: RealClient, thing: str, fault: dict[str, float]
) -> None:
    large = hub.repository(thing).commit().files["sub/many.safetensors"].sha256  # type: ignore[union-attr]
    hub.faults.append(Fault(rf"GET /storage/objects/{large}", **fault))  # type: ignore[arg-type]
    before = len(hub.requests)
    _, files = client.run(SNAPSHOT, repo=thing, revision="main", cache=None)
    assert bytes.fromhex(files["sub/many.safetensors"]) == FILES["sub/many.safetensors"]
    assert sum(large in path for _, path in hub.requests[before:]) == 2


def test_a_lost_answer_leaves_the_commit_behind(hub: LocalHub, client: RealClient) -> None:
    client.run("api.create_repo('ann/lost')")
    hub.faults.append(Fault(r"POST .*/commit/", lose_answer=True))
    with pytest.raises(ClientError, match="RemoteProtocolError"):
        client.run(ADD, repo="ann/lost", name="x.txt", content="x")
    head = hub.repository("ann/lost").branches["main"]
    assert hub.repository("ann/lost").files()["x.txt"] == b"x"
    assert client.run(ADD, repo="ann/lost", name="x.txt", content="x") == head, "again: nothing is left to do"


def test_a_fault_ends_after_its_times(hub: LocalHub, client: RealClient, thing: str) -> None:
    hub.faults.append(Fault(rf"GET /api/models/{thing}/refs", status=403, times=2))
    ask = "answer = len(api.list_repo_refs(repo).branches)"
    for _ in range(2):
        with pytest.raises(ClientError, match="planted"):
            client.run(ask, repo=thing)
    assert client.run(ask, repo=thing) >= 1
