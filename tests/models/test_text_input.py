"""model=mlp on texts: the mean of embeddings and bags of words, against Keras and scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import CountVectorizer

from dlproj.config.data import DataSpec, Kind
from dlproj.config.mlp import MLPConfig, TextInput
from dlproj.config.optim import SGDConfig
from dlproj.config.scheduler import SchedulerConfig
from dlproj.models.text_input import MeanOfEmbeddings

WORDS = DataSpec(Kind.sequence, (9,), ("a", "b"), 12, "pre", 2)
ARRAYS = DataSpec(Kind.sequence, (9,), ("a", "b"), 12, "pre")  # ids of the user's own: only 0 is special


def built(spec=WORDS, **settings):
    return MLPConfig(**({"hidden": [5]} | settings)).build(spec, SGDConfig(), SchedulerConfig())


@pytest.fixture
def ids():
    """START, words and padding in front, as texts have them; one that is cut, and one of padding alone."""
    rows = np.random.default_rng(0).integers(2, 12, (6, 9))
    for row, start in enumerate((0, 3, 7, 8)):
        rows[row, :start], rows[row, start] = 0, 1
    rows[5] = 0
    return torch.from_numpy(rows.astype(np.int32))


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")  # Keras 3.15 with NumPy 2
def test_the_mean_of_embeddings_is_that_of_keras(ids):
    keras = pytest.importorskip("keras")
    model = built(embedding_dim=4)
    embedding = keras.layers.Embedding(12, 4, mask_zero=True)
    pooled = keras.Sequential([embedding, keras.layers.GlobalAveragePooling1D()])
    rows = ids[:5].numpy()  # of padding alone Keras divides 0 by 0
    pooled.build(rows.shape)
    embedding.set_weights([model.reading.weight.detach().numpy()])
    theirs = torch.from_numpy(keras.ops.convert_to_numpy(pooled(rows)))
    torch.testing.assert_close(model.reading(ids[:5]).detach(), theirs)
    assert torch.equal(model.reading(ids[5:]), torch.zeros(1, 4))
    torch.testing.assert_close(model(ids), model.output(model.hidden(model.reading(ids))))


def test_gradients_of_the_mean_are_those_of_plain_layers(ids):
    model = built(embedding_dim=4)
    weight = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    (model.reading(ids) * weight).sum().backward()
    fast, model.reading.weight.grad = model.reading.weight.grad, None
    read = (ids != 0).float()[:, :, None]
    plain = (torch.nn.functional.embedding(ids, model.reading.weight) * read).sum(1) / read.sum(1).clamp(min=1)
    (plain * weight).sum().backward()
    torch.testing.assert_close(fast, model.reading.weight.grad)
    assert fast[0].count_nonzero() == 0, "padding is not trained"


def test_what_an_export_computes_is_the_same(ids, monkeypatch):
    module = MeanOfEmbeddings(12, 4)
    fast = module(ids)
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    torch.testing.assert_close(module(ids), fast)


@pytest.mark.parametrize("kind", [TextInput.multi_hot, TextInput.counts])
@pytest.mark.parametrize("spec", [WORDS, ARRAYS], ids=["texts", "arrays"])
def test_bags_of_words_are_those_of_scikit_learn(ids, kind, spec):
    model = built(spec, text_input=kind)
    known = [str(i) for i in range(spec.first_token, 12)]
    counter = CountVectorizer(vocabulary=known, token_pattern=r"\d+", binary=kind is TextInput.multi_hot)
    theirs = counter.transform([" ".join(map(str, row)) for row in ids.tolist()]).toarray()
    bags = model.reading(ids)
    assert bags.tolist() == theirs.tolist()
    assert model.hidden[0].linear.in_features == len(known) == 12 - spec.first_token
    assert torch.equal(model(ids), model.output(model.hidden(bags)))


@pytest.mark.parametrize("settings", [{}, {"text_input": TextInput.counts}, {"hidden": []}], ids=str)
def test_the_layers_one_after_another_compute_the_model(ids, settings):
    model = built(**settings)
    outputs = ids
    for layer in model.sequential_layers():
        outputs = layer(outputs)
    assert torch.equal(outputs, model(ids))
    held = {id(one) for layer in model.sequential_layers() for one in layer.parameters()}
    assert held == {id(one) for one in model.parameters()}


def test_embeddings_have_128_numbers_unless_set():
    assert built().reading.weight.shape == (12, 128)
    assert built(embedding_dim=3).hidden[0].linear.in_features == 3


def test_a_bag_has_the_type_and_device_of_the_weights(ids):
    model = built(text_input=TextInput.counts).double()
    assert model(ids).dtype == torch.float64
    assert not [name for name in model.state_dict() if name.startswith("reading")]
