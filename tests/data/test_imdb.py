import hashlib
import io
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.error import URLError

import pooch
import pytest
import torch

from dlproj.config.checks import ConfigurationError, DataError
from dlproj.config.data import Side
from dlproj.config.texts import IMDBConfig
from dlproj.data import imdb, tokenized
from dlproj.data.imdb import IMDBDataModule, read_reviews


def texts():
    """Small reviews by their path below aclImdb; a positive one says good, a negative one bad."""
    found = {}
    for split, count in (("train", 10), ("test", 4)):
        for folder, word in (("neg", "bad"), ("pos", "good")):
            for number in range(count):
                found[f"{split}/{folder}/{number}_5.txt"] = f"The film number{number} is {word}, isn't it?<br />"
    return found


def write(root, files=None):
    for name, text in (files or texts()).items():
        path = root / "aclImdb" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    """The trees made here are not the whole data, and the tests of what is logged need not hear of it."""
    monkeypatch.setattr(IMDBDataModule, "official_sizes", None)


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(pooch, "retrieve", offline)
    write(tmp_path)
    return tmp_path


def offline(*_, **__):
    raise URLError("no route to host")


def data(root, seed=0, **settings):
    module = IMDBConfig(root=str(root), **({"length": 10, "batch_size": 4} | settings)).build(seed)
    module.prepare_data()
    module.setup()
    return module


def decoded(module, samples):
    return [" ".join(module.words[i - 4] if i > 3 else "0S?"[i] for i in ids) for ids in samples.inputs.tolist()]


def caches(root):
    return sorted(root.glob("aclImdb-*.pt"))


def test_reviews_come_back_as_words_with_their_targets(root):
    module = data(root)
    for samples in (module.train, module.val, module.test):
        for text, target in zip(decoded(module, samples), samples.targets.tolist(), strict=True):
            assert text.startswith("0 S the film ")
            assert text.endswith(f"is {('bad', 'good')[target]} isn't it br")
    assert (len(module.train), len(module.val), len(module.test)) == (18, 2, 8)
    assert len({text for part in (module.train, module.val) for text in decoded(module, part)}) == 20
    assert module.train.inputs.dtype == torch.int32
    assert module.train.targets.dtype == torch.int64


