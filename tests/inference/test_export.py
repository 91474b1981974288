import json
import sys

import numpy as np
import onnxruntime
import pytest
import torch

from dlproj.config.checks import UserError
from dlproj.inference import export as exporting
from dlproj.inference.export import Format, details, export, stored_examples
from dlproj.inference.trained import open_run

MLPS = [
    ["model.hidden=[8]", "model.activation=prelu", "model.batch_norm=true", "data.scaling=standardize"],
    [
        "model.hidden=[{units: 8, activation: leaky_relu}, {units: 8, activation: elu}, {units: 8, activation: swish}, "
        "{units: 8, activation: softmax}, {units: 8, activation: tanh}, {units: 4, activation: sigmoid}]",
        "model.dropout=0.5",
    ],
    [
        *("model.hidden=[8,8]", "model.order=[linear,activation,dropout,batch_norm,activation]", "model.bias=false"),
        *("model.batch_norm=true", "model.dropout=0.1", "model.activation=swish", "model.swish_beta=2"),
    ],
    ["model.loss=mean_squared_error", "data.scaling=none"],
]
SHORT = ("trainer.max_epochs=1", "trainer.limit_train_batches=2", "trainer.limit_val_batches=1")


def outputs(path, inputs):
    session = onnxruntime.InferenceSession(path)
    return session.run(["probabilities"], {"input": inputs})[0]


@pytest.mark.parametrize("settings", MLPS)
def test_networks_of_every_layer_come_out_the_same(settings, trained_run):
    trained = open_run(trained_run("data=digits", *settings, *SHORT))
    inputs = stored_examples(trained.data, 5)
    with torch.no_grad():
        logits = trained.model(trained.data.transform(inputs))
    wanted = logits if "model.loss=mean_squared_error" in settings else logits.softmax(1)
    assert np.allclose(outputs(export(trained, Format.onnx).path, inputs.numpy()), wanted, atol=1e-4)
    program = torch.export.load(export(trained, Format.exported_program).path)
    assert torch.allclose(program.module()(inputs), wanted, atol=1e-4)


@pytest.mark.parametrize(
    "settings",
    [
        ["model=lstm", "model.hidden=[4]"],
        ["model=mlp", "model.hidden=[4]"],
        pytest.param(["model=mlp", "model.hidden=[4]", "model.text_input=multi_hot"], marks=pytest.mark.slow),
        pytest.param(["model=mlp", "model.hidden=[4]", "model.text_input=counts"], marks=pytest.mark.slow),
        pytest.param(
            ["model=simple_rnn", "model.hidden=[5,4]", "model.activation=sigmoid", "model.embedding_dim=null"],
            marks=pytest.mark.slow,
        ),
        pytest.param(["model=gru", "model.hidden=[5,4]"], marks=pytest.mark.slow),
        pytest.param(
            ["model=lstm", "model.hidden=[5,4]", "model.bidirectional=true", "data.padding=post", "model.masking=true"],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_networks_that_read_texts_come_out_the_same(settings, reviews_root, tiny_reviews, trained_run):
    reading = ["data=imdb", f"data.root={reviews_root}", "data.length=6", "data.vocabulary_size=14"]
    trained = open_run(trained_run(*reading, *settings, "data.batch_size=4", *SHORT))
    inputs = trained.data.encode(["it's a good film", "bad", "it's a long, long film1 that is bad and not good"])
    wanted = trained.logits(inputs).softmax(1)
    for format in Format:
        exported = export(trained, format)
        assert exported.largest_difference < 1e-5
    assert np.allclose(outputs(trained.folder / "export" / "model.onnx", inputs.numpy()), wanted, atol=1e-5)
    program = torch.export.load(trained.folder / "export" / "model.pt2")
    assert torch.allclose(program.module()(inputs), wanted, atol=1e-5)


def test_the_files_say_what_to_make_of_them(reviews, digits):
    about = details(open_run(reviews))
    assert about["classes"] == ("negative", "positive")
    assert (about["padding"], about["truncating"], about["shape"]) == ("post", "pre", (8,))
    assert about["words"].split("\n")[:2] == ["a", "it's"]
    path = export(open_run(digits), Format.onnx).path
    inside = onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map["dlproj.json"]
    files = {"dlproj.json": ""}
    torch.export.load(export(open_run(digits), Format.exported_program).path, extra_files=files)
    about = json.loads(files["dlproj.json"])
    assert json.loads(inside) == about
    assert about["classes"] == list("0123456789")
    assert (about["kind"], about["largest_pixel"]) == ("image", 16)


def test_examples_are_such_as_the_model_reads(reviews, digits):
    ids = stored_examples(open_run(reviews).data, 50)
    assert (ids.shape, ids.dtype, int(ids.max())) == ((50, 8), torch.int32, 13)
    assert all(row[int((row > 0).sum()) :].sum() == 0 for row in ids)  # padded at the end
    pixels = stored_examples(open_run(digits).data, 50)
    assert (pixels.shape, pixels.dtype, int(pixels.max())) == ((50, 1, 8, 8), torch.uint8, 16)


def test_a_model_that_comes_out_different_leaves_no_file(digits, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "_run_of", lambda *_: lambda inputs: np.zeros((len(inputs), 10), np.float32))
    with pytest.raises(UserError, match=r"the exported model differs from the run's by .* and was not kept"):
        export(open_run(digits), Format.onnx, tmp_path / "out" / "model.onnx")
    assert list((tmp_path / "out").iterdir()) == []


def test_what_the_exporter_does_not_know_is_said_in_one_line(digits, tmp_path, monkeypatch):
    trained = open_run(digits)
    monkeypatch.setattr(trained.model, "forward", lambda inputs: inputs.flatten(1)[:, : int(inputs.sum())])
    with pytest.raises(
        UserError, match=r"this model cannot be exported as onnx \(.*\): try the other --format"
    ) as caught:
        export(trained, Format.onnx, tmp_path / "model.onnx")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_missing_packages_are_named(digits, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UserError, match=r"--format onnx needs the package onnxscript: pip install 'dlproj\[onnx\]'$"):
        export(open_run(digits), Format.onnx)


def test_a_place_that_cannot_be_written(digits, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/model.onnx cannot be written \(.*\): set --output to another file"):
        export(open_run(digits), Format.onnx, tmp_path / "file" / "model.onnx")
