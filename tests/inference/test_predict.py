import io
import shutil
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from dlproj.config.checks import DataError, UserError
from dlproj.config.data import Kind
from dlproj.inference.predict import Item, predict, read_inputs
from dlproj.inference.trained import open_run


def standard_input(monkeypatch, content):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


@pytest.fixture(scope="module")
def test_set():
    """scikit-learn's own split and numbers, without dlproj: images (360, 8, 8) in 0..16 and their classes."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    data = load_digits()
    return train_test_split(data.images, data.target, test_size=0.2, stratify=data.target, random_state=0)


def probabilities(folder, train, images):
    """By hand from the checkpoint: standardised by the training part's pixels, one hidden layer of ReLU."""
    weights = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    part = train[: int(len(train) * 0.9)]
    inputs = torch.tensor((images - part.mean()) / part.std()).flatten(1)
    hidden = (inputs @ weights["hidden.0.linear.weight"].double().T + weights["hidden.0.linear.bias"]).relu()
    return (hidden @ weights["output.weight"].double().T + weights["output.bias"]).softmax(1)


def test_images_in_a_folder_get_the_classes_that_the_test_gave_them(digits, test_set, tmp_path):
    train, test, _, targets = test_set
    for number, image in enumerate(test):
        Image.fromarray(np.rint(image * (255 / 16)).astype(np.uint8)).save(tmp_path / f"{number:03}.png")
    trained = open_run(digits)
    items = read_inputs(Kind.image, [str(tmp_path)])
    found = list(predict(trained, items, top=10, batch_size=100))
    assert [one.name for one in found] == [str(tmp_path / f"{number:03}.png") for number in range(360)]
    wanted = probabilities(digits, train, test).sort(1, descending=True)
    assert [one.classes for one in found] == [[str(place) for place in row] for row in wanted.indices.tolist()]
    assert torch.allclose(torch.tensor([one.probabilities for one in found]).double(), wanted.values, atol=1e-5)
    hits = sum(one.classes[0] == str(target) for one, target in zip(found, targets, strict=True))
    assert hits / 360 == pytest.approx(trained.summary["test/accuracy"])
    assert {one.converted for one in found} == {""}


def test_ten_thousand_images_in_batches(digits, tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "0.png")
    items = [Item(str(number), tmp_path / "0.png") for number in range(10_000)]
    found = list(predict(open_run(digits), items, batch_size=3000))
    assert [one.name for one in found] == [str(number) for number in range(10_000)]
    assert len({(one.classes[0], round(one.probabilities[0], 5)) for one in found}) == 1


def test_an_image_of_another_size_is_converted_and_says_so(digits, tmp_path):
    Image.new("RGB", (20, 30), (255, 255, 255)).save(tmp_path / "a.png")
    Image.new("L", (8, 8), 255).save(tmp_path / "b.png")
    one, other = predict(open_run(digits), read_inputs(Kind.image, [str(tmp_path / "a.png"), str(tmp_path / "b.png")]))
    assert one.converted == "20×30 RGB"
    assert other.converted == ""
    assert one.classes == other.classes


