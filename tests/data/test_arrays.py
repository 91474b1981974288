"""Arrays in an .npz file: what is read, how it is scaled, and what is refused."""

import numpy as np
import pytest
import torch
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from dlproj.config.arrays import FeatureArraysConfig, ImageArraysConfig, SequenceArraysConfig
from dlproj.config.checks import DataError
from dlproj.config.data import Kind, ValidationSplit
from dlproj.config.images import Scaling
from dlproj.data.arrays import checked_arrays, read_arrays

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (6, 4, 5), np.uint8)
FEATURES = RANDOM.normal(3, 2, (6, 4)).astype(np.float32)
IDS = RANDOM.integers(0, 9, (6, 4))
LABELS = np.array([2, 10, 2, 10, 2, 10])


def saved(tmp_path, x, y=LABELS, **others):
    file = tmp_path / "own.npz"
    np.savez(file, **{"x_train": x, "y_train": y, "x_test": x[:2], "y_test": y[:2]} | others)
    return str(file)


def set_up(config):
    module = config.build(0)
    module.setup()
    return module


@pytest.mark.parametrize(
    "laid_out",
    [
        lambda images: images,
        lambda images: images[..., None],
        lambda images: images[:, None],
        lambda images: images.astype(int),
        lambda images: torch.from_numpy(images),
    ],
)
def test_images_come_in_several_layouts(laid_out):
    arrays = checked_arrays(Kind.image, laid_out(IMAGES), LABELS, laid_out(IMAGES), LABELS)
    assert arrays.x_train.dtype == np.uint8
    assert np.array_equal(arrays.x_train, IMAGES[:, None])


def test_colour_may_come_last_or_first():
    colour = RANDOM.random((2, 4, 5, 3))
    last = checked_arrays(Kind.image, colour, [0, 1], colour, [0, 1]).x_train
    first = checked_arrays(Kind.image, colour.transpose(0, 3, 1, 2), [0, 1], colour, [0, 1]).x_train
    assert np.array_equal(first, last)
    assert last.shape == (2, 3, 4, 5)


def test_classes_are_in_the_order_of_their_numbers_or_names():
    assert checked_arrays(Kind.features, FEATURES, LABELS, FEATURES, LABELS).classes == ("2", "10")
    names = np.array(["dog", "cat"] * 3)
    assert checked_arrays(Kind.features, FEATURES, names, FEATURES, names).classes == ("cat", "dog")


def test_a_file_of_keras_is_read(tmp_path):
    column = LABELS[:, None]  # cifar10.load_data() returns labels (n, 1)
    module = set_up(ImageArraysConfig(file=saved(tmp_path, IMAGES, column), val=ValidationSplit.test))
    assert module.spec.classes == ("2", "10")
    assert module.test.targets.tolist() == [0, 1]
    assert module.train.inputs.shape == (6, 1, 4, 5)


@pytest.mark.parametrize("scale", [1, 255.0, -0.01])
def test_pixels_are_divided_by_the_largest_magnitude(tmp_path, scale):
    images = IMAGES if scale == 1 else IMAGES / scale
    module = set_up(ImageArraysConfig(file=saved(tmp_path, images), val=ValidationSplit.test))
    wanted = images / np.abs(images).max()
    assert np.allclose(module.transform(module.train.inputs).numpy()[:, 0], wanted, atol=1e-6)


def test_evaluating_leaves_float_images_as_they_are(tmp_path):
    config = ImageArraysConfig(file=saved(tmp_path, IMAGES / 7.0), scaling=Scaling.standardize)
    module = set_up(config)
    before = module.val.inputs.clone()
    list(module.val_dataloader())
    assert torch.equal(module.val.inputs, before)
    scaled = module.transform(module.train.inputs)
    assert float(scaled.mean()) == pytest.approx(0, abs=1e-6)
    assert float(scaled.std(correction=0)) == pytest.approx(1, abs=1e-6)


def test_an_image_is_shown_from_black_to_white(tmp_path):
    module = set_up(ImageArraysConfig(file=saved(tmp_path, IMAGES.astype(float) - 100)))
    shown = module.shown(module.test.inputs[0])
    assert (shown.dtype, shown.shape, shown.min(), shown.max()) == (np.uint8, (4, 5), 0, 255)


@pytest.mark.parametrize(("scaling", "scaler"), [("standardize", StandardScaler()), ("min_max", MinMaxScaler())])
def test_features_are_scaled_as_scikit_learn_does(tmp_path, scaling, scaler):
    values = np.column_stack([FEATURES, np.full(6, 5.0)])  # the last is constant
    config = FeatureArraysConfig(file=saved(tmp_path, values), val=ValidationSplit.test)
    config.scaling = type(config.scaling)[scaling]
    module = set_up(config)
    assert np.allclose(
        module.transform(module.test.inputs).numpy(), scaler.fit(values).transform(values[:2]), atol=1e-5
    )


def test_what_was_fitted_is_restored_and_other_features_are_refused(tmp_path):
    module = set_up(FeatureArraysConfig(file=saved(tmp_path, FEATURES)))
    other = FeatureArraysConfig(file="nowhere").build(1)
    other.load_state_dict(module.state_dict())
    assert torch.equal(other.transform(module.train.inputs), module.transform(module.train.inputs))
    assert other.encode(["1,2,3,4"]).tolist() == [[1, 2, 3, 4]]
    other.config.file = saved(tmp_path, FEATURES[:, :3])
    with pytest.raises(DataError, match=r"have the shape \(3,\), the model reads \(4,\)"):
        other.setup()


