"""data=text_folder: the texts of a tree, which are read as IMDB's reviews are."""

import os
import re
import shutil
import unicodedata
from pathlib import Path

import pytest
import torch

from dlproj.config.checks import DataError
from dlproj.config.data import Side, ValidationSplit
from dlproj.config.texts import IMDBConfig, TextFolderConfig, Tokens
from dlproj.data import text_folder, tokenized
from dlproj.data.imdb import IMDBDataModule

MODES = [
    {},
    {"vocabulary_size": 9, "length": 5, "padding": Side.post, "truncating": Side.post},
    {"tokens": Tokens.characters},
]


def write(root, files):
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def texts(classes=("bad", "good"), train=6, test=2):
    counts = (("train", train), ("test", test))
    return {
        f"{split}/{name}/{i}.txt": f"The film{i} is {name}, isn't it?"
        for split, count in counts
        for name in classes
        for i in range(count)
    }


def data(root, seed=0, **settings):
    module = TextFolderConfig(root=str(root), **({"length": 10, "batch_size": 4} | settings)).build(seed)
    module.prepare_data()
    module.setup()
    return module


@pytest.mark.parametrize("settings", MODES, ids=["default", "cut at the end", "characters"])
def test_a_folder_of_reviews_is_read_as_imdb(tmp_path, monkeypatch, settings):
    monkeypatch.setattr(IMDBDataModule, "official_sizes", None)
    files = texts(("neg", "pos"), train=10)
    write(tmp_path / "aclImdb", files | {"train/neg/é.txt": "Größe\u00a0ﬁn", "train/pos/10.txt": "\x1c .!"})
    own = data(tmp_path / "aclImdb", **settings)
    imdb = IMDBConfig(root=str(tmp_path), **({"length": 10, "batch_size": 4} | settings)).build(0)
    imdb.prepare_data()
    imdb.setup()
    assert own.words == imdb.words
    assert own.fingerprint() == imdb.fingerprint()
    assert (own.spec.classes, imdb.spec.classes) == (("neg", "pos"), ("negative", "positive"))
    assert own.encode(["a film3, I say"]).tolist() == imdb.encode(["a film3, I say"]).tolist()


@pytest.mark.slow
def test_the_real_reviews_as_a_folder_equal_imdb(real, tmp_path):
    root = Path(real("aclImdb"))
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        for name in ("neg", "pos"):
            (tmp_path / split / name).symlink_to(root / "aclImdb" / split / name)
    imdb = IMDBConfig(root=str(root)).build(0)
    imdb.setup()
    assert data(tmp_path, length=200).fingerprint() == imdb.fingerprint()


SAYINGS = {
    "Greek": "Η ταινία ήταν πολύ καλή",
    "Cyrillic": "Фильм был очень хорош",
    "Arabic": "كان الفيلم جيّدًا جدًّا",
    "Hebrew with points": "הַסֶּרֶט הָיָה טוֹב",
    "Hindi": "फ़िल्म बहुत अच्छी थी",
    "Thai": "หนังดีมาก",
    "Chinese": "这部电影很好看，我很喜欢。",
    "Japanese": "とても良い映画でした",
    "Korean": "영화가 정말 좋았어요",
    "emoji": "👍🏽 👨‍👩‍👧 🇭🇺 ❤️",
    "combining marks": "cafe\u0301 Zalgo\u0335\u0321",
    "mathematics": "𝔉𝔦𝔩𝔪 ∑ ≤ ½",
    "Turkish": "İYİ ılık film",
    "a language of the past": "𒀭𒂗𒍪",
}


@pytest.mark.parametrize("language", SAYINGS)
@pytest.mark.parametrize("tokens", list(Tokens), ids=lambda tokens: tokens.value)
def test_any_languages_letters_are_tokens(tmp_path, language, tokens):
    text = SAYINGS[language]
    files = {f"{split}/{name}/1.txt": text + name for split in ("train", "test") for name in (" a", " b")}
    module = data(write(tmp_path, files), tokens=tokens, length=50, val=ValidationSplit.test)
    whole = unicodedata.normalize("NFC", text.lower()) if tokens is Tokens.characters else text.lower()
    assert {module.shown(ids) for ids in module.train.inputs} == {f"{whole} a", f"{whole} b"}
    assert tokens is Tokens.words or all(len(character) == 1 for character in module.words)
    assert torch.equal(module.encode([f"{text} a", f"{text} b"]), module.train.inputs[module.train.targets.argsort()])


