"""Read HTML pages as documents of a corpus: the main text, without menus and footers (extra `html`)."""

from pathlib import Path

from data_prep.dataset_folder import RejectedRow
from data_prep.sources.rows import Item, SourceRow, digest
from data_prep.sources.walk import read_document_bytes


def document_of_html_file(path: Path, root: Path, source: str) -> list[Item]:
    """Return the main text of one page as one document; its group is its path."""
    from trafilatura import extract

    relative = path.relative_to(root).as_posix()
    page = read_document_bytes(path)
    if not page.strip():
        return [RejectedRow(source, relative, "empty_text")]
    text = extract(page, include_comments=False, include_tables=True)
    if not text or not text.strip():
        return [RejectedRow(source, relative, "no_main_text")]
    document = text.strip("\n") + "\n"
    return [SourceRow({"text": document}, source, relative, relative, digest(document.strip()))]