def test_other_pixels_and_other_classes_than_the_model_was_trained_with(tmp_path):
    module = set_up(ImageArraysConfig(file=saved(tmp_path, IMAGES)))
    other = ImageArraysConfig(file=saved(tmp_path, IMAGES / 255)).build(1)
    other.load_state_dict(module.state_dict())
    with pytest.raises(DataError, match="trained with uint8 images, x_train is float32: give uint8"):
        other.setup()
    other.config.file = saved(tmp_path, IMAGES, LABELS + 1)
    with pytest.raises(DataError, match="has the class 11, 3, the model 2, 10"):
        other.setup()


def test_ids_are_below_the_vocabulary(tmp_path):
    module = set_up(SequenceArraysConfig(file=saved(tmp_path, IDS)))
    assert module.spec.vocabulary_size == IDS.max() + 1
    other = SequenceArraysConfig(file=saved(tmp_path, IDS + 5)).build(1)
    other.load_state_dict(module.state_dict())
    with pytest.raises(DataError, match=f"the ids go up to {IDS.max() + 5}, those of the model to {IDS.max()}"):
        other.setup()
    with pytest.raises(DataError, match="predict from Python"):
        other.encode(["good"])


X, Y = FEATURES, LABELS
LARGE, INFINITE = X.astype(float) * 1e300, np.where([0, 0, 1, 0], np.inf, X)
BAD = [
    (Kind.image, (X, Y, X, Y), r"x_train has the shape \(6, 4\): give images \(n, height"),
    (Kind.features, (IMAGES, Y, IMAGES, Y), r"x_train has the shape \(6, 4, 5\): give features"),
    (Kind.features, (X[:0], [], X, Y), r"x_train has the shape \(0, 4\)"),
    (Kind.features, (X, Y[:5], X, Y), r"x_train has the shape \(6, 4\), y_train \(5,\)"),
    (Kind.features, (X, Y, X[:, :3], Y), r"x_test have the shape \(3,\): x_test needs \(n, 4\)"),
    (Kind.features, (X, np.eye(6), X, Y), r"y_train has the shape \(6, 6\).*argmax\(1\)"),
    (Kind.features, (X, Y + 0.5, X, Y), "y_train holds float64 labels: give whole numbers"),
    (Kind.features, (X, [None] * 6, X, Y), "y_train holds labels of mixed types, or missing ones"),
    (Kind.features, (X, [1] * 6, X, [1] * 6), "y_train has one class only, 1: give samples of two or more"),
    (Kind.features, (X, Y, X, Y + 1), "y_test has labels that y_train lacks, 11, 3: its classes"),
    (Kind.features, (X, ["a\n", "b"] * 3, X, ["b"] * 6), r"a class 'a\\n', which cannot be written"),
    (Kind.features, (X.astype(str), Y, X, Y), "x_train holds <U"),
    (Kind.features, (INFINITE, Y, X, Y), r"6 values .* not finite .* at \(0, 2\)"),
    (Kind.features, (LARGE, Y, X, Y), "x_train has 24 values that are not finite in float32"),
    (Kind.image, (IMAGES + np.uint16(1000), Y, IMAGES, Y), "x_train holds uint16 from 1.*: give pixels, whole"),
    (Kind.image, (IMAGES, Y, IMAGES / 255, Y), "x_train is uint8 and x_test float32: give both as one"),
    (Kind.sequence, (IDS - 1, Y, IDS, Y), "x_train holds int64 from -1 to 7: give ids, whole numbers from 0"),
    (Kind.sequence, (X, Y, IDS, Y), "x_train holds float32 from .*: give ids"),
]


@pytest.mark.parametrize(("kind", "arrays", "message"), BAD)
def test_what_does_not_fit_is_refused_with_the_shape_that_came(kind, arrays, message):
    with pytest.raises(DataError, match=message):
        checked_arrays(kind, *arrays)


def test_files_that_are_not_such_a_file(tmp_path):
    file = tmp_path / "own.npz"
    with pytest.raises(DataError, match=r"own\.npz cannot be read \(No such file or directory\): set data\.file to an"):
        read_arrays(str(file), Kind.features)
    file.write_text("text")
    with pytest.raises(DataError, match=r"cannot be read \(File is not a zip file\)"):
        read_arrays(str(file), Kind.features)
    np.savez(file, x_test=FEATURES, y_train=LABELS)
    with pytest.raises(DataError, match="has no x_train and no y_test: write them with"):
        read_arrays(str(file), Kind.features)
    np.savez(file, x_train=FEATURES)
    with pytest.raises(DataError, match="has no y_train: write them with"):
        read_arrays(str(file), Kind.features)
    np.savez(file, x_train=np.array([[1], [1, 2]], object), y_train=LABELS, x_test=FEATURES, y_test=LABELS)
    with pytest.raises(DataError, match="Object arrays cannot be loaded"):
        read_arrays(str(file), Kind.features)
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(DataError, match="cannot be read"):
        read_arrays(str(file), Kind.features)
