"""Losses of pairs and of distributions, distances: the same as PyTorch, gradients, errors."""

import numpy as np
import pytest

import fastnn
from fastnn import functional as F
from fastnn import nn

REDUCTIONS = ["mean", "sum", "none"]


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def signs(*shape, seed=5):
    return np.random.default_rng(seed).choice([-1.0, 1.0], shape)


def probabilities(*shape, seed=6):
    return np.random.default_rng(seed).dirichlet(np.ones(shape[-1]), shape[:-1])


X, Y, Z = (normal(4, 5, seed=i) for i in range(3))
CASES = [  # function, tensors that want gradients, other tensors, options
    ("hinge_embedding_loss", [normal(4, 5)], [signs(4, 5)], {}),
    ("hinge_embedding_loss", [normal(4, 5)], [signs(5)], {"margin": 0.3}),
    ("hinge_embedding_loss", [normal(6)], [np.array([1.0, -1, 0, 2, 1, -1])], {}),
    ("margin_ranking_loss", [X, Y], [signs(4, 5)], {}),
    ("margin_ranking_loss", [X, Y], [signs(4, 1)], {"margin": 0.5}),
    ("margin_ranking_loss", [X, normal(1, 5)], [signs(4, 5)], {"margin": -0.5}),
    ("cosine_embedding_loss", [X, Y], [signs(4)], {}),
    ("cosine_embedding_loss", [X, Y], [signs(4)], {"margin": 0.2}),
    ("cosine_embedding_loss", [X[0], Y[0]], [np.array(-1.0)], {"margin": -0.3}),
    ("cosine_embedding_loss", [X, normal(1, 5)], [np.array([1.0, -1, 0, 1])], {}),
    ("triplet_margin_loss", [X, Y, Z], [], {}),
    ("triplet_margin_loss", [X, Y, Z], [], {"swap": True}),
    ("triplet_margin_loss", [X, Y, Z], [], {"p": 1, "margin": 2.5, "eps": 1e-3}),
    ("triplet_margin_loss", [X, Y, Z], [], {"p": 3, "swap": True, "margin": 0.1}),
    ("triplet_margin_loss", [X[0], Y[0], Z[0]], [], {}),
    ("triplet_margin_loss", [X, normal(1, 5), Z], [], {}),
    ("kl_div", [np.log(probabilities(4, 5)), probabilities(4, 5, seed=7)], [], {}),
    ("kl_div", [np.log(probabilities(4, 5)), np.log(probabilities(4, 5, seed=7))], [], {"log_target": True}),
    ("kl_div", [np.log(probabilities(4, 5))], [np.eye(4, 5)], {}),
    ("kl_div", [np.log(probabilities(4, 5)), probabilities(1, 5, seed=7)], [], {}),
    ("gaussian_nll_loss", [X, Y, Z**2], [], {}),
    ("gaussian_nll_loss", [X, Y, Z**2], [], {"full": True, "eps": 0.5}),
    ("gaussian_nll_loss", [X, Y, Z[:, :1] ** 2], [], {}),
    ("gaussian_nll_loss", [X, Y, Z[:1] ** 2], [], {}),
    ("gaussian_nll_loss", [X, Y, Z[:, 0] ** 2], [], {}),
    ("gaussian_nll_loss", [X[0], Y[0], Z[0, 0] ** 2], [], {}),
]


def compare(torch, name, wanted, others, options):
    results = []
    for lib, make in ((F, fastnn.tensor), (torch.nn.functional, torch.tensor)):
        leaves = [make(a, requires_grad=True) for a in wanted]
        y = getattr(lib, name)(*leaves, *map(make, others), **options)
        y.backward(make(normal(*y.shape, seed=9)))
        results.append([y.detach().numpy(), *(np.asarray(leaf.grad.detach()) for leaf in leaves)])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-13, strict=True)


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")
@pytest.mark.parametrize("reduction", [*REDUCTIONS, "batchmean"])
@pytest.mark.parametrize(("name", "wanted", "others", "options"), CASES)
def test_losses_equal_pytorch(name, wanted, others, options, reduction):
    torch = pytest.importorskip("torch")
    if reduction == "batchmean" and name != "kl_div":
        with pytest.raises(ValueError, match=f"{name}: reduction is 'batchmean'"):
            getattr(F, name)(*map(fastnn.tensor, [*wanted, *others]), **options, reduction=reduction)
        return
    compare(torch, name, wanted, others, options | {"reduction": reduction})


