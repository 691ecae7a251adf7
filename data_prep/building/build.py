"""Build a dataset folder from the sources that the command line names."""

import argparse
import shutil
import sys
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from data_prep.building.choosing import Choice, ChoiceOptions, Fate, choose_rows, group_sizes
from data_prep.building.cleaner import Cleaner
from data_prep.building.flags import chosen_steps, licenses_of, mixture_parts, read_options_of
from data_prep.building.job import Job, UnitResult
from data_prep.building.mixture import MixturePart, replay_notes
from data_prep.building.preview import print_preview
from data_prep.building.progress import Progress, bytes_of_source, stage
from data_prep.building.reading import NumberedUnit, read_units
from data_prep.building.shards import Shards
from data_prep.building.writing import FinalForm, Written, final_form, join_lines, write_rows
from data_prep.cleaning.decontamination import manifest_of_held_out
from data_prep.cleaning.registry import DATASET_STEPS, ChosenStep
from data_prep.dataset_folder import (
    CHANGED_NAME,
    REJECTED_NAME,
    DatasetKind,
    Manifest,
    data_versions,
    effective_number,
    no_row_error,
    refuse_output,
    summary,
    write_card_and_manifest,
)
from data_prep.scaling import Executor, ExecutorOptions, executor_options
from data_prep.scaling.first_pass import read_units_as_tasks, results_of_tasks, submit_tasks
from data_prep.sources import ReadOptions, SourcePlan, distinct_names, plan_source, split_sizes
from pipelines.errors import UserError
from pipelines.files import fresh_folder, refuse_existing, write_jsonl_atomically

if TYPE_CHECKING:
    from numpy import ndarray

_WORK_FOLDER = ".building"
_MIN_ROWS_OF_A_SOURCE = 20  # a share of fewer rows says little


@dataclass
class Totals:
    """What the first pass counted. Sources are numbered in the order of the command line."""

    n_read: Counter[int] = field(default_factory=Counter)
    n_kept: Counter[int] = field(default_factory=Counter)
    n_rejected: Counter[tuple[int, str, str]] = field(default_factory=Counter)  # source, step or "", reason
    n_changed: Counter[tuple[str, str]] = field(default_factory=Counter)  # step, what
    unread: dict[int, Counter[str]] = field(default_factory=dict)

    def add(self, result: UnitResult) -> None:
        """Count the rows of one unit."""
        source = result.source
        self.n_read[source] += result.n_read
        self.n_kept[source] += sum(shard.n_rows for shard in result.shards)
        self.n_rejected.update({(source, *why): n for why, n in result.n_rejected.items()})
        self.n_changed.update(result.n_changed)
        self.unread.setdefault(source, Counter()).update(result.unread)

    def add_choice(self, choice: Choice, sources: "ndarray") -> None:
        """Count the rows that the second pass left out."""
        for fate in Fate:
            if fate is not Fate.KEPT:
                for source, n in Counter(sources[choice.fates == fate].tolist()).items():
                    self.n_rejected[source, fate.step or "", fate.name.lower()] += n

    def reasons(self, source: int | None = None) -> dict[str, int]:
        """Return rejected rows by reason, of one source or of all."""
        found: Counter[str] = Counter()
        for (number, _, reason), n in self.n_rejected.items():
            if source in (None, number):
                found[reason] += n
        return dict(sorted(found.items()))

    def by_step(self) -> dict[str, int]:
        """Return the rows that each cleaning step left out."""
        found: Counter[str] = Counter()
        for (_, step, _), n in self.n_rejected.items():
            if step:
                found[step] += n
        return dict(sorted(found.items()))


@dataclass(frozen=True)
class Build:
    """What is built, from what."""

    options: argparse.Namespace
    kind: DatasetKind
    command: str
    steps: Sequence[ChosenStep]
    parts: Sequence[MixturePart]
    reads: Sequence[ReadOptions]
    plans: Sequence[SourcePlan]
    executor: ExecutorOptions | None

    def job(self, folder: Path) -> Job:
        """Return what the processes that read have to know; they write to `folder`."""
        held_out, has_clusters = getattr(self.options, "held_out", None), self.executor is not None
        return Job(tuple(self.reads), tuple(self.steps), self.options.seed, folder, held_out, has_clusters)

    def units(self) -> Iterator[NumberedUnit]:
        """Yield the units of all sources in order."""
        pairs = ((source, unit) for source, plan in enumerate(self.plans) for unit in plan.units)
        yield from ((number, source, unit) for number, (source, unit) in enumerate(pairs))

    def read(self, job: Job) -> Generator[UnitResult]:
        """Read and clean all units."""
        if self.executor is not None:
            return read_units_as_tasks(self.units(), job, self.executor)
        return read_units(self.units(), job, self.options.num_proc)


