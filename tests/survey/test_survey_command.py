"""`dlproj data survey` as a user types it."""

import sys

import pytest
from matplotlib.font_manager import fontManager
from PIL import Image

from dlproj.cli.app import main
from dlproj.reports.fonts import fonts_with


@pytest.fixture
def type_in(tmp_path, monkeypatch, capsys):
    """Call with arguments: exit code, standard output and standard error of the command, run in an empty folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["dlproj", "data", "survey", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit:
            main()
        return exit.value.code or 0, *capsys.readouterr()

    return run


def blocks(output):
    """The tables of a plain output: rows of cells, by the first column's name."""
    found = [[line.split("\t") for line in block.splitlines()] for block in output.strip().split("\n\n")]
    return {block[0][0]: block[1:] for block in found}


@pytest.mark.parametrize(
    "show",
    [
        ["--show", "train:0,50", "test:100,359"],
        ["--show", "train:0,50", "--show", "test:100,359"],
        ["--show", "train:0,50", "test:100,359", "val=random", "--seed", "3"],
    ],
)
def test_the_samples_after_show_are_shown(type_in, show, sets_of, tmp_path):
    code, out, err = type_in("digits", *show)
    assert (code, err) == (0, "")
    digits, table = sets_of("digits"), blocks(out)
    assert [row[0] for row in table["sample"]] == ["train:0", "train:50", "test:100", "test:359"]
    targets = [*digits.train.targets[[0, 50]].tolist(), *digits.test.targets[[100, 359]].tolist()]
    assert [int(row[1]) for row in table["sample"]] == targets
    names = ["grid.png", "samples.png", "labels.png", "pixels.png"]
    assert [row[0] for row in table["file"]] == [f"logs/surveys/digits/{name}" for name in names]
    for name in names:
        Image.open(tmp_path / "here/logs/surveys/digits" / name).verify()


def test_reviews_are_printed_and_written_as_words(type_in, reviews, tmp_path):
    code, out, _ = type_in("imdb", f"root={reviews}", "data.length=4", "--output", tmp_path / "there")
    assert code == 0
    table = blocks(out)
    assert sorted(row[2] for row in table["sample"]) == ["negative", "positive"], "one of each class"
    assert ["reviews cut at length=4", "33.33%", "0.00%"] in table["words a review"]
    assert {path.name for path in (tmp_path / "there").glob("[!.]*")} == {"grid.txt", "labels.png", "lengths.png"}
    paragraphs = (tmp_path / "there" / "grid.txt").read_text().strip().split("\n\n")
    assert {tuple(paragraph.splitlines()[1:]) for paragraph in paragraphs} == {
        ("negative", "bad bad film"),
        ("negative", "bad"),
        ("positive", "film bad film again"),
    }


def test_features_are_printed_as_numbers(type_in):
    code, out, _ = type_in("feature_sum", "features=2", "--show", "train:3")
    assert code == 0
    table = blocks(out)
    assert [row[0] for row in table["feature"]] == ["all", "0", "1"]
    assert len(table["sample"][0][3].split()) == 2
    assert [row[0].rpartition("/")[2] for row in table["file"]] == ["grid.txt", "labels.png", "features.png"]


def test_the_grid_depends_on_the_seed_alone(type_in, tmp_path):
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert type_in("digits", "--seed", seed, "--output", tmp_path / folder)[0] == 0
    first, again, other = ((tmp_path / folder / "grid.png").read_bytes() for folder in "abc")
    assert first == again != other


def test_classes_in_any_script_are_shown_and_letters_without_a_font_said_once(type_in, pictures, monkeypatch, caplog):
    entries = [font for font in fontManager.ttflist if font.name == "DejaVu Sans"]
    monkeypatch.setattr(fontManager, "ttflist", entries)
    for split in ("train", "test"):
        (pictures / split / "cat").rename(pictures / split / "猫")
        (pictures / split / "dog").rename(pictures / split / "الكلب")
    fonts_with.cache_clear()
    code, out, _ = type_in("image_folder", f"root={pictures}", "image_size=4")
    assert (code, [row[1] for row in blocks(out)["label"]]) == (0, ["الكلب", "猫"])
    assert [message.split(":")[0] for message in caplog.messages] == ["no font of this machine has 猫"]
    fonts_with.cache_clear()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mnst"], "data=mnst must be one of fmnist, cifar10, imdb, digits, image_folder, feature_sum"),
        (["digits", "--show", "val:3"], "val:3 is neither a setting nor samples: write SETTING=VALUE, or train: or"),
        (["digits", "scaling"], "scaling is neither a setting nor samples"),
        (["digits", "--show", "test:360"], "test:360 does not exist: the test set has 360 samples, choose from"),
        (["imdb", "lenght=3"], "unknown setting data.lenght: did you mean data.length?"),
        (["imdb", "length=x"], "data.length: Value 'x' of type 'str' could not be converted to Integer: set a whole"),
        (["imdb", "data.length=0"], "data.length=0 must be in [1, inf)"),
        (["image_folder", "root=/nowhere"], "/nowhere/train cannot be read"),
        (["digits", "--output", "/dev/null"], "/dev/null cannot be written to"),
    ],
)
def test_a_mistake_ends_in_one_line_and_exit_code_1(type_in, arguments, message):
    code, _, err = type_in(*arguments)
    assert code == 1
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["digits", "--seed", "-1"], ["digits", "--shwo", "train:0"]])
def test_wrong_usage_ends_with_exit_code_2(type_in, arguments):
    assert type_in(*arguments)[0] == 2


def test_help_has_an_example(type_in):
    code, out, _ = type_in("--help")
    assert code == 0
    assert "dlproj data survey fmnist --show train:0,50 test:100,1000" in out


def test_a_folder_that_cannot_be_made_is_named_before_anything_is_read(type_in, tmp_path):
    (tmp_path / "file").touch()
    code, out, err = type_in("digits", "--output", tmp_path / "file/x")
    assert (code, out) == (1, "")
    reason = f"{tmp_path}/file is not a folder"
    assert err == f"error: {tmp_path}/file/x cannot be written to ({reason}): choose another folder\n"
