"""Tiny runs, trained once for all tests of inference."""

import pytest

from dlproj.data.imdb import IMDBDataModule
from dlproj.training.run import run

QUIET = ("trainer.accelerator=cpu", "trainer.threads=1", "trainer.progress_bar=false", "figures=none")


@pytest.fixture(scope="session")
def trained_run(composed, tmp_path_factory):
    """Call with overrides: the folder of a run."""

    def train(*overrides):
        folder = tmp_path_factory.mktemp("runs") / "run"
        run(composed(*QUIET, *overrides), folder)
        return folder

    return train


@pytest.fixture(scope="session")
def digits(trained_run):
    """An MLP on the digits with small validation batches, whose best epoch is not its last."""
    return trained_run(
        *("data=digits", "model.hidden=[32]", "data.eval_batch_size=50", "data.scaling=standardize"),
        *("trainer.max_epochs=4", "scheduler=constant", "optim=sgd", "optim.learning_rate=2.5"),
    )


@pytest.fixture(scope="session")
def reviews_root(tmp_path_factory):
    """40 + 8 reviews of two to eleven words, the first of which tells them apart."""
    root = tmp_path_factory.mktemp("reviews")
    for split, count in (("train", 20), ("test", 4)):
        for folder, word in (("neg", "bad"), ("pos", "good")):
            (root / "aclImdb" / split / folder).mkdir(parents=True)
            for number in range(count):
                path = root / "aclImdb" / split / folder / f"{number}_5.txt"
                path.write_text(f"It's {word}, {split}! " + f"A film{number} " * (number % 5))
    return root


@pytest.fixture(scope="session")
def tiny_reviews():
    """Trees made here are not the whole data, and nobody need hear of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(IMDBDataModule, "official_sizes", None)
        yield


@pytest.fixture(scope="session")
def reviews(trained_run, reviews_root, tiny_reviews):
    """An LSTM that reads reviews to their last word."""
    return trained_run(
        *("data=imdb", f"data.root={reviews_root}", "data.length=8", "data.vocabulary_size=14", "data.batch_size=4"),
        *("model=lstm", "model.hidden=[8,4]", "model.bidirectional=true", "model.embedding_dim=8"),
        *("data.padding=post", "model.masking=true", "optim.learning_rate=0.01", "trainer.max_epochs=4"),
        *("data.bucket_by_length=true", "trainer.evaluate_train=true"),
    )
