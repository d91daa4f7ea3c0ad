"""Module: registration, traversal, state, hooks, text; containers."""

import copy
import pickle
from collections import OrderedDict

import numpy as np
import pytest

import fastnn
from fastnn import nn
from fastnn.tensor import Parameter, Tensor


def param(*shape, value=1.0):
    return Parameter(np.full(shape, value, np.float32))


class Scale(nn.Module):
    """y = x * weight, without any kernel."""

    def __init__(self, value=2.0):
        super().__init__()
        self.weight = param(3, value=value)

    def forward(self, x, shift=0.0):
        return x * self.weight + shift


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = Scale()
        self.bias = param(3, value=0.5)
        self.second = nn.Sequential(Scale(3.0), Scale(4.0))
        self.register_buffer("mean", Tensor(np.zeros(3, np.float32)))
        self.register_buffer("cache", Tensor(np.zeros(1, np.float32)), persistent=False)

    def forward(self, x):
        return self.second(self.first(x)) + self.bias


NAMES = ["bias", "first.weight", "second.0.weight", "second.1.weight"]


def x3(requires_grad=False):
    return fastnn.tensor([1.0, 2.0, 3.0], requires_grad=requires_grad)


# ---- registration ------------------------------------------------------------------------------------------------


def test_assignment_registers():
    net = Net()
    assert [n for n, _ in net.named_parameters()] == NAMES
    assert [n for n, _ in net.named_buffers()] == ["mean", "cache"]
    assert [n for n, _ in net.named_children()] == ["first", "second"]
    assert [n for n, _ in net.named_modules()] == ["", "first", "second", "second.0", "second.1"]
    assert [n for n, _ in net.named_parameters(prefix="net", recurse=False)] == ["net.bias"]
    assert list(net.state_dict()) == ["bias", "mean", *NAMES[1:]]
    assert {"bias", "mean", "first", "training", "forward"} <= set(dir(net))
    assert "0" not in dir(net.second)


def test_reassignment_keeps_one_place():
    net = Net()
    net.first = param(2)
    assert isinstance(net.first, Parameter)
    assert [n for n, _ in net.named_children()] == ["second"]
    net.first = None
    assert net.first is None
    assert "first" not in net.state_dict()
    net.mean = Tensor(np.ones(3, np.float32))
    assert list(dict(net.named_buffers())) == ["mean", "cache"]
    net.mean = Scale()
    assert "mean" in dict(net.named_children())
    assert "mean" not in dict(net.named_buffers())
    net.plain = 3
    net.plain = param(1)
    assert "plain" not in net.__dict__
    assert "plain" in dict(net.named_parameters())


def test_delete():
    net = Net()
    del net.bias, net.mean, net.first
    net.plain = 1
    del net.plain
    for name in ("bias", "mean", "first", "plain"):
        with pytest.raises(AttributeError, match=name):
            getattr(net, name)
    with pytest.raises(AttributeError):
        del net.bias


@pytest.mark.parametrize("name", ["bias", "first", "mean"])
def test_a_registered_name_keeps_its_kind(name):
    with pytest.raises(TypeError, match=f"'{name}'.*float"):
        setattr(Net(), name, 1.5)


def test_register_parameter_errors():
    net = Net()
    with pytest.raises(KeyError, match="dot"):
        net.register_parameter("a.b", param(1))
    with pytest.raises(KeyError, match="empty"):
        net.register_parameter("", param(1))
    with pytest.raises(KeyError, match="'forward' already exists"):
        net.register_parameter("forward", param(1))
    with pytest.raises(KeyError, match="'bias' already exists"):
        net.register_buffer("bias", Tensor(np.zeros(1)))
    with pytest.raises(KeyError, match="'train' already exists"):
        net.train = Scale()
    with pytest.raises(TypeError, match=r"ndarray.*Parameter or None"):
        net.register_parameter("w", np.zeros(1))
    with pytest.raises(TypeError, match=r"ndarray.*Tensor or None"):
        net.register_buffer("b", np.zeros(1))
    with pytest.raises(TypeError, match=r"int.*Module or None"):
        net.add_module("m", 3)
    with pytest.raises(TypeError, match="expected a string"):
        net.register_parameter(3, param(1))


