"""Faults of documents for pretraining, and their cures."""

from dataclasses import replace

from pipelines.records.finding import Finding
from tests.planted_faults.pair import Pair, Stage
from tests.planted_faults.sample_rows import documents, rows_in


def _texts(n_answers: int = 3) -> list[str]:
    return [row["text"] for row in documents(rows_in("english"), n_answers)]


def _pair(texts: list[str]) -> Pair:
    return Pair([{"text": text} for text in texts], stage=Stage.PRETRAIN)


def headers_of_a_site() -> Pair:
    return _pair([f"Home | News | Recipes | Contact | Sign in\n\n{text}" for text in _texts()])


def footers_with_dates() -> Pair:
    """Half of the pages come from one crawl, which kept the line with the date and the page number."""
    footer = "\n\nRetrieved on 2023-0{}-1{} by the village archive, page {} of 12"
    return _pair([text + footer.format(n % 9 + 1, n % 3, n % 12) if n % 2 else text for n, text in enumerate(_texts())])


def notices_in_one_line() -> Pair:
    """Line breaks became spaces, and the same notice begins each line."""
    notice = "This text is part of a collection that may not be copied without the consent of its owners. "
    return _pair([notice + " ".join(text.split()) for text in _texts()])


def documents_edited_a_little() -> Pair:
    """A later version of half of the documents: another number, a word more."""
    texts = _texts()
    return _pair([*texts, *(text.replace("Notes, part", "Notes (revised), part", 1) for text in texts[::2])])


def documents_with_typos() -> Pair:
    """Two scans of the same pages, of which one reads some letters wrong."""
    texts = _texts(4)
    return _pair(
        [text for one in texts for text in (one, one.replace(" the ", " tbe ", 1).replace(" is ", " iis ", 1))]
    )


def without_boilerplate(_pair_with_it: Pair, _: Finding) -> Pair:
    """Only the clean texts."""
    return _pair(_texts())


def without_copies(pair: Pair, _: Finding) -> Pair:
    kept = _texts(4 if len(pair.rows) == 48 else 3)
    return replace(pair, rows=[{"text": text} for text in kept])