def test_the_byte_order_mark_of_windows_is_no_word(root):
    path = root / "aclImdb" / "train" / "neg" / "0_5.txt"
    path.write_text(path.read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert not any("\ufeff" in word for word in data(root).words)


def test_a_review_is_shown_as_the_words_that_the_model_sees(root):
    module = data(root, vocabulary_size=9, length=12)
    assert sorted(module.words[:5]) == ["br", "film", "is", "isn't", "it"]
    for text in map(module.shown, module.train.inputs):
        assert text == "<unknown> film <unknown> is <unknown> isn't it br"
    whole = data(root, padding=Side.post)
    assert whole.shown(whole.test.inputs[0]).startswith("the film number")


def test_the_order_is_fixed_and_mixes_the_classes(root):
    first, other = data(root), data(root, seed=9)
    assert torch.equal(first.train.inputs, other.train.inputs)
    for samples in (first.train, first.test):
        assert samples.targets.diff().abs().sum() > 1


def test_spec_says_what_a_model_needs():
    spec = IMDBConfig(root="/nowhere", vocabulary_size=500, length=30, padding=Side.post).spec()
    assert (spec.shape, spec.classes, spec.vocabulary_size, spec.padding) == (
        (30,),
        ("negative", "positive"),
        500,
        "post",
    )


@pytest.mark.parametrize(("key", "value"), [("vocabulary_size", 4), ("length", 0), ("batch_size", 0)])
def test_impossible_settings(key, value):
    with pytest.raises(ConfigurationError, match=f"data.{key}={value} must be in"):
        IMDBConfig(**{key: value})


@pytest.fixture
def uneven(tmp_path):
    """A root of 80 + 2 reviews of one to forty words."""
    train = {f"train/{folder}/{n}_5.txt": "word " * n for folder in ("neg", "pos") for n in range(1, 41)}
    write(tmp_path, train | {f"test/{folder}/0_5.txt": "word" for folder in ("neg", "pos")})
    return tmp_path


def test_reviews_are_bucketed_by_their_ids_that_are_no_padding(uneven):
    settings = {"length": 30, "padding": Side.post, "bucket_by_length": True}
    module = data(uneven, **settings)
    lengths = [len(text.replace(" 0", "").split()) for text in decoded(module, module.train)]
    assert module.bucketing_lengths().tolist() == lengths
    assert (min(lengths), max(lengths)) == (2, 30), "START and one word; cut at 30"
    longest = [int((inputs != 0).sum(1).max()) for inputs, _ in module.train_dataloader()]
    unsorted = data(uneven, **settings | {"bucket_by_length": False})
    assert unsorted.bucketing_lengths() is None
    assert sum(longest) < 0.8 * sum(int((inputs != 0).sum(1).max()) for inputs, _ in unsorted.train_dataloader())


def test_a_second_start_reads_the_cache_whatever_length_and_vocabulary(root, monkeypatch):
    first = data(root)
    assert len(caches(root)) == 1
    monkeypatch.setattr("dlproj.data.vocabulary.tokenize", None)
    second = data(root)
    assert torch.equal(first.train.inputs, second.train.inputs)
    assert torch.equal(first.test.targets, second.test.targets)
    assert first.words == second.words
    short = data(root, length=7, vocabulary_size=6)
    assert short.train.inputs.shape == (18, 7)
    assert short.train.inputs.max() == 5
    assert len(caches(root)) == 1


def test_setup_alone_reads_the_data_too(root):
    module = IMDBConfig(root=str(root), length=10).build(0)
    module.setup()
    assert torch.equal(module.train.inputs, data(root).train.inputs)


def test_one_run_reads_the_data_once_though_the_test_prepares_them_again(root, monkeypatch):
    module = data(root)
    first = module.test
    monkeypatch.setattr(imdb, "read_reviews", pytest.fail)
    module.prepare_data()
    module.setup("test")
    assert module.test is first


def test_changed_reviews_are_read_anew(root):
    data(root)
    (root / "aclImdb" / "train" / "neg" / "0_5.txt").write_text("surprise surprise surprise")
    assert "surprise" in data(root).words
    assert len(caches(root)) == 2


def flip_a_byte(content):
    """Spoil one rank, which torch.load does not notice."""
    ranks = torch.load(io.BytesIO(content), weights_only=True)["tensors"][0].numpy().tobytes()
    place = content.index(ranks) + 9
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: b"",
        lambda content: b"hello",
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1],
        flip_a_byte,
    ],
    ids=["empty", "text", "half", "one byte short", "one byte flipped"],
)
def test_a_damaged_cache_is_rebuilt(root, spoil, caplog, left_over):
    first = data(root)
    (cache,) = caches(root)
    whole = cache.read_bytes()
    cache.write_bytes(spoil(whole))
    assert torch.equal(data(root).train.inputs, first.train.inputs)
    assert "is damaged: the texts are tokenised again" in caplog.text
    caplog.clear()
    data(root)
    assert caplog.text == ""
    assert left_over(root) == []


def test_a_cache_of_other_content_is_rebuilt(root):
    first = data(root)
    torch.save({"words": "a", "tensors": []}, caches(root)[0])
    assert torch.equal(data(root).train.inputs, first.train.inputs)


@pytest.mark.parametrize(
    ("function", "error"),
    [
        ("torch.save", RuntimeError("Parent directory /nowhere does not exist.")),  # torch's own, for an OSError
        ("os.replace", PermissionError(13, "Permission denied")),
    ],
)
def test_a_root_that_cannot_be_written_to_still_trains(root, monkeypatch, caplog, left_over, function, error):
    def refused(*_):
        raise error

    rank = tokenized.rank
    monkeypatch.setattr(f"dlproj.data.tokenized.{function}", refused)
    calls = []
    monkeypatch.setattr(tokenized, "rank", lambda *texts: calls.append(1) or rank(*texts))
    assert len(data(root).train) == 18
    assert len(calls) == 1, "the reviews must not be tokenised twice"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "could not be kept in" in caplog.text
    assert caches(root) == left_over(root) == []


