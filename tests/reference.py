"""The float64 oracle: every op of fastnn in slow, obvious NumPy.

The kernels are tested against these functions, and these functions against finite differences
(test_reference.py). They favour being read over being fast: an op over windows is a loop over the
window's taps (r, s), and everything else is a slice.

Shapes are PyTorch's: x (N, C, H, W), w (K, C / groups, R, S), y (N, K, P, Q). Arguments have the
names and meanings of torch.nn.functional; backward functions take dy first. float32 arrays are
widened on entry, so that nothing here can run in single precision by accident.
"""

import functools
import math

import numpy as np


def in_float64(function):
    """Make `function` see its floating-point array arguments as float64."""

    def widen(value):
        is_float = isinstance(value, np.ndarray) and value.dtype.kind == "f"
        return value.astype(np.float64) if is_float else value

    @functools.wraps(function)
    def widened(*args, **kwargs):
        kwargs = {name: widen(value) for name, value in kwargs.items()}
        return function(*map(widen, args), **kwargs)

    return widened


def numeric_gradient(f, x, dy, eps=1e-6):
    """Gradient of sum(f(x) * dy) with respect to x by central differences in float64."""
    x = np.asarray(x, np.float64)
    dx = np.empty_like(x)
    for i in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[i] = eps
        dx[i] = np.sum((f(x + step) - f(x - step)) * dy) / (2 * eps)
    return dx


# Matrix product and linear ------------------------------------------------------------------------


@in_float64
def matmul(a, b):
    return a @ b


@in_float64
def linear_forward(x, w, b=None):
    y = x @ w.T
    return y if b is None else y + b


@in_float64
def linear_backward_input(dy, w):
    return dy @ w


@in_float64
def linear_backward_weight(dy, x):
    batch_axes = tuple(range(x.ndim - 1))
    dw = np.tensordot(dy, x, axes=(batch_axes, batch_axes))
    return dw, dy.sum(axis=batch_axes)


# Windows ------------------------------------------------------------------------------------------


