"""Data sets' files, damaged by accident and on purpose: read, or refused in one line."""

import hashlib
import io
import os
import pickle
import struct
import tarfile
import zlib
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from mutations import amounts, damaged, fuzz, read_or_refused
from PIL import Image
from torchvision.datasets import CIFAR10

from dlproj.config.checks import DataError
from dlproj.config.images import CIFAR10_CLASSES, FMNISTConfig, ImageFolderConfig
from dlproj.config.texts import IMDBConfig
from dlproj.data import cifar10, idx_images
from dlproj.data.data_files import extract, refuse_problems
from dlproj.data.decoding import decode
from dlproj.data.imdb import read_reviews
from dlproj.data.mapped_files import keeping, kept, listed
from dlproj.data.vocabulary import Texts

RANDOM = np.random.default_rng(0)


class Evil:
    def __reduce__(self):
        return os.mkdir, ("evil",)


def idx(array):
    return struct.pack(f">BBBB{array.ndim}i", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


IDX = {
    "t10k-images-idx3-ubyte": idx(np.zeros((1, 28, 28), np.uint8)),
    "t10k-labels-idx1-ubyte": idx(np.zeros(1, np.uint8)),
    "train-images-idx3-ubyte": idx(RANDOM.integers(0, 256, (3, 28, 28), np.uint8)),
    "train-labels-idx1-ubyte": idx(np.arange(3, dtype=np.uint8)),
}


@amounts
@pytest.mark.parametrize("name", [name for name in IDX if name.startswith("train")])
def test_idx_files(name, examples, tmp_path):
    raw = tmp_path / "FashionMNIST/raw"
    raw.mkdir(parents=True)
    for other, content in IDX.items():
        (raw / other).write_bytes(content)

    @fuzz(examples, content=damaged(IDX[name]))
    def check(content):
        (raw / name).write_bytes(content)
        samples = read_or_refused(partial(idx_images.read, tmp_path, True, FMNISTConfig()), tmp_path)
        assert samples is None or (samples.inputs.shape[1:] == (1, 28, 28) and samples.targets.max() < 10)


@amounts
def test_idx_headers(examples, tmp_path):
    """Sizes that the file does not hold ask for no memory."""
    raw = tmp_path / "FashionMNIST/raw"
    raw.mkdir(parents=True)
    number = st.integers(-(2**31), 2**31 - 1) | st.sampled_from([0x801, 0x803, 0, 1, -1, 28])

    @fuzz(examples, images=st.tuples(*[number] * 4), labels=st.tuples(*[number] * 2), more=st.binary(max_size=40))
    def check(images, labels, more):
        (raw / "train-images-idx3-ubyte").write_bytes(struct.pack(">4i", *images) + more)
        (raw / "train-labels-idx1-ubyte").write_bytes(struct.pack(">2i", *labels) + more)
        read_or_refused(partial(idx_images.read, tmp_path, True, FMNISTConfig()), tmp_path)


def batch(**more):
    return {"data": RANDOM.integers(0, 256, (2, 3072), np.uint8), "labels": [1, 2], **more}


def forged():
    """A pickled array that claims 2⁴⁰ values."""
    array = np.zeros(3, np.uint8)
    return pickle.dumps(array, protocol=2).replace(b"K\x03\x85", b"\x8a\x06" + (2**40).to_bytes(6, "little") + b"\x85")


@pytest.fixture
def batches(tmp_path, monkeypatch):
    """A folder of CIFAR-10's files, as torchvision's checksums say."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    names = [name for name, _ in [*CIFAR10.train_list, *CIFAR10.test_list]]
    files = {name: pickle.dumps(batch()) for name in names}
    files["batches.meta"] = pickle.dumps({"label_names": list(CIFAR10_CLASSES)})
    for name, content in files.items():
        (folder / name).write_bytes(content)
    sums = {name: hashlib.md5(content).hexdigest() for name, content in files.items()}
    monkeypatch.setattr(CIFAR10, "train_list", [[name, sums[name]] for name in names[:5]])
    monkeypatch.setattr(CIFAR10, "test_list", [[names[5], sums[names[5]]]])
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": sums["batches.meta"]})
    return folder


@amounts
def test_cifar10_batches(examples, batches):
    whole = (batches / "data_batch_2").read_bytes()

    @fuzz(examples, content=damaged(whole))
    def check(content):
        (batches / "data_batch_2").write_bytes(content)
        samples = read_or_refused(partial(cifar10.read, batches.parent, train=True), batches)
        assert (samples is None) == (content != whole)


@pytest.mark.parametrize("name", ["data_batch_1", "data_batch_5", "batches.meta"])
@pytest.mark.parametrize("content", [pickle.dumps(Evil()), pickle.dumps(batch(more=Evil())), forged()])
def test_a_hostile_pickle_runs_nothing(name, content, batches):
    (batches / name).write_bytes(content)
    with pytest.raises(DataError, match=name):
        cifar10.read(batches.parent, train=True)


@pytest.fixture
def reviews(tmp_path):
    for split in ("train", "test"):
        for folder in ("neg", "pos"):
            (tmp_path / "aclImdb" / split / folder).mkdir(parents=True)
            for number in range(2):
                path = tmp_path / "aclImdb" / split / folder / f"{number}_5.txt"
                path.write_text(f"A film{number}, isn't it? {folder}<br /> naïve")
    return tmp_path


def encoded(root):
    """What a model is given of them."""
    module = IMDBConfig(root=str(root), length=6, vocabulary_size=8).build(0)
    module.prepare_data()
    train, test = module.load()
    assert (len(train), len(test)) == (len(train.targets), len(test.targets))
    assert not [one for one in root.iterdir() if one.name.startswith(".")]
    for samples in (train, test):
        assert samples.inputs.shape[1:] == (6,)
        assert samples.inputs.numel() == 0 or 0 <= samples.inputs.min() <= samples.inputs.max() < 8
        assert samples.targets.numel() == 0 or 0 <= samples.targets.min() <= samples.targets.max() < 2
    return train


@amounts
def test_reviews(examples, reviews):
    path = reviews / "aclImdb/train/pos/1_5.txt"

    @fuzz(examples, content=damaged(path.read_bytes()) | st.binary() | st.text().map(str.encode))
    def check(content):
        path.write_bytes(content)
        read_or_refused(partial(encoded, reviews))
        for cache in reviews.glob("*.pt"):
            cache.unlink()


NAMES = st.text(st.characters(exclude_characters="/\x00", exclude_categories=["Cs"]), min_size=1, max_size=30)


@amounts
def test_names_of_reviews(examples, reviews):
    @fuzz(examples, name=NAMES, content=st.sampled_from([b"a word", b"", b"\xff", None]))
    def check(name, content):
        path = reviews / "aclImdb/test/neg" / f"{name}.txt"
        path.mkdir() if content is None else path.write_bytes(content)
        read_or_refused(partial(encoded, reviews))
        path.rmdir() if content is None else path.unlink()
        for cache in reviews.glob("*.pt"):
            cache.unlink()


@amounts
def test_the_cache_of_the_reviews(examples, reviews, caplog):
    """A damaged one is made anew."""
    whole = encoded(reviews)
    (cache,) = reviews.glob("*.pt")

    @fuzz(examples, content=damaged(cache.read_bytes()))
    def check(content):
        cache.write_bytes(content)
        assert torch.equal(read_or_refused(partial(encoded, reviews)).inputs, whole.inputs)
        caplog.clear()


@amounts
def test_a_forged_cache_of_the_reviews(examples, reviews, caplog):
    """Its checksum is right, its content is not."""
    whole = read_reviews(reviews)
    (cache,) = reviews.glob("*.pt")
    number = st.integers(-3, 40) | st.sampled_from([2**62, -(2**63)])
    tensor = st.builds(
        torch.tensor, st.lists(number, max_size=12), dtype=st.sampled_from([torch.int64, torch.float32, torch.bool])
    )
    replaced = st.tuples(st.integers(0, 5), tensor)
    stretched = st.tuples(st.integers(0, 5), st.just(torch.zeros(1, dtype=torch.int64).expand(2**40)))

    @fuzz(examples, changes=st.lists(replaced, min_size=1, max_size=2), stretch=st.lists(stretched, max_size=1))
    def check(changes, stretch):
        tensors = whole.tensors()
        for place, value in [*changes, *stretch]:
            tensors[place] = value
        state = {"words": "\n".join(whole.words), "tensors": tensors}
        fake = type(whole)(whole.words, Texts(*tensors[:2]), tensors[2], Texts(*tensors[3:5]), tensors[5])
        sizes = [one.untyped_storage().nbytes() >= one.nbytes for one in tensors]
        torch.save(state | {"checksum": fake.checksum() if all(sizes) else 0}, cache)
        read_or_refused(partial(encoded, reviews))
        caplog.clear()


def image(kind, mode="RGB", **options):
    file = io.BytesIO()
    noise = Image.fromarray(RANDOM.integers(0, 256, (12, 9, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a picture"
    if kind != "ppm" and kind != "bmp" and kind != "gif":
        options["exif"] = exif
    noise.convert(mode).save(file, kind, **options)
    return file.getvalue()


def decoded(path):
    images = decode([path], (3, 4, 4))
    refuse_problems(images.problems, "images")
    return images


IMAGES = {
    "jpeg": image("jpeg"),
    "png": image("png", "RGBA"),
    "palette": image("png", "P"),
    "ppm": image("ppm"),
    "bmp": image("bmp"),
    "tiff": image("tiff"),
    "packed tiff": image("tiff", "F", compression="tiff_deflate"),
    "webp": image("webp"),
    "gif": image("gif", "P"),
}


@amounts
@pytest.mark.parametrize("kind", IMAGES)
def test_images(kind, examples, tmp_path):
    path = tmp_path / "image.png"

    @fuzz(examples, content=damaged(IMAGES[kind]))
    def check(content):
        path.write_bytes(content)
        images = read_or_refused(partial(decoded, path), tmp_path)
        assert images is None or images.pixels.shape == (1, 3, 4, 4)


def png_of(width, height, content=b""):
    """A PNG that claims this size."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", content) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(10_000, 10_000), (20_000, 20_000), (2**31 - 1, 2**31 - 1), (2**31 - 1, 1)])
