"""RNNClassifier: how it reads, masks, drops and starts, beside plain torch; and the settings that it refuses."""

import copy
import re

import pytest
import torch
from torch import nn

from dlproj.config.checks import ConfigurationError
from dlproj.config.data import DataSpec, Kind
from dlproj.config.layers import Activation, Cell, Initializer, InitializerConfig, RecurrentConfig
from dlproj.config.optim import AdagradConfig, AdamConfig, AdamWConfig, RMSpropConfig, SGDConfig
from dlproj.config.rnn import ImageReading, RNNConfig
from dlproj.config.scheduler import SchedulerConfig
from dlproj.models import recurrent
from dlproj.models.recurrent import RecurrentLayer, computes_bfloat16_lstm, last_of, reverse
from dlproj.models.rnn import trimmed

FEATURES = DataSpec(Kind.features, (6,), ("a", "b"))
IMAGE = DataSpec(Kind.image, (2, 2, 3), ("a", "b"))
PRE = DataSpec(Kind.sequence, (5,), ("a", "b"), 10, "pre")
POST = DataSpec(Kind.sequence, (5,), ("a", "b"), 10, "post")
each_cell = pytest.mark.parametrize("cell", list(Cell), ids=lambda cell: cell.name)
both_directions = pytest.mark.parametrize("bidirectional", [False, True])


def built(config, spec=FEATURES, optim=None):
    return config.build(spec, optim or SGDConfig(), SchedulerConfig())


def whole_table(model):
    """Every row of the embedding, trained or not."""
    return torch.cat([parameter.detach() for parameter in model.embedding[0].parameters()])


def read_by(module):
    """A list to which each later call of a recurrent module adds the sequence that it reads."""
    sequences = []
    module.register_forward_pre_hook(lambda module, arguments: sequences.append(arguments[0].detach()))
    return sequences


@pytest.mark.parametrize(("cell", "module"), [(Cell.simple, nn.RNN), (Cell.lstm, nn.LSTM), (Cell.gru, nn.GRU)])
def test_logits_are_those_of_torchs_own_layers(cell, module, generator):
    model = built(RNNConfig(cell=cell, hidden=[4, 3]))
    first, second = module(1, 4, batch_first=True), module(4, 3, batch_first=True)
    for plain, ours in ((first, model.layers[0].directions[0]), (second, model.layers[1].directions[0])):
        plain.load_state_dict({"bias_hh_l0": torch.zeros_like(plain.bias_hh_l0)} | ours.state_dict())
    inputs = torch.randn(7, 6, generator=generator)
    outputs, _ = second(first(inputs[:, :, None])[0])
    torch.testing.assert_close(model(inputs), model.output(outputs[:, -1]))


def test_where_the_cpu_has_no_bfloat16_lstm_autocast_leaves_torchs_own_in_float32(generator, monkeypatch):
    monkeypatch.setattr(recurrent, "computes_bfloat16_lstm", lambda: False)
    layer = RecurrentLayer(Cell.lstm, 2, RecurrentConfig(units=3), None, bidirectional=False)
    plain = nn.LSTM(2, 3, batch_first=True)
    (ours,) = layer.directions
    plain.load_state_dict(ours.state_dict() | {"bias_hh_l0": torch.zeros(12)})
    sequence = torch.randn(4, 5, 2, generator=generator)
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(sequence, None)
        half = layer(sequence.bfloat16(), None)
    expected, _ = plain(sequence)
    assert torch.equal(found, expected)
    assert torch.equal(half, plain(sequence.bfloat16().float())[0])
    found.sum().backward()
    expected.sum().backward()
    assert torch.equal(ours.weight_hh_l0.grad, plain.weight_hh_l0.grad)


def test_where_the_cpu_has_a_bfloat16_lstm_autocast_uses_it(generator):
    if not computes_bfloat16_lstm():
        pytest.skip("this CPU has no bfloat16 LSTM")
    layer = RecurrentLayer(Cell.lstm, 2, RecurrentConfig(units=3), None, bidirectional=False)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.randn(4, 5, 2, generator=generator), None).dtype == torch.bfloat16


def test_asking_for_a_bfloat16_lstm_draws_no_random_numbers():
    before = torch.get_rng_state()
    computes_bfloat16_lstm.__wrapped__()
    assert torch.equal(torch.get_rng_state(), before)


