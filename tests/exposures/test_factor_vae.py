"""FactorVAE: parts of the loss against definitions, slopes, seeds, checkpoints, and what it can learn."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: make torch")

from bdfm.errors import DataError, FileError  # noqa: E402
from bdfm.exposures import (  # noqa: E402
    ExposureData,
    FactorVAE,
    LatentAnalysis,
    PrincipalComponents,
    TrainedFactorVAE,
    compare,
    disentanglement_score,
    total_correlation,
)
from bdfm.exposures.networks import (  # noqa: E402
    discriminator,
    discriminator_loss,
    jacobian,
    mlp,
    noise_of,
    permuted,
)

SMALL = FactorVAE(n_latents=2, hidden_units=(16, 8), max_epochs=4, patience_epochs=2, n_sd_draws=4)


@pytest.fixture(scope="module")
def model(data):
    return SMALL.train(data, seed=1)


def test_total_correlation_of_a_gaussian_within_10_percent():
    correlation = np.array([[1, 0.6, 0.2, 0], [0.6, 1, 0.3, 0.1], [0.2, 0.3, 1, -0.5], [0, 0.1, -0.5, 1]])
    truth = -0.5 * np.linalg.slogdet(correlation)[1]
    rng = np.random.default_rng(5)
    samples = rng.multivariate_normal(np.zeros(4), correlation, size=16_000) * [1, 5, 0.1, 2] + 3
    estimate = total_correlation(samples, seed=1, n_epochs=25, batch_size=512)
    assert estimate == pytest.approx(truth, rel=0.10)
    independent = rng.permuted(samples, axis=0)
    assert abs(total_correlation(independent, seed=1, n_epochs=8, batch_size=512)) < 0.03


def test_total_correlation_refuses():
    with pytest.raises(DataError, match="at least 1024 rows and 2 columns"):
        total_correlation(np.zeros((100, 3)), seed=0)
    with pytest.raises(DataError, match="not finite"):
        total_correlation(np.full((2000, 2), np.nan), seed=0)


def test_permuting_keeps_each_column_and_breaks_the_rows():
    z = torch.arange(40.0).reshape(20, 2)
    mixed = permuted(z, torch.Generator().manual_seed(0))
    assert torch.equal(mixed.sort(dim=0).values, z)
    assert (mixed[:, 1] - mixed[:, 0] != 1).sum() > 10


def test_parts_of_the_loss_are_those_of_the_definition():
    torch.manual_seed(0)
    settings = FactorVAE(n_latents=3, gamma=2.5, learned_noise=False, hidden_units=(8,))
    networks = {
        "encoder": mlp((5, 8, 6), batch_norm=True).eval(),
        "decoder": mlp((3, 8, 5), batch_norm=True).eval(),
    }
    judge = discriminator(3)
    x, noise = torch.randn(7, 5), torch.randn(7, 3)
    z, losses = settings._losses(networks, judge, x, noise)
    mean, log_variance = networks["encoder"](x).chunk(2, dim=1)
    q = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    kl = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(dim=1).mean()
    likelihood = torch.distributions.Normal(networks["decoder"](z), 1.0).log_prob(x).sum(dim=1).mean()
    constant = 2.5 * np.log(2 * np.pi)
    torch.testing.assert_close(losses["kl"], kl)
    torch.testing.assert_close(losses["reconstruction"], -(likelihood + constant))
    torch.testing.assert_close(losses["loss"], -(likelihood + constant) + kl + 2.5 * judge(z).mean())
    odds = torch.cat([judge(z), judge(x[:, :3])])[:, 0]
    label = torch.cat([torch.ones(7), torch.zeros(7)])
    expected = torch.nn.functional.binary_cross_entropy_with_logits(odds, label)
    torch.testing.assert_close(discriminator_loss(judge, z, x[:, :3]), expected)


def test_learned_noise_is_that_of_the_likelihood():
    torch.manual_seed(0)
    settings = FactorVAE(n_latents=3, hidden_units=(8,))
    noise = noise_of(5)
    log_sd = torch.tensor([-0.5, 0.2, 0.0, -1.0, 0.1])
    with torch.no_grad():
        noise.log_sd.copy_(log_sd)
    networks = {
        "encoder": mlp((5, 8, 6), batch_norm=True).eval(),
        "decoder": mlp((3, 8, 5), batch_norm=True).eval(),
        "noise": noise,
    }
    x, draws = torch.randn(7, 5), torch.randn(7, 3)
    z, losses = settings._losses(networks, discriminator(3), x, draws)
    density = torch.distributions.Normal(networks["decoder"](z), log_sd.exp()).log_prob(x)
    expected = -density.sum(dim=1).mean() - 2.5 * np.log(2 * np.pi)
    torch.testing.assert_close(losses["reconstruction"], expected, rtol=1e-5, atol=1e-5)


def test_the_kl_term_has_a_weight_and_free_nats():
    """The loss without the rest: weight times the sum over latents of their mean KL, floored one by one."""
    torch.manual_seed(0)
    settings = FactorVAE(n_latents=3, gamma=0.0, learned_noise=False, hidden_units=(8,))
    networks = {
        "encoder": mlp((5, 8, 6), batch_norm=True).eval(),
        "decoder": mlp((3, 8, 5), batch_norm=True).eval(),
    }
    x, draws = torch.randn(7, 5), torch.randn(7, 3)
    mean, log_variance = networks["encoder"](x).chunk(2, dim=1)
    q = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    kl = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).mean(dim=0)
    floor = kl.detach().sort().values[:2].mean().item()  # above the least one alone
    _, losses = settings._losses(networks, discriminator(3), x, draws, 0.3, floor)
    expected = 0.3 * (kl.sum() - kl.min() + floor)
    torch.testing.assert_close(losses["loss"] - losses["reconstruction"], expected)
    torch.testing.assert_close(losses["kl"], kl.sum())


def test_noise_is_learned_and_latents_live():
    """Five factors of different strength: unit noise lets the weak ones die, learned noise does not."""
    rng = np.random.default_rng(3)
    strength = np.array([1.0, 0.6, 0.3, 0.25, 0.2])
    loadings = rng.standard_normal((40, 5)) * strength
    noise = np.linspace(0.4, 0.9, 40)
    factors = rng.standard_normal((2000, 5))
    returns = 0.01 * (factors @ loadings.T + noise * rng.standard_normal((2000, 40)))
    data = ExposureData.from_arrays(returns, 0.01 * factors[:, :2])
    short = {"n_latents": 5, "hidden_units": (64,), "max_epochs": 40, "patience_epochs": 10}
    short["learning_rate"] = 3e-3
    ours = FactorVAE(**short, warm_up_epochs=10).train(data, seed=1)
    unit = FactorVAE(**short, learned_noise=False, warm_up_epochs=0, free_bits=0.0).train(data, seed=1)
    alive = [
        LatentAnalysis(m.exposures(data), data, "training").disentanglement().n_active for m in (ours, unit)
    ]
    assert alive[0] == 5
    assert alive[1] < 5
    ratio = ours.noise_sd / (0.01 * noise)  # some of what two hidden layers miss is noise to them
    assert 1.0 < np.median(ratio) < 1.3
    assert np.corrcoef(ours.noise_sd, noise)[0, 1] > 0.5
    # It is the sd of what the decoder leaves in the training part.
    part = data.days_of("training")
    mean, sd = ours.encode(data.returns[part])
    draws = mean + sd * np.random.default_rng(1).standard_normal(mean.shape)
    left = (ours.decode(draws) - data.returns[part]).std(axis=0)
    assert 0.9 < np.median(ours.noise_sd / left) < 1.2
    np.testing.assert_array_equal(unit.noise_sd, data.sd)


def test_the_best_epoch_comes_after_the_warm_up(data):
    model = FactorVAE(n_latents=2, hidden_units=(8,), max_epochs=12, warm_up_epochs=20, patience_epochs=2)
    trained = model.train(data, seed=1)
    assert trained.best_epoch > 6  # half of them at most


def test_slopes_are_derivatives(model):
    rng = np.random.default_rng(0)
    z = rng.standard_normal((6, 2))
    slopes = model.slopes(z)
    assert slopes.shape == (6, 6, 2)
    step = 1e-3
    for k in range(2):
        moved = np.zeros(2)
        moved[k] = step
        ahead = (model.decode(z + moved) - model.decode(z)) / step
        behind = (model.decode(z) - model.decode(z - moved)) / step
        # Between two points there may be a kink: then the slope is that of one side.
        error = np.minimum(abs(slopes[:, :, k] - ahead), abs(slopes[:, :, k] - behind))
        assert error.max() < 2e-5
    network = mlp((3, 7, 4, 2), batch_norm=True).eval()
    x = torch.randn(5, 3)
    expected = torch.stack(
        [torch.autograd.functional.jacobian(lambda v: network(v[None])[0], row) for row in x]
    )
    torch.testing.assert_close(jacobian(network, x), expected)


def test_reconstruction_is_the_decoded_mean(model, data):
    result = model.exposures(data)
    mean, sd = model.encode(data.returns)
    assert (sd > 0).all()
    known = data.n_training + data.n_validation  # before, the networks were not known
    decoded = model.decode(mean)
    decoded[: known - 1] = np.nan
    np.testing.assert_allclose(result.reconstruction(), decoded, atol=1e-7)
    np.testing.assert_allclose(result.dataset["factor_values"], mean)
    # what the published factors say about the latents, fitted on the training part
    design = np.column_stack([np.ones(data.n_days), data.factors])
    n = data.n_training
    coefficients = np.linalg.lstsq(design[:n], mean[:n], rcond=None)[0]
    np.testing.assert_allclose(result.dataset["factors_given"], design @ coefficients, atol=1e-10)
    assert result.details["best_epoch"] <= result.details["epochs"] <= 4


def test_equal_seeds_give_equal_models_and_leave_torch_alone(model, data):
    torch.manual_seed(11)
    expected = torch.rand(1)
    torch.manual_seed(11)
    again = SMALL.train(data, seed=1)
    again.exposures(data)
    assert torch.equal(torch.rand(1), expected)
    assert set(again.weights) == set(model.weights)
    for name, value in model.weights.items():
        np.testing.assert_array_equal(again.weights[name], value)
    other = SMALL.train(data, seed=2)
    assert any((other.weights[k] != v).any() for k, v in model.weights.items())


def test_checkpoint_loads_without_pickle(model, data, tmp_path, monkeypatch):
    import pickle

    path = model.save(tmp_path / "vae.nc")

    def forbidden(*_, **__):
        raise AssertionError("pickle was used")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, forbidden)
    loaded = TrainedFactorVAE.load(path)
    assert loaded.settings == model.settings
    assert (loaded.seed, loaded.best_epoch, loaded.assets) == (model.seed, model.best_epoch, model.assets)
    assert loaded.history.equals(model.history)
    z = np.random.default_rng(0).standard_normal((4, 2))
    np.testing.assert_array_equal(loaded.decode(z), model.decode(z))
    assert loaded.exposures(data).dataset.identical(model.exposures(data).dataset)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(FileError, match="damaged"):
        TrainedFactorVAE.load(path)


def test_training_stops_early_and_keeps_the_best_epoch(data):
    settings = FactorVAE(
        n_latents=2,
        hidden_units=(64,),
        learning_rate=0.02,
        max_epochs=60,
        patience_epochs=3,
        warm_up_epochs=0,
    )
    model = settings.train(data, seed=0)
    loss = model.history["validation_loss"]
    assert model.best_epoch == loss.idxmin()
    assert len(loss) == model.best_epoch + 3 < 60
    assert len(model.plot_history().axes) == 4
    assert "best epoch" in repr(model)


def test_a_loss_that_explodes_is_told(data):
    with pytest.raises(DataError, match="not finite in epoch"):
        FactorVAE(learning_rate=1e30, max_epochs=3).train(data)


def test_wrong_inputs_are_refused(model, data):
    with pytest.raises(DataError, match=r"expected \(day, 6 assets\)"):
        model.encode(np.zeros((3, 5)))
    with pytest.raises(DataError, match="Give the same, in the same order"):
        model.exposures(data.select(["A1", "A0"]))
    with pytest.raises(DataError, match="fewer than one batch of 512"):
        FactorVAE(batch_size=512).train(data)


def blocks(factors, rng, n_factors=2, block=5):
    loadings = np.kron(np.eye(n_factors), np.ones((block, 1)))
    return 0.01 * (factors @ loadings.T + 0.4 * rng.standard_normal((len(factors), len(loadings))))


@pytest.fixture(scope="module")
def learned():
    rng = np.random.default_rng(4)
    factors = rng.standard_normal((1500, 2))
    data = ExposureData.from_arrays(blocks(factors, rng), 0.01 * factors, sectors=["a"] * 5 + ["b"] * 5)
    model = FactorVAE(
        n_latents=2, hidden_units=(32,), learning_rate=5e-3, max_epochs=40, patience_epochs=8
    ).train(data, seed=0)
    return data, model


def test_it_learns_two_known_factors(learned):
    data, model = learned
    result, pca = model.exposures(data), PrincipalComponents(2).fit(data)
    table = compare({"vae": result, "pca": pca}, data).table()["reconstruction_standardised"]
    assert table["pca"] < table["vae"] < 0.25  # noise alone is 0.14 of the variance
    assert LatentAnalysis(result, data).disentanglement().n_active == 2
    # implied exposures to the true factors: 1 in the own block, 0 in the other, shrunk by the prior
    betas = result.observed_exposures().mean("day").to_numpy()
    assert (betas[:5, 0] > 0.6).all()
    assert (np.abs(betas[:5, 1]) < 0.35).all()
    assert (betas[5:, 1] > 0.6).all()


def test_disentanglement_score(learned):
    _, model = learned
    decode = blocks
    score = disentanglement_score(lambda r: model.encode(r)[0], decode, 2, seed=1, n_votes=100)
    assert 0.5 <= score.accuracy <= 1
    loadings = np.kron(np.eye(2), np.ones((5, 1)))

    def perfect(returns):
        return np.linalg.lstsq(loadings, returns.T, rcond=None)[0].T

    def mixed(returns):
        return perfect(returns) @ np.array([[1.0, 1.0], [1.0, -1.0]])

    exact = disentanglement_score(perfect, decode, 2, seed=1, n_votes=100)
    assert exact.accuracy > 0.98
    assert exact.votes.sum() == 200
    assert disentanglement_score(mixed, decode, 2, seed=1, n_votes=100).accuracy < 0.75
