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