def test_both_directions_are_those_of_torchs_own_layer(generator):
    layer = RecurrentLayer(Cell.lstm, 2, RecurrentConfig(units=3), None, bidirectional=True)
    plain = nn.LSTM(2, 3, batch_first=True, bidirectional=True)
    forward, backward = (direction.state_dict() for direction in layer.directions)
    plain.load_state_dict(
        forward
        | {f"{name}_reverse": value for name, value in backward.items()}
        | {"bias_hh_l0": torch.zeros(12), "bias_hh_l0_reverse": torch.zeros(12)}
    )
    sequence = torch.randn(4, 5, 2, generator=generator)
    outputs, (last, _) = plain(sequence)
    torch.testing.assert_close(layer(sequence, None), outputs)
    torch.testing.assert_close(layer.final(sequence, None), torch.cat([last[0], last[1]], dim=1))


def test_both_directions_with_lengths_are_those_of_torchs_packed_sequences(generator):
    layer = RecurrentLayer(Cell.gru, 2, RecurrentConfig(units=3), None, bidirectional=True)
    plain = nn.GRU(2, 3, batch_first=True, bidirectional=True)
    forward, backward = (direction.state_dict() for direction in layer.directions)
    plain.load_state_dict(forward | {f"{name}_reverse": value for name, value in backward.items()})
    sequence, lengths = torch.randn(4, 5, 2, generator=generator), torch.tensor([5, 1, 3, 4])
    packed = nn.utils.rnn.pack_padded_sequence(sequence, lengths, batch_first=True, enforce_sorted=False)
    outputs, last = plain(packed)
    outputs, _ = nn.utils.rnn.pad_packed_sequence(outputs, batch_first=True)
    real = torch.arange(5)[None, :] < lengths[:, None]
    torch.testing.assert_close(layer(sequence, lengths)[real], outputs[real])
    torch.testing.assert_close(layer.final(sequence, lengths), torch.cat([last[0], last[1]], dim=1))


@pytest.mark.parametrize(
    ("reading", "expected"),
    [
        (ImageReading.rows, [[0, 1, 2, 6, 7, 8], [3, 4, 5, 9, 10, 11]]),
        (ImageReading.columns, [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 11]]),
        (ImageReading.pixels, [[0, 6], [1, 7], [2, 8], [3, 9], [4, 10], [5, 11]]),
    ],
)
def test_an_image_of_two_channels_two_rows_and_three_columns_is_read(reading, expected):
    model = built(RNNConfig(cell=Cell.gru, hidden=[4], image_reading=reading), IMAGE)
    sequences = read_by(model.layers[0].directions[0])
    model(torch.arange(12.0).reshape(1, 2, 2, 3))
    assert sequences[0].tolist() == [expected]


def test_features_and_raw_word_ids_are_sequences_of_single_numbers():
    for spec, inputs in ((FEATURES, torch.rand(2, 6)), (PRE, torch.tensor([[0, 0, 3, 9, 1]]))):
        model = built(RNNConfig(hidden=[4]), spec)
        sequences = read_by(model.layers[0].directions[0])
        model(inputs)
        assert torch.equal(sequences[0], inputs[:, :, None].float())


def test_numbers_are_not_embedded():
    model = built(RNNConfig(hidden=[4], embedding_dim=3))
    assert model.embedding is None
    assert model.layers[0].directions[0].input_size == 1


def test_words_are_read_as_rows_of_the_table():
    config = RNNConfig(
        hidden=[4], embedding_dim=3, embedding_rows=12, embedding_initializer=InitializerConfig(Initializer.ones)
    )
    model = built(config, PRE)
    assert torch.equal(whole_table(model), torch.ones(12, 3))
    with torch.no_grad():
        model.embedding[0].weight.copy_(torch.arange(30.0).reshape(10, 3))
    sequences = read_by(model.layers[0].directions[0])
    model(torch.tensor([[0, 0, 3, 9, 1]]))
    assert sequences[0].tolist() == [[[0, 1, 2], [0, 1, 2], [9, 10, 11], [27, 28, 29], [3, 4, 5]]]


def test_the_table_has_a_row_a_word_unless_it_is_told_more():
    assert built(RNNConfig(embedding_dim=3), PRE).embedding[0].weight.shape == (10, 3)


