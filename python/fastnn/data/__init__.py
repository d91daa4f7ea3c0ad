"""Datasets, batches and the idx file format."""

from . import transforms
from .dataset import ArrayDataset, Dataset, Subset
from .idx import read_idx, write_idx
from .loader import DataLoader
from .sequences import TokenStreams, Windows
from .text import Characters

__all__ = [
    "ArrayDataset",
    "Characters",
    "DataLoader",
    "Dataset",
    "Subset",
    "TokenStreams",
    "Windows",
    "read_idx",
    "transforms",
    "write_idx",
]
