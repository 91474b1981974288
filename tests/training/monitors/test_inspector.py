"""What is noted for the figures while a run trains."""

import json

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from dlproj.config.checks import DataError
from dlproj.reports.gallery import image_of
from dlproj.runs.inspection import Inspection, read_inspection
from dlproj.training.monitors.inspector import TestSamples as ChosenSamples
from dlproj.training.monitors.inspector import histogram_of
from dlproj.training.run import run, train

QUICK = [
    *("data=digits", "data.batch_size=128", "model.hidden=[16,8]", "trainer.max_epochs=2"),
    *("trainer.accelerator=cpu", "trainer.threads=1", "trainer.progress_bar=false"),
]

ONLY_DEAD_UNITS = ["figures=none", "figures.dead_units=true"]


def weights(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def rebuilt(config, folder):
    """The data and the network of a run, without its training path."""
    data = config.data.build(config.seed)
    data.setup()
    model = config.model.build(data.spec, config.optim, config.scheduler)
    model.load_state_dict(weights(folder))
    return data, model


@pytest.fixture(scope="module")
def finished(composed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    config = composed(*QUICK, "figures=all")
    result = train(config, folder)
    return config, folder, result, read_inspection(folder)


def test_a_run_leaves_the_figures_that_its_settings_ask_for(finished, composed, tmp_path):
    _, folder, _, _ = finished
    assert {path.stem for path in (folder / "figures").iterdir()} == {
        "learning_curves",
        "confusion_matrix",
        "per_class",
        "gallery",
        "most_wrong",
        "histograms",
        "dead_units",
        "gradient_norms",
        "update_ratios",
        "graph",
    }
    train(composed(*QUICK, "figures=none", "figures.per_class=true"), tmp_path)
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["per_class.png"]


def test_tensorboard_has_the_figures_and_each_epochs_histograms(finished):
    _, folder, _, inspection = finished
    events = EventAccumulator(str(folder), size_guidance={"histograms": 0, "images": 0}).Reload()
    drawn = {f"figures/{path.stem}" for path in (folder / "figures").iterdir()}
    assert set(events.Tags()["images"]) == drawn
    (picture,) = events.Images("figures/confusion_matrix")
    assert picture.encoded_image_string == (folder / "figures" / "confusion_matrix.png").read_bytes()
    assert (picture.width, picture.height, picture.step) == (940, 880, 2)
    histograms = events.Histograms("output.weight")
    assert [one.step for one in histograms] == [0, 1, 2]
    values = weights(folder)["output.weight"].double()
    assert histograms[-1].histogram_value.num == values.numel()
    assert histograms[-1].histogram_value.sum_squares == pytest.approx(float(values.square().sum()), rel=1e-5)
    for epoch, share in inspection.dead_units["hidden.0"].items():
        assert events.Scalars("dead_units/hidden.0")[epoch - 1].value == pytest.approx(share)


def test_histograms_are_of_the_first_weights_and_of_the_last(finished, composed):
    config, folder, _, inspection = finished
    torch.manual_seed(config.seed)
    fresh = config.model.build(config.data.spec(), config.optim, config.scheduler).state_dict()
    for epoch, state in ((0, fresh), (2, weights(folder))):
        for name, values in state.items():
            found = inspection.histograms[name][epoch]
            expected, edges = np.histogram(values.double().numpy(), len(found.counts))
            assert (found.low, found.high) == pytest.approx((edges[0], edges[-1]))
            assert sum(found.counts) == values.numel()
            assert np.abs(np.subtract(found.counts, expected)).sum() <= 4  # values on an edge, rounded otherwise
    assert set(inspection.histograms) == set(fresh)
    assert list(inspection.histograms["output.weight"]) == [0, 2]


def test_values_that_are_all_the_same_or_none_have_a_histogram_or_none():
    one = histogram_of(torch.zeros(10))
    assert (sum(one.counts), one.low, one.high) == (10, -1e-3, 1e-3)
    assert histogram_of(torch.tensor([])) is None
    assert histogram_of(torch.full((8,), 1e6)).counts == [0, 0, 0, 0, 8, 0, 0, 0]
    assert sum(histogram_of(torch.tensor([-3e38, 3e38])).counts) == 2


def test_dead_units_are_those_whose_output_is_the_same_for_all_validation_samples(finished):
    config, folder, _, inspection = finished
    data, model = rebuilt(config, folder)
    with torch.no_grad():
        hidden = data.transform(data.val.inputs).flatten(1)
        for place, block in enumerate(model.hidden):
            hidden = block(hidden)
            dead = (hidden == hidden[0]).all(0).double().mean()
            assert inspection.dead_units[f"hidden.{place}"][2] == pytest.approx(float(dead))


@pytest.mark.parametrize(
    ("setting", "share"),
    [
        (["model.bias_initializer={name: constant, value: -1000}", "optim.learning_rate=1e-6"], 1.0),
        (["model.activation=identity"], 0.0),
    ],
)
def test_units_far_below_zero_are_dead_and_linear_ones_never(setting, share, composed, tmp_path):
    train(composed(*QUICK, *setting, *ONLY_DEAD_UNITS), tmp_path)
    assert read_inspection(tmp_path).dead_units == {f"hidden.{place}": {1: share, 2: share} for place in (0, 1)}


def test_a_recurrent_layers_units_are_watched_in_each_direction(composed, tmp_path):
    reading = ["model=gru", "model.hidden=[8]", "model.image_reading=rows", "model.bidirectional=true"]
    train(composed(*QUICK, *reading, *ONLY_DEAD_UNITS), tmp_path)
    assert list(read_inspection(tmp_path).dead_units) == ["layers.0.directions.0", "layers.0.directions.1"]


def test_gradients_and_updates_are_those_of_sgd(composed, tmp_path):
    """One batch an epoch: the change is the rate times the gradient, computed here by hand."""
    one_batch = ["data.batch_size=2000", "optim=sgd", "optim.learning_rate=0.5", "scheduler=constant"]
    config = composed(*QUICK, *one_batch, "trainer.max_epochs=1", "figures=none", "figures.gradients=true")
    train(config, tmp_path)
    torch.manual_seed(config.seed)
    model = config.model.build(config.data.spec(), config.optim, config.scheduler)
    data = config.data.build(config.seed)
    data.setup()
    nn.functional.cross_entropy(model(data.transform(data.train.inputs)), data.train.targets).backward()
    found = read_inspection(tmp_path)
    for name, parameter in model.named_parameters():
        assert found.gradient_norms[name][1] == pytest.approx(float(parameter.grad.norm()), rel=1e-4)
        ratio = 0.5 * float(parameter.grad.norm() / parameter.detach().norm())
        assert found.update_ratios[name][1] == pytest.approx(ratio, rel=1e-4)


def test_looking_at_everything_changes_no_bit_of_the_weights(finished, composed, tmp_path):
    _, folder, _, _ = finished
    train(composed(*QUICK, "figures=none"), tmp_path)
    with_gradients, without = weights(folder), weights(tmp_path)
    assert all(torch.equal(with_gradients[key], without[key]) for key in without)


def test_the_gallery_shows_test_images_and_the_most_wrong_come_by_confidence(finished):
    config, folder, _, inspection = finished
    data, model = rebuilt(config, folder)
    with torch.no_grad():
        probabilities = model(data.transform(data.test.inputs)).softmax(1)
    guesses = probabilities.argmax(1)
    assert len({one.index for one in inspection.gallery}) == 24
    for one in [*inspection.gallery, *inspection.most_wrong]:
        assert (one.truth, one.guess) == (int(data.test.targets[one.index]), int(guesses[one.index]))
        assert one.confidence == pytest.approx(float(probabilities[one.index].max()), abs=1e-6)
        assert one.truth_confidence == pytest.approx(float(probabilities[one.index, one.truth]), abs=1e-6)
        np.testing.assert_array_equal(image_of(one), data.shown(data.test.inputs[one.index]))
    wrong = probabilities.amax(1)[guesses != data.test.targets].sort(descending=True).values[:12]
    assert [one.confidence for one in inspection.most_wrong] == pytest.approx(wrong.tolist(), abs=1e-6)


@pytest.mark.usefixtures("forked_processes")
def test_two_processes_note_what_one_does(composed, tmp_path):
    shared = [*QUICK, "data.drop_last=true", "trainer.max_epochs=1"]
    run(composed(*shared, "data.batch_size=32"), tmp_path / "one")
    run(composed(*shared, "data.batch_size=16", "trainer=ddp", "trainer.threads=1"), tmp_path / "two")
    one, two = (read_inspection(tmp_path / name) for name in ("one", "two"))
    assert one.dead_units == two.dead_units
    assert [sample.index for sample in one.gallery] == [sample.index for sample in two.gallery]
    assert [sample.guess for sample in one.gallery] == [sample.guess for sample in two.gallery]
    assert [sample.index for sample in one.most_wrong] == [sample.index for sample in two.most_wrong]
    assert sorted(path.name for path in (tmp_path / "two" / "figures").iterdir()) == sorted(
        path.name for path in (tmp_path / "one" / "figures").iterdir()
    )


def test_a_run_that_diverges_leaves_figures_all_the_same(composed, tmp_path):
    train(composed(*QUICK, "optim=sgd", "optim.learning_rate=1e30"), tmp_path)
    found = read_inspection(tmp_path)
    assert list(found.histograms["output.weight"]) == [0]
    assert all(one.confidence == 0 for one in found.gallery)
    assert (tmp_path / "figures" / "learning_curves.png").exists()


def test_features_are_shown_as_numbers(composed, tmp_path):
    train(composed("data=feature_sum", *QUICK[2:], "data.features=3"), tmp_path)
    (text, *_) = [one.text for one in read_inspection(tmp_path).gallery]
    assert len([float(number) for number in text.split()]) == 3


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"histograms": 3}', '{"histograms": {"a": {"x": {}}}}'])
def test_a_damaged_file_is_named(content, tmp_path):
    (tmp_path / "inspection.json").write_text(content)
    with pytest.raises(DataError, match=r"inspection\.json is (missing or )?damaged"):
        read_inspection(tmp_path)


def test_a_run_without_the_file_has_nothing_to_show(tmp_path):
    assert read_inspection(tmp_path).gallery == []


def test_the_file_is_plain_json(finished):
    _, folder, _, _ = finished
    content = json.loads((folder / "inspection.json").read_text(), parse_constant=pytest.fail)  # of NaN and infinity
    assert {"histograms", "dead_units", "gallery"} <= content.keys()


def test_of_a_batch_nothing_is_kept_by_the_class(composed):
    config = composed("data=digits", "model.hidden=[8]")
    model = config.model.build(config.data.spec(), config.optim, config.scheduler)
    watcher = ChosenSamples(Inspection(), None, config.figures)
    watcher.on_test_epoch_start(None, model)
    watcher.on_test_batch_end(None, model, torch.randn(7, 10), (None, torch.arange(7)))
    assert {part.shape for parts in watcher._parts for part in parts} == {(7,)}
