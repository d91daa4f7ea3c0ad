"""`Function`: operations of the user's own, in plain NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from .arrays import Array
from .tape import is_grad_enabled
from .tensor import Tensor, record_several


class Context:
    """What `Function.forward` leaves for `Function.backward`; it may carry any attributes besides these.

    Attributes:
        needs_input_grad: for each argument of forward, whether its gradient is wanted.
        saved_tensors: the arrays given to `save_for_backward`.
    """

    def __init__(self, needs_input_grad: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs_input_grad
        self.saved_tensors: tuple[Any, ...] = ()

    def save_for_backward(self, *arrays: Any) -> None:
        """Keeps arrays until backward has used them."""
        self.saved_tensors = arrays


class Function:
    """Base class of an operation with a backward of its own (as `torch.autograd.Function`).

    A subclass defines two static methods in plain NumPy and is called through `apply`:

    - `forward(ctx, *args)` gets the arguments of `apply`, arrays in place of tensors, and returns an array or a tuple
      of arrays. It must not change its arguments.
    - `backward(ctx, *grads)` gets the gradient of each output and returns the gradient of each argument of forward:
      an array of the argument's shape and dtype, or None for an argument that is no tensor or needs no gradient.

    `fastnn.gradcheck` tells whether the two fit together.

    Example:
        >>> import fastnn
        >>> class Square(fastnn.Function):
        ...     @staticmethod
        ...     def forward(ctx, x):
        ...         ctx.save_for_backward(x)
        ...         return x * x
        ...
        ...     @staticmethod
        ...     def backward(ctx, dy):
        ...         (x,) = ctx.saved_tensors
        ...         return 2 * x * dy
        >>> x = fastnn.tensor([1.0, 3.0], requires_grad=True)
        >>> Square.apply(x).sum().backward()
        >>> x.grad
        tensor([2., 6.])
    """

    @staticmethod
    def forward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        """Computes the outputs; defined by the subclass."""
        raise NotImplementedError("Function: a subclass must define the static method forward(ctx, *args)")

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Computes the gradients of forward's arguments; defined by the subclass."""
        raise NotImplementedError("Function: a subclass must define the static method backward(ctx, *grads)")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Runs forward and records backward.

        Returns:
            A tensor, or a tuple of tensors where forward returns a tuple. Outputs that are not floating-point have no
            gradient.

        Raises:
            TypeError: forward returned something else than arrays; or, from `Tensor.backward`, a gradient has the
                wrong type.
            ValueError: from `Tensor.backward`, there are too few or too many gradients or one has the wrong shape.
        """
        recording = is_grad_enabled()
        ctx = Context(tuple(recording and isinstance(a, Tensor) and a.requires_grad for a in args))
        returned = cls.forward(ctx, *(a.data if isinstance(a, Tensor) else a for a in args))
        outputs = returned if isinstance(returned, tuple) else (returned,)
        if not all(isinstance(y, (np.ndarray, np.generic)) for y in outputs):
            kinds = ", ".join(type(y).__name__ for y in outputs)
            raise TypeError(f"{cls.__name__}.forward returned {kinds}; expected an array or a tuple of arrays")

        arrays = [np.asarray(y) for y in outputs]
        like = [a.data if isinstance(a, Tensor) else None for a in args]
        expected = [None if x is None else (x.shape, x.dtype) for x in like]
        del like
        zeros = [(y.shape, y.dtype) for y in arrays]

        def backward(grads: list[Array | None]) -> tuple[Array | None, ...]:
            filled = [np.zeros(*zero) if dy is None else dy for dy, zero in zip(grads, zeros, strict=True)]
            return cls._checked(cls.backward(ctx, *filled), expected)

        tensors = record_several(arrays, backward, *(a for a in args if isinstance(a, Tensor)))
        return tensors if isinstance(returned, tuple) else tensors[0]

    @classmethod
    def _checked(cls, returned: Any, expected: list[Any]) -> tuple[Array | None, ...]:
        """The gradients of the tensors among forward's arguments, as arrays that nobody else holds."""
        name = f"{cls.__name__}.backward"
        grads = returned if isinstance(returned, tuple) else (returned,)
        if len(grads) != len(expected):
            raise ValueError(f"{name} returned {len(grads)} gradients; forward has {len(expected)} arguments")
        checked: list[Array | None] = []
        for i, (grad, argument) in enumerate(zip(grads, expected, strict=True)):
            if argument is None:
                if grad is not None:
                    raise TypeError(f"{name}: gradient {i} is {_kind(grad)}; argument {i} is no tensor: expected None")
            elif grad is None:
                checked.append(None)
            else:
                shape, dtype = argument
                if not isinstance(grad, (np.ndarray, np.generic)):
                    raise TypeError(f"{name}: gradient {i} is {_kind(grad)}; expected an array or None")
                if grad.shape != shape:
                    raise ValueError(f"{name}: gradient {i} has shape {grad.shape}; argument {i} has {shape}")
                if grad.dtype != dtype:
                    raise TypeError(f"{name}: gradient {i} has dtype {grad.dtype}; argument {i} has {dtype}")
                checked.append(np.array(grad))
        return tuple(checked)


def _kind(value: Any) -> str:
    return f"of type {type(value).__name__}"
