"""served.json, and the page that check_served.py prints."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from pipelines.endpoint.client import Endpoint
from pipelines.hub.model_ref import ModelRef, model_fingerprint
from pipelines.served.comparison import Comparison, Plan
from pipelines.served.findings import FIXES


def served_record(found: Comparison, endpoint: Endpoint, model: ModelRef, plan: Plan) -> dict[str, Any]:
    """Return the figures of served.json; the program adds what each record has."""
    return {
        "engine": found.engine,
        "model": endpoint.asked_model,
        "url_host": endpoint.host,
        "run": {"name_or_path": model.path, "fingerprint": model_fingerprint(model.path)},
        "base": found.base and {"name_or_path": found.base.base, "fingerprint": model_fingerprint(found.base.base)},
        "prompts": {
            "source": found.questions.source,
            "n": len(found.questions.asked),
            "left_out": found.questions.left_out,
        },
        "decoding": {"temperature": 0.0, "max_new_tokens": plan.max_new_tokens, "dtype": "float32", "seed": plan.seed},
        "same": found.is_same,
        "findings": [{"cause": one.cause, "note": one.is_note, "observed": one.observed} for one in found.findings],
        "checks": [asdict(one) for one in found.checks],
        "n_ties": found.n_ties,
        "divergence": found.divergence and asdict(found.divergence),
        "bits_per_weight": found.bits,
        "rounding": [asdict(one) for one in found.roundings],
        "as_base": None if found.n_apart is None else {"n": found.n_apart, "n_equal": found.n_as_base},
    }


def lines_of(record: dict[str, Any]) -> Iterator[str]:
    """Yield the page: what was compared, each check with its counts, the verdict, the fix of each cause."""
    named = f", model {record['model']}" if record["model"] else ""
    yield f"served:  {record['engine']} at {record['url_host']}{named}"
    base = f" on {record['base']['name_or_path']}" if record["base"] else ", no base at hand to compare with"
    yield f"trained: {record['run']['name_or_path']}{base}, in transformers, float32"
    prompts = record["prompts"]
    left_out = ", ".join(f"{n} {reason}" for reason, n in prompts["left_out"].items())
    yield f"prompts: {prompts['n']} of {prompts['source']}{f' (left out: {left_out})' if left_out else ''}"
    yield ""
    for check in record["checks"]:
        ties = (
            f", {record['n_ties']} more part at a tie" if check["name"] == "greedy answers" and record["n_ties"] else ""
        )
        yield f"{check['name'] + ':':28}{check['n_equal']} of {check['n']} equal{ties}"
    divergence = record["divergence"]
    if divergence:
        yield (
            f"{'log-probabilities:':28}KL {divergence['kl_mean']:.1e}{_interval(divergence)} nats a token (largest "
            f"{divergence['kl_max']:.1e})"
            f" over {divergence['n_places']:,} places, largest difference {divergence['max_difference']:.1e}"
        )
    if record["as_base"]:
        yield f"{'answers as the base:':28}{record['as_base']['n_equal']} of {record['as_base']['n']}"
    yield ""
    if not record["findings"]:
        yield "same: the endpoint serves the trained model"
    for finding in record["findings"]:
        yield f"{'note' if finding['note'] else 'different'}: {finding['cause']}: {finding['observed']}"
        yield f"  fix: {FIXES[finding['cause']]}"


def _interval(divergence: Mapping[str, Any]) -> str:
    if divergence["kl_ci95"] is None:
        return ""
    low, high = divergence["kl_ci95"]
    return f" [{low:.1e} to {high:.1e}]"