@both_directions
def test_input_dropout_drops_the_same_inputs_at_every_time_step_and_in_both_directions(bidirectional):
    layer = RecurrentLayer(Cell.lstm, 50, RecurrentConfig(units=2, input_dropout=0.25), None, bidirectional)
    read = [read_by(direction) for direction in layer.directions]
    layer.train()(torch.ones(40, 6, 50), None)
    (sequence,) = read[0]
    assert torch.equal(sequence, sequence[:, :1].expand_as(sequence))
    assert not torch.equal(sequence[0], sequence[1])
    torch.testing.assert_close(sequence.unique(), torch.tensor([0.0, 4 / 3]))
    assert (sequence[:, 0] == 0).float().mean().item() == pytest.approx(0.25, abs=0.03)
    assert all(torch.equal(other[0], sequence) for other in read[1:])
    layer.train()(torch.ones(40, 6, 50), None)
    assert not torch.equal(read[0][1], sequence)
    layer.eval()(torch.ones(40, 6, 50), None)
    assert torch.equal(read[0][2], torch.ones(40, 6, 50))


def test_embedding_dropout_drops_each_number_by_itself():
    ones = InitializerConfig(Initializer.ones)
    model = built(RNNConfig(hidden=[2], embedding_dim=50, embedding_dropout=0.5, embedding_initializer=ones), PRE)
    embedded = model.train().embedding(torch.ones(40, 5, dtype=torch.int64))
    torch.testing.assert_close(embedded.unique(), torch.tensor([0.0, 2.0]))
    assert not torch.equal(embedded[:, 0], embedded[:, 1])
    assert torch.equal(model.eval().embedding(torch.ones(4, 5, dtype=torch.int64)), torch.ones(4, 5, 50))


def test_dropout_drops_outputs_of_a_layer_both_between_layers_and_at_the_end(generator):
    layer = RecurrentLayer(Cell.lstm, 2, RecurrentConfig(units=200, dropout=0.4), None, bidirectional=False)
    sequence = torch.randn(10, 5, 2, generator=generator)
    for training, plain in (
        (layer.train()(sequence, None), layer.eval()(sequence, None)),
        (layer.train().final(sequence, None), layer.eval().final(sequence, None)),
    ):
        kept = training != 0
        assert kept.float().mean().item() == pytest.approx(0.6, abs=0.05)
        torch.testing.assert_close(training[kept], plain[kept] / 0.6)


def test_reverse_turns_the_real_steps_and_leaves_the_padding():
    sequence = torch.tensor([[1, 2, 3, 4], [1, 2, 3, 0], [1, 0, 0, 0]])[:, :, None].expand(3, 4, 2)
    turned = reverse(sequence, torch.tensor([4, 3, 1]))
    assert turned[:, :, 0].tolist() == turned[:, :, 1].tolist() == [[4, 3, 2, 1], [3, 2, 1, 0], [1, 0, 0, 0]]
    assert reverse(sequence, None)[:, :, 0].tolist() == [[4, 3, 2, 1], [0, 3, 2, 1], [0, 0, 0, 1]]


def test_last_of_is_the_last_real_step():
    outputs = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]])[:, :, None]
    assert last_of(outputs, torch.tensor([4, 2, 1]))[:, 0].tolist() == [4, 6, 9]
    assert last_of(outputs, None)[:, 0].tolist() == [4, 8, 12]


@both_directions
@each_cell
def test_more_padding_changes_nothing_under_masking_alone(cell, bidirectional):
    settings = {"cell": cell, "hidden": [4, 3], "embedding_dim": 3, "bidirectional": bidirectional}
    short, long = torch.tensor([[3, 9, 1], [2, 0, 0]]), torch.tensor([[3, 9, 1, 0, 0], [2, 0, 0, 0, 0]])
    masked = built(RNNConfig(masking=True, **settings), POST)
    torch.testing.assert_close(masked(short), masked(long))
    reading_all = built(RNNConfig(**settings), POST)
    assert (reading_all(short) - reading_all(long)).abs().max() > 1e-4


def test_a_review_of_nothing_but_padding_is_read_as_one_step():
    model = built(RNNConfig(hidden=[4], embedding_dim=3, masking=True, bidirectional=True), POST)
    torch.testing.assert_close(model(torch.zeros(1, 5, dtype=torch.int64)), model(torch.zeros(1, 1, dtype=torch.int64)))


REVIEWS = torch.tensor([[3, 9, 1, 4, 0, 0, 0], [2, 0, 0, 0, 0, 0, 0], [5, 6, 0, 0, 0, 0, 0]])


