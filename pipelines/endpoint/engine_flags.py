"""--engine and --engine_model of the programs that measure a model through a server."""

import argparse
from collections.abc import Sequence

from pipelines.endpoint.client import Endpoint
from pipelines.errors import UserError

N_AT_ONCE = 16


def add_engine(flags: argparse.ArgumentParser, *, of_several: bool = False) -> None:
    """Add the flags for one model, or repeatable ones for `of_several`, each for the model that it names."""
    name, action = ("[NAME=]", "append") if of_several else ("", "store")
    which = "the instruct models, or the model NAME (base, instruct, ...)" if of_several else "the model"
    add = flags.add_argument
    add(
        "--engine",
        action=action,
        metavar=f"{name}URL",
        help=f"OpenAI-compatible server that answers for {which}; ENDPOINT_API_KEY has its key",
    )
    add("--engine_model", action=action, metavar=f"{name}MODEL", help="its name there (default: the only one)")


def engine_of(flags: argparse.Namespace) -> Endpoint | None:
    """The server of the one model, None without. Raises `UserError` if it does not answer or has no such model."""
    return engines_of(flags, [""]).get("")


def engines_of(flags: argparse.Namespace, names: Sequence[str]) -> dict[str, Endpoint]:
    """The server of each model that has one, by name; `names` are the base's and the instruct models'.

    Raises `UserError` for a name of no model, for --chat_template, and for a server that does not answer or has no such
    model.
    """
    if flags.engine and getattr(flags, "chat_template", None):
        problem = "--chat_template is given with --engine, and a server renders its own template"
        raise UserError(problem, "start the server with the template, or leave the flag out")
    urls, models = (_by_name(given, flag, names) for flag, given in _given(flags).items())
    for name in models.keys() - urls.keys():
        raise UserError(f"--engine_model names a model for {name or 'it'}, which has no --engine", "give both")
    found = {name: _endpoint(url, models.get(name)) for name, url in urls.items()}
    for endpoint in found.values():
        endpoint.check()
    return found


def _given(flags: argparse.Namespace) -> dict[str, list[str]]:
    given = {"--engine": flags.engine, "--engine_model": flags.engine_model}
    return {flag: ([value] if isinstance(value, str) else value or []) for flag, value in given.items()}


def _by_name(given: Sequence[str], flag: str, names: Sequence[str]) -> dict[str, str]:
    """Each model's value: that of its NAME=VALUE, else, except for the base, of a VALUE alone."""
    found: dict[str, str] = {}
    for one in given:
        name, equals, value = one.partition("=")
        named = bool(equals) and "/" not in name and len(names) > 1
        if named and name not in names:
            raise UserError(f"{flag} {one} names no model of this call", f"the names are {', '.join(names)}")
        own = {name: value} if named else dict.fromkeys(names[1:] or names, one)
        if taken := own.keys() & found.keys():
            raise UserError(f"{flag} is given twice for {', '.join(sorted(taken))}", "give each model one")
        found |= own
    return found


def _endpoint(url: str, model: str | None) -> Endpoint:
    names = {"url_flag": "--engine", "model_flag": "--engine_model"}
    return Endpoint.with_key_from_environment(url, model, n_at_once=N_AT_ONCE, **names)
