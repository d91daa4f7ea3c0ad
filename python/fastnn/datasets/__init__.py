"""Data sets by name."""

from .cifar import CIFAR10
from .mnist import MNIST, MNISTSubset

__all__ = ["CIFAR10", "MNIST", "MNISTSubset"]
