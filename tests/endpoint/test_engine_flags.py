"""--engine and --engine_model: which server answers for which model."""

import pytest

from pipelines.command_line import ArgumentParser
from pipelines.endpoint.client import Endpoint
from pipelines.endpoint.engine_flags import add_engine, engine_of, engines_of
from pipelines.errors import UserError

URL, OTHER = "http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1"


@pytest.fixture(autouse=True)
def reachable(monkeypatch):
    monkeypatch.setattr(Endpoint, "check", lambda _: None)


def of(*arguments: str, names: tuple[str, ...] = ("base", "instruct", "long")) -> dict[str, tuple[str, str | None]]:
    flags = ArgumentParser("manual")
    add_engine(flags, of_several=True)
    found = engines_of(flags.parse_args(arguments), names)
    return {name: (one.url, one.model) for name, one in found.items()}


def test_a_url_alone_answers_for_every_instruct_model_and_a_named_one_for_its_model():
    assert of() == {}
    assert of("--engine", URL) == {"instruct": (URL, None), "long": (URL, None)}
    assert of("--engine", f"base={URL}", "--engine", OTHER, "--engine_model", "m").keys() == {
        "base",
        "instruct",
        "long",
    }
    one_server = ["--engine", f"base={URL}", "--engine", f"instruct={URL}", "--engine_model", "instruct=a/b"]
    assert of(*one_server, "--engine_model", "base=c") == {"base": (URL, "c"), "instruct": (URL, "a/b")}


def test_messages_name_these_flags(monkeypatch):
    flags = ArgumentParser("manual")
    add_engine(flags)
    engine = engine_of(flags.parse_args(["--engine", URL]))
    assert engine is not None
    assert (engine.url_flag, engine.model_flag) == ("--engine", "--engine_model")
    monkeypatch.setattr(Endpoint, "models", lambda _: ["a", "b"])
    with pytest.raises(UserError, match="serves 2 models; name one with --engine_model: a, b"):
        _ = engine.asked_model


def test_a_query_or_a_model_with_an_equals_sign_is_no_name():
    flags = ArgumentParser("manual")
    add_engine(flags)
    engine = engine_of(flags.parse_args(["--engine", URL, "--engine_model", "quant=4"]))
    assert engine is not None
    assert engine.model == "quant=4"
    with pytest.raises(UserError, match="--engine has a user, a query"):
        of("--engine", f"{URL}?key=secret")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--engine", f"other={URL}"], "names no model of this call; the names are base, instruct, long"),
        (["--engine", URL, "--engine", f"long={OTHER}"], "--engine is given twice for long"),
        (["--engine_model", "base=m"], "--engine_model names a model for base, which has no --engine"),
        (["--engine", "localhost:8000"], r"--engine is not an http\(s\) URL"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments, problem):
    with pytest.raises(UserError, match=problem):
        of(*arguments)