# The gradient of a variance below eps passes on purpose.
@pytest.mark.parametrize(
    ("name", "wanted", "others", "options"), [c for c in CASES if c[0] != "gaussian_nll_loss" or "eps" not in c[3]]
)
def test_gradients_equal_finite_differences(name, wanted, others, options):
    inputs = [fastnn.tensor(a, requires_grad=True) for a in wanted] + [fastnn.tensor(a) for a in others]
    assert fastnn.gradcheck(lambda *tensors: getattr(F, name)(*tensors, **options), inputs)


@pytest.mark.parametrize(
    ("name", "shapes", "options"),
    [
        ("cosine_similarity", [(4, 5), (4, 5)], {}),
        ("cosine_similarity", [(4, 5), (4, 5)], {"dim": 0}),
        ("cosine_similarity", [(2, 4, 5), (4, 1)], {"dim": -1}),
        ("cosine_similarity", [(5,), (2, 5)], {}),
        ("cosine_similarity", [(4, 5), (4, 5)], {"eps": 2.0}),
        ("pairwise_distance", [(4, 5), (4, 5)], {}),
        ("pairwise_distance", [(4, 5), (1, 5)], {"p": 1.0, "keepdim": True}),
        ("pairwise_distance", [(2, 4, 5), (4, 5)], {"p": 3.5, "eps": 0.1}),
        ("pairwise_distance", [(5,), (5,)], {"p": float("inf")}),
    ],
)
def test_distances_equal_pytorch(name, shapes, options):
    torch = pytest.importorskip("torch")
    arrays = [normal(*shape, seed=i) for i, shape in enumerate(shapes)]
    if options.get("eps") == 2.0:  # a clamped norm has no gradient here, half of one in PyTorch
        found = F.cosine_similarity(*map(fastnn.tensor, arrays), **options).data
        expected = torch.cosine_similarity(*map(torch.tensor, arrays), **options).numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-12)
        return
    compare(torch, name, arrays, [], options)


def test_vectors_of_zeros():
    x = fastnn.tensor(np.zeros((2, 3)), requires_grad=True)
    y = F.cosine_similarity(x, fastnn.tensor(np.ones((2, 3))))
    y.sum().backward()
    np.testing.assert_array_equal(y.data, [0, 0])
    assert np.isfinite(x.grad.data).all()


def test_a_term_of_probability_zero_is_zero():
    x = fastnn.tensor(np.log([[0.5, 0.5]]), requires_grad=True)
    loss = F.kl_div(x, np.array([[1.0, 0.0]]), reduction="sum")
    assert loss.item() == pytest.approx(np.log(2))
    loss.backward()
    np.testing.assert_array_equal(x.grad.data, [[-1, 0]])


@pytest.mark.parametrize("var", [2, 2.0, 0])
def test_gaussian_nll_loss_of_one_variance(var):
    x = fastnn.tensor([[1.0, 2.0]], dtype="float64", requires_grad=True)
    v = max(var, 1e-6)
    loss = F.gaussian_nll_loss(x, [[0.0, 0.0]], var)
    assert loss.item() == pytest.approx((np.log(v) + (1 + 4) / 2 / v) / 2)


def test_empty_batches():
    x, target = fastnn.tensor(np.ones((0, 3)), requires_grad=True), fastnn.ones(0, 3, dtype="float64")
    for loss in (
        F.hinge_embedding_loss(x, target, reduction="sum"),
        F.margin_ranking_loss(x, target, target, reduction="sum"),
        F.cosine_embedding_loss(x, target, target[:, 0], reduction="sum"),
        F.triplet_margin_loss(x, target, target, reduction="sum"),
        F.kl_div(x, target, reduction="sum"),
        F.gaussian_nll_loss(x, target, target, reduction="sum"),
    ):
        assert loss.item() == 0
        loss.backward()
    assert x.grad.shape == (0, 3)