def build_dataset(options: argparse.Namespace, kind: DatasetKind, command: str) -> None:
    """Read, clean, choose and write the rows of all sources as the folder `--output`, whole or not at all."""
    split_sizes(options)
    steps, parts, executor = chosen_steps(options, kind), mixture_parts(options), executor_options(options)
    if not options.preview:
        refuse_output(options.output, options.overwrite)
    Cleaner(steps)  # raises UserError for options that cannot be used
    if getattr(options, "held_out", None) is not None:
        manifest_of_held_out(options.held_out)
    names = distinct_names([part.source for part in parts])
    reads = [read_options_of(part, options, kind) for part in parts]
    plans = [plan_source(part.source, *one) for part, one in zip(parts, zip(reads, names, strict=True), strict=True)]
    if options.preview:
        if options.push_to_hub:
            raise UserError("--preview builds no folder that --push_to_hub could upload", "leave one of the two out")
        print_preview(plans, reads, steps, options.preview)
        return
    build = Build(options, kind, command, steps, parts, reads, plans, executor)
    if executor is not None and executor.executor is Executor.SLURM:
        _submit(build, executor)
        return
    with fresh_folder(options.output, options.overwrite) as folder:
        (folder / _WORK_FOLDER).mkdir()
        job = build.job((folder / _WORK_FOLDER).resolve())
        manifest = _fill(folder, build, job, build.read(job))
    print(summary(manifest, options.output))


def _submit(build: Build, executor: ExecutorOptions) -> None:
    """Submit the build to Slurm, with its files in a folder next to `--output`; the last job makes `--output`."""
    output = build.options.output.resolve()
    folder = output.with_name(f"{output.name}.slurm")
    refuse_existing(folder, "remove it if no job of an earlier build is running")
    job = build.job(folder / _WORK_FOLDER)
    job.folder.mkdir(parents=True)
    units = list(build.units())
    plans = [SourcePlan(plan.entry, plan.rejected, iter(())) for plan in build.plans]
    options = argparse.Namespace(**{**vars(build.options), "output": output})
    finish = partial(finish_submitted, replace(build, options=options, plans=plans), job, executor.n_tasks)
    try:
        last = submit_tasks(units, job, executor, folder, finish)
    except BaseException:
        shutil.rmtree(folder)
        raise
    print(f"submitted to Slurm; job {last} makes {build.options.output}. Logs: {folder}")


def finish_submitted(build: Build, job: Job, n_tasks: int) -> None:
    """Make the dataset folder from what Slurm jobs have read. Their rows are removed, their logs stay."""
    with fresh_folder(build.options.output, build.options.overwrite) as folder:
        manifest = _fill(folder, build, job, results_of_tasks(job, n_tasks))
    print(summary(manifest, build.options.output))


def _fill(folder: Path, build: Build, job: Job, results: Generator[UnitResult]) -> Manifest:
    """Fill the new dataset folder with the rows that the first pass has read, and remove the files of that pass."""
    options, plans, parts = build.options, build.plans, build.parts
    shards, totals = _read(plans, job, results)
    _refuse_unusable(plans, totals)
    with stage("choosing rows", shards.n_rows):
        chosen = ChoiceOptions(options.seed, split_sizes(options), options.limit, options.max_group_share, parts)
        choice = choose_rows(shards, job, chosen)
    totals.add_choice(choice, shards.sources())
    for note in replay_notes(choice.copies_in_train(), shards.sources(), parts):
        print(f"note: {note}", file=sys.stderr)
    if not (choice.fates == Fate.KEPT).any():
        raise no_row_error("the sources have no usable row", totals.reasons())
    _refuse_too_much_removed(plans, totals, options.max_removed_share)
    form = final_form(build.kind, shards.shards)
    write_jsonl_atomically(folder / REJECTED_NAME, (row.to_json() for plan in plans for row in plan.rejected))
    join_lines(job.folder, ".rejected", folder / REJECTED_NAME)
    join_lines(job.folder, ".changed", folder / CHANGED_NAME)
    with stage("writing rows", shards.n_rows):
        written = write_rows(folder, shards, choice, form, parts, options.seed)
    manifest = _manifest(build, totals, choice, form, written)
    shutil.rmtree(job.folder)
    write_card_and_manifest(folder, manifest, options.output.name)
    return manifest


