"""Packages whose execution is put off: a start does without them, and who uses them finds them whole."""

import json
import subprocess
import sys
import textwrap

import pytest

START = """
import json, os, sys, traceback, warnings
from dlproj.late_imports import delay, is_executed
delay()
import torch, pytorch_lightning
DELAYED = ("torch._dynamo", "torchmetrics", "torchmetrics.functional", "torchmetrics.utilities.plot",
           "torch.utils.flop_counter")
"""
# Each script runs in a fork of a process that has started, which takes three seconds.
SERVE = """
for line in sys.stdin:
    script, shown, path = json.loads(line)
    if (pid := os.fork()) == 0:
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        os.dup2(2, 1)
        if shown:
            warnings.simplefilter("default")
        exec(script, globals())
        sys.exit()
    print(os.waitpid(pid, 0)[1], flush=True)
"""


@pytest.fixture(scope="module")
def started():
    """A process that has started, and runs what it is sent."""
    words = [sys.executable, "-W", "error", "-c", START + SERVE]
    process = subprocess.Popen(words, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    yield process
    process.communicate()


@pytest.fixture
def python(started, tmp_path):
    """Call with a script: what it prints after a start. Raises AssertionError where it fails."""

    def run(script, show_warnings=False):
        path = tmp_path / "printed.txt"
        request = json.dumps([textwrap.dedent(script), show_warnings, str(path)])
        print(request, file=started.stdin, flush=True)
        status = started.stdout.readline()
        assert status == "0\n", path.read_text()
        return path.read_text()

    return run


def test_lightning_and_an_optimizer_execute_none_of_them(python):
    python("""
        from torchmetrics import MeanMetric, Metric, MetricCollection
        weights = torch.nn.Parameter(torch.ones(1))
        optimizer = torch.optim.Adam([weights], fused=True)
        weights.sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        mean = MeanMetric()
        mean.update(torch.tensor([1.0, 3.0]))
        assert mean.compute() == 2 and isinstance(mean, Metric)
        assert not any(map(is_executed, DELAYED))
        assert not {"torchvision", "scipy", "matplotlib", "sympy", "triton", "torch._inductor"} & set(sys.modules)
    """)


def test_operations_can_be_counted(python):
    """By Lightning, and by who counts, derives or asks with the class that stood in for the real one."""
    python("""
        from lightning_fabric.utilities.throughput import measure_flops
        from torch.utils.flop_counter import FlopCounterMode
        linear = torch.nn.Linear(3, 5)
        count = 2 * 7 * 3 * 5  # a multiplication and an addition for each weight and sample
        assert measure_flops(linear, lambda: linear(torch.ones(7, 3))) == count
        class Counter(FlopCounterMode):
            pass
        with Counter(display=False) as counter:
            linear(torch.ones(7, 3))
        assert counter.get_total_flops() == count
        assert isinstance(counter, FlopCounterMode) and not isinstance(linear, FlopCounterMode)
        assert FlopCounterMode.__mro_entries__(()) == (sys.modules["torch.utils.flop_counter"].FlopCounterMode,)
    """)


def test_metrics_are_whole_when_they_are_used(python):
    python("""
        import torchmetrics
        accuracy = torchmetrics.Accuracy(task="multiclass", num_classes=3)
        accuracy.update(torch.tensor([0, 1, 2]), torch.tensor([0, 1, 1]))
        assert abs(accuracy.compute() - 2 / 3) < 1e-6
        assert torchmetrics.functional.accuracy(torch.tensor([1]), torch.tensor([1]), task="binary") == 1
        assert torchmetrics.__version__ and torchmetrics.functional.__all__
        from torchmetrics.image import StructuralSimilarityIndexMeasure
        assert isinstance(accuracy, torchmetrics.Metric)
        assert all(map(is_executed, ("torchmetrics", "torchmetrics.functional")))
    """)


def test_a_metric_that_was_made_before_can_be_plotted(python):
    python("""
        import os
        os.environ["MPLBACKEND"] = "agg"
        from torchmetrics import MeanMetric
        mean = MeanMetric()
        mean.update(2.0)
        figure, axes = mean.plot()
        from matplotlib.figure import Figure
        assert isinstance(figure, Figure)
    """)


def test_classification_alone_does_not_execute_the_rest(python):
    python("""
        from torchmetrics.classification import MulticlassAccuracy
        assert not is_executed("torchmetrics") and not is_executed("torchmetrics.functional")
    """)


def test_torchvision_is_whole(python):
    python("""
        from torchvision.ops import box_iou
        box = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
        assert box_iou(box, box) == 1
    """)


@pytest.mark.slow
def test_what_is_compiled_afterwards_computes_the_same(python):
    """To the bit, as where nothing is put off; to the bit of what is not compiled not every version of torch does."""
    compiled = """
        import torch
        torch.manual_seed(0)
        model = torch.nn.Linear(3, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        @torch.compile(backend="eager")
        def step(inputs):
            optimizer.zero_grad()
            loss = model(inputs).square().mean()
            loss.backward()
            optimizer.step()
            return loss.detach()
        print([step(torch.ones(2, 3)).item().hex() for _ in range(3)], model.weight.sum().item().hex())
    """
    plain = """
        weights = torch.nn.Parameter(torch.ones(1))
        optimizer = torch.optim.SGD([weights], lr=0.5)
        weights.square().sum().backward()
        optimizer.step()
        assert weights.item() == 0 and not is_executed("torch._dynamo")
    """
    executed = 'assert is_executed("torch._dynamo")'
    # Warnings are shown: the compiler's own code has some.
    after = python(textwrap.dedent(plain) + textwrap.dedent(compiled) + executed, show_warnings=True)
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(compiled)], capture_output=True, text=True, check=True)
    assert after.splitlines()[-1:] == done.stdout.splitlines()


def test_lightning_knows_a_compiled_model(python):
    python("""
        from lightning_fabric.wrappers import _unwrap_compiled
        from pytorch_lightning.demos.boring_classes import BoringModel
        from pytorch_lightning.utilities.compile import _maybe_unwrap_optimized
        model = BoringModel()
        assert _maybe_unwrap_optimized(model) is model
        compiled = torch.compile(model, backend="eager")
        assert isinstance(compiled, torch._dynamo.OptimizedModule)
        assert _maybe_unwrap_optimized(compiled) is model
        assert _unwrap_compiled(torch.compile(torch.nn.Linear(1, 1), backend="eager"))[1] is not None
    """)


@pytest.mark.parametrize("name", ["torch._dynamo.config", "torch._dynamo.utils"])
def test_a_submodule_of_the_compiler_finds_it_executed(name, python):
    python(f"""
        import {name}
        assert is_executed("torch._dynamo")
        torch._dynamo.reset()
    """)


def test_functions_that_ask_for_reasons_are_disabled_as_ever(python):
    python("""
        @torch.compiler.disable
        def plain(x):
            return x + 1
        @torch.compiler.disable(recursive=False, reason="a test")
        def other(x):
            return x + 2
        assert plain(1) == 2 and other(1) == 3
        assert torch.compile(plain, backend="eager")(torch.ones(1)) == 2
    """)


def test_what_was_imported_before_stays_as_it_is(python):
    code = (
        "import torchmetrics\nfrom dlproj.late_imports import *\ndelay(); delay()\nassert is_executed('torchmetrics')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    python("""
        from dlproj import late_imports
        delay()  # once more
        assert sum(isinstance(one, late_imports._Finder) for one in sys.meta_path) == 1
    """)