@pytest.mark.parametrize("make", [lambda: param(1), Scale])
def test_assigning_before_init(make):
    class Early(nn.Module):
        def __init__(self):
            self.part = make()

    with pytest.raises(AttributeError, match=r"Early: call super\(\).__init__\(\) before assigning 'part'"):
        Early()


def test_using_before_init():
    class Early(nn.Module):
        def __init__(self):
            self.register_buffer("b", None)

    with pytest.raises(AttributeError, match=r"super\(\).__init__\(\)"):
        Early()

    class Forgotten(nn.Module):
        def __init__(self):
            pass

    with pytest.raises(AttributeError, match=r"super\(\).__init__\(\) was not called"):
        Forgotten()(x3())


def test_shared_members_come_once_but_stay_in_the_state():
    net = Net()
    net.again = net.first
    net.tied = net.bias
    assert [n for n, _ in net.named_parameters()] == ["bias", *NAMES[1:]]
    assert len(list(net.modules())) == 5
    assert len(list(net.children())) == 2
    assert "tied" in net.state_dict()
    assert "again.weight" in net.state_dict()
    assert len(list(net.named_parameters(remove_duplicate=False))) == 6


def test_get_by_dotted_name():
    net = Net()
    assert net.get_submodule("second.1") is net.second[1]
    assert net.get_submodule("") is net
    assert net.get_parameter("second.1.weight") is net.second[1].weight
    assert net.get_buffer("mean") is net.mean
    for get, name in [
        (net.get_submodule, "second.7"),
        (net.get_submodule, "bias"),
        (net.get_parameter, "first"),
        (net.get_parameter, "nope.weight"),
        (net.get_buffer, "bias"),
    ]:
        with pytest.raises(AttributeError, match=r"there is no|has no"):
            get(name)


# ---- state -------------------------------------------------------------------------------------------------------


def test_state_dict_holds_the_arrays_themselves():
    net = Net()
    state = net.state_dict(prefix="net.")
    assert type(state) is dict
    assert state["net.first.weight"] is net.first.weight.data


def test_load_state_dict_in_place():
    net = Net()
    before = {name: id(array) for name, array in net.state_dict().items()}
    version = net.bias._version
    state = {name: array + 1 for name, array in net.state_dict().items()}
    result = net.load_state_dict(state)
    assert result == ([], [])
    assert repr(result) == "<All keys matched successfully>"
    assert {name: id(array) for name, array in net.state_dict().items()} == before
    assert net.bias._version == version + 1
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, state[name])


@pytest.mark.parametrize(
    "value",
    [
        np.array([7, 8, 9], np.float64),
        np.array([7, 8, 9], np.int32),
        np.array([9, 8, 7], np.float32)[::-1],
        np.array([[7, 0], [8, 0], [9, 0]], np.float16)[:, 0],
        Tensor(np.array([7, 8, 9], np.float32)),
        Parameter(np.array([7, 8, 9], np.float32)),
        memoryview(np.array([7, 8, 9], np.float32)),
    ],
    ids=["float64", "int32", "reversed", "strided", "Tensor", "Parameter", "buffer"],
)
def test_load_state_dict_accepts_arrays_of_all_kinds(value):
    scale = Scale()
    scale.load_state_dict({"weight": value})
    assert scale.weight.dtype == np.float32
    np.testing.assert_array_equal(scale.weight.data, [7, 8, 9])


def test_load_state_dict_accepts_dlpack():
    class Foreign:
        def __init__(self, array):
            self.array = array

        def __dlpack__(self, **kwargs):
            return self.array.__dlpack__(**kwargs)

        def __dlpack_device__(self):
            return self.array.__dlpack_device__()

    scale = Scale()
    scale.load_state_dict({"weight": Foreign(np.array([7, 8, 9], np.float32))})
    np.testing.assert_array_equal(scale.weight.data, [7, 8, 9])


