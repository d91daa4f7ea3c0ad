"""Linear maps."""

from __future__ import annotations

from .. import ops
from ..tensor import Array, Tensor, expect_tensors, record


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The linear map y = x weight^T + bias, as torch.nn.functional.linear.

    Args:
        x: (..., I).
        weight: (O, I).
        bias: (O,) or None.

    Returns:
        (..., O).

    Raises:
        TypeError: element types other than float32 and float64, or different ones.
        ValueError: shapes that do not fit together.

    Example:
        >>> import fastnn, fastnn.nn.functional as F
        >>> F.linear(fastnn.ones(2, 3), fastnn.ones(4, 3)).shape
        (2, 4)
    """
    expect_tensors("linear", x=x, weight=weight)
    if bias is not None:
        expect_tensors("linear", bias=bias)
    x_data, w_data = x.data, weight.data
    dx_wanted, dw_wanted = x.requires_grad, weight.requires_grad
    db_wanted = bias is not None and bias.requires_grad
    y = ops.linear_forward(x_data, w_data, None if bias is None else bias.data)

    def backward(dy: Array) -> tuple[Array | None, ...]:
        dx = ops.linear_backward_input(dy, w_data) if dx_wanted else None
        dw, db = None, None
        if dw_wanted or db_wanted:
            dw, db = ops.linear_backward_weight(dy, x_data, bias=db_wanted)
        return (dx, dw if dw_wanted else None, db)[: 2 if bias is None else 3]

    return record(y, backward, x, weight) if bias is None else record(y, backward, x, weight, bias)


def bilinear(x1: Tensor, x2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The bilinear map y[o] = sum of x1[i] weight[o, i, j] x2[j] + bias[o], as torch.nn.functional.bilinear.

    Args:
        x1: (..., I).
        x2: (..., J), of the same leading dimensions.
        weight: (O, I, J).
        bias: (O,) or None.

    Returns:
        (..., O).

    Raises:
        TypeError: element types other than float32 and float64, or different ones.
        ValueError: shapes that do not fit together.

    Example:
        >>> import fastnn, fastnn.nn.functional as F
        >>> F.bilinear(fastnn.ones(2, 3), fastnn.ones(2, 5), fastnn.ones(4, 3, 5)).tolist()
        [[15.0, 15.0, 15.0, 15.0], [15.0, 15.0, 15.0, 15.0]]
    """
    expect_tensors("bilinear", x1=x1, x2=x2, weight=weight)
    if weight.ndim != 3:
        raise ValueError(f"bilinear: weight has shape {weight.shape}; expected (O, I, J)")
    O, I, J = weight.shape
    if x1.ndim < 1 or x1.shape[-1] != I or x2.shape != (*x1.shape[:-1], J):
        raise ValueError(f"bilinear: x1 has shape {x1.shape} and x2 {x2.shape}; expected (..., {I}) and (..., {J})")
    outer = x1.unsqueeze(-1) * x2.unsqueeze(-2)
    return linear(outer.reshape(*x1.shape[:-1], I * J), weight.reshape(O, I * J), bias)
