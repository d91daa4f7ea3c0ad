"""Deferred tensors: models written as ever run fused, and nothing else can tell."""

import threading
from contextlib import contextmanager

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastnn
from fastnn import functional as F
from fastnn import nn, ops
from fastnn.deferred import Deferred
from fastnn.tape import mode


class BasicBlock(nn.Module):
    """As in torchvision."""

    def __init__(self, channels, planes, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = None
        if stride != 1 or channels != planes:
            conv = nn.Conv2d(channels, planes, 1, stride, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm2d(planes))

    def forward(self, x):
        identity = x
        out = self.conv1(x)
        out = self.bn1(out)
        out = self.relu(out)
        out = self.conv2(out)
        out = self.bn2(out)
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        out = self.relu(out)
        return out


class Written(nn.Module):
    """A forward given as a function of (module, x); it has one BatchNorm."""

    def __init__(self, forward):
        super().__init__()
        self.bn = nn.BatchNorm2d(4)
        self.written = forward

    def forward(self, x):
        return self.written(self, x)


def one_expression(m, x):
    return F.relu(x + m.bn(x))


def residual_second(m, x):
    return F.relu(m.bn(x) + x)


def no_relu(m, x):
    return m.bn(x) + x


def relu_first(m, x):
    return x + F.relu(m.bn(x))


def names_of_their_own(m, x):
    y = m.bn(x)
    z = y + x
    return F.relu(z)


def used_twice(m, x):
    y = m.bn(x)
    return F.relu(y) + F.relu(y + x) * y


def two_residuals(m, x):
    return F.relu(m.bn(x) + x + x * 2)


def plus_itself(m, x):
    y = m.bn(x)
    y += y
    return F.relu(y + y)


def broadcast_residual(m, x):
    return F.relu(m.bn(x) + x[:, :, :1])


def number(m, x):
    return F.relu(1.0 + m.bn(x) + 2)


def relu_twice(m, x):
    return F.relu(F.relu(m.bn(x)))


def middle_held(m, x):
    y = m.bn(x)
    z = F.relu(y)
    w = z + x
    return w * y.sum()


def both_deferred(m, x):
    return F.relu(m.bn(x) + m.bn(x * 2))


def tanh_follows(m, x):
    return F.tanh(m.bn(x))


def in_place_alias(m, x):
    y = m.bn(x)
    z = y
    z += x
    return F.relu(y) if not fastnn.is_grad_enabled() else F.relu(z)


WRITTEN = [
    one_expression,
    residual_second,
    no_relu,
    relu_first,
    names_of_their_own,
    used_twice,
    two_residuals,
    plus_itself,
    broadcast_residual,
    number,
    relu_twice,
    middle_held,
    both_deferred,
    tanh_follows,
    in_place_alias,
]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def kernels(monkeypatch):
    """What ran: "bn", "bn+", "bn relu", "bn+ relu", "relu" alone, and "conv" with "scaled", "+" and "relu"."""
    ran = []
    forward, relu_forward, conv_forward = ops.batch_norm_forward, ops.relu_forward, ops.conv2d_forward

    def batch_norm(x, mean, inv_std, weight, bias, residual=None, relu=False):
        ran.append("bn" + ("" if residual is None else "+") + (" relu" if relu else ""))
        return forward(x, mean, inv_std, weight, bias, residual, relu)

    def relu(x):
        ran.append("relu")
        return relu_forward(x)

    def conv2d(*args, scale=None, residual=None, relu=False):
        parts = "conv", " scaled" * (scale is not None), "+" * (residual is not None), " relu" * relu
        ran.append("".join(parts))
        return conv_forward(*args, scale=scale, residual=residual, relu=relu)

    monkeypatch.setattr(ops, "conv2d_forward", conv2d)
    monkeypatch.setattr(ops, "batch_norm_forward", batch_norm)
    monkeypatch.setattr(ops, "relu_forward", relu)
    return ran


def images(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def everything(model, call, x, training, grad):
    """Output, gradients and state after one call."""
    model.train(training)
    t = fastnn.tensor(x, requires_grad=grad)
    model.zero_grad()
    if not grad:
        with fastnn.no_grad():
            y = call(t)
        assert not y.requires_grad
    else:
        y = call(t)
        y.backward(np.linspace(-1, 1, y.numel(), dtype=y.dtype).reshape(y.shape))
    assert type(y) is fastnn.Tensor
    arrays = {"y": y.detach().numpy(), **model.state_dict()}
    if grad:
        arrays |= {"dx": t.grad.data, **{f"d{name}": p.grad.data for name, p in model.named_parameters()}}
    return {name: array.copy() for name, array in arrays.items()}


@contextmanager
def nothing_deferred():
    call = nn.Module._call_outermost
    nn.Module._call_outermost = lambda module, args, kwargs: module.forward(*args, **kwargs)
    try:
        yield
    finally:
        nn.Module._call_outermost = call


def randomize(model, rng):
    """Parameters and statistics that are neither 0 nor 1."""
    for array in model.state_dict().values():
        if array.dtype.kind == "f":
            array[...] = rng.uniform(0.3, 2, array.shape) * rng.choice([-1, 1], array.shape)
    for name, array in model.state_dict().items():
        if name.endswith("running_var"):
            np.abs(array, out=array)


def assert_equals_unfused(model, rng, x, training, grad):
    randomize(model, rng)
    state = {name: array.copy() for name, array in model.state_dict().items()}
    with nothing_deferred():
        unfused = everything(model, model, x, training, grad)
    model.load_state_dict(state)
    fused = everything(model, model, x, training, grad)
    assert fused.keys() == unfused.keys()
    for name, array in unfused.items():
        tolerance = 1e-5 * max(1, np.abs(array).max(initial=0))
        assert_allclose(fused[name], array, rtol=1e-5, atol=tolerance, err_msg=name)
        if name == "y" and (training or grad):  # otherwise normalizing may have become a scale and a shift
            assert_array_equal(fused[name], array)


# Fused is what was not fused ----------------------------------------------------------------------


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("written", WRITTEN, ids=lambda function: function.__name__)
def test_written_models_equal_unfused_ones(rng, written, training, grad):
    assert_equals_unfused(Written(written), rng, images(rng, 3, 4, 5, 6), training, grad)


class ConvTails(nn.Module):
    """Convolutions without BatchNorm, in many surroundings."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.down = nn.Conv2d(3, 6, 3, 2)
        self.bn = nn.BatchNorm2d(3)

    def forward(self, x):
        x = F.relu(self.conv(x) + x)
        x = F.relu(self.conv(x)) + x
        x = x + self.conv(x)
        y = self.conv(x)
        x = self.bn(y) + F.relu(y)
        x = F.relu(self.bn(self.conv(x) + x))
        x += self.conv(self.conv(x))
        return self.down(x) + self.down(F.tanh(self.conv(x)))


MODELS = {
    "convolutions": ConvTails,
    "VGG": lambda: nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.ReLU(), nn.MaxPool2d(2)
    ),
    "BatchNorm after a bias": lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, affine=False), nn.ReLU()),
    "Sequential": lambda: nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
    "BasicBlock": lambda: BasicBlock(3, 3),
    "BasicBlock strided": lambda: BasicBlock(3, 5, 2),
    "nested": lambda: nn.Sequential(BasicBlock(3, 4, 2), nn.Sequential(BasicBlock(4, 4), nn.ReLU()), nn.BatchNorm2d(4)),
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS.keys())
def test_models_equal_unfused_ones(rng, make, training, grad):
    assert_equals_unfused(make(), rng, images(rng, 2, 3, 9, 8), training, grad)


def test_dense_layers(rng, kernels):
    model = nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.ReLU())
    assert_equals_unfused(model, rng, images(rng, 6, 5), training=True, grad=True)
    assert kernels == ["bn", "relu", "bn relu"]


def test_a_basic_block_equals_pytorch(rng):
    torch = pytest.importorskip("torch")

    class Theirs(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = torch.nn.Conv2d(3, 5, 3, 2, 1, bias=False)
            self.bn1 = torch.nn.BatchNorm2d(5)
            self.relu = torch.nn.ReLU(inplace=True)
            self.conv2 = torch.nn.Conv2d(5, 5, 3, 1, 1, bias=False)
            self.bn2 = torch.nn.BatchNorm2d(5)
            self.downsample = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 1, 2, bias=False), torch.nn.BatchNorm2d(5))

        forward = BasicBlock.forward

    ours, theirs = BasicBlock(3, 5, 2).double(), Theirs().double()
    theirs.load_state_dict({name: torch.tensor(array) for name, array in ours.state_dict().items()})
    x = rng.standard_normal((4, 3, 9, 8))
    t, p = fastnn.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, expected = ours(t), theirs(p)
    y.backward(y.detach())
    expected.backward(expected.detach())
    assert_allclose(y.detach().numpy(), expected.detach().numpy(), rtol=1e-10, atol=1e-10)
    assert_allclose(t.grad.data, p.grad.numpy(), rtol=1e-9, atol=1e-10)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert_allclose(a.grad.data, b.grad.numpy(), rtol=1e-8, atol=1e-10)
    for name, value in theirs.state_dict().items():
        assert_allclose(ours.state_dict()[name], value.numpy(), rtol=1e-10)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("written", [one_expression, residual_second, no_relu, relu_first, relu_twice])
def test_gradcheck(rng, written, training):
    model = Written(written).double().train(training)
    x = fastnn.tensor(rng.standard_normal((2, 4, 3, 2)), requires_grad=True)
    assert fastnn.gradcheck(lambda x, w, b: model(x), (x, model.bn.weight, model.bn.bias))


# What is fused ------------------------------------------------------------------------------------

FUSED = {
    one_expression: ["bn+ relu"],
    residual_second: ["bn+ relu"],
    no_relu: ["bn+"],
    relu_first: ["bn relu"],
    names_of_their_own: ["bn", "relu"],  # y and z could still be asked for
    relu_twice: ["bn relu", "relu"],
    both_deferred: ["bn", "bn+ relu"],
    tanh_follows: ["bn"],
}


@pytest.mark.parametrize(("written", "expected"), FUSED.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_kernels(rng, kernels, written, expected):
    x = fastnn.tensor(images(rng, 3, 4, 5, 6), requires_grad=True)
    model = Written(lambda m, x: written(m, x) * 1)  # inside of the call, so that locals are still there
    if written is names_of_their_own:
        model = Written(lambda m, x: names_held(m, x))
    model(x)
    assert kernels == expected
    del kernels[:]
    model.eval()
    with fastnn.no_grad():
        model(x)
    assert kernels == expected


def names_held(m, x):
    y = m.bn(x)
    z = y + x
    return F.relu(z) * 1


def test_kernels_of_a_network(rng, kernels):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), BasicBlock(4, 4), BasicBlock(4, 8, 2))
    x = fastnn.tensor(images(rng, 2, 3, 9, 9))
    model(x)
    conv, bn, bn_relu, bn_add_relu = "conv", "bn", "bn relu", "bn+ relu"
    block = [conv, bn_relu, conv, bn_add_relu]
    assert kernels == [conv, bn_relu, *block, conv, bn_relu, conv, conv, bn, bn_add_relu]
    del kernels[:]
    model.eval()
    with fastnn.no_grad():
        model(x)
    block = ["conv scaled relu", "conv scaled+ relu"]
    assert kernels == ["conv scaled relu", *block, "conv scaled relu", "conv scaled", "conv scaled+ relu"]
    del kernels[:]
    model[:3](x)  # whose gradients need the convolution's own output
    assert kernels == [conv, bn_relu]


def test_kernels_of_a_network_without_batch_norm(rng, kernels):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3), nn.Tanh())
    model(fastnn.tensor(images(rng, 2, 3, 9, 9)))
    assert kernels == ["conv relu", "conv"]


def test_statistics_are_those_of_the_call(rng):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.bn = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)

        def forward(self, x):
            y = self.conv(x)
            z, w = self.bn(y), self.bn(self.conv(x))
            self.bn.train()(x)
            self.bn.eval()
            return y, z, w

    model = Net().eval()
    x = fastnn.tensor(images(rng, 3, 4, 5, 6))
    with fastnn.no_grad():
        expected = model.bn(model.conv(x)).numpy()
        _, z, w = model(x)
    assert_allclose(z.numpy(), expected, rtol=1e-5, atol=1e-5)
    assert_allclose(w.numpy(), expected, rtol=1e-5, atol=1e-5)


def test_a_wrong_convolution_is_an_error_at_once(rng):
    def forward(m, x):
        with pytest.raises(ValueError, match="conv2d_forward: weight has 5 input channels, x has 4"):
            F.conv2d(x, fastnn.ones(3, 5, 1, 1))
        return x

    Written(forward)(fastnn.tensor(images(rng, 3, 4, 5, 6)))


@pytest.mark.parametrize("bias", [True, False])
def test_gradcheck_of_convolutions(rng, bias):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1, bias=bias)

        def forward(self, x):
            return F.relu(F.relu(self.conv(x)) + self.conv(x * 2)) + self.conv(x)

    model = Net().double()
    x = fastnn.tensor(rng.standard_normal((2, 3, 4, 3)), requires_grad=True)
    assert fastnn.gradcheck(lambda x, *_: model(x), (x, *model.parameters()))


def test_nothing_is_deferred_outside_of_a_module(rng, kernels):
    bn, x = nn.BatchNorm2d(4), fastnn.tensor(images(rng, 3, 4, 5, 6))
    y = bn(x)
    assert type(y) is fastnn.Tensor
    assert type(F.relu(y)) is fastnn.Tensor
    assert kernels == ["bn", "relu"]


# What nothing can tell ----------------------------------------------------------------------------


def test_questions_that_need_no_values(rng, kernels):
    def forward(m, x):
        y = F.relu(m.bn(x) + x)
        assert type(y) is Deferred
        assert isinstance(y, fastnn.Tensor)
        assert (y.shape, y.ndim, y.dtype, len(y)) == ((3, 4, 5, 6), 4, np.float32, 3)
        assert (y.size(), y.size(1), y.dim(), y.numel()) == ((3, 4, 5, 6), 4, 4, 360)
        assert y.requires_grad
        assert type(y) is Deferred
        assert kernels == []
        assert not y.is_leaf
        assert type(y) is fastnn.Tensor
        return y

    Written(forward)(fastnn.tensor(images(rng, 3, 4, 5, 6), requires_grad=True))
    assert kernels == ["bn+ relu"]


def test_what_a_module_keeps_is_computed_when_the_call_returns(rng):
    def forward(m, x):
        m.kept = m.bn(x)
        m.sum = m.kept + x
        return F.relu(m.sum)

    model = Written(forward)
    x = fastnn.tensor(images(rng, 3, 4, 5, 6))
    y = model(x)
    assert type(model.kept) is type(model.sum) is type(y) is fastnn.Tensor
    before = [t.detach().numpy().copy() for t in (model.kept, model.sum, y)]
    assert_array_equal(before[1], before[0] + x.data)
    assert_array_equal(before[2], np.maximum(before[1], 0))
    model.bn.weight.data[...] = 7
    model.bn.bias.data[...] = 7
    model.bn.running_mean.data[...] = 7
    x.data[...] = 7
    for t, array in zip((model.kept, model.sum, y), before, strict=True):
        assert_array_equal(t.detach().numpy(), array)


def test_an_exception_leaves_nothing_deferred(rng):
    def forward(m, x):
        m.kept = F.relu(m.bn(x))
        raise RuntimeError("stop")

    model, x = Written(forward), fastnn.tensor(images(rng, 3, 4, 5, 6))
    with pytest.raises(RuntimeError, match="stop"):
        model(x)
    assert mode.deferred is None
    assert type(model.kept) is fastnn.Tensor
    assert type(nn.BatchNorm2d(4)(x)) is fastnn.Tensor


@pytest.mark.parametrize("hold", [lambda t: t.register_hook(lambda g: None), lambda t: t.retain_grad()])
def test_gradients_of_tensors_in_between(rng, hold):
    """Also where the wish comes after the tensor was used."""
    x, dy = images(rng, 3, 4, 5, 6), images(rng, 3, 4, 5, 6)

    def forward(m, t):
        y = m.bn(t)
        z = F.relu(y)
        y.retain_grad()
        hold(z)
        m.y = y
        return z

    results = []
    for call in (Written.__call__, Written.forward):
        model = Written(forward)
        call(model, fastnn.tensor(x, requires_grad=True)).backward(dy)
        results.append(model.y.grad.data)
    assert_array_equal(results[0], results[1])
    assert np.abs(results[0]).max() > 0


def test_changes_in_place_come_after_what_was_computed_before_them(rng):
    x = images(rng, 3, 4, 5, 6)

    def forward(m, t):
        r = t * 3
        y = m.bn(t)
        z = y + r
        r.zero_()
        with fastnn.no_grad():
            m.bn.weight.fill_(5)
            y[:] = 0
        return F.relu(z)

    results = []
    for call in (Written.__call__, Written.forward):
        results.append(call(Written(forward), fastnn.tensor(x)).detach())
    with fastnn.no_grad():
        for call in (Written.__call__, Written.forward):
            results.append(call(Written(forward), fastnn.tensor(x)))
    for result in results[1:]:
        assert_array_equal(result.numpy(), results[0].numpy())


def sgd_step(m):
    for param in m.parameters():
        param.grad = fastnn.ones(4)
    fastnn.optim.SGD(m.parameters(), 1.0).step()


@pytest.mark.parametrize(
    "change",
    [
        sgd_step,
        lambda m: m.load_state_dict({name: np.full_like(value, 3) for name, value in m.state_dict().items()}),
        lambda m: nn.init.constant_(m.bn.weight, 5.0),
    ],
)
def test_changes_of_parameters_come_after_what_was_computed_before_them(rng, change):
    def forward(m, x):
        y = m.bn(x)
        change(m)
        return y

    x = fastnn.tensor(images(rng, 3, 4, 5, 6))
    y, expected = (call(Written(forward), x) for call in (Written.__call__, Written.forward))
    assert_array_equal(y.detach().numpy(), expected.detach().numpy())
    with pytest.raises(RuntimeError, match="changed in place"):
        y.sum().backward()


def test_a_result_can_be_made_a_leaf(rng):
    def forward(m, x):
        m.features = m.bn(x)
        m.features.requires_grad = True
        return F.relu(m.features)

    model = Written(forward).requires_grad_(False)
    model(fastnn.tensor(images(rng, 3, 4, 5, 6))).sum().backward()
    assert_array_equal(model.features.grad.numpy(), model.features.detach().numpy() > 0)


def test_grad_mode_is_that_of_each_operation(rng):
    x = images(rng, 3, 4, 5, 6)

    def frozen(m, t):
        with fastnn.no_grad():
            y = m.bn(t)
        return F.relu(y + t)

    def tail_frozen(m, t):
        y = m.bn(t)
        with fastnn.no_grad():
            z = F.relu(y)
        return z + y

    for forward in (frozen, tail_frozen):
        gradients = []
        for call in (Written.__call__, Written.forward):
            model, t = Written(forward), fastnn.tensor(x, requires_grad=True)
            call(model, t).sum().backward()
            gradients.append(t.grad.data)
            assert (model.bn.weight.grad is None) == (forward is frozen)
        assert_allclose(gradients[0], gradients[1], rtol=1e-6, atol=1e-6)


def test_forward_hooks_see_plain_values(rng):
    seen = []
    model = nn.Sequential(nn.BatchNorm2d(4), nn.ReLU())
    model[0].register_forward_hook(lambda module, args, y: seen.append(y.detach().numpy()))
    x = fastnn.tensor(images(rng, 3, 4, 5, 6))
    y = model(x)
    assert_array_equal(np.maximum(seen[0], 0), y.detach().numpy())


def test_backward_hooks(rng):
    x, results = images(rng, 3, 4, 5, 6), []
    for fuse in (True, False):
        model, seen = nn.Sequential(nn.BatchNorm2d(4), nn.ReLU()), []
        model[0].register_full_backward_hook(lambda module, dx, dy, seen=seen: seen.extend([dx[0], dy[0]]))
        t = fastnn.tensor(x, requires_grad=True)
        (model(t) if fuse else model.forward(t)).sum().backward()
        results.append([*(g.data for g in seen), t.grad.data])
    for a, b in zip(*results, strict=True):
        assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def test_data_can_be_replaced(rng):
    def forward(m, x):
        y = m.bn(x)
        y.data = np.ones_like(y.data)
        return F.relu(y)

    assert_array_equal(Written(forward)(fastnn.tensor(images(rng, 3, 4, 5, 6))).detach().numpy(), 1)


def test_other_threads_defer_nothing(rng):
    kinds = []

    def forward(m, x):
        thread = threading.Thread(target=lambda: kinds.append(type(m.bn(x))))
        thread.start()
        thread.join()
        kinds.append(type(m.bn(x)))
        return x

    Written(forward)(fastnn.tensor(images(rng, 3, 4, 5, 6)))
    assert kinds == [fastnn.Tensor, Deferred]


def test_other_threads_extend_nothing(rng):
    kinds = []

    def forward(m, x):
        y = m.bn(x)
        thread = threading.Thread(target=lambda: kinds.append(type(F.relu(y))))
        thread.start()
        thread.join()
        return y

    Written(forward)(fastnn.tensor(images(rng, 3, 4, 5, 6)))
    assert kinds == [fastnn.Tensor]


def test_saves_no_more_than_it_needs(rng):
    """ReLU after BatchNorm keeps x alone; the sum of the residual keeps y, too."""
    ops.empty_cache()
    x = ops.empty((8, 4, 64, 64), channels_last=True)
    x[...] = images(rng, *x.shape)
    for written, arrays in ((lambda m, t: F.relu(m.bn(t)), 0), (lambda m, t: F.relu(m.bn(t) + t), 1)):
        model, t = Written(written), fastnn.Tensor(x, requires_grad=True)
        before = ops.memory_stats()["live_bytes"]
        y = model(t).sum()
        after = ops.memory_stats()["live_bytes"]
        assert after - before == pytest.approx(arrays * x.nbytes, abs=x.nbytes // 8)
        del y