def conv_output_size(size, kernel, stride=1, padding=0, dilation=1):
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def pool_output_size(size, kernel, stride, padding=0, dilation=1, ceil_mode=False):
    if not ceil_mode:
        return conv_output_size(size, kernel, stride, padding, dilation)
    span = size + 2 * padding - dilation * (kernel - 1) - 1
    out = -(-span // stride) + 1
    last_window_start = (out - 1) * stride - padding
    return out - 1 if last_window_start >= size else out


def pool_output_sizes(size, kernel, stride, padding, dilation, ceil_mode):
    """(P, Q) from pairs."""
    dimensions = zip(size, kernel, stride, padding, dilation, strict=True)
    return tuple(pool_output_size(*dimension, ceil_mode) for dimension in dimensions)


def pair(value):
    """(rows, columns) from an int or a pair."""
    return (value, value) if np.ndim(value) == 0 else tuple(value)


def pad(x, padding, stride, value=0.0):
    """Surround H x W with `padding`, and stride - 1 more below and right for ceil_mode's windows.

    The window that ceil_mode adds leaves the padded input by at most stride - 1.
    """
    (ph, pw), (sh, sw) = padding, stride
    widths = [(0, 0)] * (x.ndim - 2) + [(ph, ph + sh - 1), (pw, pw + sw - 1)]
    return np.pad(x, widths, constant_values=value)


def unpad(xp, padding, size):
    """The H x W middle that `pad` surrounded."""
    (ph, pw), (H, W) = padding, size
    return xp[..., ph : ph + H, pw : pw + W]


def tap(r, s, size, stride, dilation):
    """Index of what each of the P x Q windows sees of a padded array at its position (r, s)."""
    (P, Q), (sh, sw), (dh, dw) = size, stride, dilation
    rows = slice(r * dh, r * dh + P * sh, sh)
    cols = slice(s * dw, s * dw + Q * sw, sw)
    return (..., rows, cols)


# Convolution --------------------------------------------------------------------------------------


def group_channels(weight_size, groups):
    """For each group: its slice of the output channels and its slice of the input channels."""
    K, C = weight_size[0] // groups, weight_size[1]
    return [(slice(g * K, g * K + K), slice(g * C, g * C + C)) for g in range(groups)]


@in_float64
def conv2d_forward(x, w, b=None, stride=1, padding=0, dilation=1, groups=1):
    stride, padding, dilation = pair(stride), pair(padding), pair(dilation)
    (N, _, H, W), (K, _, R, S) = x.shape, w.shape
    P = conv_output_size(H, R, stride[0], padding[0], dilation[0])
    Q = conv_output_size(W, S, stride[1], padding[1], dilation[1])

    xp = pad(x, padding, stride)
    y = np.zeros((N, K, P, Q))
    for k, c in group_channels(w.shape, groups):
        for r in range(R):
            for s in range(S):
                seen = xp[:, c][tap(r, s, (P, Q), stride, dilation)]
                y[:, k] += np.einsum("ncpq,kc->nkpq", seen, w[k, :, r, s])
    return y if b is None else y + b[:, None, None]


@in_float64
def conv2d_backward_input(dy, w, input_size, stride=1, padding=0, dilation=1, groups=1):
    stride, padding, dilation = pair(stride), pair(padding), pair(dilation)
    (_, _, R, S), (_, _, P, Q) = w.shape, dy.shape

    dxp = pad(np.zeros(input_size), padding, stride)
    for k, c in group_channels(w.shape, groups):
        for r in range(R):
            for s in range(S):
                seen = dxp[:, c][tap(r, s, (P, Q), stride, dilation)]  # a view: += adds to dxp
                seen += np.einsum("nkpq,kc->ncpq", dy[:, k], w[k, :, r, s])
    return unpad(dxp, padding, input_size[2:])


@in_float64
def conv2d_backward_weight(dy, x, weight_size, stride=1, padding=0, dilation=1, groups=1):
    stride, padding, dilation = pair(stride), pair(padding), pair(dilation)
    (_, _, R, S), (_, _, P, Q) = weight_size, dy.shape

    xp = pad(x, padding, stride)
    dw = np.zeros(weight_size)
    for k, c in group_channels(weight_size, groups):
        for r in range(R):
            for s in range(S):
                seen = xp[:, c][tap(r, s, (P, Q), stride, dilation)]
                dw[k, :, r, s] = np.einsum("nkpq,ncpq->kc", dy[:, k], seen)
    return dw, dy.sum(axis=(0, 2, 3))


# Pooling ------------------------------------------------------------------------------------------


@in_float64
def max_pool2d_forward(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    """(y, argmax): argmax is the window position r * S + s of the last NaN, else first maximum.

    Padding never wins. A window that sees nothing but padding has y = -inf, argmax = 0.
    """
    (R, S), stride = pair(kernel_size), pair(kernel_size if stride is None else stride)
    padding, dilation = pair(padding), pair(dilation)
    PQ = pool_output_sizes(x.shape[2:], (R, S), stride, padding, dilation, ceil_mode)

    xp = pad(x, padding, stride, -np.inf)
    is_input = pad(np.ones(x.shape, bool), padding, stride, False)
    y = np.full(x.shape[:2] + PQ, -np.inf)
    argmax = np.zeros(y.shape, np.int64)
    has_winner = np.zeros(y.shape, bool)
    for r in range(R):
        for s in range(S):
            at = tap(r, s, PQ, stride, dilation)
            beats = ~has_winner | (xp[at] > y) | np.isnan(xp[at])
            wins = is_input[at] & beats
            y[wins] = xp[at][wins]
            argmax[wins] = r * S + s
            has_winner |= wins
    return y, argmax


@in_float64
def max_pool2d_backward(dy, argmax, input_size, kernel_size, stride=None, padding=0, dilation=1):
    """Each dy goes where its window's argmax points, and nowhere if that is padding."""
    (R, S), stride = pair(kernel_size), pair(kernel_size if stride is None else stride)
    padding, dilation = pair(padding), pair(dilation)

    dxp = pad(np.zeros(input_size), padding, stride)
    for r in range(R):
        for s in range(S):
            won = argmax == r * S + s
            dxp[tap(r, s, dy.shape[2:], stride, dilation)] += np.where(won, dy, 0.0)
    return unpad(dxp, padding, input_size[2:])


def avg_pool2d_divisor(size, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override):
    """(P, Q) divisors: how many positions of each window count.

    Input always counts, padding if count_include_pad says so, what lies beyond the padding never.
    """
    PQ = pool_output_sizes(size, kernel, stride, padding, (1, 1), ceil_mode)
    if divisor_override is not None:
        return np.full(PQ, float(divisor_override))
    counts = pad(np.ones(size), padding, (1, 1), float(count_include_pad))
    counts = pad(counts, (0, 0), stride, 0.0)
    R, S = kernel
    return sum(counts[tap(r, s, PQ, stride, (1, 1))] for r in range(R) for s in range(S))


@in_float64
def avg_pool2d_forward(
    x,
    kernel_size,
    stride=None,
    padding=0,
    ceil_mode=False,
    count_include_pad=True,
    divisor_override=None,
):
    (R, S), stride = pair(kernel_size), pair(kernel_size if stride is None else stride)
    padding = pair(padding)
    PQ = pool_output_sizes(x.shape[2:], (R, S), stride, padding, (1, 1), ceil_mode)

    xp = pad(x, padding, stride)
    total = np.zeros(x.shape[:2] + PQ)
    for r in range(R):
        for s in range(S):
            total += xp[tap(r, s, PQ, stride, (1, 1))]
    return total / avg_pool2d_divisor(
        x.shape[2:], (R, S), stride, padding, ceil_mode, count_include_pad, divisor_override
    )


@in_float64
def avg_pool2d_backward(
    dy,
    input_size,
    kernel_size,
    stride=None,
    padding=0,
    ceil_mode=False,
    count_include_pad=True,
    divisor_override=None,
):
    (R, S), stride = pair(kernel_size), pair(kernel_size if stride is None else stride)
    padding = pair(padding)

    share = dy / avg_pool2d_divisor(
        input_size[2:], (R, S), stride, padding, ceil_mode, count_include_pad, divisor_override
    )
    dxp = pad(np.zeros(input_size), padding, stride)
    for r in range(R):
        for s in range(S):
            dxp[tap(r, s, dy.shape[2:], stride, (1, 1))] += share
    return unpad(dxp, padding, input_size[2:])


def adaptive_windows(size, count):
    """Begin and end of each of `count` windows over `size` elements."""
    return [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]


@in_float64
def adaptive_max_pool2d_forward(x, output_size):
    """(y, at): where in its flattened image each maximum stands."""
    y = np.empty((*x.shape[:2], *output_size))
    at = np.empty(y.shape, np.int64)
    positions = np.arange(x.shape[2] * x.shape[3]).reshape(x.shape[2:])
    for p, (top, bottom) in enumerate(adaptive_windows(x.shape[2], output_size[0])):
        for q, (left, right) in enumerate(adaptive_windows(x.shape[3], output_size[1])):
            window = x[:, :, top:bottom, left:right].reshape(*x.shape[:2], (bottom - top) * (right - left))
            last_nan = window.shape[-1] - 1 - np.isnan(window[..., ::-1]).argmax(-1)
            winner = np.where(np.isnan(window).any(-1), last_nan, window.argmax(-1))
            y[:, :, p, q] = np.take_along_axis(window, winner[..., None], -1)[..., 0]
            at[:, :, p, q] = positions[top:bottom, left:right].ravel()[winner]
    return y, at


@in_float64
def adaptive_max_pool2d_backward(dy, at, input_size):
    N, C, H, W = input_size
    dx = np.zeros((N, C, H * W))
    for n, c in np.ndindex(N, C):
        np.add.at(dx[n, c], at[n, c].ravel(), dy[n, c].ravel())
    return dx.reshape(input_size)


@in_float64
def adaptive_avg_pool2d_forward(x, output_size):
    y = np.empty((*x.shape[:2], *output_size))
    for p, (top, bottom) in enumerate(adaptive_windows(x.shape[2], output_size[0])):
        for q, (left, right) in enumerate(adaptive_windows(x.shape[3], output_size[1])):
            y[:, :, p, q] = x[:, :, top:bottom, left:right].mean((2, 3))
    return y


@in_float64
def adaptive_avg_pool2d_backward(dy, input_size):
    dx = np.zeros(input_size)
    for p, (top, bottom) in enumerate(adaptive_windows(input_size[2], dy.shape[2])):
        for q, (left, right) in enumerate(adaptive_windows(input_size[3], dy.shape[3])):
            share = dy[:, :, p, q] / ((bottom - top) * (right - left))
            dx[:, :, top:bottom, left:right] += share[:, :, None, None]
    return dx


# BatchNorm ----------------------------------------------------------------------------------------


def per_channel(a, ndim):
    """(C,) so that it broadcasts over (N, C, ...)."""
    return a.reshape(-1, *[1] * (ndim - 2))


def but_channels(ndim):
    return (0, *range(2, ndim))


@in_float64
def batch_norm_statistics(x):
    axes = but_channels(x.ndim)
    return x.mean(axes), x.var(axes)


@in_float64
def batch_norm_forward(x, mean, inv_std, weight=None, bias=None, residual=None, relu=False):
    y = (x - per_channel(mean, x.ndim)) * per_channel(inv_std, x.ndim)
    y = y if weight is None else y * per_channel(weight, x.ndim)
    y = y if bias is None else y + per_channel(bias, x.ndim)
    y = y if residual is None else y + residual
    return relu_forward(y) if relu else y


@in_float64
def batch_norm_backward(dy, x, mean, inv_std, weight=None, y=None, training=True):
    """(dx, dweight, dbias, dresidual); y, the output, where relu is the last step."""
    axes, n = but_channels(x.ndim), x.size // x.shape[1]
    g = dy if y is None else relu_backward(dy, y)
    inv_std_of = per_channel(inv_std, x.ndim)
    normalized = (x - per_channel(mean, x.ndim)) * inv_std_of
    dw, db = (g * normalized).sum(axes), g.sum(axes)
    dx = g.copy()
    if training:
        dx -= per_channel(db / n, x.ndim) + normalized * per_channel(dw / n, x.ndim)
    dx *= inv_std_of if weight is None else inv_std_of * per_channel(weight, x.ndim)
    return dx, dw, db, g


# Activations --------------------------------------------------------------------------------------


@in_float64
def relu_forward(x):
    return np.maximum(x, 0.0)  # NaN stays NaN


@in_float64
def relu_backward(dy, y):
    return np.where(y <= 0, 0.0, dy)  # not `y > 0`: dy passes where y is NaN


@in_float64
def sigmoid_forward(x):
    e = np.exp(-np.abs(x))  # never overflows
    return np.where(x >= 0, 1.0, e) / (1.0 + e)


@in_float64
def sigmoid_backward(dy, y):
    return dy * y * (1.0 - y)


@in_float64
def tanh_forward(x):
    return np.tanh(x)


@in_float64
def tanh_backward(dy, y):
    return dy * (1.0 - y * y)


# Dropout ------------------------------------------------------------------------------------------


def philox4x32(counter, key, rounds=10):
    """Four 32-bit words from a counter of four words and a key of two (Salmon et al., 2011)."""
    x, key = list(counter), list(key)
    for _ in range(rounds):
        first, second = 0xD2511F53 * x[0], 0xCD9E8D57 * x[2]
        x = [second >> 32 ^ x[1] ^ key[0], second & 0xFFFFFFFF, first >> 32 ^ x[3] ^ key[1], first & 0xFFFFFFFF]
        key = [key[0] + 0x9E3779B9 & 0xFFFFFFFF, key[1] + 0xBB67AE85 & 0xFFFFFFFF]
    return x


def dropout_words(count, seed):
    """The random word of each of `count` elements."""
    key = seed & 0xFFFFFFFF, seed >> 32
    words = []
    for block in range(-(-count // 32)):
        made = [philox4x32((8 * block + j, 0, 0, 0), key) for j in range(8)]
        words += [made[j][2 * u + v] for u in range(2) for j in range(8) for v in range(2)]
    return np.array(words[:count], np.float64)


@in_float64
def dropout(x, p, seed):
    factors = np.where(dropout_words(x.size, seed) < np.floor(p * 2.0**32), 0.0, 1 / (1 - p) if p < 1 else 0.0)
    return x * factors.reshape(x.shape)


# Random numbers -----------------------------------------------------------------------------------


def random_words(count, seed, bits):
    """The random word of 32 or 64 bits of each of `count` elements, as Python's integers."""
    words = [int(word) for word in dropout_words(count * bits // 32, seed)]
    if bits == 64:
        words = [low + (high << 32) for low, high in zip(words[::2], words[1::2], strict=True)]
    return words


def random_uniform(count, low, high, seed, bits):
    used = {32: 24, 64: 53}[bits]
    return low + (high - low) * np.array([word >> bits - used for word in random_words(count, seed, bits)]) / 2.0**used


def random_normal(count, mean, std, seed, bits):
    """Box and Muller's pairs: half a block of words makes their lengths, the other half their directions."""
    half, real = 512 // bits, {32: np.float32, 64: np.float64}[bits]
    words = random_words(-(-count // (2 * half)) * 2 * half, seed, bits)
    values = []
    for block in range(0, len(words), 2 * half):
        pairs = []
        for first, second in zip(words[block : block + half], words[block + half : block + 2 * half], strict=True):
            fraction = real(float(real(first >> 1)) / 2.0 ** (bits - 1) + 2.0**-bits)  # of as many bits as it holds
            radius = math.sqrt(-2 * math.log(fraction))
            signed = second - (second >> bits - 1 << bits)
            angle = math.pi / 4 * signed / 2.0 ** (bits - 1)
            cosine, sine = math.cos(angle) * (-1) ** (second & 1), math.sin(angle)
            pairs.append((radius * sine, radius * cosine) if second & 2 else (radius * cosine, radius * sine))
        values += [pair[0] for pair in pairs] + [pair[1] for pair in pairs]
    return mean + std * np.array(values[:count])


# Embedding ----------------------------------------------------------------------------------------


@in_float64
def embedding_forward(x, w):
    return w[x]


@in_float64
def embedding_backward(dy, x, num_embeddings, padding_idx=None):
    dw = np.zeros((num_embeddings, dy.shape[-1]))
    for i in np.ndindex(x.shape):
        if x[i] != padding_idx:
            dw[x[i]] += dy[i]
    return dw


# Softmax and cross-entropy ------------------------------------------------------------------------


@in_float64
def softmax_forward(x, axis=-1):
    with np.errstate(invalid="ignore"):  # where the maximum is infinite, inf - inf makes NaN
        e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


@in_float64
def softmax_backward(dy, y, axis=-1):
    return y * (dy - (dy * y).sum(axis, keepdims=True))


@in_float64
def log_softmax_forward(x, axis=-1):
    with np.errstate(invalid="ignore"):  # as above
        shifted = x - x.max(axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis, keepdims=True))


@in_float64
def log_softmax_backward(dy, y, axis=-1):
    return dy - np.exp(y) * dy.sum(axis, keepdims=True)


def cross_entropy_weights(x, target, ignore_index, weight, label_smoothing):
    """How much the log-probability of each class counts in the loss of each sample, (N, C), and the samples kept."""
    weight = np.ones(x.shape[1]) if weight is None else weight
    even = label_smoothing / x.shape[1]
    if target.dtype.kind == "f":
        return weight * ((1 - label_smoothing) * target + even), np.arange(len(x))
    kept = np.flatnonzero(target != ignore_index)
    counts = np.zeros(x.shape)
    counts[kept] = even
    counts[kept, target[kept]] += 1 - label_smoothing
    return weight * counts, kept


def cross_entropy_divisor(target, ignore_index, weight):
    """What the mean divides by."""
    if target.dtype.kind == "f":
        return len(target)
    kept = target[target != ignore_index]
    return len(kept) if weight is None else weight[kept].sum()


@in_float64
def softmax_cross_entropy_forward(x, target, ignore_index=-100, reduction="mean", weight=None, label_smoothing=0.0):
    """x (N, C), labels (N,) or probabilities (N, C) -> (N,) for "none", else a scalar."""
    counts, kept = cross_entropy_weights(x, target, ignore_index, weight, label_smoothing)
    y = log_softmax_forward(x, axis=1)
    loss = np.zeros(len(x))
    used = (counts != 0) | (target.dtype.kind == "f")  # 0 times -inf is NaN, but for classes that are no target
    loss[kept] = -np.multiply(counts, y, out=np.zeros_like(x), where=used)[kept].sum(axis=1)
    if reduction == "none":
        return loss
    if reduction == "sum":
        return loss.sum()
    divisor = cross_entropy_divisor(target, ignore_index, weight)
    return loss.sum() / divisor if divisor else np.float64(np.nan)


@in_float64
def softmax_cross_entropy_backward(
    dy, x, target, ignore_index=-100, reduction="mean", weight=None, label_smoothing=0.0
):
    counts, kept = cross_entropy_weights(x, target, ignore_index, weight, label_smoothing)
    dloss = np.broadcast_to(dy, len(x))[kept]
    if reduction == "mean":
        dloss = dloss / (cross_entropy_divisor(target, ignore_index, weight) or 1)
    dlog = np.zeros_like(x)
    dlog[kept] = -dloss[:, None] * counts[kept]
    return log_softmax_backward(dlog, log_softmax_forward(x, axis=1), axis=1)


# Losses of single predictions ---------------------------------------------------------------------

POINT_LOSSES = {  # loss, derivative
    "mse_loss": (lambda x, t: (x - t) ** 2, lambda x, t: 2 * (x - t)),
    "l1_loss": (lambda x, t: np.abs(x - t), lambda x, t: np.sign(x - t)),
    "smooth_l1_loss": (
        lambda x, t, beta=1.0: np.where(np.abs(x - t) < beta, (x - t) ** 2 / (2 * beta), np.abs(x - t) - beta / 2),
        lambda x, t, beta=1.0: np.where(np.abs(x - t) < beta, (x - t) / beta, np.sign(x - t)),
    ),
    "huber_loss": (
        lambda x, t, delta=1.0: np.where(np.abs(x - t) <= delta, (x - t) ** 2 / 2, delta * (np.abs(x - t) - delta / 2)),
        lambda x, t, delta=1.0: np.where(np.abs(x - t) <= delta, x - t, delta * np.sign(x - t)),
    ),
    "soft_margin_loss": (
        lambda x, t: np.logaddexp(0, -t * x),
        lambda x, t: -t * np.exp(-np.logaddexp(0, t * x)),
    ),
    "binary_cross_entropy": (
        lambda x, t: -t * np.maximum(np.log(x), -100) - (1 - t) * np.maximum(np.log1p(-x), -100),
        lambda x, t: (x - t) / np.maximum(x * (1 - x), 1e-12),
    ),
    "binary_cross_entropy_with_logits": (
        lambda x, t, pos_weight=1.0: pos_weight * t * np.logaddexp(0, -x) + (1 - t) * np.logaddexp(0, x),
        lambda x, t, pos_weight=1.0: (
            (1 - t) * np.exp(-np.logaddexp(0, -x)) - pos_weight * t * np.exp(-np.logaddexp(0, x))
        ),
    ),
}


@in_float64
def point_loss_forward(name, x, target, **kwargs):
    with np.errstate(divide="ignore"):
        return POINT_LOSSES[name][0](x, target, **kwargs)


@in_float64
def point_loss_backward(name, dloss, x, target, **kwargs):
    return dloss * POINT_LOSSES[name][1](x, target, **kwargs)
