"""data=hf: data sets that the package datasets reads, from local files made here; nothing is fetched."""

import io
import json
import logging
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from test_text_table import ROWS, TEST, table

from dlproj.config.checks import UserError
from dlproj.config.data import Kind, ValidationSplit
from dlproj.config.hf import Column, HFConfig
from dlproj.config.images import Scaling
from dlproj.config.texts import TextTableConfig
from dlproj.data import hub

datasets = pytest.importorskip("datasets")
RANDOM = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _offline(monkeypatch, tmp_path_factory):
    """No network, and caches in a folder of the test."""
    for module, name in ((datasets.config, "HF_HUB_OFFLINE"), (datasets.config, "HF_DATASETS_OFFLINE")):
        monkeypatch.setattr(module, name, True, raising=False)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path_factory.mktemp("hf")))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    hub._load.cache_clear()


def data(path, **settings):
    config = HFConfig(path=str(path), **({"batch_size": 4} | settings))
    config.spec()
    module = config.build(0)
    module.prepare_data()
    module.setup()
    return module


def texts_in(folder, train=ROWS, test=TEST):
    for name, rows in (("train", train), ("test", test)):
        table(rows).to_csv(folder / f"{name}.csv", index=False)
    return folder


IMAGES = RANDOM.integers(0, 256, (9, 6, 5, 3), dtype=np.uint8)


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return {"bytes": file.getvalue(), "path": None}


def images_in(folder, pixels=IMAGES, labels=None, names=("cat", "dog", "bird")):
    features = datasets.Features({"img": datasets.Image(), "kind": datasets.ClassLabel(names=list(names))})
    labels = [i % len(names) for i in range(len(pixels))] if labels is None else labels
    rows = {"img": [png(one) if isinstance(one, np.ndarray) else one for one in pixels], "kind": labels}
    whole = datasets.Dataset.from_dict(rows, features=features)
    datasets.DatasetDict({"train": whole, "test": whole.select(range(3))}).save_to_disk(str(folder))
    return folder


def test_texts_are_those_of_a_table(tmp_path):
    texts_in(tmp_path)
    own = TextTableConfig(train_file=str(tmp_path / "train.csv"), test_file=str(tmp_path / "test.csv"), batch_size=4)
    theirs = own.build(0)
    theirs.setup()
    module = data(tmp_path)
    assert module.spec == theirs.spec
    assert module.words == theirs.words
    assert module.fingerprint() == theirs.fingerprint()
    assert torch.equal(module.encode_frame(module.read_frame(tmp_path / "test.csv")), module.test.inputs)


def test_a_file_that_has_changed_is_read_again(tmp_path):
    path = tmp_path / "own.csv"
    table(ROWS).to_csv(path, index=False)
    settings = HFConfig(path=str(path), test_fraction=0.25)
    first = settings.build(0)
    first.setup()
    table(ROWS * 2).to_csv(path, index=False)
    second = settings.build(0)
    second.setup()
    assert [len(module.train) + len(module.val) + len(module.test) for module in (first, second)] == [12, 24]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_single_file_is_a_training_split(tmp_path, kind):
    frame, path = table(ROWS), tmp_path / f"own.{kind}"
    if kind == "jsonl":
        path.write_text("\n".join(json.dumps(row) for row in frame.to_dict("records")))
    else:
        (frame.to_csv if kind == "csv" else frame.to_parquet)(path, index=False)
    with pytest.raises(UserError, match=r"has no split test: set data.test_fraction=0.2, or data.folds=5"):
        data(path)
    module = data(path, test_fraction=0.25)
    assert (module.spec.kind, module.spec.classes) == (Kind.sequence, ("bad", "good"))
    assert [len(part) for part in (module.train, module.val, module.test)] == [8, 1, 3]


def test_images_are_those_that_were_stored(tmp_path):
    module = data(images_in(tmp_path), val=ValidationSplit.test)
    assert (module.spec.kind, module.spec.shape) == (Kind.image, (3, 6, 5))
    assert module.spec.classes == ("bird", "cat", "dog")
    assert np.array_equal(module.train.inputs.movedim(1, -1), IMAGES)
    assert [module.spec.classes[i] for i in module.test.targets] == ["cat", "dog", "bird"]
    assert float(module.transform(module.train.inputs).max()) == 1.0


def test_images_of_other_sizes_and_modes_are_fitted(tmp_path):
    mixed = [IMAGES[0, :, :, 0], IMAGES[1], RANDOM.integers(0, 256, (9, 9, 4), dtype=np.uint8)]
    module = data(images_in(tmp_path, mixed), val=ValidationSplit.test)
    assert module.train.inputs.shape == (3, 1, 6, 5), "as the first"
    hub._load.cache_clear()
    module = data(tmp_path, val=ValidationSplit.test, image_size=4, channels=3, scaling=Scaling.none, random_flip=True)
    assert module.train.inputs.shape == (3, 3, 4, 4)
    assert module.config.random_flip


