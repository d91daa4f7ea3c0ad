"""Data sets by name."""

from .adding import AddingProblem
from .cifar import CIFAR10
from .mnist import MNIST, MNISTSubset
from .series import Series, read_series

__all__ = ["CIFAR10", "MNIST", "AddingProblem", "MNISTSubset", "Series", "read_series"]