def _read(plans: Sequence[SourcePlan], job: Job, results: Generator[UnitResult]) -> tuple[Shards, Totals]:
    totals, shards = Totals(), []
    progress = Progress(sum(bytes_of_source(plan) for plan in plans))
    with closing(results):
        for result in results:
            totals.add(result)
            shards += result.shards
            progress.add(result.n_read, result.n_bytes)
    for source, plan in enumerate(plans):
        for row in plan.rejected:
            totals.n_rejected[source, "", row.reason] += 1
    return Shards(job.folder, shards), totals


def _refuse_unusable(plans: Sequence[SourcePlan], totals: Totals) -> None:
    """Raise `UserError` if the first pass keeps no row of a source."""
    for source, plan in enumerate(plans):
        if not totals.n_kept[source]:
            raise no_row_error(f"{plan.entry['name']} has no usable row", totals.reasons(source))


def _refuse_too_much_removed(plans: Sequence[SourcePlan], totals: Totals, max_share: float) -> None:
    """Raise `UserError` if one cleaning step removed more than `max_share` of the rows of one source."""
    removed: Counter[tuple[str, int]] = Counter()
    for (source, step, _), n in totals.n_rejected.items():
        if step:
            removed[step, source] += n
    for (step, source), n in removed.items():
        n_read = totals.n_read[source]
        if n_read >= _MIN_ROWS_OF_A_SOURCE and n > max_share * n_read:
            name = plans[source].entry["name"]
            problem = (
                f"{step} would remove {n:,} of {n_read:,} rows of {name}, more than --max_removed_share {max_share}"
            )
            fix = f"build with --max_removed_share 1 and read rejected.jsonl; then leave {step} out, change its options"
            other = ", or leave out one of two sources with the same rows" if step in DATASET_STEPS else ""
            raise UserError(problem, f"{fix}{other}, or accept the loss by that share")


def _manifest(build: Build, totals: Totals, choice: Choice, form: FinalForm, written: Written) -> Manifest:
    options, plans = build.options, build.plans
    names = [plan.entry["name"] for plan in plans]
    unread: Counter[str] = sum(totals.unread.values(), Counter())
    changed: dict[str, dict[str, int]] = {}
    for (step, what), n in sorted(totals.n_changed.items()):
        changed.setdefault(step, {})[what] = n
    entries = [
        {**plan.entry, "n_rows": totals.n_read[number]}
        | ({"license": license_name} if (license_name := build.parts[number].license) else {})
        | ({"mixture": mixed} if (mixed := build.parts[number].to_json()) else {})
        | ({"unread_columns": dict(found)} if (found := totals.unread.get(number)) else {})
        for number, plan in enumerate(plans)
    ]
    return Manifest(
        kind=form.kind.value,
        columns=list(form.columns),
        n_rows=written.n_rows,
        n_groups={split: len(sizes) for split, sizes in group_sizes(choice).items()},
        effective_groups={split: round(effective_number(sizes), 1) for split, sizes in group_sizes(choice).items()},
        n_read=totals.n_read.total(),
        n_rejected=totals.reasons(),
        rejected_by_source={name: totals.reasons(number) for number, name in enumerate(names)},
        rejected_by_step=totals.by_step(),
        n_changed=changed,
        lengths=written.lengths,
        steps=[step.to_json() for step in build.steps],
        unread_columns=dict(unread),
        content_sha256=written.content_sha256,
        sources=entries,
        licenses=licenses_of(options, build.parts),
        seed=options.seed,
        split_sizes={"validation": options.validation_size, "test": options.test_size},
        command=build.command,
        versions=data_versions(),
    )
