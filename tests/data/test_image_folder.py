import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import ImageFolder
from torchvision.transforms import functional

from dlproj.config.checks import ConfigurationError, DataError
from dlproj.config.images import ImageFolderConfig
from dlproj.data.data_files import files_below
from dlproj.data.image_folder import EXTENSIONS

SPLITS = ("train", "test")
RANDOM = np.random.default_rng(0)


def write(path, size=(32, 32), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = RANDOM.integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)


@pytest.fixture
def root(tmp_path):
    for split, count in (("train", 10), ("test", 3)):
        for name in ("dog", "cat"):
            for number in range(count):
                write(tmp_path / split / name / f"{number}.png")
    return tmp_path


def data(root, **settings):
    module = ImageFolderConfig(root=str(root), **settings).build(0)
    module.prepare_data()
    module.setup()
    return module


def as_set(images, targets):
    return sorted((image.tobytes(), int(target)) for image, target in zip(images, targets, strict=True))


def test_images_are_those_of_torchvision(root):
    module = data(root)
    for split, parts in (("train", (module.train, module.val)), ("test", (module.test,))):
        theirs = ImageFolder(root / split)
        images = [np.asarray(image).transpose(2, 0, 1).copy() for image, _ in theirs]
        ours = torch.cat([part.inputs for part in parts]).numpy()
        targets = torch.cat([part.targets for part in parts])
        assert as_set(ours, targets) == as_set(images, theirs.targets)
        assert module.spec.classes == tuple(theirs.classes) == ("cat", "dog")
    assert module.train.inputs.dtype == torch.uint8


def test_training_images_have_one_order_that_is_not_by_class(root):
    first, again = data(root), data(root)
    assert torch.equal(first.train.inputs, again.train.inputs)
    assert first.train.targets.diff().abs().sum() > 1


@pytest.mark.parametrize("size", [(48, 64), (7, 5), (32, 31)])
@pytest.mark.parametrize("channels", [1, 3])
def test_other_sizes_and_modes_are_converted_as_torchvision_does(root, size, channels):
    modes = {"a.png": "RGB", "b.png": "L", "c.png": "RGBA", "d.png": "P", "e.png": "1"}
    for name, mode in modes.items():
        write(root / "test" / "bird" / name, size, mode)
    write(root / "train" / "bird" / "a.png", size)
    ours = data(root, channels=channels, image_size=16).test.inputs[: len(modes)]
    for name, image in zip(modes, ours, strict=True):
        wanted = Image.open(root / "test" / "bird" / name).convert("RGB" if channels == 3 else "L")
        wanted = functional.pil_to_tensor(functional.resize(wanted, [16, 16], antialias=True))
        assert torch.equal(image, wanted), name


def test_shrinking_is_antialiased(root):
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 255
    for split in ("train", "test"):
        (root / split / "a").mkdir()
        Image.fromarray(stripes).save(root / split / "a" / "stripes.png")
    inner = data(root, image_size=16, channels=1).test.inputs[0, 0, 2:-2, 2:-2]
    assert (inner.float() - 127.5).abs().max() < 2


def test_extensions_are_those_of_torchvision_and_more():
    from torchvision.datasets.folder import IMG_EXTENSIONS

    assert EXTENSIONS[: len(IMG_EXTENSIONS)] == IMG_EXTENSIONS


def test_other_files_are_left_out_and_named_and_hidden_ones_left_out(root, caplog):
    for place in (
        "train/dog/notes.txt",
        "train/dog/a.avif",
        "train/dog/b.avif",
        "train/dog/.hidden.png",
        "train/README",
    ):
        (root / place).write_text("no image")
    (root / "train" / ".cache").mkdir()
    write(root / "train" / "dog" / "UPPER.PNG")
    module = data(root)
    module.prepare_data()  # as the trainer does once more
    assert len(module.train) + len(module.val) == 21
    names = f"{root}/train/README, {root}/train/dog/a.avif, {root}/train/dog/b.avif, …"
    assert caplog.messages == [f"4 of 31 files were left out: 2 .avif, 1 without extension, 1 .txt: {names}"]


def test_nothing_is_said_where_all_is_read(root, caplog):
    data(root)
    assert caplog.messages == []


def test_folders_of_a_class_are_read_to_their_ends_through_links_as_torchvision_does(root):
    write(root / "train" / "cat" / "batch2" / "deep" / "1.gif", mode="P")
    write(root / "train" / "cat" / "batch2" / "2.jpg")
    write(root / "elsewhere" / "3.png")
    (root / "train" / "dog" / "more").symlink_to(root / "elsewhere")
    (root / "test" / "cat" / "4.png").symlink_to(root / "elsewhere" / "3.png")
    module = data(root)
    theirs = {
        split: ImageFolder(root / split, is_valid_file=lambda name: name.endswith(EXTENSIONS)) for split in SPLITS
    }
    assert len(theirs["train"]) == 23
    targets = torch.cat([module.train.targets, module.val.targets])
    assert targets.bincount().tolist() == np.bincount(theirs["train"].targets).tolist()
    assert module.test.targets.bincount().tolist() == np.bincount(theirs["test"].targets).tolist()
    assert [Path(path).name for path in files_below(root / "train" / "cat", EXTENSIONS).found[-2:]] == [
        "2.jpg",
        "1.gif",
    ]


