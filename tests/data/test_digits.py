import numpy as np
import torch
from sklearn.datasets import load_digits

from dlproj.config.images import DigitsConfig, Scaling


def data(**settings):
    module = DigitsConfig(**settings).build(0)
    module.prepare_data()
    module.setup()
    return module


def test_every_image_is_there_once():
    module = data()
    splits = (module.train, module.val, module.test)
    assert [len(split) for split in splits] == [1293, 144, 360]
    ours = [
        (*image.flatten().tolist(), target.item())
        for s in splits
        for image, target in zip(s.inputs, s.targets, strict=True)
    ]
    digits = load_digits()
    theirs = np.column_stack([digits.data, digits.target]).astype(int).tolist()
    assert sorted(ours) == sorted(map(tuple, theirs))
    assert module.train.inputs.dtype == torch.uint8
    assert module.train.inputs.shape[1:] == module.spec.shape == (1, 8, 8)


def test_the_test_set_is_a_fifth_of_every_class():
    parts = data().test.targets.bincount() / torch.from_numpy(load_digits().target).bincount()
    assert (parts - 0.2).abs().max() < 0.004


def test_the_test_set_does_not_depend_on_the_seed():
    other = DigitsConfig().build(7)
    other.setup()
    assert torch.equal(data().test.inputs, other.test.inputs)


def test_the_largest_pixel_is_16():
    module = data()
    assert module.train.inputs.max() == 16
    assert module.transform(module.train.inputs).max() == 1
    assert data(scaling=Scaling.none).transform(module.train.inputs).max() == 16
