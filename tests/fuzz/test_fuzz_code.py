"""Python files of the user's own: read without running them, or refused in one line."""

from contextlib import suppress

import pytest
from hypothesis import strategies as st
from mutations import amounts, changed, damaged, fuzz, read_or_refused

from dlproj.config.checks import UserError
from dlproj.config.consent import admit_settings, may_run
from dlproj.config.conversion import typed
from dlproj.config.custom import CustomConfig, CustomOptimConfig

WHOLE = b"""
from torch import nn
from os.path import join as joined


class Net(nn.Module):
    def __init__(self, num_classes, *sizes, width: int = 3, **more):
        super().__init__()
        self.output = nn.Linear(width, num_classes)

    def forward(self, inputs):
        return self.output(inputs)


try:
    import nothing
except ImportError:
    Net.nothing = None
raise AssertionError("it was run")
"""
NAMES = ["net.py:Net", "net.py:joined", "net.py:x", "./net.py:Net", "net.py:", ":Net", "net.py", "a b.py:Net", "os:Net"]
ARGUMENTS = st.dictionaries(st.sampled_from(["width", "wide", "num_classes", "self", "a b", ""]), st.integers())


@amounts
def test_files_with_a_network(examples, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    @fuzz(examples, content=damaged(WHOLE) | st.just(WHOLE), named=st.sampled_from(NAMES), arguments=ARGUMENTS)
    def check(content, named, arguments):
        (tmp_path / "net.py").write_bytes(content)
        read_or_refused(lambda: CustomConfig(network=named, arguments=arguments).check_code(), tmp_path)


@pytest.mark.parametrize(
    "text", ["(" * 3000, "x = " + "-" * 50_000 + "1", "a.b" * 30_000, "\0", "\ufeff", "# coding: x"]
)
def test_files_that_are_hard_to_parse(text, tmp_path):
    (tmp_path / "net.py").write_text(text)
    read_or_refused(lambda: CustomConfig(network=f"{tmp_path}/net.py:Net").check_code(), tmp_path)


@amounts
def test_names_of_optimizers(examples):
    names = st.text("torch.optimNAd:_ /\0\n~", max_size=20) | st.sampled_from(["torch.optim.NAdam", "torch.optim:Adam"])

    @fuzz(examples, named=names, arguments=ARGUMENTS)
    def check(named, arguments):
        read_or_refused(lambda: CustomOptimConfig(target=named, arguments=arguments).check_code())


@amounts
def test_settings_of_runs_that_name_code(examples, tmp_path):
    """Nothing of what a run's folder names is allowed, whatever that is."""
    whole = {"network": "net.py:Net", "arguments": {"width": 64, "sizes": [1, 2]}, "code": "0" * 32}

    def admit(values):
        model = typed(CustomConfig, values, "model")
        with suppress(UserError):
            admit_settings({"schema": {"model": "custom"}, "model": values}, tmp_path, allow_code=False)
        assert not may_run(model.token())

    @fuzz(examples, values=changed(whole))
    def check(values):
        read_or_refused(lambda: admit(values if isinstance(values, dict) else {"network": str(values)}), tmp_path)