def test_load_state_dict_reports_everything_and_loads_nothing():
    net = Net()
    state = {name: array + 1 for name, array in net.state_dict().items()}
    del state["bias"]
    state["first.weight"] = np.zeros((4, 5), np.float32)
    state["second.0.weight"] = "text"
    state["extra.weight"] = np.zeros(1)
    before = {name: array.copy() for name, array in net.state_dict().items()}
    with pytest.raises(RuntimeError) as error:
        net.load_state_dict(state)
    for part in (
        "missing keys: bias (3,)",
        "unexpected keys: extra.weight",
        "first.weight: the state has shape (4, 5), the module (3,)",
        "second.0.weight: str is not an array of numbers",
        "Net",
    ):
        assert part in str(error.value)
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_load_state_dict_not_strict():
    net = Net()
    result = net.load_state_dict({"bias": np.full(3, 9.0), "extra": np.zeros(1)}, strict=False)
    assert result.missing_keys == ["mean", *NAMES[1:]]
    assert result.unexpected_keys == ["extra"]
    np.testing.assert_array_equal(net.bias.data, [9, 9, 9])
    with pytest.raises(RuntimeError, match="size mismatch for bias"):
        net.load_state_dict({"bias": np.zeros(4)}, strict=False)
    with pytest.raises(TypeError, match="list; expected a mapping"):
        net.load_state_dict([])


def test_loading_between_forward_and_backward_is_noticed():
    scale, x = Scale(), x3()
    y = scale(x).sum()
    scale.load_state_dict({"weight": np.zeros(3)})
    with pytest.raises(RuntimeError, match="in place"):
        y.backward()


# ---- changes to the tree -----------------------------------------------------------------------------------------


def test_train_eval_apply():
    net, order = Net(), []
    assert net.eval() is net
    assert not any(m.training for m in net.modules())
    net.second.train()
    assert net.second[0].training
    assert not net.training
    net.apply(lambda m: order.append(type(m).__name__))
    assert order == ["Scale", "Scale", "Scale", "Sequential", "Net"]
    with pytest.raises(ValueError, match="'yes'; expected True or False"):
        net.train("yes")


def test_gradients():
    net = Net()
    net(x3()).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    net.zero_grad(set_to_none=False)
    np.testing.assert_array_equal(net.bias.grad.data, [0, 0, 0])
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())
    assert net.requires_grad_(False) is net
    assert not net(x3()).requires_grad


def test_float_double():
    net = Net()
    net.register_buffer("count", Tensor(np.array(3)))
    net(x3()).sum().backward()
    bias = net.bias
    assert net.double() is net
    assert net.bias is bias
    assert {p.dtype for p in net.parameters()} == {np.dtype(np.float64)}
    assert net.bias.grad.dtype == np.float64
    assert net.mean.dtype == np.float64
    assert net.count.dtype == np.int64
    assert net.float().bias.dtype == np.float32


def test_deepcopy_and_pickle():
    net = Net()
    net.tied = net.bias
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert other.bias is not net.bias
        assert other.tied is other.bias
        assert other.bias.data is not net.bias.data
        other.bias.data[:] = 9
        assert net.bias.data[0] == 0.5
        np.testing.assert_array_equal(other(x3()).data, net(x3()).data + 8.5)


def test_forward_is_missing():
    class Empty(nn.Module):
        pass

    with pytest.raises(NotImplementedError, match="Empty defines no forward"):
        Empty()(1)


# ---- hooks -------------------------------------------------------------------------------------------------------


def test_forward_hooks():
    scale, calls = Scale(), []
    pre = scale.register_forward_pre_hook(lambda m, args: calls.append(("pre", m, args)))
    post = scale.register_forward_hook(lambda m, args, y: calls.append(("post", m, args, y)))
    x = x3()
    y = scale(x)
    assert [call[:2] for call in calls] == [("pre", scale), ("post", scale)]
    assert calls[0][2][0] is calls[1][2][0] is x
    assert calls[1][3] is y
    pre.remove()
    post.remove()
    post.remove()
    scale(x)
    assert len(calls) == 2


def test_forward_hooks_replace():
    scale = Scale()
    with scale.register_forward_pre_hook(lambda m, args: args[0] * 10):
        np.testing.assert_array_equal(scale(x3()).data, [20, 40, 60])
    np.testing.assert_array_equal(scale(x3()).data, [2, 4, 6])
    with scale.register_forward_hook(lambda m, args, y: y + 1):
        np.testing.assert_array_equal(scale(x3()).data, [3, 5, 7])