def test_folders_are_read_to_their_ends_sorted_without_other_and_hidden_files(tmp_path):
    for name in ("b/2.png", "b/1.PNG", "a/deep/3.jpg", "a/notes.txt", ".hidden/4.png", "a/.5.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = [item.name for item in read_inputs(Kind.image, [str(tmp_path), str(tmp_path / "b" / "2.png")])]
    assert found == [str(tmp_path / name) for name in ("a/deep/3.jpg", "b/1.PNG", "b/2.png", "b/2.png")]


def test_reviews_get_the_classes_that_the_test_gave_them(reviews, reviews_root, tiny_reviews):
    trained = open_run(reviews)
    folder = reviews_root / "aclImdb" / "test"
    found = list(predict(trained, read_inputs(Kind.sequence, [str(folder)]), batch_size=3))
    truth = ["negative" if "neg" in one.name else "positive" for one in found]
    assert [one.name for one in found] == sorted(str(path) for path in folder.rglob("*.txt"))
    hits = sum(one.classes == [name] for one, name in zip(found, truth, strict=True))
    assert hits / 8 == pytest.approx(trained.summary["test/accuracy"])


def test_prediction_needs_no_training_data(trained_run, tmp_path):
    """The classes of a tree of images are known from its folders alone, as long as it is there."""
    for split in ("train", "test"):
        for level, name in ((0, "dark"), (255, "light")):
            for number in range(4):
                path = tmp_path / "tree" / split / name / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("L", (5, 7), level).save(path)
    folder = trained_run(
        *("data=image_folder", f"data.root={tmp_path}/tree", "data.image_size=4", "data.batch_size=2"),
        *("data.val_fraction=0.3", "model.hidden=[]", "trainer.max_epochs=20", "optim.learning_rate=0.1"),
    )
    shutil.move(tmp_path / "tree" / "test", tmp_path / "images")
    shutil.rmtree(tmp_path / "tree")
    found = list(predict(open_run(folder), read_inputs(Kind.image, [str(tmp_path / "images")])))
    assert [one.classes[0] for one in found] == ["dark"] * 4 + ["light"] * 4


def test_rows_of_numbers(trained_run):
    folder = trained_run(
        *("data=feature_sum", "data.features=3", "model.hidden=[8]", "trainer.max_epochs=3", "optim.learning_rate=0.1"),
        *("model.outputs=1", "model.loss=binary_cross_entropy"),
    )
    trained = open_run(folder)
    low, high = predict(trained, read_inputs(Kind.features, ["0.1, 0.2,0.1", "1 1 1"]), top=2)
    assert low.classes == ["at most half", "more than half"]
    assert high.classes == ["more than half", "at most half"]
    assert sum(high.probabilities) == pytest.approx(1)
    for text, message in (
        ("1 2", r"'1 2' has 2 numbers, the model reads 3: write 3"),
        ("height,weight,x", r"'height,weight,x' is not a row of numbers"),
        ("h" * 70, rf"'{'h' * 60}' is not a row of numbers"),
        ("1 2 x", r"'1 2 x' is not a row of numbers \(could not convert string to float: 'x'\): write 3, separated by"),
    ):
        with pytest.raises(DataError, match=message):
            list(predict(trained, [Item(text, text)]))


def test_texts_come_from_arguments_files_and_standard_input(tmp_path, monkeypatch):
    file = tmp_path / "a.txt"
    file.write_text("one\n\ntwo\n")
    assert list(read_inputs(Kind.sequence, ["a good film", str(file)])) == [
        ("a good film", "a good film"),
        (str(file), "one\n\ntwo\n"),
    ]
    assert [item.content for item in read_inputs(Kind.sequence, [str(file)], by_line=True)] == ["one", "two"]
    assert [item.content for item in read_inputs(Kind.features, [str(file)])] == ["one", "two"]
    for arguments in ([], ["-"]):
        standard_input(monkeypatch, "größer\r\n \nkleiner".encode())
        assert [item.content for item in read_inputs(Kind.sequence, arguments)] == ["größer", "kleiner"]


def test_a_long_text_is_no_file(tmp_path):
    for text in ("good " * 1000, "null \0 character"):
        assert list(read_inputs(Kind.sequence, [text])) == [(text, text)]


def test_images_that_are_none(digits, tmp_path):
    trained = open_run(digits)
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty").mkdir()
    for argument, error, message in (
        ("a good film", UserError, "no file 'a good film': the model reads images, so name image files or folders"),
        ("-", UserError, "the model reads images, not standard input: name image files or folders"),
        (str(tmp_path / "text.png"), DataError, r"text.png is damaged or not an image: replace or delete it"),
        (str(tmp_path / "empty"), DataError, r"empty holds no files with the extensions .jpg .*: name another"),
    ):
        with pytest.raises(error, match=message):
            list(predict(trained, read_inputs(Kind.image, [argument])))


def test_texts_that_are_none(tmp_path, monkeypatch):
    (tmp_path / "latin.txt").write_bytes("größer".encode("latin-1"))
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "image.png").touch()
    for argument, message in (
        ("latin.txt", r"latin.txt is not UTF-8 text \(.*\): convert it to UTF-8"),
        ("empty.txt", r"empty.txt is empty: write (a|one) text"),
        ("image.png", r"image.png is an image, but the model reads texts: name a text file"),
    ):
        for by_line in (False, True):
            with pytest.raises(DataError, match=message):
                list(read_inputs(Kind.sequence, [str(tmp_path / argument)], by_line))
    for kind, wanted in ((Kind.sequence, "a text, a text file"), (Kind.image, "image files or folders")):
        with pytest.raises(UserError, match=f"an empty argument: name {wanted}"):  # not the current folder
            read_inputs(kind, [""])
    standard_input(monkeypatch, b"good\n\xff\n")
    with pytest.raises(DataError, match="line 2 of standard input is not UTF-8 text"):
        list(read_inputs(Kind.sequence, ["-"]))
    standard_input(monkeypatch, b"")
    with pytest.raises(DataError, match="standard input is empty: write one text per line"):
        list(read_inputs(Kind.sequence, []))


def test_nothing_at_a_terminal(monkeypatch):
    standard_input(monkeypatch, b"")
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    with pytest.raises(UserError, match="nothing to predict: name image files or folders"):
        list(read_inputs(Kind.image, []))
    with pytest.raises(UserError, match="nothing to predict: name a text, a text file, or - for standard input"):
        list(read_inputs(Kind.sequence, []))


