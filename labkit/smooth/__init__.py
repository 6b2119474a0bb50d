"""AlgoNet's smooth algorithms: layers whose every decision can be differentiated."""

from __future__ import annotations

from labkit.smooth.algorithmic_layer import AlgorithmicLayer
from labkit.smooth.finite_differences import FiniteDifferences, finite_differences
from labkit.smooth.fractals import IteratedFunctionSystem
from labkit.smooth.smooth_function import SmoothSyntaxError, UnfinishedWarning, smooth_function
from labkit.smooth.soft_functions import argmax, argmin
from labkit.smooth.soft_median import soft_median
from labkit.smooth.soft_rank import soft_rank, soft_top_k
from labkit.smooth.soft_sort import soft_sort
from labkit.smooth.weighted_softmax import WeightedSoftmax, WeightedSoftmin, weighted_softmax, weighted_softmin
from labkit.smooth.while_program import WhileProgram
from labkit.smooth.while_training import TrainableWhileProgram

__all__ = [
    "AlgorithmicLayer",
    "FiniteDifferences",
    "IteratedFunctionSystem",
    "SmoothSyntaxError",
    "TrainableWhileProgram",
    "UnfinishedWarning",
    "WeightedSoftmax",
    "WeightedSoftmin",
    "WhileProgram",
    "argmax",
    "argmin",
    "finite_differences",
    "smooth_function",
    "soft_median",
    "soft_rank",
    "soft_sort",
    "soft_top_k",
    "weighted_softmax",
    "weighted_softmin",
]
