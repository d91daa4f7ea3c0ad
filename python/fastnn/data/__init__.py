"""Datasets, batches and the idx file format."""

from . import transforms
from .dataset import ArrayDataset, ConcatDataset, Dataset, Subset, TensorDataset, random_split
from .idx import read_idx, write_idx
from .loader import DataLoader
from .sequences import TokenStreams, Windows
from .text import Characters

__all__ = [
    "ArrayDataset",
    "Characters",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "Subset",
    "TensorDataset",
    "TokenStreams",
    "Windows",
    "random_split",
    "read_idx",
    "transforms",
    "write_idx",
]