@pytest.mark.parametrize("ids", [REVIEWS, torch.zeros_like(REVIEWS)], ids=["reviews", "nothing but padding"])
@both_directions
@each_cell
def test_trimming_changes_neither_logits_nor_gradients(cell, bidirectional, ids, monkeypatch):
    config = RNNConfig(cell=cell, hidden=[4, 3], embedding_dim=3, bidirectional=bidirectional, masking=True)
    model = built(config, POST)
    found = []
    for _ in range(2):
        logits = model(ids)
        gradients = torch.autograd.grad(logits.square().sum(), list(model.parameters()))
        found.append([logits, *gradients])
        monkeypatch.setattr("dlproj.models.rnn.trimmed", lambda inputs, lengths: inputs)
    torch.testing.assert_close(*found)
    assert all(gradient.isfinite().all() for gradient in found[0])


def test_layers_read_no_further_than_the_longest_review():
    model = built(RNNConfig(hidden=[4, 3], embedding_dim=2, masking=True), POST)
    sequences = [read_by(layer.directions[0]) for layer in model.layers]
    model(REVIEWS)
    assert [read[0].shape for read in sequences] == [(3, 4, 2), (3, 4, 4)]


def test_the_longest_is_not_asked_of_a_device_that_the_host_would_have_to_wait_for():
    elsewhere = REVIEWS.to("meta")  # which, as a GPU under capture, cannot tell a value
    assert trimmed(elsewhere, (elsewhere != 0).sum(1)).shape == (3, 7)


@pytest.mark.parametrize(("cell", "vectors"), [(Cell.simple, 1), (Cell.lstm, 4), (Cell.gru, 6)])
def test_bias_vectors_are_as_many_as_in_keras(cell, vectors):
    model = built(RNNConfig(cell=cell, hidden=[4]))
    layer = model.layers[0].directions[0]
    assert sum(value.numel() for name, value in layer.named_parameters() if "bias" in name) == vectors * 4


@pytest.mark.parametrize("settings", [{"cell": Cell.lstm}, {"cell": Cell.simple}])
def test_torchs_second_bias_stays_zero_and_out_of_checkpoints(settings, generator):
    model = built(RNNConfig(hidden=[4], **settings))
    assert not any("bias_hh" in name for name in model.state_dict())
    optimizer = torch.optim.SGD(model.parameters(), 1.0)
    inputs = torch.randn(7, 6, generator=generator)
    model(inputs).square().sum().backward()
    optimizer.step()
    layer = model.layers[0].directions[0]
    assert torch.equal(layer.bias_hh_l0, torch.zeros_like(layer.bias_hh_l0))
    again = built(RNNConfig(hidden=[4], **settings))
    again.load_state_dict(model.state_dict())
    expected = model(inputs)
    for other in (again, copy.deepcopy(model)):
        torch.testing.assert_close(other(inputs), expected)
    torch.testing.assert_close(copy.deepcopy(model).double()(inputs.double()), expected.double(), rtol=1e-5, atol=1e-6)


@both_directions
def test_each_part_of_a_recurrent_layer_starts_as_its_own_setting_says(bidirectional):
    config = RNNConfig(
        hidden=[4],
        bidirectional=bidirectional,
        weight_initializer=InitializerConfig(Initializer.constant, value=0.5),
        recurrent_initializer=InitializerConfig(Initializer.orthogonal),
        bias_initializer=InitializerConfig(Initializer.constant, value=0.25),
        forget_bias=1.0,
    )
    for layer in built(config).layers[0].directions:
        assert torch.equal(layer.weight_ih_l0, torch.full((16, 1), 0.5))
        torch.testing.assert_close(layer.weight_hh_l0.T @ layer.weight_hh_l0, torch.eye(4))
        gates = layer.bias_ih_l0.reshape(4, 4)  # input, forget, cell, output
        assert gates[:, 0].tolist() == gates[:, 3].tolist() == [0.25, 1.0, 0.25, 0.25]


@pytest.mark.parametrize("name", [Initializer.glorot_uniform, Initializer.zeros])
def test_the_learned_slope_of_a_prelu_is_no_weight_of_the_cell(name):
    config = RNNConfig(
        cell=Cell.simple, hidden=[4], activation=Activation.prelu, weight_initializer=InitializerConfig(name)
    )
    layer = built(config).layers[0].directions[0]
    assert layer.activation.weight.tolist() == [0.25]


