from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nano import corpus
from nano.corpus import Document, Documents, without_repeats
from nano.tokenizer import Vocabulary, build_tokenizer
from nano.train import documents_of

ROOT = Path(__file__).parents[2]


def write(out: Path, tokenizer: Path, *more: str) -> dict[str, object]:
    command = [sys.executable, "-m", "nano.corpus", str(out), "--tokenizer", str(tokenizer), *more]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return json.loads((out / "corpus.json").read_text())


@pytest.fixture(scope="module")
def tokenizer(small_vocabulary: Vocabulary, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    build_tokenizer(small_vocabulary).save(str(path))
    return path


MAKE_DOCUMENTS = """
import dataclasses, itertools, json, sys
from tokenizers import Tokenizer
from nano.tokenizer import SegmentTokenizer
from nano.train import documents
made = documents(SegmentTokenizer(Tokenizer.from_file(sys.argv[1])), 5000, False, 2048)
for document in itertools.islice(made, 200):
    print(json.dumps(dataclasses.asdict(document)))
"""


def test_a_corpus_is_the_programs_of_its_seeds_however_many_processes_write_it(tokenizer: Path, tmp_path: Path):
    one = write(tmp_path / "one", tokenizer, "--programs", "400", "--processes", "1", "--seed", "5000")
    two = write(tmp_path / "two", tokenizer, "--programs", "400", "--processes", "2", "--seed", "5000")
    assert one == two and 400 <= one["programs"] <= 700
    shards = [np.load(tmp_path / name / "000.npz") for name in ("one", "two")]
    for name in ("ids", "lengths", "prompts", "kinds"):
        assert np.array_equal(shards[0][name], shards[1][name])

    read = {
        tuple(d.ids): d for d in itertools.islice(documents_of(tmp_path / "one", tokenizer, 2048, 1), one["programs"])
    }
    assert len(read) == one["programs"]
    # In a process of its own, as sets of texts have another order in this one.
    command = [sys.executable, "-c", MAKE_DOCUMENTS, str(tokenizer)]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    made = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200, check=True)
    for document in (Document(**json.loads(line)) for line in made.stdout.splitlines()):
        assert read[tuple(document.ids)] == document


def test_documents_come_in_another_order_each_time_round(tokenizer: Path, tmp_path: Path):
    about = write(tmp_path / "c", tokenizer, "--programs", "100", "--processes", "1")
    count = about["programs"]
    assert isinstance(count, int)
    stream = documents_of(tmp_path / "c", tokenizer, 2048, 1)
    rounds = [[tuple(document.ids) for document in itertools.islice(stream, count)] for _ in range(2)]
    assert rounds[0] != rounds[1] and sorted(rounds[0]) == sorted(rounds[1])
    short = itertools.islice(documents_of(tmp_path / "c", tokenizer, 600, 1), 60)
    assert all(len(document.ids) <= 600 for document in short)


def test_a_corpus_of_another_tokenizer_is_refused(tmp_path: Path):
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "corpus.json").write_text('{"tokenizer": "another", "kinds": []}')
    with pytest.raises(ValueError, match="another tokenizer"):
        corpus.read(tmp_path, tmp_path / "tokenizer.json")


def test_repeats_are_left_out_across_chunks():
    def numbers(*values: int) -> Documents:
        ids = np.repeat(np.array(values, np.uint16), 2)
        ones = np.ones(len(values), np.int32)
        return Documents(ids, ones * 2, ones, ones.astype(np.uint8), np.array(values, np.uint64))

    seen: set[int] = set()
    assert without_repeats(numbers(1, 2, 3), seen).ids.tolist() == [1, 1, 2, 2, 3, 3]
    rest = without_repeats(numbers(2, 4), seen)
    assert rest.ids.tolist() == [4, 4] and rest.keys.tolist() == [4] and seen == {1, 2, 3, 4}
