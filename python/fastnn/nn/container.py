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

    def __delitem__(self, i: int | slice) -> None:
        names = list(self._modules)[i] if isinstance(i, slice) else [self._name_at(i)]
        for name in names:
            delattr(self, name)
        self._renumber(self)

    def append(self, module: Module) -> Self:
        """Adds a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Adds several modules at the end."""
        if not isinstance(modules, Iterable):
            raise TypeError(
                f"{type(self).__name__}: modules is {type(modules).__name__}; expected an iterable of modules"
            )
        for module in list(modules):
            self.append(module)
        return self

    def pop(self, i: int) -> Any:
        """Takes out the module at `i` and returns it."""
        module = self._modules[self._name_at(i)]
        del self[i]
        return module

    def __iadd__(self, modules: Iterable[Module]) -> Self:
        return self.extend(modules)

    def _insert(self, i: int, module: Module) -> None:
        self._check_kind("_modules", str(i), module)
        modules = list(self)
        modules.insert(i, module)
        self._renumber(modules)

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

    def insert(self, i: int, module: Module) -> Self:
        """Adds a module before the one at `i`, which is from -len to len."""
        count = len(self)
        if not -count <= as_index(i) <= count:
            raise IndexError(f"Sequential: index {i} is out of range for {count} modules")
        self._insert(i, module)
        return self

    def __add__(self, other: Sequential) -> Sequential:
        if not isinstance(other, Sequential):
            return NotImplemented
        return Sequential(*self, *other)

    def __mul__(self, times: int) -> Sequential:
        return Sequential(*self._repeated(times))

    __rmul__ = __mul__

    def __imul__(self, times: int) -> Self:
        return self.extend(self._repeated(times)[len(self) :])

    def _repeated(self, times: int) -> list[Module]:
        if (count := as_index(times)) < 1:
            raise ValueError(f"Sequential: it is repeated {count} times; expected at least 1")
        return list(self) * count


class ModuleList(_Numbered):
    """A list whose modules are registered; it has no forward of its own.

    Args:
        modules: the first modules of the list.
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.extend(modules)

    @overload
    def __getitem__(self, i: int) -> Any: ...
    @overload
    def __getitem__(self, i: slice) -> Self: ...
    def __getitem__(self, i: int | slice) -> Any:
        """One module, or a ModuleList of several."""
        if isinstance(i, slice):
            return type(self)(list(self)[i])
        return self._modules[self._name_at(i)]

    def insert(self, i: int, module: Module) -> None:
        """Adds a module before the one at `i`, as `list.insert`."""
        self._insert(i, module)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        if not isinstance(other, Iterable):
            return NotImplemented
        return ModuleList([*self, *other])

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


class ModuleDict(Module):
    """A dictionary whose modules are registered under its keys; it has no forward of its own.

    Args:
        modules: the first modules: a mapping from names to modules, or an iterable of pairs.

    Example:
        >>> from fastnn import nn
        >>> activations = nn.ModuleDict({"relu": nn.ReLU(), "tanh": nn.Tanh()})
        >>> activations["lrelu"] = nn.LeakyReLU()
        >>> list(activations)
        ['relu', 'tanh', 'lrelu']
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Any:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: object) -> bool:
        return key in self._modules

    def clear(self) -> None:
        """Takes out all modules."""
        self._modules.clear()

    def pop(self, key: str) -> Any:
        """Takes out the module of this key and returns it."""
        return self._modules.pop(key)

    def keys(self) -> Iterable[str]:
        """The keys."""
        return self._modules.keys()

    def items(self) -> Iterable[tuple[str, Any]]:
        """The keys, each with its module."""
        return self._modules.items()

    def values(self) -> Iterable[Any]:
        """The modules."""
        return self._modules.values()

    def update(self, modules: Mapping[str, Module] | ModuleDict | Iterable[tuple[str, Module]]) -> None:
        """Adds the modules of a mapping or of pairs, in their order; those of keys that exist are replaced."""
        for key, module in pairs("ModuleDict", modules):
            self[key] = module


def pairs(name: str, entries: Any) -> list[tuple[Any, Any]]:
    """The entries of a mapping, or of an iterable of pairs; `name` is the container that an error speaks of."""
    if not isinstance(entries, Iterable):
        raise TypeError(f"{name}: update got {type(entries).__name__}; expected a mapping or an iterable of pairs")
    entries = list(entries.items() if hasattr(entries, "items") else entries)
    for i, entry in enumerate(entries):
        if not isinstance(entry, Iterable) or isinstance(entry, str) or len(entry := tuple(entry)) != 2:
            raise ValueError(f"{name}: entry {i} of update is {entry!r}; expected a key and a value")
    return [tuple(entry) for entry in entries]
