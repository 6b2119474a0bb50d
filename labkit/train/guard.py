"""One descent that never steps on numbers that are not finite."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from labkit.errors import DomainError
from labkit.train.distributed import Team


class NonFiniteError(DomainError):
    """A loss or gradient became NaN or infinite. The parameters are still those before the step."""


def descend(
    loss: Tensor,
    terms: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    parameters: Mapping[str, nn.Parameter],
    team: Team,
) -> Tensor:
    """Take one step of an optimizer down a loss, if the loss and all its gradients are finite.

    Args:
        loss: (), of this member of the team.
        terms: what the loss is made of, each (), by name: for the message.
        optimizer: of ``parameters``.
        parameters: by name; those without a gradient are left out.
        team: whose gradients are already averaged, see `Team.wrap`.

    Returns:
        The gradients' L2 norm, ().

    Raises:
        NonFiniteError: on every member of the team, naming the term or else the first gradient at fault.
    """
    optimizer.zero_grad(set_to_none=True)
    if loss.requires_grad:
        loss.backward()
    gradients = [parameter.grad for parameter in parameters.values() if parameter.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients) if gradients else loss.new_zeros(())
    if not bool(team.mean(loss.detach() + norm).isfinite()):
        raise NonFiniteError(_culprit(terms, parameters), "NaN or infinity", "finite losses and gradients")
    optimizer.step()
    return norm


def _culprit(terms: Mapping[str, Tensor], parameters: Mapping[str, nn.Parameter]) -> str:
    for name, term in terms.items():
        if not bool(term.isfinite().all()):
            return f"loss term {name}"
    for name, parameter in parameters.items():
        if parameter.grad is not None and not bool(parameter.grad.isfinite().all()):
            return f"gradient of {name}"
    return "a loss or gradient of another process, or a gradient norm beyond float32"
