"""How long the longest and most hostile inputs take, each within a limit of processor time.

    python -m tests.benchmarks.longest_inputs

The suite asserts what comes out of these inputs and no times, which depend on the processor and on what else it does.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace

from pipelines.evaluation.judge.judge_prompt import read_reply
from pipelines.evaluation.likelihood.shared_token_runs import longest_shared_runs
from pipelines.hub.secret_scan import refuse_secrets
from pipelines.hub.upload_files import UploadFile
from pipelines.modeling.step_memory.model_shape import model_shape
from pipelines.report.answers.answer_diff import MAX_PIECES, answer_diff
from tests.evaluation.metrics import test_registry as answers
from tests.hub.test_secret_scan import HERE
from tests.twins.models import real_config


def slowest_checks() -> None:
    """All checks of each hostile answer."""
    for text in {**answers.FOR_ALL, **answers.FOR_PROSE}.values():
        answers.response_checks(answers.answer(text), answers.DEMANDING)
    for text in {**answers.FOR_ALL, **answers.FOR_CODE}.values():
        answers.response_checks(answers.answer(text), answers.FUNCTION)


def longest_rouge() -> None:
    """The longest texts that ROUGE-L compares."""
    prompt = replace(answers.QUESTION, reference=" ".join(map(str, range(5_000))))
    answers.response_checks(answers.answer(" ".join(map(str, range(0, 9_000, 3)))), prompt)


def one_passage_in_every_row() -> None:
    """Training rows that all repeat one long passage."""
    passage = [f"w{number}" for number in range(300)]
    longest_shared_runs([["well", *passage, "row77"]] * 20, [[*passage, f"row{number}"] for number in range(500)])


def hostile_replies() -> None:
    """A judge's replies that open brackets without an end."""
    for part in ('{"a":[', '{"a":"', "{", '{"a":0,'):
        read_reply(part * 300 + "0," * 200_000 + part * 3_000 + '{"winner": "second"}')


def thousands_of_added_tokens() -> None:
    """A tokenizer that is looked through for secrets."""
    added = [{"id": number, "content": f"<unused{number}>"} for number in range(6_000)]
    model = {"vocab": {f"t{number}": number for number in range(60_000)}}
    text = json.dumps({"added_tokens": added, "model": model}, indent=2)
    refuse_secrets([UploadFile("tokenizer.json", text.encode())], HERE)


def repeated_answers() -> None:
    """The difference of two answers that repeat themselves."""
    answer_diff("a b " * (MAX_PIECES // 4), "b a a " * (MAX_PIECES // 6), by_line=False)


def eight_billion_weights() -> None:
    """The sizes of a large model from its config."""
    model_shape(real_config("llama-3.1-8b"))


_LIMITS: dict[Callable[[], None], float] = {  # seconds of the processor, several times what was measured
    slowest_checks: 30.0,
    longest_rouge: 2.0,
    one_passage_in_every_row: 5.0,
    hostile_replies: 4.0,
    thousands_of_added_tokens: 3.0,
    repeated_answers: 0.5,
    eight_billion_weights: 5.0,
}


def main() -> None:
    """Print the times; exit code 1 if one is over its limit."""
    is_over = False
    for work, limit in _LIMITS.items():
        begin = time.process_time()
        work()
        seconds = time.process_time() - begin
        is_over |= seconds > limit
        print(f"{work.__name__:<28}{seconds:8.2f} s of at most {limit:g}")
    sys.exit(int(is_over))


if __name__ == "__main__":
    main()
