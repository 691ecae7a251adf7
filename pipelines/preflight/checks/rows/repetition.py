"""Training rows that say the same again: copies, one answer to all, several to one request, one source over all."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pipelines.preflight.check_context import CheckContext, SampledRow, SampledRows, Stage
from pipelines.preflight.checks.excerpts import head
from pipelines.preflight.checks.kind import Check
from pipelines.preflight.checks.rows.diff_excerpt import diff_excerpts
from pipelines.preflight.near_duplicates import words_of
from pipelines.records.finding import MAX_EVIDENCE, Evidence, Finding, Severity
from pipelines.training.data.ledger import RowFate

# Lee et al. 2022 found 3 % near duplicates in C4 and 14 % in RealNews, and less memorised without them. Public
# conversations repeat about 1 % of their turns ("hi") and nobody is harmed; a file read twice repeats half.
_MANY_COPIES = 0.02
_SOME_COPIES = 0.001
_SOME_CONFLICTS = 0.01
_MANY_CONFLICTING_LABELS = 0.05  # a label is right or wrong; below it, annotators who do not agree
_MANY_FLIPPED = 0.01
# One request in a tenth of the rows and never the same answer: what told the rows apart (an input column) is lost.
# Several samples for each request are a design, but with not as many rows for one of them.
_SAME_REQUEST = 0.1
_SAME_REQUEST_ROWS = 20
_SAME_ANSWER = 0.2
_SAME_OPENING = 0.5
_MIN_REQUESTS = 10  # different ones with the same answer: below it, a handful of rows
_OPENING = 40  # characters: longer than "Sure! Here is a" and what a language's sentences begin with anyway
_LABEL_WORDS = 3  # an answer of as many words at most is a label ("positive"), which has to be repeated
_LABEL_ROWS, _CLOSED_SHARE = 3, 0.8  # a label is given to several rows; all labels together to nearly all rows
_LABEL_CHARACTERS = 8  # of a script that writes no spaces
_CODE = re.compile(r"[{}<>#;=`\[\]\\|]|^\s*(import|from|package|using|def|class|select)\b")  # includes, tags, JSON
_ALIKE = 300  # characters that answers are sorted by before they are compared whole
_QUOTED = 60  # characters of a row's request
_DOMINATES = 0.95
_FEW_VISITS = 100  # rows times epochs: a source seen less is not learned; sets that teach a name have about 90 rows


def duplicate_rows(context: CheckContext) -> Iterator[Finding]:
    """DUPLICATE_ROWS: rows that are copies of an earlier one but for case and white space, answers included."""
    rows = _trained(context.train)
    first_of: dict[tuple[str, ...], SampledRow] = {}
    copies = [
        (row, first)
        for row in rows
        if (first := first_of.setdefault(_collapsed(row.asked, *row.answers, _unspoken(row)), row)) is not row
    ]
    share = len(copies) / max(1, len(rows))
    if share < _SOME_COPIES:
        return
    yield Finding(
        "DUPLICATE_ROWS",
        Severity.WARNING if share >= _MANY_COPIES else Severity.NOTE,
        summary=f"{_of(copies, rows)} rows are copies of an earlier row{_of_sample(context)}",
        why="a row that occurs n times is trained n times per epoch: the model memorizes it and learns the others less",
        remedy=f"drop the copies: `python data_prep/{_builder(context)} --source FILE --output FOLDER`; to train on "
        "all rows for longer, raise `num_train_epochs`",
        evidence=tuple(
            Evidence(f"{_quoted(row)} is row {first.number} again", row.number, "train")
            for row, first in copies[:MAX_EVIDENCE]
        ),
        n_rows=len(copies),
    )


def conflicting_answers(context: CheckContext) -> Iterator[Finding]:
    """CONFLICTING_ANSWERS: a request with several answers; of preferences, a pair and its opposite."""
    if context.stage is Stage.PRETRAIN:
        return
    rows = [row for row in _trained(context.train) if row.asked.strip()]
    requests = [_collapsed(row.asked)[0] for row in rows]
    n_times = Counter(requests)
    repeated: dict[str, list[SampledRow]] = defaultdict(list)
    for request, row in zip(requests, rows, strict=True):
        if n_times[request] > 1:
            repeated[request].append(row)
    told = _flipped_pairs if context.stage is Stage.DPO else _several_answers
    yield from told(context, rows, list(repeated.values()))


def _several_answers(
    context: CheckContext, rows: Sequence[SampledRow], repeated: Iterable[Sequence[SampledRow]]
) -> Iterator[Finding]:
    conflicts = [same for same in repeated if len({_collapsed(*row.answers) for row in same}) > 1]
    concerned = [row for same in conflicts for row in same]
    n_labels = sum(len(same) for same in conflicts if all(_is_label(row) for row in same))
    largest = max(conflicts, key=len, default=[])
    is_one_request = len(largest) >= max(_SAME_REQUEST_ROWS, _SAME_REQUEST * len(rows))
    labels_conflict = n_labels >= _MANY_CONFLICTING_LABELS * len(rows) and n_labels > 0
    if not concerned or not (is_one_request or labels_conflict or len(concerned) >= _SOME_CONFLICTS * len(rows)):
        return
    summary = f"{_of(concerned, rows)} rows have a request that other rows answer differently"
    why = "the model can only learn a mixture of the answers; that is right for creative"
    remedy = "nothing if several answers are intended; else keep one row per request"
    if is_one_request:
        summary += f", {len(largest)} of them the same request"
        remedy = "check whether a column that distinguishes these rows is not read (name it `input`)"
    elif labels_conflict:
        summary += f", {n_labels} of them with short answers such as labels"
        remedy = "decide which label is right and keep one row per request"
    yield Finding(
        "CONFLICTING_ANSWERS",
        Severity.WARNING if is_one_request or labels_conflict else Severity.NOTE,
        summary=summary + _of_sample(context),
        why=f"{why} requests, and noise where one answer is right",
        remedy=remedy,
        evidence=tuple(_two_answers(same) for same in sorted(conflicts, key=len, reverse=True)[:MAX_EVIDENCE]),
        n_rows=len(concerned),
    )


def _flipped_pairs(
    context: CheckContext, rows: Sequence[SampledRow], repeated: Iterable[Sequence[SampledRow]]
) -> Iterator[Finding]:
    flipped: list[tuple[SampledRow, SampledRow]] = []
    for same in repeated:
        by_pair = {_collapsed(*row.answers): row for row in same}
        flipped += [(row, by_pair[pair[::-1]]) for pair, row in by_pair.items() if pair[::-1] in by_pair]
    if not flipped:
        return
    yield Finding(
        "CONFLICTING_ANSWERS",
        Severity.WARNING if len(flipped) >= _MANY_FLIPPED * len(rows) else Severity.NOTE,
        summary=f"{_of(flipped, rows)} pairs repeat another pair with chosen and rejected swapped{_of_sample(context)}",
        why="a pair and its opposite cancel out",
        remedy="keep the pair that is right and drop the other",
        evidence=tuple(
            Evidence(f"{_quoted(row)} prefers what row {other.number} rejects", row.number, "train")
            for row, other in flipped[:MAX_EVIDENCE]
        ),
        n_rows=len(flipped),
    )


def answers_alike(context: CheckContext) -> Iterator[Finding]:
    """ANSWERS_ALIKE: one answer, or one opening of answers, for a large share of different requests."""
    if context.stage is Stage.PRETRAIN:
        return
    rows = [row for row in _trained(context.train) if row.asked.strip() and not _unspoken(row)]
    wholes: dict[str, list[SampledRow]] = defaultdict(list)
    openings: dict[str, list[SampledRow]] = defaultdict(list)
    for row in rows:
        answer = _collapsed(_answer(context, row)[:_ALIKE])[0]
        if answer and not _is_label_text(answer):
            wholes[answer].append(row)
        if len(answer) >= _OPENING and not _CODE.search(answer[:_OPENING]):
            openings[answer[:_OPENING]].append(row)
    for what, groups, least in (("are", wholes, _SAME_ANSWER), ("begin with", openings, _SAME_OPENING)):
        text, same = max(groups.items(), key=lambda item: len(item[1]), default=("", []))
        if groups is wholes:
            if _is_closed_set(groups.values(), len(rows)):
                continue
            same = _most_alike(context, same)
        n_requests = len({_collapsed(row.asked) for row in same})
        if n_requests >= _MIN_REQUESTS and n_requests > least * len(rows):
            yield _one_answer(context, rows, same, what, text)
            return


def _answer(context: CheckContext, row: SampledRow) -> str:
    """What a row answers; of a pair what is chosen: rejected answers may well be alike."""
    return row.answers[0] if context.stage is Stage.DPO else "\n".join(row.answers)


def _is_closed_set(groups: Iterable[Sequence[SampledRow]], n_rows: int) -> bool:
    """Whether the answers are labels in whole sentences ("The answer is B."): a few of them for most of the rows."""
    frequent = sorted((len(same) for same in groups if len(same) >= _LABEL_ROWS), reverse=True)
    return len(frequent) > 1 and sum(frequent) >= _CLOSED_SHARE * n_rows and frequent[0] <= _CLOSED_SHARE * n_rows


def _unspoken(row: SampledRow) -> str:
    """Calls and thoughts of the answers, which differ where the words beside them are the same."""
    turns = [message for message in row.messages if message["role"] == "assistant"]
    parts = [one for turn in turns for one in (turn.get("tool_calls"), turn.get("reasoning_content")) if one]
    return json.dumps(parts, sort_keys=True, default=str) if parts else ""


def _most_alike(context: CheckContext, rows: Sequence[SampledRow]) -> list[SampledRow]:
    """Those of `rows` that have the most frequent answer, whole."""
    by_answer: dict[tuple[str, ...], list[SampledRow]] = defaultdict(list)
    for row in rows:
        by_answer[_collapsed(_answer(context, row))].append(row)
    return max(by_answer.values(), key=len, default=[])


def _one_answer(
    context: CheckContext, rows: Sequence[SampledRow], same: Sequence[SampledRow], what: str, text: str
) -> Finding:
    return Finding(
        "ANSWERS_ALIKE",
        Severity.WARNING,
        summary=f'the answers of {_of(same, rows)} rows {what} "{head(text, 80)}"{_of_sample(context)}',
        why="the model learns to say this to any prompt",
        remedy="drop or rewrite most of these rows; keep them only if this is the intended answer",
        evidence=tuple(Evidence(_quoted(row), row.number, "train") for row in same[:MAX_EVIDENCE]),
        n_rows=len(same),
    )


def source_dominates(context: CheckContext) -> Iterator[Finding]:
    """SOURCE_DOMINATES: of several sources one has nearly all tokens; a warning if the others are hardly seen."""
    rows = [row for row in _trained(context.train) if row.values.get("source")]
    n_tokens: Counter[str] = Counter()
    n_rows: Counter[str] = Counter()
    for row in rows:
        source = str(row.values["source"])
        n_rows[source] += 1
        n_tokens[source] += sum(example.n_trained for example in row.examples)
    if len(n_rows) < 2 or not n_tokens.total():
        return
    [(source, most)] = n_tokens.most_common(1)
    share = most / n_tokens.total()
    if share <= _DOMINATES:
        return
    n_others = len(rows) - n_rows[source]
    visits = n_others * context.train.n_rows / len(context.train.rows) * _epochs(context)
    yield Finding(
        "SOURCE_DOMINATES",
        Severity.WARNING if visits < _FEW_VISITS else Severity.NOTE,
        summary=f"source {head(source, _OPENING)} has {share:.1%} of the trained tokens; {_others(n_rows, source)} "
        f"{n_others} of {len(rows)} rows{_of_sample(context)}",
        why="each trained token weighs the same, so the other sources have little effect",
        remedy="give each source its `fraction` in `datasets:`, or use fewer rows of the large one "
        f"(`python data_prep/{_builder(context)} --source LARGE --limit N --output FOLDER`)",
        evidence=tuple(
            Evidence(f"{head(name, _OPENING)}: {n_rows[name]} rows, {n} trained tokens")
            for name, n in n_tokens.most_common(MAX_EVIDENCE)
        ),
        n_rows=n_rows[source],
    )


def _others(n_rows: Mapping[str, int], source: str) -> str:
    names = [name for name in n_rows if name != source]
    return f"{head(names[0], _OPENING)} has" if len(names) == 1 else f"the {len(names)} others have"


def _epochs(context: CheckContext) -> float:
    """Times that each row is trained on; with `max_steps` at least, since a packed sequence holds several rows."""
    training = context.training
    if training.max_steps <= 0:
        return float(training.num_train_epochs)
    n_sequences = training.max_steps * training.train_batch_size * training.gradient_accumulation_steps
    return float(n_sequences * training.world_size / context.train.n_rows)


def _trained(seen: SampledRows) -> list[SampledRow]:
    return [row for row in seen.rows if row.fate is not RowFate.DROPPED and any(map(str.strip, row.answers))]


def _collapsed(*texts: str) -> tuple[str, ...]:
    """Texts without differences of case and white space, as data_prep knows duplicates."""
    return tuple(" ".join(text.casefold().split()) for text in texts)


def _is_label(row: SampledRow) -> bool:
    return all(map(_is_label_text, row.answers))


def _is_label_text(text: str) -> bool:
    # without white space between words, as in Chinese, any sentence is one word
    is_short = len(text.split()) <= _LABEL_WORDS and len(text) <= _OPENING
    return is_short and len(words_of(text)) <= _LABEL_CHARACTERS


def _two_answers(same: Sequence[SampledRow]) -> Evidence:
    first = same[0]
    other = next(row for row in same if _collapsed(*row.answers) != _collapsed(*first.answers))
    answer, others = diff_excerpts("\n".join(first.answers), "\n".join(other.answers), 35)
    return Evidence(f"{_quoted(first)} is answered {answer}, in row {other.number} {others}", first.number, "train")


def _quoted(row: SampledRow) -> str:
    return f'"{head(" ".join((row.asked.strip() or row.answers[0]).split()), _QUOTED)}"'


def _of(some: Sequence[object], rows: Sequence[object]) -> str:
    return f"{len(some)} of {len(rows)} ({len(some) / len(rows):.1%})"


def _of_sample(context: CheckContext) -> str:
    seen = context.train
    return f" (of a sample of {len(seen.rows)} of {seen.n_rows})" if seen.is_sample else ""


def _builder(context: CheckContext) -> str:
    names = {Stage.PRETRAIN: "build_corpus.py", Stage.DPO: "build_preferences.py"}
    return names.get(context.stage, "build_instructions.py")


CHECKS: tuple[Check, ...] = (duplicate_rows, conflicting_answers, answers_alike, source_dominates)