def test_numbers_are_columns_by_their_names(tmp_path):
    x, y = RANDOM.normal(size=(12, 2)), [10, 9, 2] * 4
    frame = table(list(zip(x[:, 0], x[:, 1], y, strict=True)), ("height", "weight", "label"))
    frame.to_parquet(tmp_path / "own.parquet", index=False)
    module = data(tmp_path / "own.parquet", test_fraction=0.25, val=ValidationSplit.test)
    assert (module.spec.kind, module.spec.shape, module.spec.classes) == (Kind.features, (2,), ("2", "9", "10"))
    assert module.columns == ("height", "weight")
    scaled = module.transform(module.train.inputs)
    torch.testing.assert_close(scaled.mean(0), torch.zeros(2), rtol=0, atol=1e-6)
    torch.testing.assert_close(scaled.std(0, correction=0), torch.ones(2))
    one = data(tmp_path / "own.parquet", test_fraction=0.25, input_column="weight", scaling=Scaling.min_max)
    assert one.spec.shape == (1,)


def test_what_was_found_is_said_and_kept_so_that_a_model_needs_no_data(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        config = HFConfig(path=str(images_in(tmp_path / "there")))
        config.spec()
        config.spec()
    assert caplog.messages == [f"data.path={tmp_path / 'there'}: images in img, classes in kind"]
    assert (config.kind, config.input_column, config.label_column) == (Column.images, "img", "kind")
    elsewhere = HFConfig(path="/nowhere", kind=config.kind, input_column="img", label_column="kind").build(0)
    state = data(tmp_path / "there").state_dict()
    elsewhere.load_state_dict(state)
    assert elsewhere.spec.classes == ("bird", "cat", "dog")


def columns(**types):
    """A data set of two rows with columns of these types."""
    values = {"int64": [0, 1], "string": ["a", "b"], "float64": [0.5, 1.5]}
    return datasets.Dataset.from_dict({name: values[type] for name, type in types.items()})


@pytest.mark.parametrize(
    ("types", "settings", "roles"),
    [
        ({"id": "int64", "words": "string", "label": "int64"}, {}, ("texts", "words", "label")),
        ({"title": "string", "text": "string", "label": "int64"}, {}, ("texts", "text", "label")),
        ({"title": "string", "body": "string", "label": "int64"}, {"input_column": "body"}, ("texts", "body", "label")),
        ({"a": "float64", "b": "int64", "target": "string"}, {}, ("numbers", None, "target")),
        ({"name": "string", "a": "float64", "class": "string"}, {"kind": "numbers"}, ("numbers", None, "class")),
        ({"a": "float64", "b": "int64"}, {"label_column": "b"}, ("numbers", None, "b")),
    ],
)
def test_columns_are_told_by_their_types(types, settings, roles):
    found = hub.HubData("there", columns(**types), None)
    told = {"kind": None, "inputs": settings.get("input_column"), "label": settings.get("label_column")}
    assert found.roles(**told | {"kind": settings.get("kind")}) == roles


@pytest.mark.parametrize(
    ("types", "settings", "message"),
    [
        ({"title": "string", "body": "string", "label": "int64"}, {}, "has several columns to learn from, or none"),
        ({"name": "string", "a": "float64", "label": "int64"}, {}, "set data.kind, and data.input_column to one of"),
        (
            {"text": "string", "stars": "int64"},
            {},
            "no column is known to hold classes: set data.label_column to one of text, stars",
        ),
        (
            {"text": "string", "label": "int64"},
            {"input_column": "txt"},
            "no column txt: set data.input_column to one of",
        ),
        ({"text": "string", "label": "int64"}, {"label_column": "y"}, "no column y: set data.label_column to one of"),
        ({"text": "string", "label": "int64"}, {"kind": Column.images}, "has several columns to learn from, or none"),
        ({"text": "string", "label": "int64"}, {"kind": Column.images, "input_column": "text"}, "does not hold images"),
        ({"text": "string", "label": "int64"}, {"input_column": "label", "label_column": "label"}, "does not hold"),
        ({"label": "int64"}, {}, "has several columns to learn from, or none"),
        ({"text": "string", "label": "int64"}, {"scaling": Scaling.none}, "data.scaling has no effect on data of the"),
        ({"a": "float64", "label": "int64"}, {"length": 9, "image_size": 3}, "data.image_size and data.length has no"),
        ({"a": "float64", "label": "int64"}, {"scaling": Scaling.unit}, "data.scaling=unit is for images: set"),
        ({"text": "string", "label": "int64"}, {"train_split": "trn"}, "no split trn: set data.train_split to one of"),
        ({"text": "string", "label": "int64"}, {"test_split": "dev"}, "no split dev: set data.test_split to one of"),
    ],
)
def test_columns_and_settings_that_do_not_fit(tmp_path, types, settings, message):
    columns(**types).save_to_disk(str(tmp_path / "there"))
    with pytest.raises(UserError, match=message) as caught:
        data(tmp_path / "there", **settings)
    assert "\n" not in str(caught.value)


def no_label(folder):
    images_in(folder, labels=[0, 1, -1] * 3)


def damaged_image(folder):
    images_in(folder, [*IMAGES[:2], {"bytes": b"no image", "path": None}])


def damaged_first_image(folder):
    images_in(folder, [{"bytes": b"no image", "path": None}, *IMAGES[:2]])


def missing_image(folder):
    images_in(folder, [*IMAGES[:2], None])


def missing_number(folder):
    frame = table([(1.0, "a"), (None, "b"), (2.0, "a")], ("x", "label"))
    folder.mkdir()
    frame.to_parquet(folder / "train.parquet")
    frame.to_parquet(folder / "test.parquet")


def files_of(**files):
    def write(folder):
        folder.mkdir()
        for name, content in files.items():
            (folder / name.replace("_", ".")).write_bytes(content)

    return write


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda folder: None,
            "cannot be read .*: set data.path to a name on the Hugging Face hub, or|connect to the net",
        ),
        (files_of(train_csv="text,label\nschön,x\n".encode("latin-1")), "can't decode byte 0xf6 .*: correct the files"),
        (lambda folder: folder.mkdir(), "cannot be read .*: correct the files, or name others"),
        (files_of(x_py=b"print(1)"), "cannot be read .*: correct the files, or name others"),
        (files_of(train_csv=b""), "cannot be read .*: correct the files, or name others"),
        (files_of(train_parquet=b"PAR1"), "cannot be read .*: correct the files, or name others"),
        (files_of(train_json=b"{"), "cannot be read .*: correct the files, or name others"),
        (files_of(state_json=b"{}"), "cannot be read .*: correct the files, or name others"),
        (files_of(train_csv=b"text,label\na,\nb,x\n", test_csv=b"text,label\na,x\n"), "train: row 0 has no label"),
        (files_of(train_csv=b"text,label\n,y\nb,x\n", test_csv=b"text,label\na,x\n"), "train: row 0 has no text"),
        (files_of(train_csv=b"text,label\na,x\nb,x\n", test_csv=b"text,label\na,x\n"), "has one class only, x"),
        (files_of(train_csv=b"text,label\na,x\nb,y\n", test_csv=b"text,label\na,z\n"), "test: row 0 has the label z"),
        (no_label, "train: row 2 has no kind: set data.test_split or train_split to a labelled one"),
        (damaged_image, "train: row 2 "),
        (damaged_first_image, "train: row 0 is damaged, or no image"),
        (missing_image, "train: row 2 has no image in img: correct it, or remove the row"),
        (missing_number, "train: row 1 has no finite number in x: fill it in, or use data=table"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(tmp_path, make, message):
    make(tmp_path / "there")
    with pytest.raises(UserError, match=message) as caught:
        data(tmp_path / "there")
    assert "\n" not in str(caught.value)


def test_code_that_a_folder_brings_is_not_run(tmp_path):
    """A script of the folder's name is what older versions of datasets ran."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(UserError, match=r"cannot be read \(Dataset scripts are no longer supported"):
        data(tmp_path / "mine")
    assert not (tmp_path / "ran").exists()


def test_a_file_of_another_kind_and_an_empty_path(tmp_path):
    (tmp_path / "x.pdf").touch()
    with pytest.raises(UserError, match=r"x.pdf is no file of .csv, .tsv"):
        data(tmp_path / "x.pdf")
    with pytest.raises(UserError, match=r"data.path is empty: set a name on the Hugging Face hub"):
        data("")


def test_a_file_that_is_not_there_is_not_looked_for_on_the_hub(tmp_path):
    with pytest.raises(UserError, match=r"missing\.csv does not exist: name a file or folder that does"):
        data(tmp_path / "missing.csv")


def test_a_name_of_the_hub_without_a_network(monkeypatch):
    def offline(*_, **__):
        raise ConnectionError("Couldn't reach the Hub")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(UserError, match=r"connect to the network and run again, or set data.path to a local copy"):
        data("stanfordnlp/imdb")


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r"data=hf needs the package datasets: pip install 'dlproj\[hf\]'"):
        data("stanfordnlp/imdb")
