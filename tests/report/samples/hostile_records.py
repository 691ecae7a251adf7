"""Records in which every text that a model, a user or a judge can choose tries to break out of its place."""

from pathlib import Path
from typing import Any

from tests.report.samples.sample_answers import answer, responses, with_tokens
from tests.report.samples.sample_records import comparison, write_json, write_lines, write_records
from tests.report.samples.sample_run_records import benchmark, run

HOSTILE = (
    "<script>alert(1)</script>",
    "</code></pre></details></main><h1>mine</h1>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }} {% include 'x' %} {# gone #}",
    "</script><script>alert(2)//",
    "<!-- never closed",
    "&lt;b&gt; &amp;",
    "nul \x00 escape \x1b[2J delete \x7f",
    "\u202egnp.exe\u202c and \u2067isolated",
    "half \ud83d",
    "]]> <![CDATA[ <svg onload=alert(1)>",
    "</style><style>body{display:none}</style>",
    "' onmouseover=alert(1) x='",
    "```\n# mine\n~~~",
    "| cell | [link](javascript:alert(1)) ![x](http://127.0.0.1:9/x.png)",
    "\n\n   first line is empty",
    "x" * 200_000,
)
# as the name of a model, a category, a metric, a task or a file
NAME = "<script>evil()</script>\u202e"


def write_hostile_records(folder: Path) -> tuple[Path, Path]:
    """Every record with hostile texts in every place; returns the comparison folder and the run folder."""
    lines = hostile_lines()
    compared, trained = write_records(folder, lines, hostile_comparison(lines))
    tasks = benchmark()
    tasks["models"][NAME] = tasks["models"].pop("instruct")
    tasks["results"][0] |= {"task": NAME, "metric": HOSTILE[2]}
    write_json(compared / "benchmark.json", tasks)
    recipe = {"<i>key</i>": "<i>value</i>", "nested": {"a": ["<i>"]}, NAME: HOSTILE[16]}
    write_json(trained / "run.json", run() | {"recipe": recipe})
    write_json(trained / "lock.json", {NAME: HOSTILE[11]})
    samples = [{"step": 1, "prompt": text, "answer": text, "stopped": False} for text in HOSTILE[:4]]
    write_lines(trained / "samples.jsonl", samples)
    return compared, trained


def hostile_lines() -> list[dict[str, Any]]:
    """One prompt for each hostile text, which is also its input, reference, category, answers, tokens and judgement."""
    lines = responses(len(HOSTILE), n_samples=1)
    for number, (line, text) in enumerate(zip(lines[1:], HOSTILE, strict=True)):
        line |= {"instruction": text, "input": text, "reference": text, "category": NAME if number < 3 else text[:50]}
        for given in line["answers"].values():
            given |= {"greedy": answer(text, parses=False, why_it_failed=text), "samples": [answer(text)]}
        reason = {"base_first": NAME, "instruct_first": text[:50], "verdict": NAME, "reason": text[:500]}
        line["judgements"] = {NAME: reason}
    base = answer("some words that both have <b>")
    lines[1] |= {"requested": None}
    lines[1]["answers"]["base"] |= {"greedy": base}
    last = answer("some words that both have <script>alert(1)</script>")
    lines[1]["answers"]["instruct"] |= {"greedy": last}
    tokens = with_tokens(answer(" ".join(HOSTILE[:16])))
    for token in tokens["tokens"]:
        token["alternatives"] += [{"token": NAME, "probability": 0.01}]
    lines[0]["answers"]["instruct"]["greedy"] = tokens
    for line in lines:
        line["answers"][NAME] = line["answers"].pop("instruct")
    return lines


def hostile_comparison(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """comparison.json whose model, metric, categories, sentence, overlaps and judge have hostile names."""
    record = comparison(lines, (NAME,))
    record["prompts"]["path"] = "<b>path</b>"
    record["sentences"][NAME] = f"better on {HOSTILE[2]}"
    record["metric_definitions"]["parses"] |= {"label": NAME, "group": HOSTILE[1], "meaning": HOSTILE[4]}
    record["flips"][NAME][HOSTILE[2]] = {"gained": [1], "lost": []}
    record["judge"] |= {"model": NAME, "url_host": HOSTILE[2]}
    overlaps = [{"model": NAME, "id": 1, "n_words": 9, "text": text[:200], "row": 1} for text in HOSTILE]
    record["details"]["longest_overlaps"] = [*overlaps, {**overlaps[0], "id": HOSTILE[2]}]
    record["run_code"] = {"limits": {NAME: 1}, "confinement": list(HOSTILE[:3])}
    return record
