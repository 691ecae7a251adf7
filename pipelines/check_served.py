r"""Hold a served model against the trained one: is the model behind the endpoint the model that was measured?

    llama-server -m MERGED.gguf --jinja     # or: vllm serve, transformers serve, mlx_lm.server, ollama serve
    python pipelines/check_served.py --url http://127.0.0.1:8080/v1 --run runs/my-instruct

Input: an OpenAI-compatible endpoint (its key in ENDPOINT_API_KEY; --model if it serves several), and the run folder of
sft.py or dpo.py (adapter or whole model) or a merged folder, loaded with transformers in float32. The prompts are
--prompts (a dataset folder's --split or a file of rows), else rows that the run held out, else a few built-in ones.

Compared are the prompts as the endpoint renders them, their numbers of tokens, the tokens of 200 texts (code, spaces,
numbers, many scripts, special tokens), greedy answers, where they end, and log-probabilities, as far as the engine
tells them; and where the trained model and its base answer differently, whose answer it is. The verdict names the
cause with the first difference and what to do: template, tokenizer, leading space, end token, adapter not applied,
weights, sampling. Precision (weights in 16, 8 or 4 bits) is a note with the KL from the trained model, in nats a token,
summed over the 10 likeliest tokens and the rest as one (a lower bound), with its 95% interval over prompts; those of
one `group` are resampled together. Two answers may part where two tokens tie.

Output: one page, and served.json (--output; default in the run folder), which report and model card quote. Exit code
0 if the trained model is served, 1 if not, 2 without a server, model or run.
"""

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from pipelines.command_line import ArgumentParser, positive_number, run_program


def parser() -> argparse.ArgumentParser:
    """The program's flags."""
    flags = ArgumentParser(__doc__)
    flags.add_argument("--url", required=True, metavar="URL", help="endpoint, such as http://127.0.0.1:8000/v1")
    flags.add_argument("--model", metavar="NAME", help="model's name there (default: the only one)")
    flags.add_argument(
        "--run", required=True, metavar="RUN_DIR", help="run folder of sft.py or dpo.py, or merged folder"
    )
    flags.add_argument("--prompts", type=Path, metavar="F", help="rows to ask: dataset folder, or file of rows")
    flags.add_argument("--split", default="test", help="split of a dataset folder (default test)")
    flags.add_argument("--limit", type=positive_number, default=35, help="number of prompts (default 35)")
    flags.add_argument("--max_new_tokens", type=positive_number, default=64, help="limit of an answer (default 64)")
    flags.add_argument("--seed", type=int, default=0, help="seed of the sample of rows (default 0)")
    flags.add_argument("--output", type=Path, metavar="FILE.json", help="default: served.json in the run folder")
    return flags


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the page, write served.json, and end with the verdict."""
    flags = parser().parse_args(arguments)
    from pipelines.endpoint.client import Endpoint
    from pipelines.errors import AnswerIsNo, UserError
    from pipelines.files import refuse_missing, refuse_unwritable, write_json_atomically
    from pipelines.hub.model_ref import refuse_untrained, resolve_model

    model = resolve_model(flags.run)
    refuse_untrained(flags.run)
    refuse_missing(prompts=flags.prompts)
    output = flags.output or Path(flags.run) / "served.json"
    if output.is_dir():
        raise UserError(f"--output {output} is a folder, expected a file", "name a file, such as served.json")
    refuse_unwritable(output.parent)
    endpoint = Endpoint.with_key_from_environment(flags.url, flags.model)
    endpoint.check()
    from pipelines.records import describe_machine, git_commit, versions
    from pipelines.served.comparison import Plan, compare_served
    from pipelines.served.record import lines_of, served_record

    plan = Plan(flags.prompts, flags.split, flags.limit, flags.max_new_tokens, flags.seed)
    found = compare_served(endpoint, model, plan)
    record = {
        "kind": "served",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **served_record(found, endpoint, model, plan),
        "versions": versions(),
        "machine": describe_machine(),
        "git_commit": git_commit(),
    }
    write_json_atomically(output, record)
    print("\n".join(lines_of(record)))
    print(f"written to {output}")
    if not found.is_same:
        causes = ", ".join(one.cause for one in found.findings if not one.is_note)
        raise AnswerIsNo(f"the endpoint does not serve the trained model: {causes}")


if __name__ == "__main__":
    run_program(main)
