"""Inspect a dataset folder: everything that the terminal and the page show, as one value."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.dataset_folder import SPLITS, read_manifest
from data_prep.dataset_folder.card import step_and_options, without_local_paths
from data_prep.dataset_folder.excerpts import RowExcerpt, named_texts, row_excerpts, without_keys
from data_prep.dataset_folder.lengths import texts_by_role
from data_prep.inspection.kept_rows import (
    ANSWER_ROLES,
    TEXT_COLUMNS,
    KeptRows,
    Repeated,
    n_repeats,
    n_shared_with_train,
    repeated,
    scan_kept_rows,
)
from data_prep.inspection.languages import Languages, languages_of
from data_prep.inspection.logs import (
    N_EXAMPLES,
    Change,
    DuplicatePair,
    Reason,
    RejectedLog,
    name_of,
    read_changed,
    read_rejected,
)
from data_prep.inspection.word_diff import Piece, word_diff
from pipelines.errors import UserError
from pipelines.files.visible_text import one_line

_N_OPENINGS = 15
# what manifests of earlier versions lack
_OF_OLD_FOLDERS: dict[str, Any] = {
    "n_groups": {}, "effective_groups": {}, "n_rejected": {}, "unread_columns": {}, "sources": [], "licenses": [],
    "steps": [], "split_sizes": {}, "columns": [], "command": "", "seed": 0,
}  # fmt: skip
_TITLE_CHARACTERS = 100


@dataclass(frozen=True)
class Split:
    """A split with its rows, groups, and Kish's effective number of groups."""

    name: str
    n_rows: int
    n_groups: int
    effective_groups: float | None


@dataclass(frozen=True)
class Source:
    """A source: rows read (None in folders that do not record it), rows kept, and why others were left out."""

    name: str
    n_read: int | None
    n_kept: int
    share: float
    license: str
    rejected: Mapping[str, int]


@dataclass(frozen=True)
class SharedBy:
    """Rows with the same group or answer: how many, their share of all rows, and the first of them."""

    title: str
    n_rows: int
    share: float
    split: str
    example: str


@dataclass(frozen=True)
class Pair:
    """A near duplicate that was left out next to the row that was kept; `pieces` compares their texts.

    `texts` are those of the one row that is known: the other is a document, or was left out by a later step.
    """

    similarity: float
    place: str
    kept_place: str
    pieces: list[Piece]
    texts: list[RowExcerpt]


@dataclass(frozen=True)
class Inspection:
    """What a dataset folder holds, and what was left out of it or changed on the way."""

    name: str
    manifest: Mapping[str, Any]
    command: str
    splits: list[Split]
    characters: Mapping[str, Mapping[str, Any]]
    words: Mapping[str, Mapping[str, Any]]
    openings: list[tuple[str, int]]
    languages: Languages
    sources: list[Source]
    groups: list[SharedBy]
    answers: list[SharedBy]
    n_repeated_rows: int
    n_copies: int
    n_repeated_questions: int
    n_empty_answers: int
    n_shared_questions: Mapping[str, int]
    steps: list[tuple[str, Mapping[str, Any]]]
    n_rejected_lines: int
    reasons: list[Reason]
    changes: list[Change]
    pairs: list[Pair]

    @property
    def n_rows(self) -> int:
        """The number of kept rows."""
        return sum(split.n_rows for split in self.splits)

    @property
    def n_rejected(self) -> int:
        """The number of rows left out, as the manifest counts them."""
        return sum(self.manifest["n_rejected"].values())


