"""Private names of torch. It imports torch within functions, so that what starts without torch may import it."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.distributed.pipelining import PipelineStage
    from torch.utils.tensorboard import FileWriter, SummaryWriter

# The compiler's package, which torch imports with every optimizer. torch.compiler, the public one, imports it, too.
COMPILER = "torch._dynamo"

# The logger that says so where a tensor of columns and shards takes two messages; its parent says more than that.
REDISTRIBUTION = "torch.distributed.tensor._redistribute"

# The functions that torch.save names in a file to have tensors made by. They are part of the files' format.
REBUILDERS = ("torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter")


def keep_generators(stage: "PipelineStage") -> "PipelineStage":
    """Have a stage's preparation leave the random generators alone, and return the stage.

    torch 2.11 runs the layers once to learn the shapes that they send, and dropout would draw from the generators: a
    resumed run, which prepares anew, would not end as one that never stopped. torch 2.14 restores them itself.
    The public way, to give the shapes of each stage's inputs and outputs, needs them to be known.
    """
    import torch

    prepare, devices = stage._prepare_forward_infra, [stage.device] if stage.device.type == "cuda" else []

    def prepare_aside(*arguments: Any, **named: Any) -> Any:
        with torch.random.fork_rng(devices):
            return prepare(*arguments, **named)

    stage._prepare_forward_infra = prepare_aside  # type: ignore[method-assign]
    return stage


def file_writer(writer: "SummaryWriter") -> "FileWriter":
    """What takes TensorBoard's own events and summaries, opened anew where it was closed.

    SummaryWriter's public methods decode a PNG to encode it again, and run a network in torch.jit to draw it.
    """
    return writer._get_file_writer()
