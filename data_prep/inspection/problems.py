"""What looks wrong in a dataset folder: each problem is one sentence with its figures."""

from collections.abc import Iterator

from data_prep.inspection.inspecting import Inspection

MIN_GROUPS = 10
_LOST_SHARE = 0.5
_SAME_ANSWER_SHARE = 0.1
_LARGE_GROUP_SHARE = 0.2
_ASKED_FOR = ("not_sampled", "over_limit")  # by a mixture's weights and --limit
_MIN_ROWS = 20  # in smaller sets shares mean little
_MAIN_LANGUAGE_SHARE, _MINORITY_SHARES = 0.8, (0.003, 0.1)


def counted(n: int, noun: str) -> str:
    """Return a number with its noun: 1 row, 2 rows."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def problems_of(found: Inspection) -> list[str]:
    """Return what a data engineer should look at, the worst first."""
    checks = (_leaks, _few_groups, _lost_sources, _same_answers, _large_groups, _repeats, _languages, _counts)
    return [problem for check in checks for problem in check(found)]


def _leaks(found: Inspection) -> Iterator[str]:
    for split, n_shared in found.n_shared_questions.items():
        if n_shared:
            yield f"{counted(n_shared, 'row')} of {split} with a question that is also in train"


def _few_groups(found: Inspection) -> Iterator[str]:
    for split in found.splits:
        if split.n_groups < MIN_GROUPS:
            groups = counted(split.n_groups, "group")
            yield f"{split.name} has {groups}, under {MIN_GROUPS}: too few for a useful interval"
    missing = [name for name, size in found.manifest.get("split_sizes", {}).items() if size > 0]
    for name in missing:
        if not found.manifest["n_rows"].get(name):
            yield f"{name} is empty: there are too few groups to split"


def _lost_sources(found: Inspection) -> Iterator[str]:
    for source in found.sources:
        n_read = source.n_read or source.n_kept + sum(source.rejected.values())
        for reason, n_rows in source.rejected.items():
            if reason not in _ASKED_FOR and n_read >= _MIN_ROWS and n_rows > _LOST_SHARE * n_read:
                yield f"{source.name} lost {n_rows / n_read:.0%} of its {n_read:,} rows as {reason}"


def _same_answers(found: Inspection) -> Iterator[str]:
    for answer in found.answers[:1]:
        if found.n_rows >= _MIN_ROWS and answer.share > _SAME_ANSWER_SHARE:
            yield f"{answer.share:.0%} of all rows have the same answer: {answer.title}"
    if found.n_empty_answers:
        yield f"{counted(found.n_empty_answers, 'row')} with an empty last answer"


def _large_groups(found: Inspection) -> Iterator[str]:
    for group in found.groups[:1]:
        if found.n_rows >= _MIN_ROWS and group.share > _LARGE_GROUP_SHARE:
            yield f"the group {group.title} has {group.share:.0%} of all rows"


def _repeats(found: Inspection) -> Iterator[str]:
    if found.n_repeated_rows:
        yield f"{counted(found.n_repeated_rows, 'row')} equal to an earlier row but for case and white space"


def _languages(found: Inspection) -> Iterator[str]:
    n_known = found.languages.n_sampled - found.languages.n_unsure
    if not n_known or found.languages.counts[0][1] < _MAIN_LANGUAGE_SHARE * n_known:
        return
    low, high = _MINORITY_SHARES
    for language, n_rows in found.languages.counts[1:]:
        if n_rows > 1 and low * n_known <= n_rows <= high * n_known:
            place = found.languages.examples[language]
            yield f"{n_rows} of {n_known:,} sampled texts are in {language}, such as {place}"


def _counts(found: Inspection) -> Iterator[str]:
    if found.n_rejected_lines != found.n_rejected:
        yield f"rejected.jsonl has {found.n_rejected_lines:,} lines, but the manifest counts {found.n_rejected:,}"
    # rows may be more: a mixture repeats rows, and files are left out before a row is read
    n_read = found.manifest.get("n_read")
    if n_read is not None and n_read > found.n_rows + found.n_rejected:
        yield f"{n_read:,} rows were read, but only {found.n_rows + found.n_rejected:,} were kept or left out"