def test_a_language_without_spaces_is_noticed(tmp_path, caplog):
    write(tmp_path, dict.fromkeys(texts(), SAYINGS["Chinese"]))
    data(tmp_path)
    assert "without spaces between words: set data.tokens=characters" in caplog.text
    caplog.clear()
    data(tmp_path, tokens=Tokens.characters)
    data(write(tmp_path / "other", texts()))
    assert caplog.text == ""


def test_classes_are_the_folders_names_sorted_and_subfolders_are_read(tmp_path):
    files = texts(("zebra", "Ant", "ärger"))
    files["train/Ant/deep/er/x.TXT"] = "more"
    module = data(write(tmp_path, files))
    assert module.spec.classes == ("Ant", "zebra", "ärger")
    assert len(module.train) + len(module.val) == 19
    assert module.spec.vocabulary_size == 10_000


def test_without_a_test_folder_there_is_no_test_set(tmp_path):
    root = str(write(tmp_path, texts(test=0)))
    with pytest.raises(DataError, match=r"has no folder test: set data.test_fraction=0.2, or data.folds=5"):
        data(root)
    module = data(root, test_fraction=0.5)
    assert [len(part) for part in (module.train, module.val, module.test)] == [5, 1, 6]
    assert module.test.targets.bincount().tolist() == [3, 3]


def test_other_texts_get_the_ids_of_training(tmp_path):
    module = data(write(tmp_path / "first", texts()))
    other = write(tmp_path / "other", {**texts(train=3), "train/bad/9.txt": "unseen unseen unseen is"})
    restored = TextFolderConfig(root=str(other), length=10, batch_size=4).build(0)
    restored.load_state_dict(module.state_dict())
    restored.setup()
    assert restored.words == module.words
    assert torch.equal(restored.test.inputs, module.test.inputs)
    assert "<unknown> <unknown> <unknown> is" in {module.shown(ids) for ids in restored.train.inputs}


def test_a_vocabulary_of_words_reads_no_characters(tmp_path):
    state = data(write(tmp_path, texts())).state_dict()
    with pytest.raises(DataError, match=r"the model reads words: leave data.tokens out, or set it to words"):
        TextFolderConfig(root=str(tmp_path), tokens=Tokens.characters).build(0).load_state_dict(state)
    earlier = TextFolderConfig(root=str(tmp_path)).build(0)
    earlier.load_state_dict({key: value for key, value in state.items() if key != "tokens"})
    assert earlier.words == state["words"].split("\n")


# The cache


@pytest.fixture
def keep_all(monkeypatch):
    """The cache is kept of any number of texts."""
    monkeypatch.setattr(text_folder, "WORTH_KEEPING", 0)


def caches(folder):
    return sorted(folder.rglob("tokenized-texts-*.pt"))


def test_a_second_start_reads_the_cache_in_the_folder(tmp_path, monkeypatch, keep_all):
    first = data(write(tmp_path, texts()))
    assert [path.parent for path in caches(tmp_path)] == [tmp_path]
    monkeypatch.setattr(tokenized, "rank", None)
    assert data(tmp_path).fingerprint() == first.fingerprint()


