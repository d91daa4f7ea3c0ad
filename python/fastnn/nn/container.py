"""Modules that hold other modules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from operator import index as as_index
from typing import TYPE_CHECKING, Any, overload

from .module import Module, _indented

if TYPE_CHECKING:
    from typing_extensions import Self


class _Numbered(Module):
    """What `Sequential` and `ModuleList` share: modules in a row, named "0", "1", ... where no names are given."""

    def _name_at(self, i: int) -> str:
        count, i = len(self), as_index(i)
        if not -count <= i < count:
            raise IndexError(f"{type(self).__name__}: index {i} is out of range for {count} modules")
        return list(self._modules)[i]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def __setitem__(self, i: int, module: Module) -> None:
        setattr(self, self._name_at(i), module)

    def append(self, module: Module) -> Self:
        """Adds a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Adds several modules at the end."""
        for module in list(modules):
            self.append(module)
        return self

    def _renumber(self, modules: Iterable[Module | None]) -> None:
        self.__dict__["_modules"] = {str(i): module for i, module in enumerate(modules)}


class Sequential(_Numbered):
    """Modules called one after the other, each with the output of the one before.

    Args:
        *modules: the modules, named "0", "1", ...; or one mapping from names to modules, in order.

    Example:
        >>> from fastnn import nn
        >>> nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
        Sequential(
          (0): Flatten(start_dim=1, end_dim=-1)
          (1): Linear(in_features=784, out_features=10, bias=True)
        )
    """

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        super().__init__()
        named: Iterable[tuple[str, Any]]
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            named = modules[0].items()
        else:
            named = ((str(i), module) for i, module in enumerate(modules))
        for name, module in named:
            self.add_module(name, module)

    def forward(self, x: Any) -> Any:
        """The output of the last module; `x` itself where there is none."""
        for module in self._modules.values():
            x = module(x)  # type: ignore[misc]
        return x

    @overload
    def __getitem__(self, i: int) -> Any: ...
    @overload
    def __getitem__(self, i: slice) -> Self: ...
    def __getitem__(self, i: int | slice) -> Any:
        """One module, or a Sequential of several that keep their names."""
        if isinstance(i, slice):
            return type(self)(dict(list(self._modules.items())[i]))  # type: ignore[arg-type]
        return self._modules[self._name_at(i)]

    def __delitem__(self, i: int | slice) -> None:
        names = list(self._modules)[i] if isinstance(i, slice) else [self._name_at(i)]
        for name in names:
            delattr(self, name)
        self._renumber(self)


class ModuleList(_Numbered):
    """A list whose modules are registered; it has no forward of its own.

    Args:
        modules: the first modules of the list.
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        self.extend(modules)

    def insert(self, i: int, module: Module) -> None:
        """Adds a module before the one at `i`, as `list.insert`."""
        self._check_kind("_modules", str(i), module)
        modules = list(self)
        modules.insert(i, module)
        self._renumber(modules)

    @overload
    def __getitem__(self, i: int) -> Any: ...
    @overload
    def __getitem__(self, i: slice) -> Self: ...
    def __getitem__(self, i: int | slice) -> Any:
        """One module, or a ModuleList of several."""
        if isinstance(i, slice):
            return type(self)(list(self)[i])
        return self._modules[self._name_at(i)]

    def __delitem__(self, i: int | slice) -> None:
        modules = list(self)
        del modules[i]
        self._renumber(modules)

    def __repr__(self) -> str:
        runs: list[tuple[int, int, str]] = []  # first index, last index, text: equal neighbours share a line
        for i, text in enumerate(map(repr, self)):
            first = runs.pop()[0] if runs and runs[-1][2] == text else i
            runs.append((first, i, text))
        if not runs:
            return f"{type(self).__name__}()"
        lines = [
            _indented(f"({first}): {text}" if first == last else f"({first}-{last}): {last - first + 1} x {text}")
            for first, last, text in runs
        ]
        return f"{type(self).__name__}(\n  " + "\n  ".join(lines) + "\n)"