def test_both_biases_of_a_gru_start_as_the_setting_says():
    config = RNNConfig(cell=Cell.gru, hidden=[4], bias_initializer=InitializerConfig(Initializer.ones))
    layer = built(config).layers[0].directions[0]
    assert torch.equal(layer.bias_ih_l0, torch.ones(12))
    assert torch.equal(layer.bias_hh_l0, torch.ones(12))


@pytest.mark.parametrize(
    ("cell", "settings", "expected"),
    [
        (Cell.lstm, {"weight_l1": 0.1}, 0.1 * 16 * 1),
        (Cell.lstm, {"recurrent_l2": 0.1}, 0.1 * 16 * 4),
        (Cell.lstm, {"bias_l1": 0.1}, 0.1 * 16),
        (Cell.gru, {"bias_l2": 0.1}, 0.1 * 12 * 2),
        (Cell.simple, {"recurrent_l1": 0.1, "bias_l1": 0.2}, 0.1 * 4 * 4 + 0.2 * 4),
    ],
)
@both_directions
def test_penalties_of_a_layer_of_ones(cell, settings, expected, bidirectional):
    ones = {"name": "ones"}
    initializers = {f"{part}_initializer": ones for part in ("weight", "recurrent", "bias")}
    config = RNNConfig(cell=cell, hidden=[{"units": 4, **initializers, **settings}], bidirectional=bidirectional)
    assert built(config).penalties().item() == pytest.approx(expected * (1 + bidirectional))