def test_runs_that_start_together_get_the_same(root, left_over):
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: read_reviews(root), range(4)))
    assert len({each.checksum() for each in found}) == 1
    assert len(caches(root)) == 1
    assert left_over(root) == []


def test_a_review_that_is_not_utf8_is_named(root):
    path = root / "aclImdb" / "test" / "pos" / "2_5.txt"
    path.write_bytes(b"caf\xe9")
    with pytest.raises(DataError, match=f"{path} is not readable UTF-8 text .*delete the folder aclImdb") as caught:
        data(root)
    assert "\n" not in str(caught.value)
    assert caches(root) == []


def test_all_reviews_that_cannot_be_read_are_named_at_once(root):
    paths = [root / "aclImdb" / "train" / folder / "3_5.txt" for folder in ("neg", "pos")]
    for path in paths:
        path.write_bytes("größer".encode("utf-16"))
    with pytest.raises(DataError, match=r"^2 reviews cannot be used: .*: delete the folder aclImdb and run") as caught:
        data(root)
    assert all(f"{path} is not readable UTF-8 text (" in str(caught.value) for path in paths)


def test_other_files_are_no_reviews(root):
    before = data(root)
    (root / "aclImdb" / "train" / "neg" / "._0_5.txt").write_bytes(b"\xff\xfe")
    (root / "aclImdb" / "train" / "neg" / "notes.md").write_text("unrelated")
    assert data(root).words == before.words


def test_an_empty_folder_is_named(root):
    for path in (root / "aclImdb" / "test" / "neg").iterdir():
        path.unlink()
    with pytest.raises(DataError, match=f"{root}/aclImdb/test/neg is missing, incomplete or damaged"):
        data(root)


# The download


def archive(folder, members=(), name="aclImdb_v1.tar.gz"):
    """The Stanford archive in small, with more members (TarInfo, content) at its end."""
    with tarfile.open(folder / name, "w:gz") as tar:
        files = texts() | {"train/unsup/0_0.txt": "no label", "imdb.vocab": "the", "README": "read me"}
        for path, text in files.items():
            info = tarfile.TarInfo(f"aclImdb/{path}")
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return folder / name


def serve(monkeypatch, *members, cut=None):
    def retrieve(url, known_hash, fname, path, progressbar):
        assert (url, known_hash, progressbar) == (imdb.URL, f"md5:{imdb.MD5}", True)
        made = archive(Path(path), members, fname)
        made.write_bytes(made.read_bytes()[:cut])
        return str(made)

    monkeypatch.setattr(pooch, "retrieve", retrieve)


def test_the_archive_is_unpacked_and_moved_into_place(root, tmp_path, monkeypatch, left_over):
    serve(monkeypatch)
    new = tmp_path / "new"
    assert torch.equal(data(new).train.inputs, data(root).train.inputs)
    assert sorted(path.name for path in (new / "aclImdb").iterdir()) == ["test", "train"]
    assert not (new / "aclImdb" / "train" / "unsup").exists()
    assert sorted(path.suffix for path in new.iterdir()) == ["", ".pt"]
    assert left_over(new) == []


