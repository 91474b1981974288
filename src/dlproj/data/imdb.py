"""IMDB: 25,000 + 25,000 film reviews, negative or positive (Maas et al. 2011), as word ids in Keras's layout."""

import os
from pathlib import Path

from dlproj.config.texts import IMDBConfig, Tokens
from dlproj.data.data_files import damaged, data_root, ensure, extract, fixed_order, unpack_beside, ways_out
from dlproj.data.shared import shared
from dlproj.data.text_files import TextFile, labelled, text_file
from dlproj.data.texts import TextDataModule
from dlproj.data.tokenized import LabelledTexts, TokenizedTexts, tokenized

NAME = "aclImdb"
URL = "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz"
MD5 = "7c2ac02c03563afcf9b574c7e56c153a"
FOLDERS = ("neg", "pos")  # a review's target is the index of its folder
SPLITS = ("train", "test")
_ADVICE = f": delete the folder {NAME} and run again to download it, {ways_out(NAME)}"


class IMDBDataModule(TextDataModule):
    """Reviews, targets 0 for negative and 1 for positive.

    The files come sorted by class; both sets are put in a fixed order (data_files.fixed_order), so that the last part
    of the training set is a fair validation set.
    """

    config: IMDBConfig
    noun = "review"
    official_sizes = (25_000, 25_000)

    def prepare_data(self) -> None:
        """Download missing reviews and tokenise them once for all processes."""
        if not hasattr(self, "train"):
            parts = [f"{split}/{folder}" for split in SPLITS for folder in FOLDERS]
            ensure(data_root(self.config.root), NAME, parts, download)
        super().prepare_data()

    def labelled_texts(self) -> list[LabelledTexts]:
        """25,000 training and 25,000 test reviews. Raises DataError, naming the damaged file or folder."""
        return reviews(data_root(self.config.root))

    def read(self) -> TokenizedTexts:
        """The tokens of the reviews. Raises DataError, naming the damaged file or folder."""
        return read_reviews(data_root(self.config.root), self.config.tokens)


def download(folder: Path) -> None:
    """Unpack the reviews of the Stanford archive into folder/aclImdb; download it unless it lies beside the folder."""
    import pooch

    wanted = rf"{NAME}/(train|test)/({'|'.join(FOLDERS)})/[^/\\]+\.txt"
    if not unpack_beside(folder, Path(URL).name, MD5, NAME, wanted):
        archive = pooch.retrieve(URL, known_hash=f"md5:{MD5}", fname=Path(URL).name, path=folder, progressbar=True)
        extract(Path(archive), folder, wanted)


def reviews(root: Path) -> list[LabelledTexts]:
    """The training and the test reviews of root/aclImdb. Raises DataError."""
    return [labelled(scan(root / NAME, split), "reviews", _ADVICE) for split in SPLITS]


@shared
def read_reviews(root: Path, tokens: Tokens = Tokens.words) -> TokenizedTexts:
    """Return the tokenised reviews of root/aclImdb, from the cache beside that folder if there is one.

    Raises DataError, naming the folder or file that is missing or not UTF-8.
    """
    train, test = reviews(root)
    return tokenized(train, test, tokens, len(FOLDERS), root / NAME)


def scan(folder: Path, split: str) -> list[TextFile]:
    """List the split's review files in their fixed order. Raises DataError, naming a missing or empty folder."""
    found = []
    for target, name in enumerate(FOLDERS):
        parent = f"{split}/{name}"
        try:
            with os.scandir(folder / parent) as entries:
                kept = [entry for entry in entries if _is_review(entry.name)]
                files = [text_file(entry.path, target, f"{parent}/{entry.name}", entry.stat()) for entry in kept]
        except OSError as error:
            raise damaged(folder / parent, NAME) from error
        if not files:
            raise damaged(folder / parent, NAME)
        found += sorted(files)
    return fixed_order(found)


def _is_review(name: str) -> bool:
    return name.lower().endswith(".txt") and not name.startswith(".")
