"""Replace names and other private texts without a fixed form, found by a model of presidio (extra `presidio`).

It takes milliseconds for each row, so it is off by default. What `personal_data` finds by its form is refused here:
presidio downloads a list of domains while it looks for e-mail addresses.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from data_prep.cleaning.step import RowStep, StepFunction
from data_prep.cleaning.steps.personal_data import PersonalDataOptions
from data_prep.cleaning.typed_marks import Action, Found, marking_step
from pipelines.errors import UserError

_FOUND_BY_FORM = (*PersonalDataOptions().types, "url")


@dataclass(frozen=True)
class PresidioOptions:
    """`types`: presidio's names in lower case, such as `person`, `location`, `nrp`. `model`: a spaCy model or a
    folder. `min_score`: how sure presidio must be, 0 to 1."""

    types: tuple[str, ...] = ("person",)
    model: str = "en_core_web_sm"
    language: str = "en"
    min_score: float = 0.6
    action: str = Action.REPLACE.value


def _make(options: PresidioOptions) -> StepFunction:
    if by_form := [name for name in options.types if name in _FOUND_BY_FORM]:
        raise UserError(f"presidio: {', '.join(by_form)} has a form", "use the step personal_data for it")
    analyzer = _analyzer(options)
    entities = [name.upper() for name in options.types]
    known = analyzer.get_supported_entities(options.language)
    if unknown := [name for name in options.types if name.upper() not in known]:
        names = sorted(name.lower() for name in known if name.lower() not in _FOUND_BY_FORM)
        raise UserError(f"presidio: unknown type {', '.join(map(repr, unknown))}", f"choose from {', '.join(names)}")

    def find(text: str) -> Iterator[Found]:
        results = analyzer.analyze(text, options.language, entities, score_threshold=options.min_score)
        for one in sorted(results, key=lambda one: (-one.score, one.start)):
            yield Found(one.entity_type, one.start, one.end)

    return marking_step("presidio", options.action, find, lambda text: not text.isspace())


def _analyzer(options: PresidioOptions) -> Any:
    if find_spec("presidio_analyzer") is None:
        raise UserError("presidio needs the package presidio-analyzer", "pip install 'base2instruct[presidio]'")
    if find_spec(options.model) is None if options.model.isidentifier() else not Path(options.model).is_dir():
        raise UserError(
            f"presidio: the spaCy model {options.model} is not installed",
            f"python -m spacy download {options.model}, or name the folder of a model",
        )
    from presidio_analyzer import AnalyzerEngine
    from presidio_analyzer.nlp_engine import NlpEngineProvider

    logging.getLogger("presidio-analyzer").setLevel(logging.ERROR)  # it warns of each recognizer of another language
    model = {"lang_code": options.language, "model_name": options.model}
    engine = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": [model]}).create_engine()
    return AnalyzerEngine(nlp_engine=engine, supported_languages=[options.language])


STEPS = [
    RowStep(
        "presidio",
        "replace names and other personal data without a fixed form by typed marks, with a model of presidio",
        _make,
        PresidioOptions,
    )
]
