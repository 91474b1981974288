"""Whatever a user hands in as samples, as stored inputs of a run's data; and what the run says of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from dlproj.config.checks import DataError
from dlproj.config.data import Kind
from dlproj.inference.trained import LoadedRun
from dlproj.models.losses import class_probabilities, scores

_BATCH = 1000


def predicted(run: LoadedRun, x: Any) -> pd.DataFrame:
    """A row a sample, with the index of a DataFrame or the names of files: `class`, then each class's probability."""
    stored, index = as_stored(run, x)
    logits = torch.cat([run.logits(part) for part in stored.split(_BATCH)]) if len(stored) else torch.zeros(0, 1)
    probabilities = class_probabilities(logits, run.model.activation).double().numpy()
    classes = [run.model.classes[i] for i in scores(logits).argmax(1).tolist()]
    frame = pd.DataFrame(probabilities, columns=list(run.model.classes), index=index)
    frame.insert(0, "class", classes)
    return frame


def as_stored(run: LoadedRun, x: Any) -> tuple[Tensor, Any]:
    """Stored inputs (N, …) of the samples, and an index to name them by. Raises DataError."""
    if isinstance(x, pd.DataFrame):
        return _fitting(run, torch.as_tensor(x.to_numpy())), x.index
    if isinstance(x, np.ndarray | Tensor):
        return _fitting(run, torch.as_tensor(x)), None
    samples: list[Any] = list(x) if isinstance(x, list | tuple | pd.Series) else [x]
    if len(samples) == 0:
        raise DataError("there are no samples: hand in at least one")
    first = samples[0]
    if isinstance(first, Image.Image):
        return torch.cat([_pixels(run, image) for image in samples]), None
    if isinstance(first, str | Path):
        return _read(run, samples)
    return _fitting(run, torch.as_tensor(np.stack([np.asarray(sample) for sample in samples]))), None


def _read(run: LoadedRun, samples: list[Any]) -> tuple[Tensor, list[str]]:
    """Image files by their paths; texts as they are, or from files that a Path names."""
    names = [str(sample) for sample in samples]
    if run.data.spec.kind is not Kind.image:
        texts = [sample.read_text(encoding="utf-8") if isinstance(sample, Path) else sample for sample in samples]
        return run.data.encode(texts), names
    decoded = run.data.decode([Path(sample) for sample in samples])
    if problem := next(filter(None, decoded.problems), None):
        raise DataError(problem)
    return decoded.pixels, names


def _pixels(run: LoadedRun, image: Image.Image) -> Tensor:
    """A PIL image as stored pixels (1, channels, height, width), resized as an image file is."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = Path(folder) / "image.png"
        image.save(path)
        return _read(run, [path])[0]


def _fitting(run: LoadedRun, values: Tensor) -> Tensor:
    """Samples (N, …), or a single one (…), in the run's layout; images may have channels last, or none if grey."""
    shape = tuple(run.data.spec.shape)
    for samples in (values, values[None]):
        for layout in _layouts(samples, run.data.spec.kind):
            if tuple(layout.shape[1:]) == shape:
                return _of_type(run, layout)
    needed = ", ".join(map(str, shape))
    message = f"the samples have the shape {tuple(values.shape)}, the run needs (N, {needed}) or ({needed})"
    raise DataError(f"{message}: hand in {run.data.spec.kind.name} of this shape")


def _layouts(samples: Tensor, kind: Kind) -> list[Tensor]:
    if kind is not Kind.image:
        return [samples]
    channels_last = [samples.movedim(-1, 1)] if samples.dim() == 4 else []
    return [samples, *channels_last, samples[:, None]]


def _of_type(run: LoadedRun, values: Tensor) -> Tensor:
    kind = run.data.spec.kind
    if kind is Kind.features:
        if not values.isfinite().all():
            raise DataError("the samples have numbers that are not finite: fill them in, or leave those rows out")
        return values.float()
    if values.is_floating_point():
        whole = "pixels from 0 to 255, as uint8" if kind is Kind.image else "ids of words"
        raise DataError(f"the samples are {values.dtype}, the run needs whole numbers: {whole}")
    return values.byte() if kind is Kind.image else values.long()
