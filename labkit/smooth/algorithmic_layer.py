"""An algorithm as a layer of a neural network, and how much the network relies on it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from labkit.errors import DomainError, DTypeError, LabError, ShapeError, check_tensor
from labkit.smooth.finite_differences import check_dim

INSERTIONS = ("between", "skip", "residual")


class AlgorithmicLayer(nn.Module):
    """A smooth algorithm A, inserted into a network in one of three ways.

    =========  ==========================  ======================================================
    insertion  result                      what the next layer sees
    =========  ==========================  ======================================================
    between    ``A(x)``                    the answer of the algorithm only
    skip       ``A(x)`` and ``x`` joined   both, the answer first, one behind the other along ``dim``
    residual   ``x + A(x)``                its input, moved by the answer (of the same shape)
    =========  ==========================  ======================================================

    Every feature of A(x) is multiplied by a constant weight of one, to which `sensitivity` differentiates. The weights
    are neither parameters nor part of the state: no optimizer trains them and no file holds them.

    Args:
        algorithm: takes ``x`` and gives one float tensor of at least one dimension; a module keeps its parameters.
        insertion: a name of the table.
        dim: the dimension of features, that of ``skip`` and of the weights: -1 for (B, n), 1 for images (B, C, H, W).

    Raises:
        DTypeError, DomainError: ``algorithm`` cannot be called, or there is no such insertion.

    Source: AlgoNet, section 3.2 with figure 3 (a, b, c), and section 5 (sensitivity).
    """

    def __init__(self, algorithm: Callable[[Tensor], Tensor], insertion: str = "between", *, dim: int = -1) -> None:
        super().__init__()
        if not callable(algorithm):
            raise DTypeError("algorithm", type(algorithm).__name__, "a function or module of one tensor")
        if insertion not in INSERTIONS:
            raise DomainError("insertion", repr(insertion), f"one of {', '.join(INSERTIONS)}")
        self.algorithm, self.insertion, self.dim = algorithm, insertion, dim
        self._ones: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """The table's result for ``x``.

        Raises:
            DTypeError, DomainError: A(x) is not a finite float tensor, or has no dimension ``dim``.
            ShapeError: A(x) and x cannot be added (residual) or joined along ``dim`` (skip).
        """
        answer = check_tensor("algorithm(x)", self.algorithm(x), "...")
        dim = check_dim(self.dim, answer.ndim)
        if self.insertion == "residual" and answer.shape != x.shape:
            raise ShapeError("algorithm(x)", tuple(answer.shape), f"the shape of x, {tuple(x.shape)}")
        around = [(t.shape[:dim], t.shape[dim + 1 :]) for t in (answer, x)]
        if self.insertion == "skip" and around[0] != around[1]:
            raise ShapeError("algorithm(x)", tuple(answer.shape), f"that of x but for dim {dim}, {tuple(x.shape)}")
        if torch.is_grad_enabled():
            answer = (answer.movedim(dim, -1) * self._weights(answer, dim)).movedim(-1, dim)
        if self.insertion == "skip":
            return torch.cat([answer, x], dim)
        return x + answer if self.insertion == "residual" else answer

    def sensitivity(self, loss: Tensor) -> Tensor:
        """How the loss answers to the algorithm: ``d loss / d w`` at w = 1, for every feature of A(x).

        Negative where the loss would fall if the algorithm weighed more, so that it helps; positive where it harms;
        zero where the network does not listen. To first order, removing feature i changes the loss by minus entry i;
        the sum of all is the derivative with respect to one weight of the whole layer. Several forward passes add up.
        No ``.grad`` of a parameter changes, and the graph is kept for ``loss.backward()``, which has to come after.

        Args:
            loss: one number, computed from results of this layer with gradients enabled.

        Returns:
            (n,) with n the size of A(x) along ``dim``, on its device, detached.

        Raises:
            DTypeError, ShapeError, DomainError: ``loss`` is not one finite number.
            LabError: it has no graph, the graph is freed, or no latest result of this layer is in it.
        """
        check_tensor("loss", loss, "")
        cure = "a loss of this layer's latest result, computed with gradients enabled and before its backward()"
        if self._ones is None or not loss.requires_grad:
            raise LabError("loss", "a number without a graph", cure)
        try:
            (gradient,) = torch.autograd.grad(loss, self._ones, retain_graph=True, allow_unused=True)
        except RuntimeError as error:
            raise LabError("loss", str(error).splitlines()[0], cure) from error
        if gradient is None:
            raise LabError("loss", "a graph without this layer", cure)
        return gradient

    def extra_repr(self) -> str:
        """The arguments, as printing a network shows them."""
        return f"insertion={self.insertion!r}, dim={self.dim}"

    def _weights(self, answer: Tensor, dim: int) -> Tensor:
        # One leaf for all passes, so that they add up; made from the answer, so that it is where the layer is.
        ones, like = self._ones, answer.detach()
        if ones is None or (ones.shape[0], ones.dtype, ones.device) != (like.shape[dim], like.dtype, like.device):
            self._ones = ones = like.new_ones(like.shape[dim], requires_grad=True)
        return ones
