"""Lists and dictionaries of modules and of parameters: like those of Python, like PyTorch's, errors."""

from collections import OrderedDict

import numpy as np
import pytest

import fastnn
from fastnn import nn


def names(module):
    return [name for name, _ in module.named_children()]


def layers(lib):
    return [lib.Linear(2, 2), lib.Linear(2, 3), lib.Linear(3, 3), lib.Linear(3, 2)]


# Each changes a container of modules given the library, the container and four layers, and returns what it returned.
SEQUENTIAL = {
    "insert": lambda lib, s, l: s.insert(1, l[2]),
    "insert at the end": lambda lib, s, l: s.insert(2, l[2]),
    "pop": lambda lib, s, l: s.pop(0),
    "pop the last": lambda lib, s, l: s.pop(-1),
    "pop outside": lambda lib, s, l: s.pop(2),
    "extend": lambda lib, s, l: s.extend(l[2:]),
    "delete": lambda lib, s, l: s.__delitem__(0),
    "delete a slice": lambda lib, s, l: s.__delitem__(slice(0, 2)),
    "set": lambda lib, s, l: s.__setitem__(-1, l[3]),
    "add": lambda lib, s, l: s + type(s)(l[2:] if type(s) is lib.ModuleList else lib.Sequential(*l[2:])),
    "add in place": lambda lib, s, l: s.__iadd__(
        type(s)(l[2:] if type(s) is lib.ModuleList else lib.Sequential(*l[2:]))
    ),
}
ONLY_SEQUENTIAL = {
    "insert before the last": lambda lib, s, l: s.insert(-1, l[2]),
    "insert outside": lambda lib, s, l: s.insert(3, l[2]),
    "multiply": lambda lib, s, l: s * 2,
    "multiply from the left": lambda lib, s, l: 3 * s,
    "multiply in place": lambda lib, s, l: s.__imul__(2),
    "multiply by 0": lambda lib, s, l: s * 0,
}


@pytest.mark.parametrize(
    ("kind", "change"),
    [("Sequential", change) for change in [*SEQUENTIAL, *ONLY_SEQUENTIAL]]
    + [("ModuleList", change) for change in SEQUENTIAL],
)
def test_lists_like_torch(kind, change):
    torch = pytest.importorskip("torch")
    outcomes = []
    for lib in (nn, torch.nn):
        four = layers(lib)
        container = lib.Sequential(*four[:2]) if kind == "Sequential" else lib.ModuleList(four[:2])
        try:
            result = (SEQUENTIAL | ONLY_SEQUENTIAL)[change](lib, container, four)
        except (IndexError, ValueError) as error:
            outcomes.append((type(error), repr(container)))
            continue
        result = "itself" if result is container else repr(result)
        order = [next((i for i, layer in enumerate(four) if layer is m), None) for m in container]
        outcomes.append((result, order, list(dict(container.named_modules())), list(container.state_dict())))
    assert outcomes[0] == outcomes[1]


def test_lists_refuse_what_is_no_module():
    for container in (nn.Sequential(), nn.ModuleList()):
        with pytest.raises(TypeError, match="Module or None"):
            container.insert(0, 3)
        with pytest.raises(TypeError, match="modules is int; expected an iterable"):
            container.extend(3)
        with pytest.raises(TypeError):
            container + 3
    with pytest.raises(TypeError):
        nn.Sequential() + nn.ModuleList()


def test_module_dict():
    a, b, c = nn.ReLU(), nn.Tanh(), nn.Linear(2, 2)
    modules = nn.ModuleDict({"a": a, "b": b})
    assert (len(modules), list(modules), modules["b"], "a" in modules, "c" in modules) == (
        2,
        ["a", "b"],
        b,
        True,
        False,
    )
    modules["c"] = c
    assert list(modules.items()) == [("a", a), ("b", b), ("c", c)]
    assert list(modules.state_dict()) == ["c.weight", "c.bias"]
    modules.update([("b", c), ("d", b)])
    assert (list(modules.keys()), list(modules.values())) == (["a", "b", "c", "d"], [a, c, c, b])
    modules.update(nn.ModuleDict(OrderedDict(z=a)))
    assert modules.pop("b") is c
    del modules["z"]
    assert names(modules) == ["a", "c", "d"]
    assert repr(nn.ModuleDict({"a": a})) == "ModuleDict(\n  (a): ReLU()\n)"
    modules.clear()
    assert (len(modules), repr(modules)) == (0, "ModuleDict()")
    for key in ("pop", "a.b", ""):
        with pytest.raises(KeyError):
            modules[key] = a
    with pytest.raises(KeyError):
        modules["a"]
    with pytest.raises(TypeError, match="Module or None"):
        modules["a"] = 3
    with pytest.raises(TypeError, match="ModuleDict: update got int"):
        modules.update(3)
    with pytest.raises(ValueError, match=r"ModuleDict: entry 0 of update is \(1,\); expected a key and a value"):
        modules.update([(1,)])
    with pytest.raises(NotImplementedError, match="ModuleDict"):
        modules(1)