def test_a_link_to_a_folder_above_is_not_followed_for_ever(root):
    (root / "train" / "dog" / "loop").symlink_to(root / "train")
    (root / "test" / "dog" / "self").symlink_to(root / "test" / "dog")
    module = data(root)
    # torchvision would read the same files dozens of times, and the cats as dogs.
    assert len(module.test) == 6
    assert torch.cat([module.train.targets, module.val.targets]).bincount().tolist() == [10, 10]


def test_a_folder_that_cannot_be_read_is_named_and_not_left_out(root, monkeypatch):
    locked = root / "train" / "dog" / "locked"
    locked.mkdir()
    scandir = os.scandir

    def refusing(path):
        if Path(path) == locked:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(
        DataError, match=rf"^{locked} cannot be read \(.*Permission denied.*\): make it readable or remove"
    ):
        data(root)


def test_that_other_frames_are_not_read_is_said(root, caplog):
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    frames[0].save(root / "train" / "cat" / "film.gif", save_all=True, append_images=frames[1:])
    frames[0].save(root / "test" / "cat" / "pages.tif", save_all=True, append_images=frames[1:])
    data(root)
    assert caplog.messages == ["2 images have several frames or pages: the first of each is read"]


def test_a_first_frame_is_read_where_the_second_is_cut_off(root):
    film = io.BytesIO()
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    frames[0].save(film, "GIF", save_all=True, append_images=frames[1:])
    alone = io.BytesIO()
    frames[0].save(alone, "GIF")
    lengths = range(len(alone.getvalue()) - 1, len(film.getvalue()))
    samples = lambda module: len(module.train) + len(module.val)
    before = samples(data(root))
    for length in lengths:
        (root / "train" / "cat" / f"{length}.gif").write_bytes(film.getvalue()[:length])
    assert samples(data(root)) == before + len(lengths)


