"""Checks for repetition: duplicate rows, conflicting answers, one answer to many requests, one dominant source."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from pipelines.preflight.check_context import CheckContext, SampledRow, SampledRows, Stage
from pipelines.preflight.checks.evidence import Check, builder, diff_excerpts, head, share_of
from pipelines.preflight.near_duplicates import words_of
from pipelines.records.finding import MAX_EVIDENCE, Evidence, Finding, Severity
from pipelines.training.data.ledger import RowFate

# Lee et al. 2022 found 3% near duplicates in C4 and 14% in RealNews, and less memorization without them. Public
# conversations repeat about 1% of their turns ("hi") without harm; a file read twice repeats half.
_MANY_COPIES, _SOME_COPIES = 0.02, 0.001
_SOME_CONFLICTS = 0.01
_MANY_CONFLICTING_LABELS = 0.05  # a label is right or wrong; below it, annotators who disagree
_MANY_FLIPPED = 0.01
# One request in a tenth of the rows with different answers: the column that distinguished the rows was lost.
_SAME_REQUEST, _SAME_REQUEST_ROWS = 0.1, 20
_SAME_ANSWER, _SAME_OPENING, _SAME_LABEL = 0.2, 0.5, 0.5
_MOST, _EXTRACTED_SHARE = 0.6, 0.5  # of extracted answers may be alike; of the other answers are in their prompts
_OTHER_LABELS = 0.2  # of the other rows have short answers too
_MIN_REQUESTS = 10  # different ones with the same answer
_OPENING = 40  # characters: longer than "Sure! Here is a"
_LABEL_WORDS, _LABEL_CHARACTERS = 3, 8  # an answer this short is a label ("positive"); characters where no spaces are
_LABEL_ROWS, _CLOSED_SHARE = 3, 0.8  # a label is given to several rows; all labels together to nearly all rows
_CODE = re.compile(r"[{}<>#;=`\[\]\\|]|^\s*(import|from|package|using|def|class|select)\b")  # includes, tags, JSON
_ALIKE = 300  # characters by which answers are grouped before they are compared
_QUOTED = 60  # characters of a request
_DOMINATES = 0.95
_FEW_VISITS = 100  # rows times epochs: a source seen less is not learned; sets that teach a name have about 90 rows


def duplicate_rows(context: CheckContext) -> Iterator[Finding]:
    """DUPLICATE_ROWS: copies of an earlier row but for case and white space, answers included."""
    rows = _trained(context.train)
    first_of: dict[tuple[str, ...], SampledRow] = {}
    copies = [
        (row, first)
        for row in rows
        if (first := first_of.setdefault(_collapsed(row.asked, *row.answers, _hidden(row)), row)) is not row
    ]
    share = len(copies) / max(1, len(rows))
    if share >= _SOME_COPIES:
        yield Finding(
            "DUPLICATE_ROWS",
            Severity.WARNING if share >= _MANY_COPIES else Severity.NOTE,
            summary=f"{share_of(len(copies), len(rows))} rows are copies of an earlier row{_of_sample(context)}",
            why="the model memorizes rows that it sees several times in an epoch",
            remedy=f"drop the copies with `python {builder(context)} --source FILE --output FOLDER`; to train for "
            "longer, raise `num_train_epochs`",
            evidence=_evidence((row, f"{_quoted(row)} is row {first.number} again") for row, first in copies),
            n_rows=len(copies),
        )


def conflicting_answers(context: CheckContext) -> Iterator[Finding]:
    """CONFLICTING_ANSWERS: a request with several answers; for preferences, a pair and its opposite."""
    if context.stage is Stage.PRETRAIN:
        return
    rows = [row for row in _trained(context.train) if row.asked.strip()]
    by_request: dict[str, list[SampledRow]] = defaultdict(list)
    for row in rows:
        by_request[_collapsed(row.asked)[0]].append(row)
    repeated = [same for same in by_request.values() if len(same) > 1]
    yield from (_flipped_pairs if context.stage is Stage.DPO else _several_answers)(context, rows, repeated)


def _several_answers(
    context: CheckContext, rows: Sequence[SampledRow], repeated: Sequence[Sequence[SampledRow]]
) -> Iterator[Finding]:
    conflicts = [same for same in repeated if len({_collapsed(*row.answers) for row in same}) > 1]
    n_found = sum(map(len, conflicts))
    n_labels = sum(len(same) for same in conflicts if all(_is_label(one) for row in same for one in row.answers))
    largest = max(map(len, conflicts), default=0)
    is_one_request = largest >= max(_SAME_REQUEST_ROWS, _SAME_REQUEST * len(rows))
    labels_conflict = n_labels >= _MANY_CONFLICTING_LABELS * len(rows) and n_labels > 0
    if not n_found or not (is_one_request or labels_conflict or n_found >= _SOME_CONFLICTS * len(rows)):
        return
    detail, remedy = "", "keep one row for each request, unless several answers are intended"
    if is_one_request:
        detail = f", {largest} of them the same request"
        remedy = "look for an unread column that distinguishes these rows, and name it `input`"
    elif labels_conflict:
        detail = f", {n_labels} of them with short answers such as labels"
        remedy = "decide which label is right and keep one row for each request"
    yield Finding(
        "CONFLICTING_ANSWERS",
        Severity.WARNING if is_one_request or labels_conflict else Severity.NOTE,
        summary=f"{share_of(n_found, len(rows))} rows have a request that other rows answer differently{detail}"
        f"{_of_sample(context)}",
        why="the model learns a mixture of the answers, which is noise where only one answer is right",
        remedy=remedy,
        evidence=_evidence(_two_answers(same) for same in sorted(conflicts, key=len, reverse=True)),
        n_rows=n_found,
    )


def _flipped_pairs(
    context: CheckContext, rows: Sequence[SampledRow], repeated: Sequence[Sequence[SampledRow]]
) -> Iterator[Finding]:
    flipped: list[tuple[SampledRow, SampledRow]] = []
    for same in repeated:
        by_pair = {_collapsed(*row.answers): row for row in same}
        flipped += [
            (row, by_pair[pair[::-1]]) for pair, row in by_pair.items() if pair[::-1] in by_pair and pair[0] != pair[1]
        ]
    if flipped:
        yield Finding(
            "CONFLICTING_ANSWERS",
            Severity.WARNING if len(flipped) >= _MANY_FLIPPED * len(rows) else Severity.NOTE,
            summary=f"{share_of(len(flipped), len(rows))} pairs repeat another pair with chosen and rejected swapped"
            f"{_of_sample(context)}",
            why="a pair and its opposite cancel each other",
            remedy="keep the right pair and drop the other",
            evidence=_evidence((row, f"{_quoted(row)} prefers what row {one.number} rejects") for row, one in flipped),
            n_rows=len(flipped),
        )


def answers_alike(context: CheckContext) -> Iterator[Finding]:
    """ANSWERS_ALIKE: one answer, or one beginning of answers, for a large share of different requests."""
    if context.stage is Stage.PRETRAIN:
        return
    rows = [row for row in _trained(context.train) if row.asked.strip() and not _hidden(row)]
    wholes: dict[str, list[SampledRow]] = defaultdict(list)
    openings: dict[str, list[SampledRow]] = defaultdict(list)
    labels: dict[str, list[SampledRow]] = defaultdict(list)
    for row in rows:
        answer = _collapsed(_answer(context, row)[:_ALIKE])[0]
        if answer:
            (labels if _is_label(answer) else wholes)[answer].append(row)
        if len(answer) >= _OPENING and not _CODE.search(answer[:_OPENING]):
            openings[answer[:_OPENING]].append(row)
    groups_of = [("are", wholes, _SAME_ANSWER), ("begin with", openings, _SAME_OPENING)]
    if _is_one_label(labels.values(), len(rows)):
        groups_of.insert(0, ("are", labels, _SAME_LABEL))
    for verb, groups, least in groups_of:
        text, same = max(groups.items(), key=lambda item: len(item[1]), default=("", []))
        if groups is wholes:
            if _is_closed_set(groups.values(), len(rows)):
                continue
            same = _most_frequent(context, same)
        n_requests = len({_collapsed(row.asked) for row in same})
        if n_requests < _MIN_REQUESTS or n_requests <= least * len(rows):
            continue
        if n_requests > _MOST * len(rows) or not _are_extracted(rows, same):
            yield Finding(
                "ANSWERS_ALIKE",
                Severity.WARNING,
                summary=f'the answers of {share_of(len(same), len(rows))} rows {verb} "{head(text, 80)}"'
                f"{_of_sample(context)}",
                why="the model learns to say this whatever it is asked",
                remedy="drop or rewrite most of these rows, unless every answer should be like this",
                evidence=_evidence((row, _quoted(row)) for row in same),
                n_rows=len(same),
            )
            return


def source_dominates(context: CheckContext) -> Iterator[Finding]:
    """SOURCE_DOMINATES: one of several sources has nearly all tokens; a warning if the others are hardly seen."""
    rows = [row for row in _trained(context.train) if row.values.get("source")]
    n_rows, n_tokens = Counter[str](), Counter[str]()
    for row in rows:
        n_rows[str(row.values["source"])] += 1
        n_tokens[str(row.values["source"])] += sum(example.n_trained for example in row.examples)
    if len(n_rows) < 2 or not n_tokens.total():
        return
    [(source, most)] = n_tokens.most_common(1)
    share = most / n_tokens.total()
    if share <= _DOMINATES:
        return
    others = [name for name in n_rows if name != source]
    n_others = len(rows) - n_rows[source]
    visits = n_others * context.train.n_rows / len(context.train.rows) * _epochs(context)
    have = f"{head(others[0], _OPENING)} has" if len(others) == 1 else f"the {len(others)} others have"
    yield Finding(
        "SOURCE_DOMINATES",
        Severity.WARNING if visits < _FEW_VISITS else Severity.NOTE,
        summary=f"source {head(source, _OPENING)} has {share:.1%} of the trained tokens; {have} {n_others} of "
        f"{len(rows)} rows{_of_sample(context)}",
        why="each token has the same weight, so the model hardly learns from the other sources",
        remedy="give each source a `fraction` in `datasets:`, or take fewer rows of the large one: "
        f"`python {builder(context)} --source LARGE --limit N --output FOLDER`",
        evidence=tuple(
            Evidence(f"{head(name, _OPENING)}: {n_rows[name]} rows, {n} trained tokens")
            for name, n in n_tokens.most_common(MAX_EVIDENCE)
        ),
        n_rows=n_rows[source],
    )


def _answer(context: CheckContext, row: SampledRow) -> str:
    """What a row answers; for a pair the chosen answer: rejected answers may be alike."""
    return row.answers[0] if context.stage is Stage.DPO else "\n".join(row.answers)


def _is_closed_set(groups: Iterable[Sequence[SampledRow]], n_rows: int) -> bool:
    """Whether the answers are labels in whole sentences ("The answer is B."): a few of them for most of the rows."""
    frequent = sorted((len(same) for same in groups if len(same) >= _LABEL_ROWS), reverse=True)
    return len(frequent) > 1 and sum(frequent) >= _CLOSED_SHARE * n_rows and frequent[0] <= _CLOSED_SHARE * n_rows


def _is_one_label(labels: Iterable[Sequence[SampledRow]], n_rows: int) -> bool:
    """Whether one short answer is given to many rows and the others have sentences: no set of labels, then."""
    n_each = sorted(map(len, labels), reverse=True)
    return sum(n_each[1:]) <= _OTHER_LABELS * (n_rows - sum(n_each[:1]))


def _are_extracted(rows: Sequence[SampledRow], same: Sequence[SampledRow]) -> bool:
    """Whether the other answers are taken out of their prompts, and these say that the prompt has none."""
    numbers = {row.number for row in same}
    others = [row for row in rows if row.number not in numbers]
    n_in_prompt = sum(row.answers[0].strip(" .\n").casefold() in row.asked.casefold() for row in others)
    return n_in_prompt >= _EXTRACTED_SHARE * len(others) > 0


def _hidden(row: SampledRow) -> str:
    """Tool calls and reasoning of the answers, which may differ where the text is the same."""
    turns = [message for message in row.messages if message["role"] == "assistant"]
    parts = [one for turn in turns for one in (turn.get("tool_calls"), turn.get("reasoning_content")) if one]
    return json.dumps(parts, sort_keys=True, default=str) if parts else ""


def _most_frequent(context: CheckContext, rows: Sequence[SampledRow]) -> list[SampledRow]:
    """Those of `rows` that have the most frequent whole answer."""
    by_answer: dict[tuple[str, ...], list[SampledRow]] = defaultdict(list)
    for row in rows:
        by_answer[_collapsed(_answer(context, row))].append(row)
    return max(by_answer.values(), key=len, default=[])


def _epochs(context: CheckContext) -> float:
    """Times that each row is trained on; with `max_steps` at least, since a packed sequence has several rows."""
    training = context.training
    if training.max_steps <= 0:
        return float(training.num_train_epochs)
    n_sequences = training.max_steps * training.train_batch_size * training.gradient_accumulation_steps
    return float(n_sequences * training.world_size / context.train.n_rows)


def _trained(sampled: SampledRows) -> list[SampledRow]:
    return [row for row in sampled.rows if row.fate is not RowFate.DROPPED and any(map(str.strip, row.answers))]


def _collapsed(*texts: str) -> tuple[str, ...]:
    """Texts without differences of case and white space, as data_prep finds duplicates."""
    return tuple(" ".join(text.casefold().split()) for text in texts)


def _is_label(text: str) -> bool:
    # without white space between words, as in Chinese, any sentence is one word
    is_short = len(text.split()) <= _LABEL_WORDS and len(text) <= _OPENING
    return is_short and len(words_of(text)) <= _LABEL_CHARACTERS


def _two_answers(same: Sequence[SampledRow]) -> tuple[SampledRow, str]:
    first = same[0]
    other = next(row for row in same if _collapsed(*row.answers) != _collapsed(*first.answers))
    answer, others = diff_excerpts("\n".join(first.answers), "\n".join(other.answers), 35)
    return first, f"{_quoted(first)} has the answer {answer}, in row {other.number} {others}"


def _quoted(row: SampledRow) -> str:
    return f'"{head(" ".join((row.asked.strip() or row.answers[0]).split()), _QUOTED)}"'


def _evidence(found: Iterable[tuple[SampledRow, str]]) -> tuple[Evidence, ...]:
    return tuple(
        Evidence(text, row.number, "train") for (row, text), _ in zip(found, range(MAX_EVIDENCE), strict=False)
    )


def _of_sample(context: CheckContext) -> str:
    train = context.train
    return f" (in a sample of {len(train.rows)} of {train.n_rows})" if train.is_sample else ""


CHECKS: tuple[Check, ...] = (duplicate_rows, conflicting_answers, answers_alike, source_dominates)
