"""Data sets by name."""

from .adding import AddingProblem
from .cifar import CIFAR10, CIFAR100
from .folder import ImageFolder
from .mnist import MNIST, MNISTSubset
from .series import Series, read_series

__all__ = ["CIFAR10", "CIFAR100", "MNIST", "AddingProblem", "ImageFolder", "MNISTSubset", "Series", "read_series"]