def inspect_folder(folder: Path, seed: int = 0, n_examples: int = N_EXAMPLES) -> Inspection:
    """Return what is in the dataset folder, with `n_examples` of each reject reason and of each step's changes.

    Memory is bounded by some 40 bytes for each row.
    Raises `UserError` if `folder` is not a dataset folder, or if a file of it is broken.
    """
    manifest = {**_OF_OLD_FOLDERS, **read_manifest(folder)}
    n_rows = sum(manifest["n_rows"].values())
    rejected = read_rejected(folder, seed, n_examples)
    kept = scan_kept_rows(folder, n_rows, seed, [pair.kept for pair in rejected.pairs])
    if kept.n_all != n_rows:
        problem = f"{folder} has {kept.n_all:,} rows, expected {n_rows:,} as in its manifest"
        raise UserError(problem, "build the dataset folder again")
    return Inspection(
        name=name_of(folder.resolve().name),
        manifest=manifest,
        command=without_local_paths(manifest["command"]),
        splits=_splits(manifest),
        characters=kept.characters.to_json(),
        words=kept.words.to_json(),
        openings=[(words, n) for words, n in kept.openings.most_common(_N_OPENINGS) if words],
        languages=languages_of(kept.sampled),
        sources=_sources(manifest, kept, rejected),
        groups=_shared(repeated(folder, kept, kept.groups), kept.n_all, _group),
        answers=_shared(repeated(folder, kept, kept.answers), kept.n_all, _answer),
        n_repeated_rows=max(0, n_repeats(kept.questions, kept.answers) - kept.n_copies),
        n_copies=kept.n_copies,
        n_repeated_questions=n_repeats(kept.questions) if manifest["kind"] != "corpus" else 0,
        n_empty_answers=kept.n_empty_answers,
        n_shared_questions=n_shared_with_train(kept, kept.questions) if manifest["kind"] != "corpus" else {},
        steps=[step_and_options(step) for step in manifest["steps"]],
        n_rejected_lines=rejected.n_lines,
        reasons=rejected.reasons,
        changes=read_changed(folder, seed, n_examples),
        pairs=[_pair(pair, kept) for pair in rejected.pairs],
    )


def _splits(manifest: Mapping[str, Any]) -> list[Split]:
    effective = manifest["effective_groups"]
    return [
        Split(name, manifest["n_rows"][name], manifest["n_groups"].get(name, 0), effective.get(name))
        for name in SPLITS
        if manifest["n_rows"].get(name)
    ]


def _sources(manifest: Mapping[str, Any], kept: KeptRows, rejected: RejectedLog) -> list[Source]:
    """Sources of the manifest in its order, then those that only rows name."""
    entries = {str(entry.get("name")): entry for entry in manifest["sources"]}
    names = [*entries, *(name for name, _ in kept.by_source.most_common() if name not in entries)]
    by_source = manifest.get("rejected_by_source") or rejected.by_source
    found = []
    for name in names:
        entry, n_kept = entries.get(name, {}), kept.by_source[name]
        named = entry.get("license") or manifest["licenses"]
        license_name = named if isinstance(named, str) else ", ".join(named)
        counts = {name_of(reason): n for reason, n in by_source.get(name, by_source.get(name_of(name), {})).items()}
        counts = dict(sorted(counts.items(), key=lambda item: -item[1]))
        share = n_kept / kept.n_all if kept.n_all else 0.0
        found.append(
            Source(
                name_of(name),
                entry.get("n_rows"),
                n_kept,
                share,
                name_of(license_name) if license_name else "not stated",
                counts,
            )
        )
    return found


def _shared(sets: Sequence[Repeated], n_all: int, title_of: Callable[[Mapping[str, Any]], str]) -> list[SharedBy]:
    """The sets of rows, each with a title and the beginning of its first row."""
    return [
        SharedBy(
            title=_title(title_of(one.first)),
            n_rows=one.n_rows,
            share=one.n_rows / n_all,
            split=one.split,
            example=_title(next((text for _, text in named_texts(one.first)), "")),
        )
        for one in sets
    ]


def _title(text: str) -> str:
    return one_line(without_keys(text), _TITLE_CHARACTERS)


def _group(row: Mapping[str, Any]) -> str:
    return str(row["group"])


def _answer(row: Mapping[str, Any]) -> str:
    return next((text for role, text in texts_by_role(row) if role in ANSWER_ROLES), "")


def _pair(pair: DuplicatePair, kept: KeptRows) -> Pair:
    row = kept.wanted.get(pair.kept)
    pieces = word_diff(_whole(row), _whole(pair.row), ignore_space=True) if row and pair.row else []
    texts = [] if pieces else row_excerpts(pair.row or row or {})
    return Pair(pair.similarity, pair.place, name_of(f"{pair.kept[0]}, row {pair.kept[1]}"), pieces, texts)


def _whole(row: Mapping[str, Any]) -> str:
    """What a row says, without columns such as its category."""
    return "\n\n".join(text for _, text in named_texts({name: row.get(name) for name in TEXT_COLUMNS}))
