"""Keras 3 on TensorFlow: model.fit on NumPy arrays in memory. Runs in a Python that need not have torch."""

import os
from typing import Any

import numpy as np

from benchmarks.cases import EMBEDDING_DIM, EMBEDDING_ROWS, EVALUATION_BATCH, LEARNING_RATE, Case, Job
from benchmarks.datasets import Arrays, load
from benchmarks.pacer import Pacer, UnavailableError

_ENDLESS = 1_000_000  # epochs


def run(job: Job, pacer: Pacer) -> None:
    """Train as the pacer says."""
    os.environ["KERAS_BACKEND"] = "tensorflow"  # read when keras is first imported
    try:
        import keras
        import tensorflow
    except ImportError as error:
        raise UnavailableError("not installed: name a Python that has keras and tensorflow in KERAS_PYTHON") from error
    _prepare(tensorflow, job)
    pacer.versions = {"keras": keras.__version__, "tensorflow": tensorflow.__version__}
    model = _model(keras, job.case)
    model.compile(keras.optimizers.Adam(LEARNING_RATE), "sparse_categorical_crossentropy", metrics=["accuracy"])
    paced = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: pacer.next_chunk_or_exit())
    inputs, targets = _training_samples(job)
    model.fit(
        inputs,
        targets,
        batch_size=job.case.batch_size,
        epochs=_ENDLESS,
        steps_per_epoch=job.case.limit and job.steps,
        validation_data=_samples(job, "val") if job.case.validation else None,
        validation_batch_size=EVALUATION_BATCH,
        callbacks=[paced],
    )


def _prepare(tensorflow: Any, job: Job) -> None:
    if job.device == "cpu":
        tensorflow.config.set_visible_devices([], "GPU")
    elif not tensorflow.config.list_physical_devices("GPU"):
        raise UnavailableError("its TensorFlow sees no GPU")
    tensorflow.config.threading.set_intra_op_parallelism_threads(job.threads)
    tensorflow.config.threading.set_inter_op_parallelism_threads(job.threads)


def _samples(job: Job, split: str) -> Arrays:
    inputs, targets = load(job.case.data, split, job.arrays)
    return (inputs / np.float32(255) if inputs.dtype == np.uint8 else inputs), targets


def _training_samples(job: Job) -> Arrays:
    """As many as make whole chunks: a chunk at the end of the data would be shorter than the others."""
    inputs, targets = _samples(job, "train")
    chunk = job.steps * job.case.batch_size
    kept = len(targets) // chunk * chunk if job.case.limit else len(targets)
    return inputs[:kept], targets[:kept]


def _model(keras: Any, case: Case) -> Any:
    layers = keras.layers
    if case.data == "imdb":
        hidden = [layers.Embedding(EMBEDDING_ROWS, EMBEDDING_DIM), layers.LSTM(case.hidden)]
        return keras.Sequential([*hidden, layers.Dense(2, activation="softmax")])
    return keras.Sequential([layers.Dense(case.hidden, activation="relu"), layers.Dense(10, activation="softmax")])
