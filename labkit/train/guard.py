"""Descents that never step on numbers that are not finite, and steps of many descents that fail as a whole."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

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
    average: bool = False,
) -> Tensor:
    """Take one step of an optimizer down a loss, if the loss and all its gradients are finite.

    Args:
        loss: (), of this member of the team.
        terms: what the loss is made of, each (), by name: for the message.
        optimizer: of ``parameters``.
        parameters: by name; those without a gradient are left out.
        team: that trains together.
        average: whether to average the gradients over the team here, of ``parameters`` and of nothing else; one that
            only some members have counts as 0 on the others. Without it the loss comes out of a wrapped module, which
            does so itself (`Team.wrap`).

    Returns:
        The gradients' L2 norm, ().

    Raises:
        NonFiniteError: on every member of the team, naming the term or else the first gradient at fault.
    """
    optimizer.zero_grad(set_to_none=True)
    if loss.requires_grad:
        loss.backward(inputs=list(parameters.values()) if average else None)
    if average and team.world > 1:
        _complete(list(parameters.values()), team)
    gradients = [parameter.grad for parameter in parameters.values() if parameter.grad is not None]
    if average:
        team.average(gradients)
    norm = torch.nn.utils.get_total_norm(gradients) if gradients else loss.new_zeros(())
    if not bool(team.mean(loss.detach() + norm).isfinite()):
        raise NonFiniteError(_culprit(terms, parameters), "NaN or infinity", "finite losses and gradients")
    optimizer.step()
    return norm


@contextmanager
def undone(modules: Mapping[str, nn.Module], optimizers: Mapping[str, torch.optim.Optimizer]) -> Iterator[None]:
    """Put modules, with their buffers, and optimizers back as they were if anything inside fails.

    A step of several descents needs this, since the first ones have been taken when a later one fails.
    """
    states = {
        name: {key: value.clone() for key, value in module.state_dict().items()} for name, module in modules.items()
    }
    kept = {name: copy.deepcopy(optimizer.state_dict()) for name, optimizer in optimizers.items()}
    try:
        yield
    except BaseException:
        for name, module in modules.items():
            module.load_state_dict(states[name])
        for name, optimizer in optimizers.items():
            optimizer.load_state_dict(kept[name])
        raise


def _complete(parameters: Sequence[nn.Parameter], team: Team) -> None:
    """Give zeros to those parameters that have a gradient on another member of the team only."""
    there = torch.tensor([float(parameter.grad is not None) for parameter in parameters], device=team.device)
    for parameter, share in zip(parameters, team.mean(there).tolist(), strict=True):
        if share and parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)


def _culprit(terms: Mapping[str, Tensor], parameters: Mapping[str, nn.Parameter]) -> str:
    for name, term in terms.items():
        if not bool(term.isfinite().all()):
            return f"loss term {name}"
    for name, parameter in parameters.items():
        if parameter.grad is not None and not bool(parameter.grad.isfinite().all()):
            return f"gradient of {name}"
    return "a loss or gradient of another process, or a gradient norm beyond float32"
