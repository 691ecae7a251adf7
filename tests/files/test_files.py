"""Files are whole or absent, and what cannot be read says where."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.errors import UserError
from pipelines.files import (
    fresh_folder,
    read_json,
    read_jsonl,
    read_text,
    refuse_unwritable,
    sha256_of_files,
    write_json_atomically,
    write_jsonl_atomically,
    write_text_atomically,
)


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "record.json"
    write_json_atomically(path, {"a": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_json_atomically(path, {"a": float("nan")})

    def broken_rows() -> Iterator[dict[str, int]]:
        yield {"a": 1}
        raise RuntimeError("the power went out")

    with pytest.raises(RuntimeError):
        write_jsonl_atomically(path, broken_rows())
    assert json.loads(path.read_text()) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["record.json"]


def test_a_fresh_folder_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "out"

    def fail_half_way() -> None:
        with fresh_folder(target) as folder:
            (folder / "half.txt").write_text("half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail_half_way()
    assert list(tmp_path.iterdir()) == []
    with fresh_folder(target) as folder:
        (folder / "whole.txt").write_text("whole")
        assert not target.exists()
    assert (target / "whole.txt").read_text() == "whole"


def test_what_a_killed_process_left_is_removed_by_the_next_run_and_nothing_else(tmp_path):
    fill = "import sys, time; from pathlib import Path; from pipelines.files import fresh_folder\n"
    fill += "with fresh_folder(Path(sys.argv[1])): print('filling', flush=True); time.sleep(60)"
    target, others = tmp_path / "out", [tmp_path / ".out.of_mine", tmp_path / ".outer.abcd1234.unfinished"]
    for folder in others:
        folder.mkdir()
    with subprocess.Popen([sys.executable, "-c", fill, target], stdout=subprocess.PIPE) as living:
        assert living.stdout is not None
        assert living.stdout.readline() == b"filling\n"
        with fresh_folder(target):
            pass
        assert len(list(tmp_path.glob(".out.*.unfinished"))) == 1, "a folder in use is left alone"
        living.kill()
    shutil.rmtree(target)
    with fresh_folder(target):
        assert len(list(tmp_path.glob(".out.*.unfinished"))) == 1
    assert sorted(tmp_path.iterdir()) == sorted([*others, target])


def test_an_old_folder_is_whole_until_the_new_one_takes_its_place(tmp_path, monkeypatch):
    target = tmp_path / "out"
    target.mkdir()
    (target / "old.txt").write_text("old")
    monkeypatch.setattr(shutil, "rmtree", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt), fresh_folder(target, overwrite=True) as folder:
        (folder / "new.txt").write_text("new")
    assert [path.name for path in target.iterdir()] == ["new.txt"]


@pytest.mark.parametrize("place", ["link", "dangling", "."])
def test_what_no_folder_can_replace_is_refused_before_there_is_work_to_lose(place, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    monkeypatch.chdir(tmp_path / "empty" if place == "." else tmp_path)
    with pytest.raises(UserError, match="a new folder inside it"), fresh_folder(Path(place)):
        pytest.fail("work was begun")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dangling", "empty", "link"]


def test_a_full_folder_is_overwritten_only_when_asked(tmp_path):
    write_text_atomically(tmp_path / "out" / "old.txt", "old")
    with pytest.raises(UserError, match="add --overwrite"), fresh_folder(tmp_path / "out"):
        pass
    with fresh_folder(tmp_path / "out", overwrite=True) as folder:
        (folder / "new.txt").write_text("new")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["new.txt"]


def test_a_broken_line_is_named_by_its_number(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n\n{"a": \n')
    with pytest.raises(UserError, match="on line 3"):
        list(read_jsonl(path))


def test_a_line_that_is_no_object_is_refused(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n[1]\n')
    with pytest.raises(UserError, match=r"line 2 of .* is a list"):
        list(read_jsonl(path))


def test_text_that_is_not_utf8_says_which_byte(tmp_path):
    path = tmp_path / "latin.txt"
    path.write_bytes("café".encode("latin1"))
    with pytest.raises(UserError, match="byte 0xe9 at offset 3"):
        read_text(path)


@pytest.mark.parametrize("name", ["absent.json", "."])
def test_a_path_that_cannot_be_read_is_one_line(tmp_path, name):
    with pytest.raises(UserError, match="check the path"):
        read_json(tmp_path / name)


def test_a_folder_hash_depends_on_names_and_contents_only(tmp_path):
    for folder in ("a", "b"):
        write_text_atomically(tmp_path / folder / "x.txt", "x")
    hashes = [sha256_of_files([tmp_path / f / "x.txt"], tmp_path / f) for f in ("a", "b")]
    assert hashes[0] == hashes[1]
    write_text_atomically(tmp_path / "b" / "x.txt", "y")
    assert sha256_of_files([tmp_path / "b" / "x.txt"], tmp_path / "b") != hashes[0]


@pytest.mark.parametrize("place", ["/dev/null/x", "/proc/x", "/proc/x/y"])
def test_a_place_that_is_no_disk_is_one_line(place):
    for write in (lambda path: write_text_atomically(path, "x"), refuse_unwritable, open_fresh):
        with pytest.raises(UserError, match=f"^cannot write {place}: ") as caught:
            write(Path(place))
        assert str(caught.value).endswith("; choose another path")


def open_fresh(path: Path) -> None:
    with fresh_folder(path):
        pass


def test_asking_whether_a_place_can_be_written_leaves_nothing(tmp_path):
    refuse_unwritable(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "c").mkdir()
    refuse_unwritable(tmp_path / "c")
    assert [one.name for one in tmp_path.iterdir()] == ["c"]