def test_a_folder_for_validation_is_said_not_to_be_read(root, caplog):
    (root / "Val").mkdir()
    (root / "logs").mkdir()
    data(root)
    assert caplog.messages == ["Val/ is not read: validation samples are taken from train/"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
def test_a_pipe_is_not_waited_for(root):
    os.mkfifo(root / "train" / "cat" / "pipe.png")
    (root / "train" / "cat" / "link.png").symlink_to("pipe.png")
    assert len(data(root).test) == 6


def test_a_link_to_nothing_is_named(root):
    path = root / "train" / "cat" / "gone.png"
    path.symlink_to(root / "nowhere.png")
    with pytest.raises(DataError, match=rf"^{path} cannot be read \(.*No such file.*\): replace or delete it$"):
        data(root)


def test_all_images_that_cannot_be_read_are_named_at_once(root):
    bad = [root / "train" / "cat" / "3.png", root / "test" / "dog" / "1.png"]
    for path in bad:
        path.write_text("no image")
    with pytest.raises(DataError, match=f"^2 images cannot be used: {bad[0]} is damaged .*; {bad[1]} is damaged"):
        data(root)


def test_the_order_of_a_flat_tree_is_what_it_was(root):
    """Runs made before are evaluated on the same split: sorted by class and name, then numpy's permutation."""
    names = sorted(path.name for path in (root / "train" / "cat").iterdir())
    paths = [root / "train" / name / file for name in ("cat", "dog") for file in names]
    order = np.random.RandomState(113).permutation(len(paths))
    wanted = np.stack([np.asarray(Image.open(paths[place])) for place in order]).transpose(0, 3, 1, 2)
    module = data(root)
    assert np.array_equal(torch.cat([module.train.inputs, module.val.inputs]).numpy(), wanted)


@pytest.mark.parametrize("name", [b"caf\xe9", b"a\nb", b"a\tb", b"\x1b[2J"])
def test_a_class_whose_name_cannot_be_written_is_refused(root, name):
    for split in SPLITS:
        shutil.copytree(root / split / "dog", root / split / os.fsdecode(name))
    with pytest.raises(DataError, match=r"has characters in its name that cannot be written .*: rename it") as caught:
        data(root)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("names", [("caf\u00e9", "cafe\u0301"), ("cat", "cat "), ("cat", " cat")])
def test_classes_whose_names_look_the_same_are_refused(root, names):
    for name in names:
        for split in SPLITS:
            shutil.copytree(root / split / "dog", root / split / name, dirs_exist_ok=True)
    with pytest.raises(DataError, match=r"has class folders whose names look the same, '.*' and '.*': rename one"):
        data(root)


def test_names_that_look_the_same_in_train_and_test_are_told_apart(root):
    """As trees that were copied from a Mac in part have them."""
    (root / "train" / "dog").rename(root / "train" / "caf\u00e9")
    (root / "test" / "dog").rename(root / "test" / "cafe\u0301")
    with pytest.raises(DataError, match=r"but 'cafe\\u0301', 'caf\\xe9' is in one only: the names look alike"):
        data(root)


def test_letters_that_differ_in_case_and_other_scripts_are_classes(root):
    for name in ("a", "A", "猫", "قطة", "👩‍🔬", "with space"):
        for split in SPLITS:
            shutil.copytree(root / split / "dog", root / split / name)
    assert set(data(root).spec.classes) == {"a", "A", "猫", "قطة", "👩‍🔬", "with space", "cat", "dog"}


@pytest.mark.parametrize("content", ["truncated", "text", "empty"])
def test_an_unreadable_image_is_named(root, content):
    path = root / "train" / "dog" / "4.png"
    whole = path.read_bytes()
    path.write_bytes({"truncated": whole[: len(whole) // 2], "text": b"hello", "empty": b""}[content])
    with pytest.raises(DataError, match=f"{path} is damaged or not an image: replace or delete it$") as caught:
        data(root)
    assert "\n" not in str(caught.value)


def test_a_truncated_jpeg_is_named(root):
    path = root / "test" / "dog" / "9.jpg"
    write(path, (64, 64))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=f"{path} is damaged or not an image"):
        data(root)


def test_sixteen_bits_become_eight_and_are_not_clipped(root):
    path = root / "test" / "cat" / "0.png"
    Image.fromarray(np.full((32, 32), 5000, np.uint16)).save(path)
    assert (data(root).test.inputs[0] == round(5000 / 257)).all()


def test_a_tree_that_is_not_one(root, tmp_path):
    empty = tmp_path / "empty"
    for folder, message in (
        ("missing", "missing/train cannot be read .*set data.root to a folder that holds train/CLASS/"),
        ("empty", "empty/train holds no class folders: set data.root"),
    ):
        with pytest.raises(DataError, match=message):
            ImageFolderConfig(root=str(tmp_path / folder)).spec()
        (empty / "train").mkdir(parents=True, exist_ok=True)
    (empty / "train" / "a").mkdir()
    (empty / "train" / "b").mkdir()
    with pytest.raises(DataError, match=r"empty has no folder test: set data\.test_fraction=0\.2, or data\.folds=5"):
        ImageFolderConfig(root=str(empty)).spec()
    (empty / "test").touch()
    with pytest.raises(DataError, match="empty/test cannot be read"):
        ImageFolderConfig(root=str(empty)).spec()
    with pytest.raises(DataError, match=r"4\.png/train cannot be read"):
        ImageFolderConfig(root=str(root / "train" / "dog" / "4.png")).spec()


def test_a_tree_without_a_test_set_holds_some_images_out(root):
    shutil.rmtree(root / "test")
    module = data(root, test_fraction=0.5)
    assert sorted(module.test.targets.tolist()) == [0] * 5 + [1] * 5
    assert module.spec.classes == ("cat", "dog")


def test_classes_must_agree(root):
    write(root / "test" / "bird" / "1.png")
    with pytest.raises(DataError, match="must have the same class folders, but bird is in one only"):
        data(root)


def test_one_class_is_none_to_tell_apart(root):
    for split in ("train", "test"):
        shutil.rmtree(root / split / "dog")
    with pytest.raises(DataError, match="holds one class only: add a folder for another to train/ and test/"):
        data(root)


def test_an_empty_class_is_named(root):
    for split in ("train", "test"):
        (root / split / "bird").mkdir()
    with pytest.raises(DataError, match=f"{root}/train/bird holds no files with the extensions .*: add some"):
        data(root)
    (root / "train" / "bird" / "a.heic").touch()
    with pytest.raises(DataError, match=r"train/bird holds no files .*, but 1 .heic: .*/bird/a.heic: add some"):
        data(root)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": 2}, r"data.channels=2 must be 1 \(grey\) or 3 \(colour\)"),
        ({"image_size": 0}, "data.image_size=0 must be in"),
        ({"random_crop": -1}, "data.random_crop=-1 must be in"),
    ],
)
def test_impossible_settings(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        ImageFolderConfig(**settings)


@pytest.mark.slow
def test_the_real_images(real):
    module = data(f"{real('cifar10_jpeg')}/cifar10_jpeg")
    assert (len(module.train), len(module.val), len(module.test)) == (45_000, 5_000, 10_000)
    assert module.test.targets.bincount().tolist() == [1000] * 10
    assert module.val.targets.bincount(minlength=10).min() > 400
    mean = module.train.inputs.double().mean((0, 2, 3)) / 255
    # The means of CIFAR-10 itself; the JPEG loss is far below this tolerance.
    assert torch.allclose(mean, torch.tensor([0.4914, 0.4822, 0.4465], dtype=torch.float64), atol=0.005)
