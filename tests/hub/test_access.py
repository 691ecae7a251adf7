"""What the Hub knows about a token, before a run that ends in a push."""

import pytest
from huggingface_hub import constants

from pipelines.hub.access import HubAccess, TokenState, hub_access, invalid_name_reason
from tests.hub_server.server import Fault

TOKEN = "hf_" + "x" * 30


def test_a_write_token_may_write_to_its_user_and_the_organizations_that_allow_it(hub):
    access = hub_access(hub.add_user("me", orgs=["team", ("readers", "read")]))
    assert access.state is TokenState.KNOWN
    assert access.why_not_writable(None) is access.why_not_writable("me") is access.why_not_writable("team") is None
    assert access.why_not_writable("readers") == "me has the role read in readers"
    assert access.why_not_writable("strangers") == "me is not a member of strangers"


def test_a_read_token_may_not_write(hub):
    assert (
        hub_access(hub.add_user("me", role="read")).why_not_writable(None) == "the token of me has read permission only"
    )


def test_a_fine_grained_token_may_write_where_its_scopes_allow_it(hub):
    access = hub_access(hub.add_user("me", role="fineGrained", orgs=["team"], scopes=["team"]))
    assert access.why_not_writable("team") is None
    assert "has no permission to write to repositories of me" in str(access.why_not_writable("me"))


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (401, TokenState.INVALID),
        (403, TokenState.INVALID),
        (429, TokenState.UNREACHABLE),
        (500, TokenState.UNREACHABLE),
    ],
)
def test_a_status_becomes_a_state_without_the_token(hub, status, state):
    hub.faults.append(Fault("GET /api/whoami-v2", status=status))
    access = hub_access(TOKEN)
    assert access.state is state
    assert str(status) in access.reason
    assert TOKEN not in str(access)


def test_an_answer_that_is_not_json_is_no_answer(hub):
    hub.faults.append(Fault("GET /api/whoami-v2", status=200, body=b"<html>captive portal</html>"))
    assert hub_access(TOKEN).state is TokenState.UNREACHABLE


def test_a_hub_that_is_not_there_is_unreachable(hub, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    access = hub_access(TOKEN)
    assert access.state is TokenState.UNREACHABLE
    assert access.reason.startswith("http://127.0.0.1")
    assert hub.requests == []


def test_nobody_is_asked_while_offline(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert hub_access(TOKEN) == HubAccess(TokenState.OFFLINE, {})


@pytest.mark.parametrize("name", ["instruct", "me/my-instruct", "team/a.b_c-1"])
def test_a_name_that_the_hub_allows(name):
    assert invalid_name_reason(name) is None


@pytest.mark.parametrize("name", ["me/my instruct", "a/b/c", "me/in--struct", "me/.hidden", "me/x.git", "x" * 97])
def test_a_name_that_the_hub_does_not_allow_has_a_reason_in_one_line(name):
    reason = invalid_name_reason(name)
    assert reason
    assert "\n" not in reason
