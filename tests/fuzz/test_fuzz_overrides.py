"""What can be typed behind train.py: composed and checked, or refused in one line."""

import math

import pytest
from hypothesis import strategies as st
from mutations import amounts, fuzz, is_one_line, read_or_refused

from dlproj.command_errors import in_one_line, is_user_error
from dlproj.config.checks import UserError
from dlproj.config.root import data_config

WHOLE = [
    *("data=digits", "model=mlp", "model.hidden=[256,128]", "model.hidden=[{units: 3, activation: relu}]", "seed=1"),
    *("optim.learning_rate=0.01", "+experiment=mlp/base", "~scheduler", "+model.x={a:[1,2]}", "name='a b'"),
    *("trainer=debug", "trainer.max_time=00:00:01:00", "model.weight_initializer={name: normal, std: 0.01}"),
    *("figures.samples=[train:1]", "data.root=${oc.env:HOME}", "seed=${data.batch_size}", "++seed=2"),
    *("scheduler=step", "optim=sgd", "model=lstm"),
]
KEYS = [
    *("data", "model", "optim", "scheduler", "callbacks", "trainer", "figures", "seed", "name", "sweep"),
    *("reference", "hydra", "data.batch_size", "data.val_fraction", "data.root", "data.scaling", "data.random_crop"),
    *("model.hidden", "model.hidden[0]", "model.dropout", "model.activation", "model.weight_initializer"),
    *("model.weight_initializer.name", "model.output.activation", "model.inputs", "model.loss", "model.outputs"),
    *("model.class_weights", "model.label_smoothing", "model.freeze", "data.mixup", "data.sampling"),
    *("optim.learning_rate", "optim.beta1", "scheduler.warmup_epochs", "callbacks.early_stopping"),
    *("callbacks.early_stopping.patience", "trainer.max_epochs", "trainer.max_time", "trainer.devices"),
    *("trainer.precision", "trainer.threads", "trainer.steps_per_execution", "trainer.val_check_interval"),
    *("figures.samples", "figures.gallery", "sweep.trial", "reference.reported", "x", "", "hydra.run.dir"),
    *("experiment", "schema", "data.", ".seed", "data@x", "model.hidden.0", "reference.claims", "reference.curves"),
]
VALUES = [
    *("", "null", "true", "0", "1", "-1", "1e400", "-1e-400", "nan", "inf", "9" * 400, "0x10", "1_0", "abc", "a b"),
    *("'a'", "[]", "{}", "[null]", "[[]]", "[1,a]", "{a:1}", "{'':1}", "[" * 40 + "]" * 40, "???", "${seed}", "${x"),
    *("${..}", "${oc.env:NONE}", "${oc.decode:'['}", "${stamp:}", "${either:1}", "${dashed:1}", "../.."),
    *("/dev/null", "a\\nb", "a\nb", "\t", "\x00", "\x1b", "\ud800", "\u2028", "é", "1,2", "range(1,3)", "glob(*)"),
    *("choice()", "sort(1", "x" * 5000, "shuffle(1)", "int(a)", "extend_list(1)", "{units:-1}"),
    *("[{units:1,units:2}]", "[0.5]", "[1e9]", "00:00:00:01"),
]
ALPHABET = "abcx01.=+~@/[]{}():,'\"\\$?* \t\n\r\x00\x1b-_é\u2028\ud800"
SIGNS = ["", "", "", "+", "++", "~"]
TYPED = (
    st.builds("{}{}={}".format, st.sampled_from(SIGNS), st.sampled_from(KEYS), st.sampled_from(VALUES))
    | st.builds(
        lambda whole, place, more: whole[: place % len(whole)] + more + whole[place % len(whole) :],
        st.sampled_from(WHOLE),
        st.integers(0, 99),
        st.text(ALPHABET, max_size=4),
    )
    | st.builds(lambda key, text: f"{key}={text}", st.sampled_from(KEYS), st.text(ALPHABET, max_size=8))
    | st.text(ALPHABET, max_size=12)
    | st.sampled_from(WHOLE)
)


def mended(read):
    """As train.py's command line: what Hydra raises is told in one line, too."""
    try:
        return read()
    except Exception as error:
        if not is_user_error(error):
            raise
        words = in_one_line(error)
    assert is_one_line(words)
    raise UserError(words)


@amounts
def test_command_lines(examples, composed):
    @fuzz(examples // 2, overrides=st.lists(TYPED, min_size=1, max_size=3))
    def check(overrides):
        config = read_or_refused(lambda: mended(lambda: composed("data=digits", *overrides)))
        if config:
            assert math.isfinite(config.optim.learning_rate)


@amounts
@pytest.mark.parametrize("name", ["imdb", "digits"])
def test_command_lines_of_the_data_alone(name, examples):
    @fuzz(examples, override=TYPED)
    def check(override):
        read_or_refused(lambda: data_config(name, [override]))
