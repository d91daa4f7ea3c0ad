"""Data sets by name."""

from .mnist import MNIST, MNISTSubset

__all__ = ["MNIST", "MNISTSubset"]