def member(name, kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info, b"evil" if kind == tarfile.REGTYPE else b""


@pytest.mark.parametrize(
    "evil",
    [
        member("../evil.txt"),
        member("aclImdb/train/pos/../../../../evil.txt"),
        member("/tmp/evil.txt"),
        member("aclImdb/train/pos/link.txt", tarfile.SYMTYPE, "/etc/passwd"),
        member("aclImdb/train/pos/hard.txt", tarfile.LNKTYPE, "aclImdb/README"),
        member("aclImdb/train/pos/device.txt", tarfile.CHRTYPE),
        member("aclImdb/train/pos/pipe.txt", tarfile.FIFOTYPE),
    ],
    ids=lambda evil: evil[0].name,
)
def test_an_unsafe_archive_is_refused(tmp_path, monkeypatch, evil):
    serve(monkeypatch, evil)
    root = tmp_path / "root"
    with pytest.raises(
        DataError, match=r"aclImdb_v1.tar.gz was refused: its member .* lies outside its folder or is a"
    ):
        data(root)
    assert list(root.iterdir()) == []
    assert list(tmp_path.iterdir()) == [root]


@pytest.mark.parametrize("cut", [0, 10, 300, -200])
def test_a_truncated_archive_leaves_nothing(tmp_path, monkeypatch, cut):
    serve(monkeypatch, cut=cut)
    with pytest.raises(DataError, match="aclImdb/train/neg is missing and could not be downloaded") as caught:
        data(tmp_path)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_checksum_is_refused(tmp_path, monkeypatch):
    def choose(url, progressbar):
        return lambda url, file, pooch: Path(file).write_bytes(b"a page that says: sign in to this network")

    monkeypatch.setattr("pooch.core.choose_downloader", choose)
    with pytest.raises(DataError, match=r"could not be downloaded .*hash"):
        data(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_no_network(tmp_path, monkeypatch):
    monkeypatch.setattr(pooch, "retrieve", offline)
    with pytest.raises(
        DataError, match=r"no route to host.*run again, copy the folder aclImdb into data.root"
    ) as caught:
        data(tmp_path / "new")
    assert "data=digits" not in str(caught.value)
    assert list((tmp_path / "new").iterdir()) == []


def test_the_real_reviews(real):
    module = data(real("aclImdb"), length=200, batch_size=128)
    assert len(module.words) == 88_582
    assert module.words[:5] == ["the", "and", "a", "of", "to"]
    targets = torch.cat([module.train.targets, module.val.targets])
    assert targets.bincount().tolist() == module.test.targets.bincount().tolist() == [12_500, 12_500]
    assert 1150 < module.val.targets.sum() < 1350
    assert module.train.inputs.shape == (22_500, 200)
    assert module.train.inputs.max() == 9_999


def test_the_real_reviews_are_as_long_as_in_keras(real):
    """Keras's imdb.load_data() has 238.71364 ids a training review and 230.8042 a test review, START included."""
    found = read_reviews(Path(real("aclImdb")))
    assert abs(len(found.train.ranks) / 25_000 + 1 - 238.71364) < 1e-5
    assert abs((found.test.ranks > 0).sum().item() / 25_000 + 1 - 230.8042) < 1e-3


def test_a_text_gets_the_ids_that_it_has_as_a_review(root):
    """Restored without the data, in the order of the files, by the words that have ids."""
    for settings in ({}, {"vocabulary_size": 9, "length": 5, "padding": Side.post, "truncating": Side.post}):
        module = data(root, **settings)
        restored = IMDBConfig(root="nowhere", **({"length": 10, "batch_size": 4} | settings)).build(1)
        state = module.state_dict()
        restored.load_state_dict(state)
        assert restored.spec == module.spec
        assert len(state["words"].split("\n")) <= module.config.vocabulary_size - 4
        written = [Path(file.path).read_text() for file in imdb.scan(root / "aclImdb", "train")]
        assert torch.equal(restored.encode(written), torch.cat([module.train.inputs, module.val.inputs]))
    assert restored.encode(["", "never-seen!"]).tolist() == [[1, 0, 0, 0, 0], [1, 2, 2, 0, 0]]


@pytest.mark.slow
def test_real_reviews_get_the_ids_of_training(real):
    root = real("aclImdb")
    module = IMDBConfig(root=root).build(0)
    module.prepare_data()
    module.setup()
    restored = IMDBConfig(root="nowhere").build(0)
    restored.load_state_dict(module.state_dict())
    written = [Path(file.path).read_text() for file in imdb.scan(Path(root) / "aclImdb", "test")[:2000]]
    assert torch.equal(restored.encode(written), module.test.inputs[:2000])


def test_an_archive_beside_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(pooch, "retrieve", offline)
    archive(tmp_path)
    path = tmp_path / "aclImdb_v1.tar.gz"
    with pytest.raises(DataError, match=f"{path} is missing, incomplete or damaged"):  # it is not Stanford's
        data(tmp_path)
    monkeypatch.setattr(imdb, "MD5", hashlib.md5(path.read_bytes()).hexdigest())
    assert len(data(tmp_path).test) == 8