def test_small_folders_are_left_as_they_are(tmp_path):
    write(tmp_path, texts())
    before = sorted(tmp_path.rglob("*"))
    data(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_words_and_characters_have_caches_of_their_own(tmp_path, keep_all):
    write(tmp_path, texts())
    words, characters = data(tmp_path), data(tmp_path, tokens=Tokens.characters)
    assert len(caches(tmp_path)) == 2
    assert (data(tmp_path).words, data(tmp_path, tokens=Tokens.characters).words) == (words.words, characters.words)


def test_a_folder_that_cannot_be_written_to_has_its_cache_at_home(tmp_path, monkeypatch, keep_all, caplog):
    root, home = write(tmp_path / "data", texts()), tmp_path / "home"
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    save = torch.save

    def refuse_data(state, path):
        if path.is_relative_to(root):
            raise PermissionError(13, "Permission denied")
        save(state, path)

    monkeypatch.setattr(torch, "save", refuse_data)
    first = data(root)
    assert [path.parent for path in caches(tmp_path)] == [home / "dlproj"]
    monkeypatch.setattr(tokenized, "rank", None)
    assert data(root).fingerprint() == first.fingerprint()
    assert caplog.text == ""


# Strange trees


def linked_above(root):
    (root / "train" / "bad" / "round").symlink_to(root)


def a_pipe(root):
    os.mkfifo(root / "train" / "bad" / "pipe.txt")


def a_dead_link(root):
    (root / "train" / "bad" / "dead.txt").symlink_to(root / "nowhere")


READ = {  # all strange, but texts
    "a byte order mark": {"train/bad/x.txt": b"\xef\xbb\xbfwords"},
    "an empty file": {"train/bad/x.txt": ""},
    "white space alone": {"train/bad/x.txt": " \n\t\r\n"},
    "punctuation alone": {"train/bad/x.txt": "... !!! ???"},
    "lines of Windows and of old Macs": {"train/bad/x.txt": "a film\r\nagain\rand\u2028again\x85"},
    "a huge line": {"train/bad/x.txt": "word " * 100_000},
    "one huge word": {"train/bad/x.txt": "w" * 500_000},
    "control characters": {"train/bad/x.txt": "\x01\x02 \x1b[31mred\x7f"},
    "characters that are not to be used": {"train/bad/x.txt": "\ufffe \uffff \U0010ffff \ue000"},
    "marks of direction": {"train/bad/x.txt": "\u202eabc\u2066 \u200b\u200d"},
    "many combining marks": {"train/bad/x.txt": "e" + "\u0301" * 1000},
    "HTML": {"train/bad/x.txt": "<html><script>alert(1)</script>&amp;</html>"},
    "settings of Hydra": {"train/bad/x.txt": "${oc.env:HOME} ??? {a: b}"},
    "the same text in all": dict.fromkeys(texts(), "same"),
    "the same text in train and test": {"test/bad/0.txt": "The film0 is bad, isn't it?"},
    "names with spaces and quotes": {'train/bad/it\'s "x" .txt': "a"},
    "a name in another alphabet": {"train/bad/фильм.txt": "a"},
    "a file without a name": {"train/bad/.txt": b"\xff"},
    "capitals in the extension": {"train/bad/X.TXT": "a"},
    "files of Macs and Windows": {"train/bad/._0.txt": b"\xff", "train/.DS_Store": b"\0", "train/Thumbs.db": b"\0"},
    "files of other kinds": {"train/bad/x.pdf": b"%PDF", "train/bad/noextension": "a"},
    "a file beside the classes": {"train/readme.txt": "a", "labels.csv": "a,b"},
    "a folder for validation": {"val/bad/0.txt": "a"},
    "a folder that is named as a text": {"train/bad/folder.txt/inner.txt": "a"},
    "a link to a folder above": linked_above,
    "a pipe": a_pipe,
}


@pytest.mark.parametrize("case", READ)
def test_strange_texts_are_read(tmp_path, case):
    write(tmp_path, texts())
    READ[case](tmp_path) if callable(READ[case]) else write(tmp_path, READ[case])
    module = data(tmp_path)
    assert len(module.train) + len(module.val) >= 12
    assert all(isinstance(module.shown(ids), str) for ids in module.train.inputs)


REFUSED = {  # by files, and a part of the message
    "Latin-1": ({"train/bad/x.txt": b"caf\xe9"}, "train/bad/x.txt is not readable UTF-8 text"),
    "UTF-16 with a mark": ({"train/bad/x.txt": "größer".encode("utf-16")}, "x.txt is not readable UTF-8 text"),
    "UTF-16 without a mark": ({"train/bad/x.txt": "abc".encode("utf-16-le")}, "holds null characters"),
    "null characters": ({"test/good/x.txt": b"a\0b"}, "test/good/x.txt is not readable UTF-8 text (it holds null"),
    "a cut character": ({"train/bad/x.txt": "é".encode()[:1]}, "save them as UTF-8, or remove them"),
    "lone surrogates": ({"train/bad/x.txt": "\ud800".encode(errors="surrogatepass")}, "not readable UTF-8 text"),
    "a picture by another name": ({"train/bad/x.txt": b"\x89PNG\r\n\x1a\n\0\0"}, "not readable UTF-8 text"),
    "many of them": ({f"train/bad/{i}.txt": b"\xff" for i in range(6)}, "6 texts cannot be used, as listed above"),
    "a dead link": (a_dead_link, "dead.txt"),
    "no words at all": (dict.fromkeys(texts(), "!"), "the training texts hold no words: give others"),
    "one class": ({"remove": "good"}, "holds one class only: add a folder for another"),
    "a class without texts": (
        {"train/new/x.md": "a", "test/new/x.txt": "a"},
        "holds no files with the extensions .txt",
    ),
    "a class in train alone": ({"train/new/x.txt": "a"}, "but new is in one only"),
    "a class in test alone": ({"test/new/x.txt": "a"}, "but new is in one only"),
    "classes that look the same": (
        {f"{split}/{name}/0.txt": "a" for split in ("train", "test") for name in ("é", "e\u0301")},
        "whose names look the same",
    ),
    "a line break in a class": ({f"{s}/a\nb/0.txt": "a" for s in ("train", "test")}, "cannot be written"),
    "no class folders": ({"remove": "*"}, "holds no class folders"),
    "an empty test folder": ({"remove": "test/*"}, "test holds no class folders"),
    "train is a file": ({"remove": "train", "train": "a"}, "train cannot be read"),
}


def change(root, files):
    """Write files, after what `remove` names is gone: a class, what is in the folders of the splits, or a split."""
    removed = files.get("remove", "")
    patterns = {"": [], "*": ["*/*"], "test/*": ["test/*"], "train": ["train"]}.get(removed, [f"*/{removed}"])
    for folder in [path for pattern in patterns for path in root.glob(pattern)]:
        shutil.rmtree(folder)
    write(root, {name: content for name, content in files.items() if name != "remove"})


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_folder_of_texts_is_refused_in_one_line(tmp_path, case):
    changes, message = REFUSED[case]
    write(tmp_path, texts())
    changes(tmp_path) if callable(changes) else change(tmp_path, changes)
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        data(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("root", ["nowhere", "~nobody-of-this-name"])
def test_a_root_that_is_not_there(tmp_path, monkeypatch, root):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=root):
        data(root)


def test_a_training_set_of_one_text_a_class(tmp_path):
    module = data(write(tmp_path, texts(train=1, test=1)), val=ValidationSplit.test)
    assert (len(module.train), len(module.test)) == (2, 2)


def test_texts_that_are_held_out_take_no_part_in_the_vocabulary(tmp_path):
    """They are read as if their files lay in test/."""
    files = {f"train/{'bad' if i % 2 else 'good'}/{i}.txt": f"common w{i} w{i // 3}" for i in range(12)}
    module = data(write(tmp_path / "one", files), folds=3, fold=1)
    (listed,) = module.labelled_texts()
    names = [stamp.split()[0] for stamp in listed.stamps]  # in the order of the samples
    moved = {names[i] for i in module.test_indices.tolist()}
    split = {name.replace("train", "test") if name in moved else name: text for name, text in files.items()}
    other = data(write(tmp_path / "two", split))

    def shown(*inputs):
        return sorted(module.shown(ids) for ids in torch.cat(inputs))

    assert module.words == other.words
    assert shown(module.test.inputs) == shown(other.test.inputs)
    assert shown(module.train.inputs, module.val.inputs) == shown(other.train.inputs, other.val.inputs)
    uncut = module.uncut()
    assert (len(uncut.train_targets), len(uncut.test_targets)) == (8, 4)
    assert torch.equal(uncut.test_targets, module.test.targets)