def test_an_image_that_unpacks_to_gigabytes_is_refused(size, tmp_path):
    (tmp_path / "image.png").write_bytes(png_of(*size, zlib.compress(bytes(10**7))))
    with pytest.raises(DataError, match=r"image\.png has more than 89,478,485 pixels: make it smaller or delete it$"):
        decoded(tmp_path / "image.png")


@amounts
def test_sizes_of_images(examples, tmp_path):
    """Those that the file does not hold ask for little memory."""
    number = st.integers(0, 2**32 - 1) | st.integers(0, 2**14)

    @fuzz(examples, width=number, height=number, kind=st.sampled_from(["png", "ppm", "bmp"]))
    def check(width, height, kind):
        bmp = b"BM" + struct.pack("<3I", 100, 0, 54) + struct.pack("<I2i2H", 40, width % 2**31, height % 2**31, 1, 24)
        ppm = b"P6 %d %d 255\n" % (width, height)
        content = {"png": png_of(width, height), "ppm": ppm, "bmp": bmp + bytes(90)}
        (tmp_path / "image").write_bytes(content[kind])
        read_or_refused(partial(decoded, tmp_path / "image"), tmp_path)


def test_postscript_is_handed_to_no_other_program(tmp_path, monkeypatch):
    monkeypatch.setattr("subprocess.check_call", lambda *_, **__: pytest.fail("a program was started"))
    content = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"
    (tmp_path / "image.png").write_bytes(content)
    with pytest.raises(DataError, match="is PostScript, which is not read"):
        decoded(tmp_path / "image.png")


