"""inspect_dataset.py: from rows to a summary and a page, one command each."""

import json

from tests.conftest import one_line_error


def test_a_built_folder_is_shown_in_the_terminal_and_as_a_page(run_cli, tmp_path):
    rows = [{"question": f"What is {n} plus one?", "answer": f"The sum is {n + 1}."} for n in range(60)]
    rows += [{"question": "What is left?", "answer": ""}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run_cli("data_prep/build_instructions.py", "--source", tmp_path / "rows.jsonl", "--output", tmp_path / "folder")
    page = tmp_path / "page.html"
    done = run_cli("data_prep/inspect_dataset.py", tmp_path / "folder", "--output", page)
    assert "60 rows of kind instructions" in done.stdout
    assert "empty_output" in done.stdout
    assert done.stdout.rstrip().endswith(str(page))
    assert "What is left?" in page.read_text()
    again = run_cli("data_prep/inspect_dataset.py", tmp_path / "folder", "--output", page, expect=2)
    assert "choose another --output or add --overwrite" in one_line_error(again)
    run_cli("data_prep/inspect_dataset.py", tmp_path / "folder", "--output", page, "--overwrite")
    folder = run_cli("data_prep/inspect_dataset.py", tmp_path / "folder", "--output", tmp_path, expect=2)
    assert "name a file such as page.html" in one_line_error(folder)
