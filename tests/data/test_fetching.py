"""`dlproj data fetch`: what it leaves is what training reads, without a network."""

import sys
from pathlib import Path

import pytest
import torchvision
from test_fmnist import offline, serve

from dlproj.cli.app import main
from dlproj.config.images import FMNISTConfig


@pytest.fixture
def type_in(monkeypatch, capsys):
    """Call with arguments behind `dlproj data fetch`: exit code, standard output and standard error."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["dlproj", "data", "fetch", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit:
            main()
        return exit.value.code or 0, *capsys.readouterr()

    return run


@pytest.fixture
def fetched(monkeypatch):
    """Call with a function that stands for the network; the files that were asked of it. Six files are the full set."""
    monkeypatch.setattr(FMNISTConfig, "official_sizes", (20, 6))

    def set_to(fetch):
        asked = []

        def download(url, download_root, filename, md5):
            asked.append(filename)
            fetch(url, download_root, filename.removesuffix(".gz"))

        monkeypatch.setattr(torchvision.datasets.mnist, "download_and_extract_archive", download)
        return asked

    return set_to


def test_what_was_fetched_is_read_without_a_network_from_a_copy_of_the_folder(type_in, fetched, tmp_path):
    asked, stick = fetched(serve), tmp_path / "media/stick"
    line = f"fmnist: downloaded, 20 + 6 samples in {stick / 'FashionMNIST'}\n"
    assert type_in("fmnist", "--to", stick) == (0, line, "")
    assert len(asked) == 4
    fetched(offline)
    module = FMNISTConfig(root=str(stick.rename(tmp_path / "laptop"))).build(0)
    module.prepare_data()
    module.setup()
    assert len(module.test) == 6


def test_what_is_there_is_checked_and_only_the_rest_is_fetched(type_in, fetched, tmp_path):
    fetched(serve)
    type_in("fmnist", "--to", tmp_path)
    assert "fmnist: there already, 20 + 6 samples" in type_in("fmnist", "--to", tmp_path)[1]
    (tmp_path / "FashionMNIST/raw/t10k-labels-idx1-ubyte").unlink()
    assert "fmnist: 1 missing files added, 20 + 6 samples" in type_in("fmnist", "--to", tmp_path)[1]


def test_damaged_and_incomplete_data_is_refused(type_in, fetched, tmp_path, monkeypatch):
    fetched(serve)
    type_in("fmnist", "--to", tmp_path)
    monkeypatch.setattr(FMNISTConfig, "official_sizes", (60_000, 10_000))
    code, out, err = type_in("fmnist", "--to", tmp_path)
    assert (code, out) == (1, "")
    assert err == f"error: {tmp_path}/FashionMNIST is incomplete: 20 + 6 samples; delete it and run again\n"
    images = Path(tmp_path, "FashionMNIST/raw/train-images-idx3-ubyte")
    images.write_bytes(images.read_bytes()[:-1])
    assert f"error: {images} is missing, incomplete or damaged" in type_in("fmnist", "--to", tmp_path)[2]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["fmnist", "fmnst", "--to", "there"],
            "data set=fmnst must be one of fmnist, cifar10, imdb, mnist, kmnist, emnist, qmnist: did you mean fmnist?",
        ),
        (
            ["digits", "--to", "there"],
            "data set=digits must be one of fmnist, cifar10, imdb, mnist, kmnist, emnist, qmnist",
        ),
        (["fmnist", "--to", __file__], f"{__file__} is not a folder: set --to to one, or to a folder to be made"),
    ],
)
def test_a_name_that_cannot_be_fetched_ends_before_anything_is(
    type_in, fetched, arguments, words, tmp_path, monkeypatch
):
    asked = fetched(serve)
    monkeypatch.chdir(tmp_path)
    assert type_in(*arguments) == (1, "", f"error: {words}\n")
    assert (asked, list(tmp_path.iterdir())) == ([], [])


def test_without_a_network_the_error_is_one_line_and_nothing_is_left(type_in, fetched, tmp_path):
    fetched(offline)
    code, out, err = type_in("fmnist", "--to", tmp_path / "there")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "<urlopen error no route to host>): connect to the network" in err
    assert list((tmp_path / "there").iterdir()) == []


@pytest.mark.parametrize(("variable", "folder"), [("", "data"), ("elsewhere", "elsewhere")])
def test_by_default_it_is_put_where_training_reads_it(type_in, fetched, tmp_path, monkeypatch, variable, folder):
    fetched(serve)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DLPROJ_DATA_DIR", variable)
    assert type_in("fmnist")[:2] == (0, f"fmnist: downloaded, 20 + 6 samples in {folder}/FashionMNIST\n")