def test_errors_say_what_is_wrong():
    x, y = fastnn.tensor(X), fastnn.tensor(Y)
    with pytest.raises(
        ValueError, match=r"hinge_embedding_loss: the shapes do not broadcast: x \(4, 5\), target \(4,\)"
    ):
        F.hinge_embedding_loss(x, signs(4))
    with pytest.raises(ValueError, match=r"margin_ranking_loss: x1, x2 and target have shapes .* and \(5,\)"):
        F.margin_ranking_loss(x, y, signs(5))
    with pytest.raises(
        ValueError, match=r"cosine_embedding_loss: .* and \(4, 1\); expected \(N, D\), \(N, D\) and \(N,\)"
    ):
        F.cosine_embedding_loss(x, y, signs(4, 1))
    with pytest.raises(ValueError, match=r"cosine_embedding_loss: the shapes do not broadcast: .* target \(3,\)"):
        F.cosine_embedding_loss(x, y, signs(3))
    with pytest.raises(ValueError, match="triplet_margin_loss: margin is 0; expected a number above 0"):
        F.triplet_margin_loss(x, x, x, margin=0)
    with pytest.raises(ValueError, match=r"triplet_margin_loss: anchor, .* and \(5,\); expected as many dimensions"):
        F.triplet_margin_loss(x, x, x[0])
    with pytest.raises(ValueError, match=r"gaussian_nll_loss: var has elements down to -1\.0; expected at least 0"):
        F.gaussian_nll_loss(x, x, fastnn.tensor(-np.ones((4, 5))))
    with pytest.raises(ValueError, match=r"gaussian_nll_loss: var has shape \(5,\); expected \(4, 5\) as x"):
        F.gaussian_nll_loss(x, x, np.ones(5))
    with pytest.raises(ValueError, match=r"gaussian_nll_loss: var has shape \(1, 1\)"):
        F.gaussian_nll_loss(x, x, np.ones((1, 1)))
    with pytest.raises(TypeError, match="kl_div: target has dtype float32; expected that of x, float64"):
        F.kl_div(x, X.astype(np.float32))
    with pytest.raises(TypeError, match="cosine_similarity: x2 is ndarray; expected a Tensor"):
        F.cosine_similarity(x, Y)
    with pytest.raises(IndexError, match="dimension 2 is out of range"):
        F.cosine_similarity(x, y, dim=2)
    with pytest.raises(ValueError, match="TripletMarginLoss: margin is -1"):
        nn.TripletMarginLoss(margin=-1)


def test_layers_pass_their_options_on():
    x, y, z = map(fastnn.tensor, (X, Y, Z))
    target, logs = signs(4, 5), fastnn.tensor(np.log(probabilities(4, 5)))
    pairs = [
        (
            nn.HingeEmbeddingLoss(0.5, reduction="sum")(x, target),
            F.hinge_embedding_loss(x, target, 0.5, reduction="sum"),
        ),
        (
            nn.MarginRankingLoss(0.5, reduction="sum")(x, y, target),
            F.margin_ranking_loss(x, y, target, 0.5, reduction="sum"),
        ),
        (
            nn.CosineEmbeddingLoss(0.5, reduction="sum")(x, y, target[:, 0]),
            F.cosine_embedding_loss(x, y, target[:, 0], 0.5, reduction="sum"),
        ),
        (
            nn.TripletMarginLoss(0.5, 1, 0.1, True, reduction="sum")(x, y, z),
            F.triplet_margin_loss(x, y, z, 0.5, 1, 0.1, True, reduction="sum"),
        ),
        (
            nn.KLDivLoss(reduction="batchmean", log_target=True)(logs, logs * 2),
            F.kl_div(logs, logs * 2, reduction="batchmean", log_target=True),
        ),
        (
            nn.GaussianNLLLoss(full=True, eps=0.5, reduction="sum")(x, y, z * z),
            F.gaussian_nll_loss(x, y, z * z, True, 0.5, "sum"),
        ),
        (nn.CosineSimilarity(0, 0.5)(x, y), F.cosine_similarity(x, y, 0, 0.5)),
        (nn.PairwiseDistance(1, 0.5, True)(x, y), F.pairwise_distance(x, y, 1, 0.5, True)),
    ]
    for found, expected in pairs:
        np.testing.assert_array_equal(found.data, expected.data, strict=True)
