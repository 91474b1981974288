"""The cases compared: networks, batch sizes and variants. Imports only the standard library.

The Keras variant may run in another Python, which has neither torch nor dlproj.
"""

import json
from dataclasses import asdict, dataclass, replace

FLOOR = "floor"
LEARNING_RATE = 0.001  # of Adam, in every variant
EVALUATION_BATCH = 1000  # samples, in every variant that validates

MLP_VARIANTS = ("floor", "dlproj", "lab", "template pairs", "template torchvision", "keras", "matmul")
RNN_VARIANTS = (
    "floor",
    "floor with denormals",
    "dlproj",
    "dlproj masked",
    "dlproj masked bucketed",
    "dlproj masked bucketed bf16",
    "lab",
    "template pairs",
    "keras",
)
RNN_BATCHES = 20  # per chunk: an epoch would take minutes
DENORMAL_BATCHES = 1  # per chunk: a step takes seconds
VOCABULARY = 10_000  # word ids are below this
EMBEDDING_ROWS = 88_584  # as in the document that the network is taken from (lab4)
EMBEDDING_DIM = 128


@dataclass(frozen=True)
class Case:
    """One network on one data set with one batch size."""

    name: str
    data: str  # "fmnist" or "imdb"
    hidden: int  # units of the one hidden layer
    batch_size: int
    variants: tuple[str, ...]
    validation: bool = False  # True if validation after the epoch is timed
    limit: int | None = None  # batches per chunk; None: the full epoch

    def steps(self, samples: int, variant: str) -> int:
        """Training steps per chunk of the variant, given the number of training samples."""
        epoch = -(-samples // self.batch_size)
        steps = min(epoch, self.limit or epoch)
        return min(steps, DENORMAL_BATCHES) if variant == "floor with denormals" else steps


@dataclass(frozen=True)
class Job:
    """The job of a worker: one variant of one case."""

    case: Case
    variant: str
    threads: int
    device: str  # "cpu" or "cuda"
    steps: int  # per chunk
    arrays: str  # folder of the arrays that datasets.py writes
    output: str  # the worker's own folder

    def to_json(self) -> str:
        """Encode the job for the worker's command line."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> "Job":
        """Decode the result of to_json()."""
        values = json.loads(text)
        return Job(**values | {"case": Case(**values["case"])})


def _mlp(hidden: int, batch_size: int) -> Case:
    return Case(f"mlp-{hidden}-{batch_size}", "fmnist", hidden, batch_size, MLP_VARIANTS)


CASES = (
    *(_mlp(hidden, batch_size) for hidden in (1000, 256) for batch_size in (32, 128)),
    Case("mlp-784-128-val", "fmnist", 784, 128, MLP_VARIANTS[:-1], validation=True),
    Case("lstm-200-128", "imdb", 200, 128, RNN_VARIANTS, limit=RNN_BATCHES),
)


def shortened(case: Case, limit: int) -> Case:
    """The case with at most `limit` batches per chunk."""
    return replace(case, limit=min(limit, case.limit or limit))
