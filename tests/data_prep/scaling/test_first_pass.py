"""A corpus built by datatrove's tasks: the same folder as without them, on this machine, on Ray and on Slurm."""

import gzip
import json
import os
import random
import re
import stat
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from data_prep.build_corpus import main
from data_prep.cleaning.duplicates.candidates import by_row, cluster_pairs
from data_prep.dataset_folder import read_manifest
from pipelines.errors import UserError

needs_datatrove = pytest.mark.skipif(find_spec("datatrove") is None, reason="needs the extra scale")
WORDS = [first + second for first in ("river", "stone", "harbor", "winter", "letter") for second in ("", "s", "side")]
STEPS = "- empty\n- c4_quality: {min_num_sentences: -1}\n- exact_duplicates\n- near_duplicates\n"


def story(seeded, n_words=120):
    words = [seeded.choice(WORDS) for _ in range(n_words)]
    return ". ".join(" ".join(words[start : start + 12]).capitalize() for start in range(0, n_words, 12)) + "."


@pytest.fixture(scope="module")
def crawl(tmp_path_factory):
    """Files of three kinds with near duplicates across files, a repeated document, and lines that are no documents."""
    folder, seeded = tmp_path_factory.mktemp("sources") / "crawl", random.Random(0)
    folder.mkdir()
    texts = [story(seeded) for _ in range(40)]
    near = [" ".join([*text.split()[:50], "changed", *text.split()[51:]]) for text in texts[:12:3]]
    lines = [json.dumps({"text": text}) for text in [*texts[:20], near[1], texts[5]]]
    lines[7:7] = ["{not json", json.dumps({"text": " "}), json.dumps({"text": "Call start() { to begin here."})]
    (folder / "a.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "b.jsonl").write_bytes(json.dumps({"text": near[0]}).encode() + b'\n{"text": "caf\xe9"}\n')
    rows = [json.dumps({"text": f"Home | About\n{text}"}) for text in [*texts[20:], *near[2:]]]
    (folder / "c.jsonl.gz").write_bytes(gzip.compress("\n".join(rows).encode()))
    return folder


def build(crawl, output, *flags):
    (output.parent / "steps.yaml").write_text(STEPS)
    sizes = ["--validation_size", "0.2", "--test_size", "0.1", "--max_removed_share", "0.9"]
    source = os.path.relpath(crawl)  # tasks may run in another folder
    main(["--source", source, "--steps", str(output.parent / "steps.yaml"), *sizes, *flags, "--output", str(output)])
    return output


def content(folder):
    manifest = read_manifest(folder)
    lines = {name: (folder / name).read_text() for name in ("rejected.jsonl", "changed.jsonl")}
    return {**{key: manifest[key] for key in ("content_sha256", "n_rejected", "n_changed", "steps")}, **lines}


@pytest.fixture(scope="module")
def built(crawl, tmp_path_factory):
    """The corpus as two local workers make it of five tasks."""
    if find_spec("datatrove") is None:
        pytest.skip("needs the extra scale")
    output = tmp_path_factory.mktemp("local") / "corpus"
    return build(crawl, output, "--executor", "local", "--num_tasks", "5", "--num_proc", "2")


def test_every_document_left_out_has_its_reason_and_step(built):
    reasons = read_manifest(built)["n_rejected"]
    assert reasons["curly_bracket"] == 1
    assert reasons["duplicate"] == 1
    assert reasons["near_duplicate"] == 4
    n_left_out = len((built / "rejected.jsonl").read_text().splitlines())
    assert sum(reasons.values()) == n_left_out
    assert sum(read_manifest(built)["n_rows"].values()) + n_left_out == 40 + 4 + 1 + 4


def test_a_near_duplicate_is_named_with_the_first_row_and_their_similarity(built):
    lines = [json.loads(line) for line in (built / "rejected.jsonl").read_text().splitlines()]
    near = [line for line in lines if line["reason"] == "near_duplicate"]
    assert {"source": "crawl", "source_row": "a.jsonl:1"} in [line["kept"] for line in near]
    assert all(0.85 <= line["similarity"] < 1 for line in near)


def test_lines_that_a_filter_removed_are_in_changed_jsonl(built):
    lines = [json.loads(line) for line in (built / "changed.jsonl").read_text().splitlines()]
    assert {line["step"] for line in lines} == {"c4_quality"}
    assert read_manifest(built)["n_changed"] == {"c4_quality": {"removed_lines": len(lines)}}


def test_nothing_but_the_dataset_folder_is_left(built):
    assert sorted(path.name for path in built.parent.iterdir()) == ["corpus", "steps.yaml"]
    assert not [path.name for path in built.iterdir() if path.name.startswith(".")]


def test_one_task_makes_the_same_corpus_as_five(crawl, built, tmp_path):
    assert content(build(crawl, tmp_path / "corpus", "--executor", "local")) == content(built)


@pytest.mark.slow
def test_ray_makes_the_same_corpus(crawl, built, tmp_path):
    if find_spec("ray") is None:
        pytest.skip("needs the extra scale")
    program = [sys.executable, "data_prep/build_corpus.py", "--executor", "ray", "--num_tasks", "3", "--num_proc", "2"]
    (tmp_path / "steps.yaml").write_text(STEPS)
    flags = ["--source", crawl, "--steps", tmp_path / "steps.yaml", "--validation_size", "0.2", "--test_size", "0.1"]
    before = {*Path("/tmp").glob("ray*")}
    done = subprocess.run(
        [*program, *flags, "--max_removed_share", "0.9", "--output", tmp_path / "corpus"],
        capture_output=True, text=True, env={**os.environ, "HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert content(tmp_path / "corpus") == content(built)
    assert {*Path("/tmp").glob("ray*")} <= before
    assert not (tmp_path / ".ray").exists()


def stand_in(folder, name, script):
    path = folder / name
    path.write_text(f"#!/bin/bash\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def submitted(crawl, tmp_path, monkeypatch):
    """The scripts of a build that was submitted to a stand-in for Slurm: sbatch keeps a script, srun runs a command."""
    commands, jobs = tmp_path / "bin", tmp_path / "jobs"
    commands.mkdir()
    jobs.mkdir()
    keep = (
        f'n=$(printf %03d $(ls {jobs} | wc -l)); cp "${{@: -1}}" {jobs}/$n; sed -i "1a # $*" {jobs}/$n; echo "job $n"'
    )
    stand_in(commands, "sbatch", keep)
    stand_in(commands, "srun", 'while [ "$1" != launch_pickled_pipeline ]; do shift; done; exec "$@"')
    stand_in(commands, "scontrol", "echo localhost")
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
    build(crawl, tmp_path / "corpus", "--executor", "slurm", "--slurm_partition", "cpu", "--num_tasks", "3")
    return [path for path in sorted(jobs.iterdir()) if "launch_pickled_pipeline" in path.read_text()]


@needs_datatrove
def test_each_stage_is_a_job_array_that_waits_for_the_one_before(submitted):
    scripts = [path.read_text() for path in submitted]
    names = [re.search(r"--job-name=(\w+)", script)[1] for script in scripts]
    arrays = [re.search(r"--array=(\S+)", script)[1] for script in scripts]
    assert dict(zip(names, arrays, strict=True)) == {
        "documents": "0-2", "pairs": "0-13", "clusters": "0-0", "dataset_folder": "0-0",
    }  # fmt: skip
    assert f"--dependency=afterok:{submitted[2].name}" in scripts[3]
    assert all("--partition=cpu" in script and "--qos" not in script for script in scripts)


@needs_datatrove
def test_a_job_that_sbatch_refuses_leaves_nothing(crawl, tmp_path, monkeypatch):
    commands = tmp_path / "bin"
    commands.mkdir()
    stand_in(commands, "sbatch", "exit 1")
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
    with pytest.raises(UserError, match="sbatch refused the job"):
        build(crawl, tmp_path / "corpus", "--executor", "slurm", "--slurm_partition", "none")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "steps.yaml"]


@pytest.mark.slow
@needs_datatrove
def test_slurm_jobs_make_the_same_corpus(submitted, built, tmp_path):
    for script in submitted:
        last = re.search(r"--array=0-(\d+)", script.read_text())[1]
        for task in range(int(last) + 1):
            environment = {**os.environ, "SLURM_ARRAY_TASK_ID": str(task), "SLURM_NODELIST": "localhost"}
            done = subprocess.run(["bash", script], env=environment, capture_output=True, text=True, cwd=tmp_path)
            assert done.returncode == 0, done.stderr
    assert content(tmp_path / "corpus") == content(built)
    assert not list((tmp_path / "corpus.slurm").rglob("*.arrow"))


@needs_datatrove
def test_a_failed_build_leaves_nothing(tmp_path):
    (tmp_path / "empty.jsonl").write_text('{"text": " "}\n')
    with pytest.raises(UserError, match="no usable row"):
        main(["--source", str(tmp_path / "empty.jsonl"), "--executor", "local", "--output", str(tmp_path / "corpus")])
    assert [path.name for path in tmp_path.iterdir()] == ["empty.jsonl"]


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--num_tasks", "3"], "--num_tasks 3 is of no use without --executor"),
        (["--executor", "slurm"], "lacks --slurm_partition"),
    ],
)
def test_flags_that_do_not_fit_together_are_refused_before_anything_is_read(flags, problem, tmp_path):
    with pytest.raises(UserError, match=problem):
        main(["--source", str(tmp_path), *flags, "--output", str(tmp_path / "corpus")])


def test_a_row_of_a_cluster_is_compared_with_the_first_and_the_nearest_before_it():
    clusters = np.array([-1, 4, 2, 4, -1, 4, 2])
    alive = np.array([True, True, True, True, True, True, False])
    assert list(by_row(cluster_pairs(clusters, alive))) == [(3, [1]), (5, [1, 3])]
    [*_, last] = by_row(cluster_pairs(np.zeros(20, np.int64), np.ones(20, bool)))
    assert last == (19, [0, *range(15, 19)])


@needs_datatrove
def test_the_signature_of_a_long_document_is_that_of_the_whole(tmp_path, monkeypatch):
    from datatrove.pipeline.dedup import MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.utils.hashing import HashConfig

    from data_prep.scaling import blocks

    config = MinhashConfig(hash_config=HashConfig(hash_fc="sha1"))
    signature = blocks.BoundedSignature(str(tmp_path), config)
    shingles = signature.get_shingles(story(random.Random(1), 900))
    monkeypatch.setattr(blocks, "_SHINGLES_AT_ONCE", 100)
    assert signature.get_signature(shingles) == MinhashDedupSignature.get_signature(signature, shingles)


@needs_datatrove
def test_documents_without_spaces_have_words():
    from data_prep.scaling.blocks import SpacedWords

    assert SpacedWords().word_tokenize("天気 がいい two words") == ["天", "気", "が", "い", "い", "two", "words"]
