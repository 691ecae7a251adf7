"""Each planted fault before this project's doctor, `trl sft` and other doctors: which of them says something about it?

    python -m tests.benchmarks.doctor_against_trl --output build/doctor-against-trl

    python -m tests.benchmarks.doctor_against_trl --output build/all --peft_doctor ENV/bin/python --soup ENV/bin/python

    python -m tests.benchmarks.doctor_against_trl --output build/two-faults --only END_TOKEN_MISMATCH --only MOJIBAKE

TRL gets what its user would give it: the same base, template and rows, the same keys without this project's own, and
two steps on the CPU. Rows of instruction and output become its conversational prompt and completion, chats and texts
stay as they are. A base without a template gets one, and each family the end token of its template, so that the pair
without a fault trains without a warning about it (the controls, which are run first, show that; what they say already
is nobody's word about a fault). TRL is imported once, and each run is a fork of that process with TRL's own script.
The other doctors (`doctors/`) read the base, the rows and the keys that they have flags for; --peft_doctor and
--soup are the Python of an environment that has peft-doctor and transformers, or soup-cli and transformers.

`caught` is an end with a message about the fault, `warned` a line that names it, `silent` a run that finished without
a word, `stopped` an end with a message about something else, `other` an alarm about something else. Out: table.md,
table.json, and in runs/ every recipe with what was said. A run that is there already is not made again.
"""

import argparse
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tests.benchmarks.doctors.other_doctors import PEFT_DOCTOR, SOUP, Case, OtherDoctor, said_of
from tests.benchmarks.doctors.trl_runs import Outcome, run_trl, splits, verdict, write_rows
from tests.planted_faults.clean import CLEAN_PAIRS
from tests.planted_faults.clean.clean_pair import CleanPair
from tests.planted_faults.examined import examined, without_hub_token
from tests.planted_faults.families import Family, save_base
from tests.planted_faults.faults import FAULTS, PlantedFault
from tests.planted_faults.pair import Pair, recipe_keys, write_pair
from tests.planted_faults.sample_rows import rows_in

_BEGIN, _END = "<!-- begin: doctor_against_trl -->", "<!-- end -->"


@dataclass(frozen=True)
class Line:
    """One fault: the doctor's severity, and the verdict and the words of each of the others."""

    fault: str
    name: str
    family: str
    doctor: str
    others: Mapping[str, tuple[str, str]]


