"""Texts of one's own, files of the sets made after MNIST and columns of datasets: read, or refused in one line."""

from functools import partial

import numpy as np
import pytest
from hypothesis import strategies as st
from mutations import amounts, damaged, fuzz, odd, read_or_refused
from test_fuzz_data import NAMES, idx

from dlproj.config.mnist import EMNISTConfig, QMNISTConfig
from dlproj.config.texts import TextFolderConfig, TextTableConfig, Tokens
from dlproj.data.idx_images import read
from dlproj.data.labelled_rows import classes_of, labelled_rows

SETTINGS = {"length": 6, "vocabulary_size": 8}
tokens = st.sampled_from(list(Tokens))


def encoded(config):
    """What a model is given of the texts, and what people see of it."""
    module = config.build(0)
    module.prepare_data()
    for samples in module.with_test_set(*module.load()):
        assert samples.inputs.shape == (len(samples.targets), 6)
        assert 0 <= samples.inputs.min() <= samples.inputs.max() < 8
        assert 0 <= samples.targets.min() <= samples.targets.max() < len(module.spec.classes)
        assert all(isinstance(module.shown(ids), str) for ids in samples.inputs)
    return module


@pytest.fixture
def folder(tmp_path):
    for split in ("train", "test"):
        for name in ("bad", "good"):
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(2):
                (tmp_path / split / name / f"{number}.txt").write_text(f"A film{number}, isn't it? {name}<br /> naïve")
    return tmp_path


CONTENT = (
    st.binary()
    | st.text().map(str.encode)
    | st.text(st.characters(categories=["Lo", "Mn", "So", "Zs"])).map(str.encode)
)


@amounts
def test_text_files(examples, folder):
    path = folder / "train/bad/1.txt"

    @fuzz(examples, content=damaged(path.read_bytes()) | CONTENT, tokens=tokens)
    def check(content, tokens):
        path.write_bytes(content)
        config = TextFolderConfig(root=str(folder), tokens=tokens, **SETTINGS)
        module = read_or_refused(partial(encoded, config), folder)
        assert module is not None or not content.isascii() or b"\0" in content


@amounts
def test_names_of_classes_and_texts(examples, folder):
    @fuzz(examples, split=st.sampled_from(["train", "test"]), name=NAMES, file=NAMES)
    def check(split, name, file):
        made = folder / split / name
        if made.exists() or (folder / "train" / name).exists():
            return
        made.mkdir()
        (made / f"{file}.txt").write_text("a film")
        (folder / "train" / name).mkdir(exist_ok=True)
        read_or_refused(partial(encoded, TextFolderConfig(root=str(folder), **SETTINGS)), folder)
        (made / f"{file}.txt").unlink()
        for one in ("train", "test"):
            if (folder / one / name).exists():
                (folder / one / name).rmdir()


@amounts
def test_tables_of_texts(examples, tmp_path):
    rows = [f'"a film{i}, naïve",{"good" if i % 2 else "bad"}' for i in range(8)]
    whole = "\n".join(["text,label", *rows]).encode()
    path = tmp_path / "own.csv"

    @fuzz(examples, content=damaged(whole) | CONTENT, tokens=tokens)
    def check(content, tokens):
        path.write_bytes(content)
        config = TextTableConfig(file=str(path), test_fraction=0.5, tokens=tokens, **SETTINGS)
        read_or_refused(partial(encoded, config), tmp_path)


@amounts
def test_cells(examples):
    """Of typed tables and of datasets, which may hold anything."""
    cell = odd | st.text() | st.floats(allow_subnormal=False) | st.binary(max_size=3) | st.just(np.zeros(2))

    @fuzz(examples, cells=st.lists(st.tuples(cell, cell), min_size=1, max_size=6))
    def check(cells):
        texts, labels = zip(*cells, strict=True)
        rows = read_or_refused(partial(labelled_rows, "there", texts, labels, range(len(cells))))
        if rows is not None:
            classes = read_or_refused(partial(classes_of, "there", rows.labels))
            assert classes is None or max(rows.targets(classes)) < len(classes)


@amounts
@pytest.mark.parametrize("config", [QMNISTConfig, EMNISTConfig])
def test_labels_in_idx_files(examples, config, tmp_path):
    own = config(root=str(tmp_path))
    raw = tmp_path / own.source / "raw"
    raw.mkdir(parents=True)
    images, labels = own.file_names(train=True)
    (raw / images).write_bytes(idx(np.zeros((3, 28, 28), np.uint8)))
    long = bytes([0, 0, 12, 2, 0, 0, 0, 3, 0, 0, 0, 8]) + np.arange(24, dtype=">i4").tobytes()
    whole = long if "int" in labels else idx(np.arange(3, dtype=np.uint8))

    @fuzz(examples, content=damaged(whole))
    def check(content):
        (raw / labels).write_bytes(content)
        samples = read_or_refused(partial(read, tmp_path, True, own), tmp_path)
        assert samples is None or 0 <= samples.targets.min() <= samples.targets.max() < len(own.class_names())
