"""Fitting scenes to pictures."""

from labkit.train.fit import Fit, fit
from labkit.train.objective import Evaluation, Objective

__all__ = ["Evaluation", "Fit", "Objective", "fit"]
