"""Keys that a run stops at, as findings: the lenient parser goes on without them, so that all is told at once."""

from collections.abc import Iterator, Sequence

from pipelines.recipe.parsing import FaultKind, RecipeFault
from pipelines.records.finding import MAX_EVIDENCE, Evidence, Finding, Severity

_IDS = {FaultKind.RENAMED: "RENAMED_KEY", FaultKind.UNKNOWN: "UNKNOWN_KEY"}
_SAID = {FaultKind.RENAMED: "an old name or one of another trainer", FaultKind.UNKNOWN: "a name that nothing reads"}
_WHY = {
    FaultKind.RENAMED: "a run stops at an old name, where other programs go on with the default instead of the value",
    FaultKind.UNKNOWN: "a run stops at a key that nothing reads, where other programs go on without what it asks for",
}


def recipe_findings(faults: Sequence[RecipeFault]) -> list[Finding]:
    """RENAMED_KEY and UNKNOWN_KEY, each once for all the keys it concerns."""
    return list(_findings(faults))


def _findings(faults: Sequence[RecipeFault]) -> Iterator[Finding]:
    for kind, finding_id in _IDS.items():
        concerned = [fault for fault in faults if fault.kind is kind]
        if not concerned:
            continue
        names = ", ".join(f"`{fault.key}`" for fault in concerned)
        n_keys = f"{len(concerned)} keys of the recipe have" if len(concerned) > 1 else "1 key of the recipe has"
        yield Finding(
            finding_id,
            Severity.ERROR,
            summary=f"{n_keys} {_SAID[kind]}: {names}",
            why=_WHY[kind],
            remedy="; ".join(_remedy(fault) for fault in concerned),
            evidence=tuple(Evidence(fault.error.got) for fault in concerned[:MAX_EVIDENCE]),
            fix={key: value for fault in concerned for key, value in fault.fix.items()},
        )


def _remedy(fault: RecipeFault) -> str:
    """The words of the refusal; those of an unknown key do not name it."""
    return fault.error.remedy if fault.kind is FaultKind.RENAMED else f"`{fault.key}`: {fault.error.remedy}"
