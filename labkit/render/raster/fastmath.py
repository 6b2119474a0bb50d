"""Float32 building blocks of the CPU kernels that LLVM turns into vector instructions.

A call to libm's exp would keep a loop scalar, twenty times slower; these few multiplications vectorize.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

# No "reassoc": the rounding trick in `exp` depends on the order of operations.
FAST: dict[str, Any] = {"error_model": "numpy", "fastmath": {"nnan", "ninf", "nsz", "contract"}}

ONE, ZERO, HALF = np.float32(1), np.float32(0), np.float32(0.5)
# Floors that keep all products above 1e-38: below lie the denormal numbers, a hundred times slower to compute with.
LOWEST = np.float32(-43)  # exp(-43) = 2e-19 is nothing beside a weight of 1
LOWEST_SIGMOID = np.float32(-28)  # exp(-28) = 7e-13 can still be multiplied by itself twice
LOG2_E, LN_2 = np.float32(1.4426950408889634), np.float32(0.6931471805599453)
MAGIC = np.float32(12582912)  # 1.5 * 2^23: adding it rounds to a whole number that sits in the low bits
# Minimax polynomial of exp on [-ln 2 / 2, ln 2 / 2], relative error 8e-8.
C0, C1, C2, C3, C4, C5 = (
    np.float32(c) for c in (1.00000007, 0.99999969, 0.49998893, 0.16667577, 0.04191563, 0.00829762)
)


@intrinsic
def _times_two_to(typing_context: Any, value: Any, rounded: Any) -> Any:
    """value * 2^n, where the low bits of ``rounded`` hold n: one shift and one addition on the bits."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits = ir.IntType(32)
        exponent = builder.shl(builder.bitcast(args[1], bits), ir.Constant(bits, 23))
        return builder.bitcast(builder.add(builder.bitcast(args[0], bits), exponent), ir.FloatType())

    return types.float32(types.float32, types.float32), generate


@njit(**FAST)
def exp(x: Any) -> Any:
    """e^x for float32 x <= 0, relative error below 5e-7; below -43 it stays at e^-43."""
    x = max(x, LOWEST)
    shifted = x * LOG2_E + MAGIC
    r = x - (shifted - MAGIC) * LN_2
    p = C5 * r + C4
    p = p * r + C3
    p = p * r + C2
    p = p * r + C1
    p = p * r + C0
    return _times_two_to(p, shifted)  # type: ignore[call-arg]  # numba supplies the typing context


@njit(**FAST)
def sigmoid_parts(x: Any) -> tuple[Any, Any, Any]:
    """p, m, n with sigma(x) = p / n and sigma(-x) = m / n, in (0, 2]: nothing overflows or cancels; m >= 7e-13."""
    e = exp(max(-abs(x), LOWEST_SIGMOID))
    positive = x >= ZERO
    return (ONE if positive else e), (e if positive else ONE), ONE + e