def test_forward_hooks_with_kwargs_and_order():
    scale, order = Scale(), []
    with (
        scale.register_forward_pre_hook(lambda m, a, k: (a, {"shift": k["shift"] + 1}), with_kwargs=True),
        scale.register_forward_hook(lambda m, a, k, y: y * k["shift"], with_kwargs=True),
        scale.register_forward_hook(lambda m, a, y: order.append("last")),
        scale.register_forward_hook(lambda m, a, y: order.append("first"), prepend=True),
    ):
        np.testing.assert_array_equal(scale(x3(), shift=1.0).data, [8, 12, 16])
    assert order == ["first", "last"]
    with (
        scale.register_forward_pre_hook(lambda m, a, k: a, with_kwargs=True),
        pytest.raises(RuntimeError, match=r"expected None or \(args, kwargs\)"),
    ):
        scale(x3())


def test_full_backward_hook():
    scale, seen = Scale(), []
    handle = scale.register_full_backward_hook(lambda m, gi, go: seen.append((m, gi, go)))
    x = x3(requires_grad=True)
    (scale(x) * 5).sum().backward()
    ((module, grad_input, grad_output),) = seen
    assert module is scale
    np.testing.assert_array_equal(grad_input[0].data, [10, 10, 10])
    np.testing.assert_array_equal(grad_output[0].data, [5, 5, 5])
    np.testing.assert_array_equal(x.grad.data, [10, 10, 10])
    np.testing.assert_array_equal(scale.weight.grad.data, [5, 10, 15])
    handle.remove()
    scale(x).sum().backward()
    assert len(seen) == 1


class TwoByTwo(nn.Module):
    def forward(self, a, k, b):
        return a * 2 + b * k, a * b


def test_full_backward_hook_many_inputs_and_outputs():
    module, seen = TwoByTwo(), []
    module.register_full_backward_hook(lambda m, gi, go: seen.append((gi, go)))
    a, b = x3(requires_grad=True), x3(requires_grad=True)
    first, second = module(a * 1, 3, b)
    (first + second * 10).sum().backward(retain_graph=False)
    ((grad_input, grad_output),) = seen
    assert grad_input[1] is None
    np.testing.assert_array_equal(grad_input[0].data, [12, 22, 32])
    np.testing.assert_array_equal(grad_input[2].data, [13, 23, 33])
    np.testing.assert_array_equal(grad_output[1].data, [10, 10, 10])
    np.testing.assert_array_equal(a.grad.data, [12, 22, 32])
    np.testing.assert_array_equal(b.grad.data, [13, 23, 33])
    first, _ = module(a, 3, b)
    first.sum().backward(retain_graph=True)
    first.sum().backward()
    assert len(seen) == 3
    assert seen[1][1][1] is None
    np.testing.assert_array_equal(seen[2][0][0].data, [2, 2, 2])


def test_full_backward_hook_replaces_gradients():
    scale, x = Scale(), x3(requires_grad=True)
    with scale.register_full_backward_hook(lambda m, gi, go: (gi[0] * 100,)):
        scale(x).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [200, 200, 200])
    for wrong, kind, text in [
        (lambda m, gi, go: (None, None), RuntimeError, "returned 2 gradients; expected 1"),
        (lambda m, gi, go: 3.0, TypeError, "float for a gradient"),
        (lambda m, gi, go: Tensor(np.zeros(2)), ValueError, r"shape \(2,\); the input has \(3,\)"),
    ]:
        with scale.register_full_backward_hook(wrong):
            y = scale(x).sum()
            with pytest.raises(kind, match=text):
                y.backward()


def test_full_backward_hook_without_input_gradient():
    scale, seen = Scale(), []
    with scale.register_full_backward_hook(lambda m, gi, go: seen.append((gi, go))):
        scale(x3()).sum().backward()
        with fastnn.no_grad():
            assert not scale(x3()).requires_grad
    ((grad_input, grad_output),) = seen
    assert grad_input == (None,)
    np.testing.assert_array_equal(grad_output[0].data, [1, 1, 1])
    with scale.register_full_backward_hook(lambda m, gi, go: (x3(),)):
        y = scale(x3()).sum()
        with pytest.raises(RuntimeError, match="no input of the module requires one"):
            y.backward()