@amounts
def test_trees_of_images(examples, tmp_path):
    for number in (0, 1):
        for split in ("train", "test"):
            (tmp_path / split / f"class{number}").mkdir(parents=True)
            (tmp_path / split / f"class{number}/0.png").write_bytes(IMAGES["png"])

    @fuzz(examples // 4, split=st.sampled_from(["train", "test"]), name=NAMES, file=NAMES, content=st.binary())
    def check(split, name, file, content):
        folder = tmp_path / split / name
        if folder.exists():
            return
        folder.mkdir()
        (folder / f"{file}.png").write_bytes(content)
        (tmp_path / "train" / name).mkdir(exist_ok=split == "train")
        read_or_refused(lambda: ImageFolderConfig(root=str(tmp_path), image_size=2).build(0).load(), tmp_path)
        (folder / f"{file}.png").unlink()
        for one in ("train", "test"):
            if (tmp_path / one / name).exists():
                (tmp_path / one / name).rmdir()


def archive(members):
    """members: name, kind and what a link points to, or what a file holds."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for name, kind, content in members:
            member = tarfile.TarInfo(name)
            member.type = kind
            if kind == tarfile.REGTYPE:
                member.size = len(content)
            else:
                member.linkname = content
            tar.addfile(member, io.BytesIO(content.encode()))
    return file.getvalue()


PARTS = st.sampled_from(["..", ".", "", "aclImdb", "train", "a.txt", "/", "\\", "C:", "a\nb.txt", "x" * 300, "~"])
KINDS = [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
MEMBERS = st.tuples(
    st.lists(PARTS, min_size=1, max_size=5).map("/".join),
    st.sampled_from(KINDS),
    st.sampled_from(["", "..", "/tmp", "a"]),
)


def unpacked(path, folder):
    """As a download does it: what goes wrong is one line, and an archive leaves things in the folder alone."""
    from dlproj.data.data_files import ensure

    ensure(folder, "set", ["whole"], lambda place: extract(path, place, ".*"))


@amounts
def test_archives_write_nowhere_else(examples, tmp_path):
    folder, path = tmp_path / "there", tmp_path / "archive.tar.gz"
    folder.mkdir()

    @fuzz(examples, members=st.lists(MEMBERS, min_size=1, max_size=4))
    def check(members):
        path.write_bytes(archive(members))
        read_or_refused(partial(unpacked, path, folder), tmp_path)


@amounts
def test_damaged_archives(examples, tmp_path):
    folder, path = tmp_path / "there", tmp_path / "archive.tar.gz"
    folder.mkdir()
    whole = archive([("aclImdb/train/a.txt", tarfile.REGTYPE, "a" * 2000), ("aclImdb", tarfile.DIRTYPE, "")])

    @fuzz(examples, content=damaged(whole))
    def check(content):
        path.write_bytes(content)
        read_or_refused(partial(unpacked, path, folder), tmp_path)


@amounts
def test_damaged_files_of_decoded_images(examples, tmp_path, monkeypatch):
    monkeypatch.setenv("DLPROJ_CACHE_DIR", str(tmp_path))
    pixels = RANDOM.integers(0, 256, (20, 3, 4, 4), np.uint8)
    with keeping("key", pixels.shape, {"source": "images"}) as array:
        array[:] = pixels
    whole = {path: path.read_bytes() for path in (tmp_path / "key.npy", tmp_path / "key.json")}

    @fuzz(examples, place=st.integers(0, 1), content=st.data())
    def check(place, content):
        for path, before in whole.items():
            path.write_bytes(before)
        path = list(whole)[place]
        path.write_bytes(content.draw(damaged(whole[path])))
        found = read_or_refused(lambda: kept("key", pixels.shape), tmp_path)
        assert (
            found is None or (found.array.shape == pixels.shape and place == 1) or np.array_equal(found.array, pixels)
        )
        assert len(read_or_refused(listed, tmp_path)) == 1
