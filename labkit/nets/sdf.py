"""A network whose zero set is a surface: value and gradient in one forward pass."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function

from labkit.errors import DomainError, check_positive
from labkit.nets.encoding import encode, encode_with_jacobian, encoded_size
from labkit.nets.layers import MAX_DEPTH, MAX_WIDTH, blank, check_count, check_input, default_generator, linears

THRESHOLD = 40.0
"""Where softplus(t) = t in float64 too; torch's own 20 costs half of the digits."""
STIFFNESS = 1e-3
"""How strongly the first top weights are held together, relative to the mean square of what they weigh."""


class SDFNet(nn.Module):
    """The multilayer perceptron f(x; theta) whose zero set {f = 0} is the surface; f < 0 inside.

    Layers are counted as hidden ones: ``depth`` layers of ``width`` softplus units and a linear layer above them, so
    ``depth + 1`` weight matrices. UDR's "8 layers with hidden dimension of size 512" is the default. The input enters
    a second time in the middle: layer ``depth // 2`` (from 0) takes ``concat(h, input) / sqrt(2)``, and the layer
    before it is narrower by the size of the input, which keeps this one ``width`` wide. Softplus,
    ``log(1 + exp(beta h)) / beta``, makes f smooth, so that its gradient is a normal everywhere.

    f starts as a sphere. The hidden layers have the geometric initialisation: weights normal with deviation
    ``sqrt(2 / outputs)``, biases and the weights of encoded columns zero. The published top layer, equal weights and a
    bias, makes a sphere of that only in the limit of wide ReLU layers: 8 layers of 512 with beta 100, asked for radius
    0.6, give 0.37, and narrower ones give lumps. So the top layer is solved for, by regularised least squares towards
    ``|x| - radius`` in the ball of 2.4 radii; no network is trained. A radius below 20 / beta
    comes out flatter, because softplus is that wide. Measured over 3 seeds, radius 0.5, beta 100:

    =========  ===================  =========================  ==================
    layers     mean radius          its deviation / radius     slope there
    =========  ===================  =========================  ==================
    4 of 32    0.48 to 0.49         4 to 6 percent             0.99
    4 of 64    0.50                 2 percent                  0.99
    8 of 64    0.48 to 0.49         4 percent                  0.97
    8 of 128   0.50                 1.3 to 1.5 percent         0.96
    8 of 256   0.50                 0.7 to 1.0 percent         0.96
    8 of 512   0.50                 0.6 to 0.9 percent         0.98
    =========  ===================  =========================  ==================

    Args:
        width: units of a hidden layer, more than twice the columns of the encoded input.
        depth: hidden layers, 2 to 64.
        radius: of the sphere at the start, in the units of x.
        beta: sharpness of softplus; large is nearly ReLU.
        encoding: octaves of positional encoding of x, as in `encode`; UDR has none, IDR 6.
        features: size of the feature vector z(x) for the appearance; UDR has none, IDR 256.
        generator: source of the starting weights, on the CPU; without one, a fresh generator with seed 0.

    Raises:
        DomainError, DTypeError: a size or number out of range.

    Source: UDR, section 4, implementation details; SAL (Atzmon and Lipman, 2020) for the initialisation, in the form
    of IDR (Yariv et al., 2020), as are the scale of the skip, softplus and the options.
    """

    def __init__(
        self,
        width: int = 512,
        depth: int = 8,
        *,
        radius: float = 0.5,
        beta: float = 100.0,
        encoding: int = 0,
        features: int = 0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        inputs = encoded_size(encoding)
        check_count("width", width, 2 * inputs + 1, MAX_WIDTH)
        check_count("depth", depth, 2, MAX_DEPTH)
        check_count("features", features, 0, MAX_WIDTH)
        check_positive("radius", radius)
        check_positive("beta", beta)
        self.beta, self.encoding, self.skip = float(beta), encoding, depth // 2
        widths = [inputs] + [width - inputs * (layer + 1 == self.skip) for layer in range(depth)]
        entered = [width if layer == self.skip else widths[layer] for layer in range(depth)]
        self.hidden = nn.ModuleList(blank(nn.Linear, i, o) for i, o in zip(entered, widths[1:], strict=True))
        self.top = blank(nn.Linear, width, 1 + features)
        self._start(float(radius), default_generator(generator))

    def __call__(self, x: Tensor) -> Tensor:
        """Return f(x), (N,), in the units of x.

        Args:
            x: (N, 3), of the dtype and on the device of the network. Differentiable in x and the weights, to any order.

        Raises:
            DTypeError, ShapeError, DomainError, DeviceError: not so, or not finite.
        """
        return super().__call__(x)

    def forward(self, x: Tensor) -> Tensor:
        """Compute what `__call__` promises."""
        rows = self._last_hidden(encode(check_input("x", x, "N 3", self.top.weight), self.encoding))
        return F.linear(rows, self.top.weight[:1], self.top.bias[:1])[:, 0]

    def value_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return f (N,) and its gradient in x, (N, 3), not normalised (UDR, equation 9). See `full`."""
        return self.full(x)[:2]

    def full(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return f, its gradient and the features in one forward pass, as UDR, section 3.3, asks.

        The pass goes up through the layers for f and z, and down again for the gradient: the work of two evaluations.
        (Carrying three tangents upwards would take four, and twice the training time.) Its derivative is written out
        too, so there is no second graph to differentiate.

        Args:
            x: (N, 3), as for `__call__`.

        Returns:
            f (N,), gradient (N, 3), and z (N, features) or None. All are differentiable in x and the weights, once.

        Raises:
            DTypeError, ShapeError, DomainError, DeviceError: as for `__call__`. DomainError also where a second
                derivative of these is asked for (``create_graph``): call the network and take autograd for that.
        """
        rows, slopes = encode_with_jacobian(check_input("x", x, "N 3", self.top.weight), self.encoding)
        parameters = [p for layer in (*linears(self.hidden), self.top) for p in (layer.weight, layer.bias)]
        top, gradient = _ValueAndGradient.apply(self.beta, self.skip, rows, *parameters)
        return top[:, 0], (slopes * gradient).sum(-1).T, top[:, 1:] if top.shape[1] > 1 else None

    def _last_hidden(self, start: Tensor) -> Tensor:
        rows = start
        for layer, linear in enumerate(linears(self.hidden)):
            if layer == self.skip:
                rows = _joined(rows, start)
            rows = F.softplus(F.linear(rows, linear.weight, linear.bias), self.beta, THRESHOLD)
        return rows

    @torch.no_grad()
    def _start(self, radius: float, generator: torch.Generator) -> None:
        """Geometric initialisation, and the top layer that makes a sphere of it."""
        width, inputs = self.top.in_features, encoded_size(self.encoding)
        for layer, linear in enumerate(linears(self.hidden)):
            linear.weight.normal_(0, math.sqrt(2 / linear.out_features), generator=generator)
            linear.bias.zero_()
            if layer in (0, self.skip):
                linear.weight[:, linear.in_features - inputs + 3 :] = 0  # sines and cosines
        self.top.weight.normal_(0, math.sqrt(1 / width), generator=generator)
        self.top.bias.zero_()
        count = max(2048, 4 * width)
        reach = 2.4 * radius * torch.rand(count, 1, generator=generator) ** (1 / 3)  # even in the ball
        points = F.normalize(torch.randn(count, 3, generator=generator)) * reach
        hidden = self._last_hidden(encode(points.to(self.top.weight), self.encoding)).double()  # (S, width)
        # Weights are a common mean, which is free as is the bias, plus differences, which are held small.
        basis = torch.cat([hidden, hidden.mean(-1, keepdim=True), torch.ones_like(hidden[:, :1])], -1)
        penalty = STIFFNESS * count * hidden.square().mean() * (torch.arange(width + 2) < width)
        found = torch.linalg.solve(basis.T @ basis + penalty.diag(), basis.T @ (reach[:, 0] - radius).to(basis))
        self.top.weight[0] = found[:width] + found[width] / width
        self.top.bias[0] = found[-1]


class _ValueAndGradient(Function):
    """The outputs of the network and the gradient of the first one in its encoded input, as one operation.

    With the layers ``h = W a + b``, ``a' = softplus(h)``, ``s = sigmoid(beta h)``, the gradient p comes down by
    ``u = s p'``, ``p = W^T u``. Backward, the derivative q of the loss in p goes up the same way, and meets that of
    a, called d here, on its way down: ``q' = s W q``, ``e = s d' + beta s (1 - s) p' W q``, ``d = W^T e``, with
    ``dW = u q^T + e a^T``.
    """

    @staticmethod
    def forward(ctx: Any, beta: float, skip: int, start: Tensor, *parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Input (N, E), then weight and bias of each layer. Returns the outputs (N, 1 + features) and p (N, E)."""
        *weights, top = parameters[::2]
        *biases, top_bias = parameters[1::2]
        a, entered, slopes = start, [], []
        for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            entered.append(_joined(a, start) if layer == skip else a)
            h = F.linear(entered[-1], weight, bias)
            slopes.append((beta * h).sigmoid_())
            a = F.softplus(h, beta, THRESHOLD)
        p, again, downs = top[:1], torch.zeros_like(start), []
        for layer in reversed(range(len(weights))):
            downs.append(slopes[layer] * p)
            p = downs[-1] @ weights[layer]
            if layer == skip:
                p, again = _parted(p, start)
        ctx.beta, ctx.skip = beta, skip
        ctx.save_for_backward(a, *entered, *slopes, *reversed(downs), *parameters[::2])
        return F.linear(a, top, top_bias), p + again

    @staticmethod
    def backward(ctx: Any, d_outputs: Tensor, d_gradient: Tensor) -> tuple[Tensor | None, ...]:
        """The derivatives of the class's docstring."""
        if torch.is_grad_enabled():
            raise DomainError("create_graph", True, "False here: for second derivatives call the network, and autograd")
        a, *saved = ctx.saved_tensors
        depth = (len(saved) - 1) // 4
        entered, slopes, downs, (*weights, top) = (saved[k * depth : (k + 1) * depth + (k == 3)] for k in range(4))
        q, ups, bends = d_gradient, [], []
        for layer, weight in enumerate(weights):
            ups.append(_joined(q, d_gradient) if layer == ctx.skip else q)
            q = ups[-1] @ weight.T
            bend = q * downs[layer]
            bends.append(bend.addcmul_(bend, slopes[layer], value=-1))  # s (1 - s) p' W q
            q *= slopes[layer]
        d_top = d_outputs.T @ a
        d_top[0] += q.sum(0)
        found = [d_outputs.sum(0), d_top]
        d, again = d_outputs @ top, torch.zeros_like(d_gradient)
        for layer in reversed(range(depth)):
            e = (slopes[layer] * d).add_(bends[layer], alpha=ctx.beta)
            found += [e.sum(0), (downs[layer].T @ ups[layer]).addmm_(e.T, entered[layer])]
            d = e @ weights[layer]
            if layer == ctx.skip:
                d, again = _parted(d, d_gradient)
        return None, None, d + again, *reversed(found)


def _joined(rows: Tensor, start: Tensor) -> Tensor:
    return torch.cat([rows, start], -1) / math.sqrt(2)


def _parted(rows: Tensor, start: Tensor) -> list[Tensor]:
    """The transpose of `_joined`."""
    size = start.shape[-1]
    return list((rows / math.sqrt(2)).split([rows.shape[-1] - size, size], -1))
