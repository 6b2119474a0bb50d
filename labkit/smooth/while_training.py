"""A WHILE program with a weight and a bias in every assignment, fitted to what the discrete program computes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Unpack

import torch
from torch import Tensor, nn

from labkit.errors import DomainError, ShapeError, check_positive, check_tensor
from labkit.events import Step
from labkit.smooth.while_program import Execution, RunOptions, WhileProgram, WhileResult, check_like


class TrainableWhileProgram(nn.Module):
    """The program with ``x := w (y + change) + b`` for each assignment ``x := y + change``.

    Increments and copies alike have a weight and a bias, in the order of the text; w = 1 and b = 0 at first, which is
    the plain program. They are meant to take back the small factor and offset by which the C-infinity program differs
    from the discrete one.

    Args:
        program: any WHILE program.
        dtype: of weight and bias, that of the inputs to come.

    Attributes:
        weight, bias: (number of assignments,).

    Source: AlgoNet, section 3.2.
    """

    def __init__(self, program: WhileProgram, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.program = program
        self.weight = nn.Parameter(torch.ones(len(program.assignments), dtype=dtype))
        self.bias = nn.Parameter(torch.zeros(len(program.assignments), dtype=dtype))

    def extra_repr(self) -> str:
        """The program, for the readable form of the module."""
        return repr(self.program)

    def forward(self, inputs: Mapping[str, Tensor], **options: Unpack[RunOptions]) -> WhileResult:
        """Run it; arguments, result and errors are those of `WhileProgram.__call__`.

        Raises:
            DTypeError, DeviceError: moreover, the inputs differ in type or device from the weights.
        """
        return Execution(self.program, inputs, **options, affine=(self.weight, self.bias)).finish()

    def regularizer(self) -> Tensor:
        """How far the program is from the plain one: ``sum over assignments of (w - 1)^2 + b^2``, a scalar."""
        return (self.weight - 1).square().sum() + self.bias.square().sum()

    def fit(
        self,
        inputs: Mapping[str, Tensor],
        targets: Tensor,
        *,
        steps: int = 200,
        learning_rate: float = 0.005,
        regularization: float = 0.01,
        **options: Unpack[RunOptions],
    ) -> Iterator[Step]:
        """Fit ``x0`` to the targets: Adam on the whole batch, its rate falling to 0 by a cosine.

        The loss is ``sqrt(mean of error^4) + regularization * regularizer()``: with the fourth power the elements that
        are wrong most count most, which brings the largest error down further than a mean square does.
        The steps are done as they are asked for; who stops asking keeps the parameters of the last one.

        Args:
            inputs: start values, as for the discrete program: (...) each.
            targets: what the discrete program makes of them, (...).
            steps: how many, at least 1.
            learning_rate: of Adam, > 0.
            regularization: factor of `regularizer`, at least 0.
            options: as for `forward`.

        Yields:
            For each step ``loss``, and of x0 the ``mean_error`` and ``largest_error`` (absolute), before the step.

        Raises:
            ShapeError, DTypeError, DeviceError, DomainError: bad arguments, at once; a run that overflowed, later.
        """
        if steps < 1:
            raise DomainError("steps", steps, "at least 1")
        if not regularization >= 0:
            raise DomainError("regularization", regularization, "a number from 0")
        check_positive("learning_rate", learning_rate)
        check_tensor("targets", targets, "...")
        shape = Execution(self.program, inputs, **options, affine=(self.weight, self.bias)).remaining.shape
        check_like("targets", targets, self.weight)
        if targets.shape != shape or not targets.numel():
            raise ShapeError("targets", tuple(targets.shape), f"{tuple(shape)}, as the inputs, and not empty")
        return self._fit(inputs, targets, steps, learning_rate, regularization, options)

    def _fit(
        self,
        inputs: Mapping[str, Tensor],
        targets: Tensor,
        steps: int,
        learning_rate: float,
        regularization: float,
        options: RunOptions,
    ) -> Iterator[Step]:
        adam = torch.optim.Adam(self.parameters(), lr=learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
        for number in range(1, steps + 1):
            error = self(inputs, **options).outputs["x0"] - targets  # (...)
            norm = torch.linalg.vector_norm(error, 4) / error.numel() ** 0.25
            loss = norm.square() + regularization * self.regularizer()
            adam.zero_grad()
            loss.backward()
            adam.step()
            schedule.step()
            values = {"loss": loss, "mean_error": error.abs().mean(), "largest_error": error.abs().max()}
            yield Step(number, steps, {name: float(value.detach()) for name, value in values.items()})
