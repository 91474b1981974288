import shutil
from pathlib import Path

import pytest
import torch

from dlproj.config.checks import ConfigurationError, DataError, UserError
from dlproj.inference.trained import open_run


@pytest.fixture
def copied(digits, tmp_path):
    """The run in another place, to be damaged."""
    return shutil.copytree(digits, tmp_path / "elsewhere")


def damage(folder, which="last", **changes):
    """Change entries of a checkpoint; None leaves one out."""
    path = folder / "checkpoints" / f"{which}.ckpt"
    content = torch.load(path, weights_only=True) | changes
    torch.save({key: value for key, value in content.items() if value is not None}, path)


def test_the_weights_are_those_of_the_checkpoint(digits):
    for which in ("best", "last"):
        kept = torch.load(digits / "checkpoints" / f"{which}.ckpt", weights_only=True)
        trained = open_run(digits, which)
        assert all(torch.equal(value, kept["state_dict"][key]) for key, value in trained.model.state_dict().items())
        assert (trained.weights, trained.epoch) == (which, kept["epoch"] + 1)
        assert not trained.model.training


def test_the_weights_that_were_tested_are_the_default(copied):
    assert open_run(copied).weights == "last"
    summary = (copied / "summary.json").read_text()
    (copied / "summary.json").write_text(summary.replace('"tested_weights": "last"', '"tested_weights": "best"'))
    assert open_run(copied).weights == "best"
    (copied / "summary.json").unlink()
    assert open_run(copied).weights == "last"


def test_a_checkpoint_may_be_any_file_of_the_run(copied, tmp_path):
    kept = shutil.move(copied / "checkpoints" / "best.ckpt", tmp_path / "kept.ckpt")
    assert open_run(copied, str(kept)).weights == str(kept)


@pytest.mark.parametrize("precision", ["64-true", "bf16-true"])
def test_weights_keep_their_precision(precision, trained_run):
    folder = trained_run("data=digits", "model.hidden=[4]", "trainer.max_epochs=1", f"trainer.precision={precision}")
    kept = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    trained = open_run(folder)
    for key, value in trained.model.state_dict().items():
        assert value.dtype == kept[key].dtype != torch.float32
        assert torch.equal(value, kept[key])
    assert trained.logits(torch.zeros(3, 1, 8, 8, dtype=torch.uint8)).shape == (3, 10)


def test_a_folder_that_is_no_run(digits, tmp_path):
    with pytest.raises(
        UserError, match=r"no run at .*/nothing, which is not a folder: name a run's folder, such as logs/"
    ):
        open_run(tmp_path / "nothing")
    with pytest.raises(UserError, match=rf"has no config.yaml: name a run's folder; in {digits.parent} there is run$"):
        open_run(digits.parent)
    for number in range(7):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "summary.json").touch()
    with pytest.raises(UserError, match=r"there is 6, 5, 4, 3, 2 and 2 older ones$"):
        open_run(tmp_path / "9")


@pytest.mark.parametrize("name", ["x" * 300, "x" * 300 + "/run"])
def test_a_name_that_no_folder_can_have_is_no_run(name):
    with pytest.raises(UserError, match=r"no run at x+.*: name a run's folder"):
        open_run(Path(name))


def test_settings_that_are_damaged_are_named(copied):
    (copied / "config.yaml").write_text("data: [")
    with pytest.raises(ConfigurationError, match=r"config.yaml is not the complete settings of a run"):
        open_run(copied)


def test_a_checkpoint_that_is_not_there(copied):
    (copied / "checkpoints" / "last.ckpt").unlink()
    with pytest.raises(UserError, match=r"last.ckpt is not a file: set --checkpoint to what the run has, best$"):
        open_run(copied)
    with pytest.raises(UserError, match=r"^mine.ckpt is not a file: set --checkpoint to what the run has, best$"):
        open_run(copied, "mine.ckpt")
    (copied / "checkpoints" / "best.ckpt").unlink()
    with pytest.raises(UserError, match=r"the run has no checkpoint \(its status: completed\): train again"):
        open_run(copied)


@pytest.mark.parametrize("content", ["empty", "truncated", "text", "no checkpoint"])
def test_a_damaged_checkpoint_is_named(content, copied):
    path = copied / "checkpoints" / "last.ckpt"
    whole = path.read_bytes()
    if content == "no checkpoint":
        torch.save({"weights": torch.zeros(3)}, path)
    else:
        path.write_bytes({"empty": b"", "truncated": whole[: len(whole) // 2], "text": b"hello"}[content])
    with pytest.raises(DataError, match=f"{path} is damaged or not a checkpoint") as caught:
        open_run(copied)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_of_another_run_is_refused(copied, reviews, trained_run):
    narrow = trained_run("data=digits", "model.hidden=[4]", "trainer.max_epochs=1")
    with pytest.raises(DataError, match=r"last.ckpt does not fit .*config.yaml: it is of another run") as caught:
        open_run(copied, str(narrow / "checkpoints" / "last.ckpt"))
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match=r"last.ckpt is of an older version and lacks"):
        open_run(copied, str(reviews / "checkpoints" / "last.ckpt"))


def test_a_checkpoint_of_another_version_is_refused(copied):
    damage(copied, DigitsDataModule={"spec": {"kind": "hologram"}})
    with pytest.raises(DataError, match=r"another version of dlproj; set --checkpoint to one of this run"):
        open_run(copied)
    damage(copied, DigitsDataModule=None)
    with pytest.raises(DataError, match=r"of an older version and lacks .*: train again"):
        open_run(copied)