def main() -> None:
    """Run all faults, or those of --only, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=lambda name: Path(name).resolve(), required=True)  # TRL runs elsewhere
    parser.add_argument("--only", action="append", help="an id; may be given several times")
    parser.add_argument("--peft_doctor", type=Path, help="the Python of an environment with peft-doctor")
    parser.add_argument("--soup", type=Path, help="the Python of an environment with soup-cli")
    parser.add_argument("--page", type=Path, help="a page in which to replace the table between its two marks")
    flags = parser.parse_args()
    chosen = [fault for fault in FAULTS if not flags.only or fault.id in flags.only]
    runs: Path = flags.output / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    bases = {family: _base(family, flags.output / "bases" / family) for family in Family}
    controls = {
        family: run_trl(Pair(rows_in("english")), family, bases[family], runs / f"control-{family}")
        for family in sorted({fault.family for fault in chosen if fault.trl_cannot is None})
    }
    failed = [family for family, outcome in controls.items() if outcome.exit_code]
    if failed:
        raise SystemExit(f"trl sft does not train the pair without a fault: {', '.join(failed)}")
    lines = []
    for fault in chosen:
        folder = runs / f"{fault.id.lower()}-{re.sub(r'[^a-z0-9]+', '-', fault.name.lower())}"[:120]
        lines.append(_line(fault, bases[fault.family], folder, controls.get(fault.family)))
        print(fault.id, fault.name, lines[-1].doctor, lines[-1].others, sep=" | ", flush=True)
    clean = [_clean_case(one, number, bases[one.family], runs) for number, one in enumerate(CLEAN_PAIRS)]
    sums = []
    for doctor, python in ((PEFT_DOCTOR, flags.peft_doctor), (SOUP, flags.soup)):
        if python is not None:
            lines, sum_of_clean = _asked(doctor, python, chosen, lines, bases, runs, clean)
            sums.append(sum_of_clean)
    found = [json.dumps({**asdict(line), "others": dict(line.others)}, ensure_ascii=True) for line in lines]
    (flags.output / "table.json").write_text("[\n" + ",\n".join(found) + "\n]\n", encoding="utf-8")
    (flags.output / "table.md").write_text("\n".join([table(lines), *sums, ""]), encoding="utf-8")
    print(table(lines), *sums, sep="\n")
    if flags.page:
        before, _, after = flags.page.read_text(encoding="utf-8").partition(_BEGIN)
        flags.page.write_text(f"{before}{_BEGIN}\n{table(lines)}\n\n{' '.join(sums)}\n{_END}{after.partition(_END)[2]}")


def table(lines: Sequence[Line]) -> str:
    """How many faults of each finding each of them reports, in Markdown, and the sums below."""
    names = list(dict.fromkeys(name for line in lines for name in line.others))
    rows = [f"| finding | planted | this doctor | {' | '.join(names)} |", "|---|--:|--:|" + "--:|" * len(names)]
    rows += [
        f"| `{found}` | {len(same)} | {_counts(same, names)} |"
        for found, same in ((one, [line for line in lines if line.fault == one]) for one in _in_order(lines))
    ]
    rows.append(f"| **all** | {len(lines)} | {_counts(lines, names)} |")
    words = [
        f"{name}: " + ", ".join(f"{n} {verdict}" for verdict, n in Counter(_verdicts(lines, name)).most_common())
        for name in names
    ]
    return "\n".join([*rows, "", "; ".join(words) + "."])


def _in_order(lines: Iterable[Line]) -> list[str]:
    return list(dict.fromkeys(line.fault for line in lines))


def _verdicts(lines: Iterable[Line], name: str) -> list[str]:
    return [line.others[name][0] for line in lines if name in line.others]


def _counts(lines: Sequence[Line], names: Iterable[str]) -> str:
    n_here = sum(not line.doctor.startswith("missed") for line in lines)
    return " | ".join([str(n_here), *(_count(_verdicts(lines, name), len(lines)) for name in names)])


def _count(verdicts: Sequence[str], n_planted: int) -> str:
    """How many are reported, and of how many if not all could be put to it; empty for none."""
    asked = [one for one in verdicts if one not in ("not applicable", "not run")]
    n_found = sum(one in ("caught", "warned") for one in asked)
    if not asked:
        return "-"
    return f"{n_found} of {len(asked)}" if len(asked) < n_planted else str(n_found or "")


def _line(fault: PlantedFault, base: Path, folder: Path, control: Outcome | None) -> Line:
    pair = fault.pair()
    shutil.rmtree(folder / "doctor", ignore_errors=True)
    recipe = write_pair(pair, folder / "doctor", base)
    with without_hub_token():
        findings = examined(recipe, pair.stage)
    found = next((one for one in findings if one.id == fault.id), None)
    doctor = f"missed {fault.id}" if found is None else found.severity.value
    if fault.trl_cannot is not None or control is None:
        said = ("not applicable", str(fault.trl_cannot))
    else:
        said = verdict(run_trl(pair, fault.family, base, folder / "trl", aligns=fault.id != "CURED_HERE"), control,
                       fault.trl_says)  # fmt: skip
    return Line(fault.id, fault.name, fault.family.value, doctor, {"trl sft": said})


def _asked(
    doctor: OtherDoctor, python: Path, faults: Sequence[PlantedFault], lines: Sequence[Line],
    bases: Mapping[Family, Path], runs: Path, clean: Sequence[Case],
) -> tuple[list[Line], str]:  # fmt: skip
    """The lines with another doctor's verdicts, and what it says of the clean pairs."""
    families = sorted(bases)
    controls = [_case(Pair(rows_in("english")), bases[family], runs / f"control-{family}-case") for family in families]
    folders = [runs / f"case-{number}" for number in range(len(faults))]
    cases = [_case(one.pair(), bases[one.family], folder) for one, folder in zip(faults, folders, strict=True)]
    said = doctor.alarms_about(python, [*controls, *cases, *clean])
    known = dict(zip(families, said, strict=False))
    of_faults, of_clean = said[len(controls) : len(controls) + len(cases)], said[len(controls) + len(cases) :]
    asked = [
        replace(
            line, others={**line.others, doctor.name: said_of(fault.id, fault.trl_says, alarms, known[fault.family])}
        )
        for fault, line, alarms in zip(faults, lines, of_faults, strict=True)
    ]
    n_fresh = sum(
        said_of("", None, alarms, known[one.family])[0] != "silent"
        for one, alarms in zip(CLEAN_PAIRS, of_clean, strict=True)
    )
    return asked, (
        f"{doctor.name}: {sum(map(bool, of_clean))} of {len(of_clean)} clean pairs with a warning, "
        f"{n_fresh} without those that it gives of every pair."
    )


def _clean_case(clean: CleanPair, number: int, base: Path, runs: Path) -> Case:
    return _case(clean.pair(), base, runs / f"clean-{number}")


def _case(pair: Pair, base: Path, folder: Path) -> Case:
    """The pair's rows in files, and its keys."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    keys = recipe_keys(pair, folder, base)
    for split, rows in splits(pair).items():
        write_rows(folder / f"{split}.jsonl", rows)
    return Case(folder, pair.stage, keys)


def _base(family: Family, folder: Path) -> Path:
    return folder if (folder / "config.json").is_file() else save_base(family, folder)


if __name__ == "__main__":
    main()
