"""Files on disk: atomic writes, JSON and JSONL with one-line errors, content hashes."""

from pipelines.files.reading import (
    is_utf8,
    read_json,
    read_jsonl,
    read_text,
    refuse_missing,
    sha256_of_file,
    sha256_of_files,
    sha256_of_text,
)
from pipelines.files.writing import (
    fresh_folder,
    give_umask_mode,
    refuse_existing,
    refuse_unwritable,
    write_json_atomically,
    write_jsonl_atomically,
    write_text_atomically,
)