@pytest.mark.parametrize("kind", [Kind.image, Kind.sequence, Kind.features])
def test_no_standard_input_at_all(kind, monkeypatch):
    """As a service or `<&-` starts a program."""
    monkeypatch.setattr(sys, "stdin", None)
    for arguments, message in (([], "^nothing to predict: name "), (["-"], "standard input.*: name ")):
        with pytest.raises(UserError, match=message):
            read_inputs(kind, arguments)


@pytest.mark.parametrize(
    "argument", ["typo.txt", "reviews/typo", "My Review.TXT", "typo.png", "a.csv", "/nowhere/a b.txt"]
)
def test_a_misspelt_file_is_no_text(argument, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reviews").mkdir()
    with pytest.raises(UserError, match=f"^no file '{argument}': name an existing file; pass a text that looks"):
        read_inputs(Kind.sequence, ["a good film", argument])


@pytest.mark.parametrize(
    "text",
    [
        "great",
        "good and/or bad film",
        "I liked it... txt",
        "0.5,0.5",
        "film.",
        "10 / 10",
        "10/10",
        "AC/DC",
        "n/a",
        "Rated on imdb.md",
        "see site.html",
        "最高/最悪",
        "http://a.b/c",
    ],
)
def test_a_text_is_no_file(text):
    assert [item.content for item in read_inputs(Kind.sequence, [text])] == [text]


def test_an_argument_that_is_no_unicode():
    with pytest.raises(UserError, match=r"'gr\\udcf6\\udcdfer' is not UTF-8 text: convert it to UTF-8"):
        read_inputs(Kind.sequence, [b"gr\xf6\xdfer".decode(errors="surrogateescape")])


def test_the_byte_order_mark_of_windows_is_no_part_of_a_text(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("good film\nbad film\n", encoding="utf-8-sig")
    assert [item.content for item in read_inputs(Kind.sequence, [str(path)])] == ["good film\nbad film\n"]
    assert [item.content for item in read_inputs(Kind.features, [str(path)])] == ["good film", "bad film"]
    standard_input(monkeypatch, path.read_bytes())
    assert [item.content for item in read_inputs(Kind.sequence, [])] == ["good film", "bad film"]


def test_texts_of_a_folder_that_cannot_be_read_are_reported_and_the_others_read(tmp_path, caplog):
    contents = {
        "a.txt": b"good",
        "b.txt": b" \n",
        "c.txt": b"\xff",
        "d.txt": b"bad",
        "e.md": b"other",
        "f/g.txt": b"long",
    }
    (tmp_path / "f").mkdir()
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    problems = []
    items = read_inputs(Kind.sequence, [str(tmp_path)], report=problems.append)
    assert [item.content for item in items] == ["good", "bad", "long"]
    assert [problem.split(" (")[0] for problem in problems] == [
        f"{tmp_path}/b.txt is empty: write a text into it",
        f"{tmp_path}/c.txt is not UTF-8 text",
    ]
    assert caplog.messages == [f"1 of 6 files was left out: 1 .md: {tmp_path}/e.md"]


def test_lines_that_cannot_be_read_are_reported_by_number_and_the_others_read(monkeypatch):
    standard_input(monkeypatch, b"good\n\xff\nbad\n")
    problems = []
    assert [item.content for item in read_inputs(Kind.sequence, ["-"], report=problems.append)] == ["good", "bad"]
    (problem,) = problems
    assert problem.startswith("line 2 of standard input is not UTF-8 text")


def test_standard_input_that_is_a_folder(tmp_path, monkeypatch):
    class Folder(io.BytesIO):
        def __next__(self):
            raise IsADirectoryError(21, "Is a directory")

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(Folder()))
    with pytest.raises(DataError, match=r"^standard input cannot be read \(.*Is a directory\): name a text, "):
        list(read_inputs(Kind.sequence, ["-"]))


def test_a_file_name_that_is_no_unicode_is_escaped(tmp_path):
    name = b"caf\xe9.png".decode(errors="surrogateescape")
    (tmp_path / name).touch()
    (item,) = read_inputs(Kind.image, [str(tmp_path)])
    assert item == (f"{tmp_path}/caf\\udce9.png", tmp_path / name)


def test_rows_that_are_no_numbers_are_reported_and_the_others_predicted(trained_run):
    folder = trained_run(
        "data=feature_sum", "data.features=3", "model.hidden=[]", "trainer.max_epochs=1", "figures=none"
    )
    problems, rows = [], ["0.1 0.2 0.3", "1 2", "1 1 1", "a b c"]
    found = predict(open_run(folder), [Item(row, row) for row in rows], report=problems.append)
    assert [one.name for one in found] == ["0.1 0.2 0.3", "1 1 1"]
    assert [problem.split(" has ")[0].split(" is ")[0] for problem in problems] == ["'1 2'", "'a b c'"]