EMBEDDING = "model.embedding_* needs an embedding: set model.embedding_dim, such as 128"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden": []}, "model.hidden is empty: set at least one width, such as [128]"),
        ({"activation": Activation.relu}, "model.activation is of model=simple_rnn: leave it out for lstm"),
        (
            {"activation": Activation.relu, "cell": Cell.gru},
            "model.activation is of model=simple_rnn: leave it out for gru",
        ),
        ({"forget_bias": 1.0, "cell": Cell.gru}, "model.forget_bias is of an LSTM: set model=lstm or leave it out"),
        ({"embedding_dim": 0}, "model.embedding_dim=0 must be in [1, inf)"),
        ({"embedding_rows": 9}, EMBEDDING),
        ({"embedding_dropout": 0.5}, EMBEDDING),
        ({"embedding_initializer": InitializerConfig(Initializer.ones)}, EMBEDDING),
        ({"input_dropout": 1.0}, "model.input_dropout=1.0 must be in [0, 1)"),
        ({"embedding_dropout": 1.0}, "model.embedding_dropout=1.0 must be in [0, 1)"),
        ({"recurrent_l2": -1.0}, "model.recurrent_l2=-1.0 must be in [0, inf)"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$"):
        RNNConfig(**settings)


def test_an_activation_that_a_gated_layer_cannot_have_is_refused():
    with pytest.raises(ConfigurationError, match="activation"):
        RNNConfig(cell=Cell.lstm, hidden=[{"units": 4, "activation": "relu"}])


def test_a_table_without_rows_is_refused():
    with pytest.raises(ConfigurationError, match=re.escape("model.embedding_rows=0")):
        RNNConfig(embedding_dim=3, embedding_rows=0).check_data(PRE)


@pytest.mark.parametrize(
    ("settings", "spec", "message"),
    [
        ({}, IMAGE, "an RNN needs to know how to read an image: set model.image_reading=rows, columns or pixels"),
        (
            {"embedding_dim": 3, "embedding_rows": 9},
            PRE,
            "model.embedding_rows=9 is less than data.vocabulary_size=10: set it higher",
        ),
        ({"masking": True}, PRE, "model.masking=true reads reviews from their first word: set data.padding=post"),
        ({"masking": True}, FEATURES, "model.masking is for padded reviews: set model.masking=false for this data"),
        ({"image_reading": ImageReading.rows}, PRE, "model.image_reading is for images: leave it out for reviews"),
        (
            {"embedding_dim": 3, "inputs": 4},
            PRE,
            "model.inputs=4, but the data has 3 (sequence of 5): set model.inputs=3 or leave it out",
        ),
    ],
)
def test_data_that_does_not_fit_is_refused(settings, spec, message):
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$"):
        RNNConfig(**settings).check_data(spec)


def test_a_way_of_reading_images_is_refused_for_features():
    with pytest.raises(ConfigurationError, match=re.escape("model.image_reading")):
        RNNConfig(image_reading=ImageReading.rows).check_data(FEATURES)


@pytest.mark.parametrize(
    ("reading", "steps"),
    [
        (ImageReading.rows, [[1, 2, 3, 11, 12, 13], [4, 5, 6, 14, 15, 16]]),
        (ImageReading.columns, [[1, 4, 11, 14], [2, 5, 12, 15], [3, 6, 13, 16]]),
        (ImageReading.pixels, [[1, 11], [2, 12], [3, 13], [4, 14], [5, 15], [6, 16]]),
    ],
)
def test_a_time_step_is_a_row_a_column_or_a_pixel_of_all_channels(reading, steps):
    model = built(RNNConfig(hidden=[4], image_reading=reading), IMAGE)
    sequences = read_by(model.layers[0].directions[0])
    model(torch.tensor([[[[1.0, 2, 3], [4, 5, 6]], [[11, 12, 13], [14, 15, 16]]]]))
    assert [sequence.tolist() for sequence in sequences] == [[steps]]


# Rows of the embedding that no word reads: ids lie below 10, the table has 16 rows.

UNREAD = RNNConfig(hidden=[4], embedding_dim=8, embedding_rows=16)


def trained(optim, steps=20):
    """A network after some steps, in the optimizer that Lightning is given."""
    torch.manual_seed(0)
    model = built(UNREAD, PRE, optim)
    optimizer = optim.build([parameter for parameter in model.parameters() if parameter.requires_grad])
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        ids = torch.randint(10, (6, 5), generator=generator)
        loss = nn.functional.cross_entropy(model(ids), ids[:, 0] % 2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


@pytest.mark.parametrize(
    "optim",
    [
        SGDConfig(0.1),
        SGDConfig(0.1, momentum=0.9, nesterov=True),
        RMSpropConfig(0.01),
        RMSpropConfig(0.01, momentum=0.9, centered=True),
        AdamConfig(0.01),
        AdamConfig(0.01, amsgrad=True),
        AdamWConfig(0.01, weight_decay=0.0),
        AdagradConfig(0.1),
        AdagradConfig(0.1, initial_accumulator_value=0.1),
    ],
    ids=str,
)
def test_training_without_the_unread_rows_ends_with_the_weights_of_training_the_whole_table(optim, monkeypatch):
    ours = trained(optim)
    monkeypatch.setattr("dlproj.models.rnn.set_aside_unread", lambda table, vocabulary: None)
    whole = trained(optim)
    assert ours.embedding[0].weight.shape == (10, 8)
    assert whole.embedding[0].weight.shape == (16, 8)
    assert torch.equal(whole_table(ours), whole_table(whole))
    for one, other in zip(ours.parameters(), whole.parameters(), strict=False):
        assert torch.equal(one, other) or one.shape != other.shape
    assert not torch.equal(
        ours.layers[0].directions[0].weight_ih_l0, built(UNREAD, PRE).layers[0].directions[0].weight_ih_l0
    )


@pytest.mark.parametrize(
    "optim",
    [
        SGDConfig(0.1, 0.5),
        AdamConfig(0.01, 0.5),
        AdamWConfig(0.1, 0.5),
        RMSpropConfig(0.01, 0.5),
        AdagradConfig(0.1, 0.5),
    ],
    ids=str,
)
def test_weight_decay_shrinks_the_unread_rows_too(optim):
    torch.manual_seed(0)
    start = nn.Embedding(16, 8).weight.detach()
    found = whole_table(trained(optim))
    alone = nn.Parameter(start[10:].clone())
    optimizer = optim.build([alone])
    for _ in range(20):
        alone.grad = torch.zeros_like(alone)
        optimizer.step()
    assert alone.norm() < 0.9 * start[10:].norm()
    torch.testing.assert_close(found[10:], alone.detach())


def test_the_whole_table_starts_from_one_draw_and_is_counted_and_kept():
    torch.manual_seed(0)
    model = built(UNREAD, PRE)
    torch.manual_seed(0)
    table = nn.Embedding(16, 8).weight
    assert torch.equal(whole_table(model), table)
    torch.manual_seed(0)
    assert torch.equal(whole_table(built(UNREAD, PRE, AdamWConfig())), table)
    assert model.parameter_count() == 16 * 8 + (4 * 4 * (8 + 4) + 4 * 4) + (4 * 2 + 2)
    again = built(UNREAD, PRE)
    again.load_state_dict(model.state_dict())
    assert torch.equal(whole_table(again), table)
