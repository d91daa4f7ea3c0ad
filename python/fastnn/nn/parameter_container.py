"""Modules that hold parameters in a list or a dictionary."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from operator import index as as_index
from typing import TYPE_CHECKING, Any, overload

from ..tensor import Parameter, Tensor
from .container import pairs
from .module import Module

if TYPE_CHECKING:
    from typing_extensions import Self


class _Parameters(Module):
    """Values under names: parameters, tensors that become parameters, and anything else, which is not registered."""

    def _keep(self, name: str, value: Any) -> None:
        if isinstance(value, Tensor) and not isinstance(value, Parameter):
            value = Parameter(value)
        setattr(self, name, value)

    def _described(self, entries: Iterable[tuple[Any, Any]]) -> str:
        lines = []
        for key, value in entries:
            if isinstance(value, Tensor):
                size = "x".join(map(str, value.shape)) or "()"
                kind = "Parameter" if isinstance(value, Parameter) else "Tensor"
                lines.append(f"({key}): {kind} containing: [{value.dtype} of size {size}]")
            else:
                lines.append(f"({key}): Object of type: {type(value).__name__}")
        return "\n".join(lines)


class ParameterList(_Parameters):
    """A list whose parameters are registered under "0", "1", ...

    Args:
        values: the first elements of the list. Tensors become parameters; what is no tensor is kept as it is.

    Example:
        >>> import fastnn
        >>> from fastnn import nn
        >>> weights = nn.ParameterList([fastnn.ones(2, 3), fastnn.zeros(3)])
        >>> [name for name, _ in weights.named_parameters()]
        ['0', '1']
    """

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self._size = 0
        if values is not None:
            self.extend(values)

    def _name_at(self, i: int) -> str:
        i = as_index(i)
        if not -self._size <= i < self._size:
            raise IndexError(f"ParameterList: index {i} is out of range for {self._size} elements")
        return str(i % self._size)

    @overload
    def __getitem__(self, i: int) -> Any: ...
    @overload
    def __getitem__(self, i: slice) -> Self: ...
    def __getitem__(self, i: int | slice) -> Any:
        """One element, or a ParameterList of several."""
        if isinstance(i, slice):
            return type(self)(list(self)[i])
        return getattr(self, self._name_at(i))

    def __setitem__(self, i: int, value: Any) -> None:
        self._keep(self._name_at(i), value)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(self._size))

    def __iadd__(self, values: Iterable[Any]) -> Self:
        return self.extend(values)

    def append(self, value: Any) -> Self:
        """Adds an element at the end."""
        self._keep(str(self._size), value)
        self._size += 1
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        """Adds several elements at the end."""
        if not isinstance(values, Iterable) or isinstance(values, Tensor):
            raise TypeError(f"ParameterList: values is {type(values).__name__}; expected an iterable, but no tensor")
        for value in list(values):
            self.append(value)
        return self

    def extra_repr(self) -> str:
        """One line an element."""
        return self._described(enumerate(self))


class ParameterDict(_Parameters):
    """A dictionary whose parameters are registered under its keys.

    Args:
        parameters: the first entries: a mapping from names to values, or an iterable of pairs. Tensors become
            parameters; what is no tensor is kept as it is.

    Example:
        >>> import fastnn
        >>> from fastnn import nn
        >>> scales = nn.ParameterDict({"left": fastnn.ones(2), "right": fastnn.ones(3)})
        >>> [(name, p.shape) for name, p in scales.named_parameters()]
        [('left', (2,)), ('right', (3,))]
    """

    def __init__(self, parameters: Mapping[str, Any] | Iterable[tuple[str, Any]] | None = None) -> None:
        super().__init__()
        self._keys: dict[str, None] = {}
        if parameters is not None:
            self.update(parameters)

    def __getitem__(self, key: str) -> Any:
        if key not in self:
            raise KeyError(key)
        return getattr(self, key)

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise TypeError(f"ParameterDict: a key is {key!r}; expected a string")
        self._keep(key, value)
        self._keys[key] = None

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        del self._keys[key]
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._keys)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def keys(self) -> Iterable[str]:
        """The keys."""
        return self._keys.keys()

    def items(self) -> Iterable[tuple[str, Any]]:
        """The keys, each with its value."""
        return ((key, self[key]) for key in self._keys)

    def values(self) -> Iterable[Any]:
        """The values."""
        return (self[key] for key in self._keys)

    def get(self, key: str, default: Any = None) -> Any:
        """The value of this key, or `default`."""
        return getattr(self, key) if key in self else default

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The value of this key, which is `default` from now on where there was none."""
        if key not in self:
            self[key] = default
        return self[key]

    def pop(self, key: str) -> Any:
        """Takes out the value of this key and returns it."""
        value = self[key]
        del self[key]
        return value

    def popitem(self) -> tuple[str, Any]:
        """Takes out the entry that was added last and returns it."""
        if not self._keys:
            raise KeyError("ParameterDict: popitem of an empty dictionary")
        key = next(reversed(self._keys))
        return key, self.pop(key)

    def clear(self) -> None:
        """Takes out all entries."""
        for key in list(self._keys):
            del self[key]

    def copy(self) -> ParameterDict:
        """A dictionary with the same parameters, not copies of them."""
        return ParameterDict(self.items())

    def fromkeys(self, keys: Iterable[str], default: Any = None) -> ParameterDict:
        """A dictionary with these keys, and one value for all of them."""
        return ParameterDict((key, default) for key in keys)

    def update(self, values: Mapping[str, Any] | ParameterDict | Iterable[tuple[str, Any]]) -> None:
        """Adds the entries of a mapping or of pairs, in their order; those of keys that exist are replaced."""
        for key, value in pairs("ParameterDict", values):
            self[key] = value

    def __or__(self, other: ParameterDict) -> ParameterDict:
        copy = self.copy()
        copy.update(other)
        return copy

    def __ror__(self, other: Any) -> ParameterDict:
        copy = ParameterDict(other)
        copy.update(self)
        return copy

    def __ior__(self, other: ParameterDict) -> Self:
        self.update(other)
        return self

    def extra_repr(self) -> str:
        """One line an entry."""
        return self._described(self.items())