def test_parameter_list():
    p, t = nn.Parameter(np.ones(2, np.float32)), fastnn.ones(3, 2)
    params = nn.ParameterList([p, t])
    assert params[0] is p
    assert isinstance(params[1], nn.Parameter)
    assert params[1].data is t.data
    params.append(fastnn.zeros(1)).extend([3])
    params += [p]
    assert (len(params), params[-2], params[4]) == (5, 3, p)
    assert {name: value.shape for name, value in params.state_dict().items()} == {
        "0": (2,),
        "1": (3, 2),
        "2": (1,),
        "4": (2,),
    }
    assert len(list(params.parameters())) == 3  # p once
    params[1] = fastnn.zeros(4)
    assert [getattr(v, "shape", None) for v in params] == [(2,), (4,), (1,), None, (2,)]
    assert isinstance(params[1:3], nn.ParameterList)
    assert params[1:3][0] is params[1]
    assert repr(params[2:4]) == (
        "ParameterList(\n  (0): Parameter containing: [float32 of size 1]\n  (1): Object of type: int\n)"
    )
    assert repr(nn.ParameterList()) == "ParameterList()"
    for i in (5, -6):
        with pytest.raises(IndexError, match=f"index {i} is out of range for 5 elements"):
            params[i]
    with pytest.raises(TypeError, match="values is Tensor; expected an iterable, but no tensor"):
        params.extend(t)


def test_parameter_dict():
    p, t = nn.Parameter(np.ones(2, np.float32)), fastnn.ones(3)
    params = nn.ParameterDict({"p": p, "t": t})
    assert params["p"] is p
    assert isinstance(params["t"], nn.Parameter)
    params["n"] = 3
    params.update([("q", fastnn.zeros(1))])
    assert (list(params), list(reversed(params)), len(params)) == (["p", "t", "n", "q"], ["q", "n", "t", "p"], 4)
    assert [name for name, _ in params.named_parameters()] == ["p", "t", "q"]
    assert dict(params.items())["n"] == 3
    assert next(iter(params.values())) is p
    assert (params.get("x"), params.get("x", 1), params.setdefault("n", 4), params.setdefault("m")) == (
        None,
        1,
        3,
        None,
    )
    assert params.pop("m") is None
    assert params.popitem()[0] == "q"
    copy = params.copy()
    del params["p"]
    assert (list(copy), list(params), copy["p"] is p) == (["p", "t", "n"], ["t", "n"], True)
    assert list(params | nn.ParameterDict({"z": t})) == ["t", "n", "z"]
    assert list({"z": t} | params) == ["z", "t", "n"]
    params |= copy
    assert list(params) == ["t", "n", "p"]
    assert dict(params.fromkeys(["a", "b"], 1).items()) == {"a": 1, "b": 1}
    assert repr(params).splitlines()[1] == "  (t): Parameter containing: [float32 of size 3]"
    params.clear()
    assert (len(params), list(params.parameters()), list(params.keys())) == (0, [], [])
    for call in (lambda: params["p"], lambda: params.pop("p"), params.popitem, lambda: params.__delitem__("p")):
        with pytest.raises(KeyError):
            call()
    with pytest.raises(TypeError, match="ParameterDict: a key is 1; expected a string"):
        params[1] = p
    with pytest.raises(KeyError):
        params["keys"] = p


def test_parameters_train_inside_of_a_module():
    class Affine(nn.Module):
        def __init__(self):
            super().__init__()
            self.pair = nn.ParameterList([fastnn.ones(2), fastnn.zeros(2)])
            self.more = nn.ParameterDict({"shift": fastnn.ones(2)})

        def forward(self, x):
            return x * self.pair[0] + self.pair[1] + self.more["shift"]

    model = Affine()
    assert list(model.state_dict()) == ["pair.0", "pair.1", "more.shift"]
    model(fastnn.ones(3, 2)).sum().backward()
    assert [p.grad.tolist() for p in model.parameters()] == [[3.0, 3.0]] * 3
    assert model.double().pair[0].dtype == np.float64


def test_containers_of_nothing_as_in_pytorch():
    for kind in (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict):
        assert len(kind(None)) == len(kind()) == 0
    assert list(nn.ParameterDict(parameters={"a": fastnn.ones(2)})) == ["a"]