def test_full_backward_hook_leaves_own_arrays():
    class Pass(nn.Module):
        def forward(self, x):
            return x + 0.0

    module, x, dy = Pass(), x3(requires_grad=True), np.ones(3, np.float32)
    module.register_full_backward_hook(lambda m, gi, go: None)
    module(x).backward(dy)
    x.grad.data[:] = 7
    np.testing.assert_array_equal(dy, [1, 1, 1])


def test_full_backward_hook_needs_tensors():
    class Listed(nn.Module):
        def forward(self, x):
            return [x]

    module = Listed()
    module.register_full_backward_hook(lambda m, gi, go: None)
    with pytest.raises(TypeError, match="forward returned list"):
        module(x3())


def test_full_backward_hook_against_torch():
    torch = pytest.importorskip("torch")

    def run(lib, scale, x):
        seen = []
        scale.register_full_backward_hook(
            lambda m, gi, go: seen.append([np.asarray(g.detach()) for g in (*gi, *go)]) or (gi[0] * 2,)
        )
        (scale(x) ** 2).sum().backward()
        return [*seen[0], np.asarray(x.grad), np.asarray(scale.weight.grad)]

    class TorchScale(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.full((3,), 2.0))

        def forward(self, x):
            return x * self.weight

    ours = run(fastnn, Scale(), x3(requires_grad=True))
    theirs = run(torch, TorchScale(), torch.tensor([1.0, 2.0, 3.0], requires_grad=True))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


# ---- containers and text -----------------------------------------------------------------------------------------


def test_sequential():
    a, b, c = Scale(2.0), Scale(3.0), Scale(4.0)
    seq = nn.Sequential(a, b, c)
    assert (len(seq), seq[0], seq[-1], list(seq)) == (3, a, c, [a, b, c])
    np.testing.assert_array_equal(seq(x3()).data, [24, 48, 72])
    tail = seq[1:]
    assert isinstance(tail, nn.Sequential)
    assert list(tail.state_dict()) == ["1.weight", "2.weight"]
    seq[-1] = a
    assert seq[2] is a
    del seq[0]
    assert [n for n, _ in seq.named_children()] == ["0", "1"]
    assert seq.append(c) is seq
    assert seq[2] is c
    named = nn.Sequential(OrderedDict([("scale", a), ("more", b)]))
    assert named.scale is a
    assert list(named.state_dict()) == ["scale.weight", "more.weight"]
    x = x3()
    assert nn.Sequential()(x) is x
    for index in (3, -4):
        with pytest.raises(IndexError, match="out of range for 3 modules"):
            seq[index]
    with pytest.raises(TypeError):
        seq["0"]
    with pytest.raises(TypeError, match=r"int.*Module or None"):
        nn.Sequential(a, 3)


def test_module_list():
    a, b, c = Scale(), Scale(), Scale()
    modules = nn.ModuleList([a])
    modules.append(c).extend([a])
    modules.insert(1, b)
    assert list(modules) == [a, b, c, a]
    assert list(modules.state_dict()) == [f"{i}.weight" for i in range(4)]
    assert list(modules[1:3]) == [b, c]
    assert modules[-2] is c
    modules[0] = c
    del modules[1:3]
    assert list(modules) == [c, a]
    with pytest.raises(IndexError):
        modules[2]
    with pytest.raises(TypeError, match="Module or None"):
        modules.append(3)
    with pytest.raises(TypeError, match="Module or None"):
        modules.insert(0, 3)
    with pytest.raises(NotImplementedError, match="ModuleList"):
        modules(x3())


def test_repr():
    class Described(nn.Module):
        def extra_repr(self):
            return "one\ntwo"

    assert repr(nn.Sequential()) == "Sequential()"
    assert repr(nn.ModuleList()) == "ModuleList()"
    assert repr(Described()) == "Described(\n  one\n  two\n)"
    assert repr(Net()) == (
        "Net(\n  (first): Scale()\n  (second): Sequential(\n    (0): Scale()\n    (1): Scale()\n  )\n)"
    )
    assert repr(nn.ModuleList([Scale(), Scale(), nn.Flatten()])) == (
        "ModuleList(\n  (0-1): 2 x Scale()\n  (2): Flatten(start_dim=1, end_dim=-1)\n)"
    )
