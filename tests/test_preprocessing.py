"""fastnn.preprocessing: against NumPy and scikit-learn; saved with the model."""

import numpy as np
import pytest

import fastnn
from fastnn import nn
from fastnn.preprocessing import PCA, ZCA, Standardize


def data(n=300, d=12, dtype=np.float64, seed=0):
    generator = np.random.default_rng(seed)
    return (generator.standard_normal((n, d)) @ generator.standard_normal((d, d)) + 3).astype(dtype)


def double(module):
    return module.double()


@pytest.mark.parametrize("shape", [(50, 3), (50, 3, 7), (50, 3, 5, 4)])
def test_standardize(shape):
    x = np.random.default_rng(0).normal(5, 3, shape)
    axes = (0, *range(2, x.ndim))
    layer = double(Standardize(3)).fit(x)
    y = layer(x).numpy()
    np.testing.assert_allclose(y.mean(axes), 0, atol=1e-12)
    np.testing.assert_allclose(y.std(axes), 1, atol=1e-12)
    np.testing.assert_allclose(layer.inverse(y).numpy(), x, atol=1e-12)
    assert Standardize(3).fit(x)(x.astype(np.float32)).dtype == np.float32


def test_standardize_takes_bytes_and_what_does_not_vary():
    x = np.random.default_rng(0).integers(0, 256, (9000, 2, 3, 3), np.uint8)  # more than are taken at a time
    x[:, 1] = 7
    layer = Standardize(2).fit(x)
    np.testing.assert_allclose(layer.mean.numpy(), [x[:, 0].mean(), 7], rtol=1e-6)
    np.testing.assert_allclose(layer.std.numpy(), [x[:, 0].std(), 1], rtol=1e-6)
    assert (layer(x).numpy()[:, 1] == 0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounding_is_no_variance(dtype):
    """The means of many 0.1 and 1e6 + 0.1 are rounded; what that leaves must not become the standard deviation."""
    x = np.tile(np.array([[0.1], [1e6 + 0.1]], dtype), (1000, 1, 3))
    layer = Standardize(2).fit(x)
    np.testing.assert_array_equal(layer.std.numpy(), 1)
    assert np.abs(layer(x).numpy()).max() < 0.1


@pytest.mark.parametrize("n_components", [None, 12, 5, 1])
def test_pca_is_that_of_scikit_learn(n_components):
    decomposition = pytest.importorskip("sklearn.decomposition")
    x, other = data(), data(seed=1)
    expected = decomposition.PCA(n_components, whiten=True).fit(x)
    pca = double(PCA(12, n_components)).fit(x)
    np.testing.assert_allclose(pca(other).numpy(), expected.transform(other), atol=1e-8)
    np.testing.assert_allclose(pca.explained_variance.numpy(), expected.explained_variance_)
    np.testing.assert_allclose(pca.mean.numpy(), expected.mean_)
    z = expected.transform(other)
    np.testing.assert_allclose(pca.inverse(z).numpy(), expected.inverse_transform(z), atol=1e-8)


@pytest.mark.parametrize("kind", [PCA, ZCA])
def test_whitened_data_are_white(kind):
    x = data(9000)
    whiten = double(kind(12)).fit(x)
    z = whiten(x).numpy()
    np.testing.assert_allclose(np.cov(z.T), np.eye(12), atol=1e-9)
    np.testing.assert_allclose(whiten.inverse(z).numpy(), x, atol=1e-9)


@pytest.mark.parametrize("kind", [PCA, ZCA])
def test_eps_dampens_the_small_variances(kind):
    x = data()
    variances = np.linalg.eigvalsh(np.cov(x.T))
    z = double(kind(12, eps=0.5)).fit(x)(x).numpy()
    np.testing.assert_allclose(np.linalg.eigvalsh(np.cov(z.T)), np.sort(variances / (variances + 0.5)), atol=1e-9)


def test_zca_stays_near_to_the_data():
    """Of all whitenings the symmetric one correlates most with the data."""
    x = data()
    zca = double(ZCA(12)).fit(x)
    weight = zca.weight.numpy()
    np.testing.assert_allclose(weight, weight.T, atol=1e-12)
    np.testing.assert_allclose(weight @ np.cov(x.T) @ weight, np.eye(12), atol=1e-9)
    assert (np.linalg.eigvalsh(weight) > 0).all()
    few = double(ZCA(12, n_components=4)).fit(x)
    pca = double(PCA(12, n_components=4)).fit(x)
    np.testing.assert_allclose(few.inverse(few(x)).numpy(), pca.inverse(pca(x)).numpy(), atol=1e-9)


def test_images_are_flattened_and_come_back():
    x = data(100, 48).reshape(100, 3, 4, 4)
    channels_last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    zca, pca = double(ZCA(48, eps=0.1)).fit(x), double(PCA(48, 5)).fit(x)
    assert zca(x).shape == x.shape
    assert pca(x).shape == (100, 5)
    np.testing.assert_allclose(zca(channels_last).numpy(), zca(x).numpy(), atol=1e-12)
    np.testing.assert_allclose(
        double(ZCA(48, eps=0.1)).fit(channels_last).weight.numpy(), zca.weight.numpy(), atol=1e-9
    )


@pytest.mark.parametrize("make", [lambda: Standardize(3), lambda: PCA(12, 5), lambda: ZCA(12, eps=0.1)])
def test_saved_and_loaded_with_the_model(make, tmp_path):
    x = data(dtype=np.float32).reshape(-1, 3, 4)

    def model(preprocessing):
        width = 5 if isinstance(preprocessing, PCA) else 12
        return nn.Sequential(preprocessing, nn.Flatten(), nn.Linear(width, 2))

    trained = model(make().fit(x))
    fastnn.save(trained, tmp_path / "model.safetensors")
    loaded = model(make())
    loaded.load_state_dict(fastnn.load(tmp_path / "model.safetensors"))
    with fastnn.no_grad():
        np.testing.assert_array_equal(loaded(fastnn.tensor(x)).numpy(), trained(fastnn.tensor(x)).numpy())
    assert len(list(trained.parameters())) == 2


@pytest.mark.parametrize("make", [lambda: Standardize(12), lambda: PCA(12, 5), lambda: ZCA(12)])
def test_gradients_pass_through(make):
    layer = double(make()).fit(data())
    x = fastnn.tensor(data(3), requires_grad=True)
    assert fastnn.gradcheck(layer, x)
    assert fastnn.gradcheck(layer.inverse, fastnn.tensor(layer(x).detach().numpy(), requires_grad=True))


def with_nan():
    x = data()
    x[3, 4] = np.nan
    return x


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Standardize(0), "Standardize: num_features"),
        (lambda: Standardize(3).fit(data()), r"Standardize: x has shape \(300, 12\); expected \(N, 3, ...\)"),
        (lambda: Standardize(12).fit(data()[:0]), "expected data to fit to"),
        (lambda: Standardize(12).fit(with_nan()), "Standardize: x has values that are not finite"),
        (lambda: Standardize(12).fit(with_nan() * np.inf), "Standardize: x has values that are not finite"),
        (lambda: Standardize(12).fit(data() * 1e200), "too large for float32"),
        (lambda: PCA(12, eps=1).fit(data() + 1e200), "PCA: x has values that are .* too large for float32"),
        (lambda: ZCA(12, eps=1).fit(data() + np.inf), "ZCA: x has values that are not finite"),
        (lambda: PCA(12, 5).inverse(data(3)), r"PCA: z has shape \(3, 12\); expected \(N, 5\)"),
        (lambda: PCA(12, 13), "PCA: n_components is 13; expected at most num_features, 12"),
        (lambda: PCA(12, 0), "PCA: n_components"),
        (lambda: ZCA(12, eps=-1), "ZCA: eps is -1; expected a number of at least 0"),
        (lambda: ZCA(12, eps=np.nan), "ZCA: eps is nan"),
        (lambda: PCA(7).fit(data()), r"PCA: x has shape \(300, 12\); expected \(N, ...\) with 7 features"),
        (lambda: PCA(12)(data()[0]), r"PCA: x has shape \(12,\)"),
        (lambda: PCA(12).fit(data(1)), "PCA: x has 1 rows; expected at least 2"),
        (lambda: ZCA(12).fit(with_nan()), "ZCA: x has values that are not finite"),
        (
            lambda: PCA(12).fit(data(8)),
            "PCA: x varies in 7 directions only, and n_components is 12: expected at most 7",
        ),
        (lambda: ZCA(12).fit(np.ones((5, 12))), "ZCA: x varies in 0 directions only"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("cls", [PCA, ZCA])
def test_eps_is_a_number(cls):
    with pytest.raises(TypeError, match=f"{cls.__name__}: eps is 'x'; expected a number of at least 0"):
        cls(3, eps="x")
