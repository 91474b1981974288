"""A recurrent layer: a simple, LSTM or GRU cell, in one direction or two, with Keras's biases."""

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from dlproj.config.layers import Activation, Cell, RecurrentConfig
from dlproj.models.initializers import initialize
from dlproj.models.penalties import Penalty


class RecurrentLayer(nn.Module):
    """Maps sequences (B, T, inputs) to all outputs (B, T, width) or to the last ones (B, width).

    width is units, or 2 · units if bidirectional. `lengths` (B,) is the number of real steps at the start of each
    sequence, the rest being padding; None if all are real.
    """

    def __init__(
        self, cell: Cell, inputs: int, layer: RecurrentConfig, forget_bias: float | None, bidirectional: bool
    ) -> None:
        super().__init__()
        directions = 2 if bidirectional else 1
        self.width = directions * layer.units
        self.input_dropout = layer.input_dropout
        self.directions = nn.ModuleList([direction(cell, inputs, layer, forget_bias) for _ in range(directions)])
        self.dropout = nn.Dropout(layer.dropout)

    def forward(self, sequence: Tensor, lengths: Tensor | None) -> Tensor:
        """Return all outputs (B, T, width), each at the time of the input that it read last."""
        outputs = self._run(sequence, lengths)
        if len(outputs) == 2:
            outputs[1] = reverse(outputs[1], lengths)
        return self.dropout(torch.cat(outputs, dim=2))

    def final(self, sequence: Tensor, lengths: Tensor | None) -> Tensor:
        """Return each direction's output after its last real input, concatenated to (B, width)."""
        outputs = self._run(sequence, lengths)
        return self.dropout(torch.cat([last_of(output, lengths) for output in outputs], dim=1))

    def _run(self, sequence: Tensor, lengths: Tensor | None) -> list[Tensor]:
        if self.training and self.input_dropout:
            # One mask for all time steps (Gal & Ghahramani 2016), like the `dropout` of Keras's recurrent layers.
            kept = functional.dropout(sequence.new_ones(len(sequence), 1, sequence.shape[2]), self.input_dropout)
            sequence = sequence * kept
        readings = [sequence, reverse(sequence, lengths)] if len(self.directions) == 2 else [sequence]
        return [module(reading)[0] for module, reading in zip(self.directions, readings, strict=True)]


def last_of(outputs: Tensor, lengths: Tensor | None) -> Tensor:
    """Select from outputs (B, T, F) each sequence's last real step: (B, F)."""
    if lengths is None:
        return outputs[:, -1]
    return outputs[torch.arange(outputs.shape[0], device=outputs.device), lengths.to(outputs.device) - 1]


def reverse(sequence: Tensor, lengths: Tensor | None) -> Tensor:
    """Reverse the real steps of sequences (B, T, F); padding stays in place."""
    if lengths is None:
        return sequence.flip(1)
    lengths = lengths.to(sequence.device)
    time = torch.arange(sequence.shape[1], device=sequence.device)[None, :]
    source = torch.where(time < lengths[:, None], lengths[:, None] - 1 - time, time)
    return sequence.gather(1, source[:, :, None].expand_as(sequence))


def direction(cell: Cell, inputs: int, layer: RecurrentConfig, forget_bias: float | None) -> nn.RNNBase:
    """Return an initialised direction of a layer: (B, T, inputs) to ((B, T, units), state)."""
    module = _module(cell, inputs, layer)
    if cell is not Cell.gru:  # Keras's GRU has the second bias, too, since the reset gate multiplies it
        drop_second_bias(module)
    for name, parameter in module.named_parameters(recurse=False):  # not the activation's own parameter
        if name.startswith("weight_hh"):
            initialize(parameter, layer.recurrent_initializer)
        else:
            initialize(parameter, layer.bias_initializer if name.startswith("bias") else layer.weight_initializer)
    if forget_bias is not None:
        gates = module.get_parameter("bias_ih_l0").data  # in the order input, forget, cell, output
        gates[layer.units : 2 * layer.units] = forget_bias
    return module


def _module(cell: Cell, inputs: int, layer: RecurrentConfig) -> nn.RNNBase:
    if cell is Cell.lstm:
        return LSTM(inputs, layer.units, batch_first=True)
    if cell is Cell.gru:
        return nn.GRU(inputs, layer.units, batch_first=True)
    if layer.activation in (Activation.tanh, Activation.relu):
        return nn.RNN(inputs, layer.units, nonlinearity=layer.activation.name, batch_first=True)
    return SimpleRNN(inputs, layer.units, layer.activation_module())


def drop_second_bias(module: nn.RNNBase) -> None:
    """Make torch's second bias a constant zero: since it is only added to the first, Keras has one bias."""
    zeros = torch.zeros_like(module.get_parameter("bias_hh_l0").data)
    del module.bias_hh_l0
    module.register_buffer("bias_hh_l0", zeros, persistent=False)


@cache
def computes_bfloat16_lstm() -> bool:
    """True if this CPU can train an LSTM under bfloat16 autocast, for which oneDNN on x86 needs AVX-512."""
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast("cpu", torch.bfloat16):
        module = nn.LSTM(1, 1, device="meta").to_empty(device="cpu")  # draws no random numbers
        try:
            module(torch.zeros(1, 1, 1, device="cpu"))[0].sum().backward()
        except RuntimeError:
            return False
    return True


class LSTM(nn.LSTM):
    """torch's LSTM, but in float32 if autocast asks for bfloat16 and the CPU cannot train that.

    torch's own bfloat16 loop would work, but with AVX2 alone takes 11 times as long as oneDNN's LSTM in float32.
    """

    def forward(self, sequence: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:  # type: ignore[override]
        """Map (B, T, inputs) to ((B, T, units), last states)."""
        autocast = sequence.device.type == "cpu" and torch.is_autocast_enabled("cpu")
        if not autocast or computes_bfloat16_lstm():
            return super().forward(sequence)
        with torch.autocast("cpu", enabled=False):
            return super().forward(sequence.float())


class SimpleRNN(nn.RNN):
    """A simple RNN with any activation, as a loop over time: torch itself has tanh and ReLU only."""

    weight_ih_l0: Tensor
    weight_hh_l0: Tensor
    bias_ih_l0: Tensor
    bias_hh_l0: Tensor

    def __init__(self, inputs: int, units: int, activation: nn.Module) -> None:
        super().__init__(inputs, units, batch_first=True)
        self.activation = activation

    def forward(self, sequence: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Map (B, T, inputs) to ((B, T, units), last state (B, units))."""
        sums = functional.linear(sequence, self.weight_ih_l0, self.bias_ih_l0)
        state = sums.new_zeros(sums.shape[0], self.hidden_size)
        states = []
        for time in range(sums.shape[1]):
            state = self.activation(sums[:, time] + functional.linear(state, self.weight_hh_l0, self.bias_hh_l0))
            states.append(state)
        return torch.stack(states, dim=1), state


def recurrent_penalties(module: RecurrentLayer, layer: RecurrentConfig) -> list[Penalty]:
    """Return the penalties on each direction's kernel, recurrent kernel and trained biases."""
    penalties = []
    for rnn in module.directions:
        penalties.append(Penalty(rnn, "weight_ih_l0", layer.weight_l1, layer.weight_l2))
        penalties.append(Penalty(rnn, "weight_hh_l0", layer.recurrent_l1, layer.recurrent_l2))
        biases = [name for name, _ in rnn.named_parameters() if name.startswith("bias")]
        penalties += [Penalty(rnn, name, layer.bias_l1, layer.bias_l2) for name in biases]
    return penalties
