"""Starting from the weights of another run: what fits is loaded, the rest is initialised anew and said."""

import hashlib
import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dlproj.config.checks import DataError, UserError, require
from dlproj.config.data import Kind
from dlproj.data.base import DataModule
from dlproj.data.image import ImageDataModule
from dlproj.data.texts import TextDataModule
from dlproj.launch import rank
from dlproj.models.classifier import Classifier
from dlproj.torch_files import is_whole
from dlproj.training.checkpoints import read_checkpoint

_log = logging.getLogger(__name__)
_ADVICE = "set init_from to another run"
_UNFIT = (ArithmeticError, AttributeError, DataError, LookupError, RuntimeError, TypeError, ValueError)


def load_initial(path: Path, model: Classifier, data: DataModule) -> dict[str, str]:
    """Load the weights of a checkpoint whose names and shapes are the model's, and return the record of that.

    The output layer is loaded only if the classes are the same in the same order. Data of the same kind is prepared as
    in the other run, by prepare_like(); otherwise an embedding, whose rows would be of other words, is not loaded.
    Raises ConfigurationError if nothing fits, and DataError if the file is damaged.
    """
    content = read_checkpoint(path, _ADVICE)
    try:
        return _load(path, content, model, data)
    except UserError:
        raise
    except _UNFIT as error:
        raise DataError(f"{path} is damaged or of another program: {_ADVICE}") from error


def _load(path: Path, content: Mapping[str, Any], model: Classifier, data: DataModule) -> dict[str, str]:
    spec = _spec(content)
    kind = spec.get("kind", data.spec.kind.name)
    message = f"init_from={path} was trained on data of kind {kind}, this is of kind {data.spec.kind.name}"
    require(kind == data.spec.kind.name, f"{message}: choose the same, or another run")
    prepared = prepare_like(content, data)
    skipped = set() if list(spec.get("classes", ())) == list(model.classes) else _output_names(model)
    skipped |= set() if prepared else _embedding_names(model)
    weights, own = _whole_weights(path, content), model.state_dict()
    fits = {name: value for name, value in weights.items() if name not in skipped and _fits(value, own.get(name))}
    learnt = any(value.ndim > 1 for value in fits.values())
    require(learnt, f"none of the weights of init_from={path} fits this model: choose its model.hidden, or another run")
    model.load_state_dict(fits, strict=False)
    record = {
        "checkpoint": str(path),
        "fingerprint": weights_fingerprint(weights),
        "anew": ", ".join(_layers(own.keys() - fits.keys())),
        "unused": ", ".join(_layers(weights.keys() - own.keys())),
        "inputs": "as in that run" if prepared else "by this run's own data",
    }
    _say(record)
    return record


def _whole_weights(path: Path, content: Mapping[str, Any]) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = dict(content["state_dict"])
    if not all(isinstance(name, str) and is_whole(value) for name, value in weights.items()):
        raise DataError(f"{path} is damaged or of another program: {_ADVICE}")
    finite = all(bool(value.isfinite().all()) for value in weights.values())
    require(finite, f"init_from={path} holds weights that are not finite: {_ADVICE}, or to its best.ckpt")
    return weights


def prepare_like(content: Mapping[str, Any], data: DataModule) -> bool:
    """Have the data prepare its inputs as the checkpoint's run: by its vocabulary, its scaling; False if it cannot.

    It can if it is the same kind of data set, or both are of texts or of images, with as many features or ids of words.
    The size of images and the length of texts may differ.
    """
    with suppress(*_UNFIT):
        theirs, mine = _spec(content), data.spec
        as_many = mine.kind is not Kind.features or theirs.get("shape") == mine.shape
        if as_many and theirs.get("vocabulary_size") == mine.vocabulary_size:
            data.restore(_state(content, data))
            data.restored = True
    return data.restored


def _state(content: Mapping[str, Any], data: DataModule) -> dict[str, Any]:
    """The state of data of this class, or of another class of texts or images. Raises LookupError and DataError."""
    if (name := type(data).__qualname__) in content:
        return dict(content[name])
    (state,) = (one for one in content.values() if isinstance(one, dict) and "spec" in one)
    if isinstance(data, TextDataModule):
        if state["tokens"] != data.config.tokens.value:
            raise DataError("the texts are split otherwise: set the same data.tokens")
        return state
    if isinstance(data, ImageDataModule):
        return state  # restore() compares the pixels and their scaling
    raise LookupError(name)


def weights_fingerprint(weights: Mapping[str, Tensor]) -> str:
    """A hash of names, types and values: 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        digest.update(f"{name}{value.dtype}{tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def _spec(content: Mapping[str, Any]) -> dict[str, Any]:
    """What the checkpoint says of its run's data; empty if it says nothing."""
    states = (value for value in content.values() if isinstance(value, dict))
    return next((state["spec"] for state in states if isinstance(state.get("spec"), dict)), {})


def _fits(value: Any, own: Tensor | None) -> bool:
    return own is not None and is_whole(value) and value.shape == own.shape


def _output_names(model: Classifier) -> set[str]:
    """Parameters of the output: the last module that has any."""
    last = [name for name, module in model.named_modules() if list(module.parameters(recurse=False))][-1]
    output = "output" if isinstance(getattr(model, "output", None), nn.Module) else last
    return {name for name in model.state_dict() if name.startswith(f"{output}.")}


def _embedding_names(model: Classifier) -> set[str]:
    tables = [name for name, module in model.named_modules() if isinstance(module, nn.Embedding)]
    return {name for name in model.state_dict() if name.startswith(tuple(f"{table}." for table in tables))}


def _layers(names: Iterable[str]) -> list[str]:
    return sorted({name.rpartition(".")[0] or name for name in names})


def _say(record: Mapping[str, str]) -> None:
    """Warn in one line of what the weights do not decide."""
    parts = {"initialised anew": record["anew"], "not used": record["unused"]}
    words = [f"{label}: {names}" for label, names in parts.items() if names]
    if record["inputs"] != "as in that run":
        words.append(f"inputs are prepared {record['inputs']}")
    if words and rank() == 0:
        _log.warning("init_from=%s: %s", record["checkpoint"], "; ".join(words))
