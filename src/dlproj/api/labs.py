"""The documents' experiments from Python: `dlproj reproduce`, and its table as a DataFrame."""

from typing import TYPE_CHECKING

from dlproj.api.sweep import call

if TYPE_CHECKING:
    import pandas as pd

_FOLDER = "logs/reproduce"  # of the command


def reproduce(*experiments: str, seeds: int = 3) -> "pd.DataFrame":
    """Run experiments of the documents that have not been run: reproduce("mlp/activations"), reproduce("lab4").

    A row a reported figure: `reported` beside `reproduced`, the mean over the seeds, with their `standard_deviation`,
    `difference`, and how many of the document's `claims` hold. logs/reproduce/RESULTS.md has the claims in words.
    Without a name all are run, for hours. Raises UserError with the text that the command line prints.
    """
    import pandas as pd

    call(["reproduce", *experiments, "--seeds", str(seeds)])
    table = pd.read_csv(f"{_FOLDER}/results.csv")
    suites = table["experiment"].str.partition("/")[0]
    asked = table["experiment"].isin(experiments) | suites.isin(experiments)
    return table[asked | (not experiments)].reset_index(drop=True)
