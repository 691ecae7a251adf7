"""Asking the Hub about a token, against a server of this machine that answers as the Hub does."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from huggingface_hub import constants

from pipelines.hub.access import Answer, HubAccess, hub_access, name_fault

TOKEN = "hf_" + "x" * 30


class Hub:
    """A server that knows /api/whoami-v2 alone and says what it was told to."""

    def __init__(self) -> None:
        self.status, self.facts, self.n_asked, self.tokens = 200, b"{}", 0, []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                known = self.path == "/api/whoami-v2"
                if known:  # the client asks for a list of its own too, once in a process
                    hub.n_asked += 1
                    hub.tokens.append(self.headers.get("authorization"))
                self.send_response(hub.status if known else 404)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(hub.facts)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, status: int, **facts: Any) -> None:
        self.status, self.facts = status, json.dumps(facts).encode()

    def __enter__(self) -> "Hub":
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Any:
    with Hub() as one:
        monkeypatch.setattr(constants, "ENDPOINT", one.url)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield one


def of_role(role: str, **more: Any) -> dict[str, Any]:
    orgs = [{"name": "team", "roleInOrg": "write"}, {"name": "readers", "roleInOrg": "read"}]
    return {"type": "user", "name": "me", "orgs": orgs, "auth": {"accessToken": {"role": role, **more}}}


def test_a_write_token_may_write_to_its_user_and_the_organizations_that_let_it(hub: Hub) -> None:
    hub.answer(200, **of_role("write"))
    access = hub_access(TOKEN)
    assert access.answer is Answer.KNOWN
    assert hub.tokens == [f"Bearer {TOKEN}"]
    assert access.refusal(None) is access.refusal("me") is access.refusal("team") is None
    assert access.refusal("readers") == "me has the role read in readers"
    assert access.refusal("strangers") == "me is no member of strangers"


def test_a_read_token_may_not_write(hub: Hub) -> None:
    hub.answer(200, **of_role("read"))
    assert hub_access(TOKEN).refusal(None) == "the token of me may only read"


def test_a_fine_grained_token_may_write_where_its_scopes_say(hub: Hub) -> None:
    scopes = [
        {"entity": {"type": "org", "name": "team"}, "permissions": ["repo.content.read", "repo.write"]},
        {"entity": {"type": "user", "name": "me"}, "permissions": ["repo.content.read"]},
    ]
    hub.answer(200, **of_role("fineGrained", fineGrained={"global": [], "scoped": scopes}))
    access = hub_access(TOKEN)
    assert access.refusal("team") is None
    assert access.refusal("me") == "the fine-grained token of me has no permission to write to repositories of me"


@pytest.mark.parametrize(
    ("status", "answer"),
    [(401, Answer.INVALID), (403, Answer.INVALID), (429, Answer.UNREACHABLE), (500, Answer.UNREACHABLE)],
)
def test_a_status_becomes_an_answer_without_the_token(hub: Hub, status: int, answer: Answer) -> None:
    hub.answer(status)
    access = hub_access(TOKEN)
    assert access.answer is answer
    assert str(status) in access.reason
    assert TOKEN not in str(access)


def test_an_answer_that_is_no_json_is_none(hub: Hub) -> None:
    hub.facts = b"<html>captive portal</html>"
    assert hub_access(TOKEN).answer is Answer.UNREACHABLE


def test_a_hub_that_is_not_there_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    with Hub() as gone:
        monkeypatch.setattr(constants, "ENDPOINT", gone.url)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    access = hub_access(TOKEN)
    assert access.answer is Answer.UNREACHABLE
    assert access.reason.startswith("http://127.0.0.1")


def test_nobody_is_asked_while_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert hub_access(TOKEN) == HubAccess(Answer.OFFLINE, {})


@pytest.mark.parametrize("name", ["instruct", "me/my-instruct", "team/a.b_c-1"])
def test_a_name_that_the_hub_takes_has_no_fault(name: str) -> None:
    assert name_fault(name) is None


@pytest.mark.parametrize("name", ["me/my instruct", "a/b/c", "me/in--struct", "me/.hidden", "me/x.git", "x" * 97])
def test_a_name_that_the_hub_refuses_has_its_fault_in_one_line(name: str) -> None:
    fault = name_fault(name)
    assert fault
    assert "\n" not in fault
