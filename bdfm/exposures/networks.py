"""Networks of the FactorVAE and the density-ratio trick; torch is imported by whoever calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bdfm import _checks
from bdfm._optional import optional
from bdfm._seeds import either_seed
from bdfm._strict import strict
from bdfm.errors import DataError

Floats = NDArray[np.float64]
Weights = dict[str, NDArray[Any]]

DISCRIMINATOR_UNITS: Final = (128, 128, 128)
_LEAK: Final = 0.2  # of the discriminator's LeakyReLU, Kim and Mnih (2018), table 1
_DISCRIMINATOR_BETAS: Final = (0.5, 0.9)  # of its Adam, as they set
_MAX_LOG_VARIANCE: Final = 10.0  # of a latent given a day, either way: keeps exp finite
_MIN_LOG_SD: Final = -4.0  # of the noise, over the sd of the returns: an asset may not be learned by heart


def mlp(sizes: Sequence[int], *, batch_norm: bool) -> Any:
    """Perceptron with ReLU and batch norm between layers, or with LeakyReLU and none."""
    nn = optional("torch", what="FactorVAE").nn
    layers: list[Any] = []
    for i, (before, after) in enumerate(pairwise(sizes)):
        layers.append(nn.Linear(before, after))
        if i < len(sizes) - 2:
            layers += [nn.BatchNorm1d(after), nn.ReLU()] if batch_norm else [nn.LeakyReLU(_LEAK)]
    return nn.Sequential(*layers)


def noise_of(n_assets: int) -> Any:
    """Log noise sds ``log_sd`` (asset,) of standardised returns, to be learned; all of it at first."""
    torch = optional("torch", what="FactorVAE")
    noise = torch.nn.Module()
    noise.register_parameter("log_sd", torch.nn.Parameter(torch.zeros(n_assets)))
    return noise


def networks_of(
    n_assets: int, n_latents: int, hidden_units: Sequence[int], *, learned_noise: bool
) -> dict[str, Any]:
    """Encoder, decoder and, where it is learned, the noise, by name; with new weights."""
    noise = {"noise": noise_of(n_assets)} if learned_noise else {}
    return noise | {
        "encoder": mlp((n_assets, *hidden_units, 2 * n_latents), batch_norm=True),
        "decoder": mlp((n_latents, *hidden_units[::-1], n_assets), batch_norm=True),
    }


def weights_of(networks: Mapping[str, Any]) -> Weights:
    """Copies of the weights of all networks, by the network's name and their own."""
    return {
        f"{part}.{name}": value.detach().numpy().copy()
        for part, network in networks.items()
        for name, value in network.state_dict().items()
    }


def give_weights(networks: Mapping[str, Any], weights: Mapping[str, NDArray[Any]]) -> None:
    """Set the weights of networks to those of ``weights_of``, and make them ready to evaluate."""
    torch = optional("torch", what="FactorVAE")
    for part, network in networks.items():
        own = {
            name.removeprefix(f"{part}."): torch.from_numpy(np.array(value))
            for name, value in weights.items()
            if name.startswith(f"{part}.")
        }
        network.load_state_dict(own)
        network.eval()


def encoded(networks: Mapping[str, Any], x: Any) -> tuple[Any, Any]:
    """Mean and log-variance (day, latent) of the latents."""
    mean, log_variance = networks["encoder"](x).chunk(2, dim=1)
    return mean, log_variance.clamp(-_MAX_LOG_VARIANCE, _MAX_LOG_VARIANCE)


def log_sd_of(noise: Any) -> Any:
    """Log noise sd (asset,) of standardised returns."""
    return noise.log_sd.clamp(min=_MIN_LOG_SD)


def in_double(tensor: Any) -> Floats:
    """Values of a tensor in double precision."""
    return np.asarray(tensor.detach().numpy(), dtype=np.float64)


def discriminator(n_latents: int) -> Any:
    """Network from latents (day, latent) to the log odds (day, 1) that they are joint, not permuted."""
    return mlp((n_latents, *DISCRIMINATOR_UNITS, 1), batch_norm=False)


def discriminator_optimiser(network: Any, learning_rate: float) -> Any:
    """Adam with the moments that Kim and Mnih set for the discriminator."""
    torch = optional("torch", what="FactorVAE")
    return torch.optim.Adam(network.parameters(), lr=learning_rate, betas=_DISCRIMINATOR_BETAS)


def jacobian(network: Any, inputs: Any) -> Any:
    """Derivatives (row, output, input) of an ``mlp`` with batch norm, evaluating, at ``inputs`` (row, input).

    Exact: between the kinks of its ReLUs such a network is linear, and the slopes are a product of matrices.
    """
    torch = optional("torch", what="FactorVAE")
    nn = torch.nn
    x = inputs
    slope = torch.eye(inputs.shape[1]).expand(len(inputs), -1, -1)
    for layer in network:
        after = layer(x)
        if isinstance(layer, nn.Linear):
            slope = layer.weight @ slope
        elif isinstance(layer, nn.BatchNorm1d):
            slope = (layer.weight / torch.sqrt(layer.running_var + layer.eps))[:, None] * slope
        else:
            slope = (x > 0).to(x.dtype)[..., None] * slope
        x = after
    return slope


def permuted(latents: Any, generator: Any) -> Any:
    """Latents (day, latent) each permuted over days on its own: a sample of the product of the marginals."""
    torch = optional("torch", what="FactorVAE")
    order = torch.rand(latents.shape, generator=generator).argsort(dim=0)
    return latents.gather(0, order)


def discriminator_loss(network: Any, joint: Any, independent: Any) -> Any:
    """Cross-entropy of telling joint latents from permuted ones, half each (eq. E17)."""
    softplus = optional("torch", what="FactorVAE").nn.functional.softplus
    return 0.5 * (softplus(-network(joint)).mean() + softplus(network(independent)).mean())


@either_seed
@strict
def total_correlation(
    samples: ArrayLike, *, seed: int, n_epochs: int = 60, batch_size: int = 256, learning_rate: float = 1e-3
) -> float:
    """Total correlation of a sample in nats, by the density-ratio trick (eq. E16, E17).

    The discriminator that the FactorVAE uses is trained on one half of the rows to tell them from rows whose
    columns are permuted independently; the mean of its log odds on the other half is the estimate. Zero means
    independent columns; the true value of a Gaussian is -½ log det of its correlation matrix.

    Parameters
    ----------
    samples
        (row, column), rows independent, at least 4 batches of them and 2 columns.
    seed
        Equal seeds give equal results.
    n_epochs, batch_size, learning_rate
        Of the training.

    Raises
    ------
    DataError
        Too few rows or columns, or values that are not finite.
    MissingDependencyError
        torch is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> from bdfm import exposures as ex
    >>> sample = np.random.default_rng(1).normal(size=(4096, 2))
    >>> round(ex.total_correlation(sample, seed=1), 1)  # doctest: +SKIP
    0.0
    """
    torch = optional("torch", what="total correlation")
    x = np.array(samples, dtype=np.float32)
    if x.ndim != 2 or x.shape[1] < 2 or len(x) < 4 * batch_size:
        raise DataError(
            f"total correlation: samples of shape {x.shape}, expected (row, column) with at least"
            f" {4 * batch_size} rows and 2 columns."
        )
    if not np.isfinite(x).all():
        raise DataError("total correlation: samples hold values that are not finite. Drop these rows.")
    _checks.at_least(n_epochs, 1, what="n_epochs", where="total correlation")
    scale = np.where(x.std(axis=0) > 0, x.std(axis=0), 1)
    z = torch.from_numpy((x - x.mean(axis=0)) / scale)
    generator = torch.Generator().manual_seed(seed)
    z = z[torch.randperm(len(z), generator=generator)]
    fit, held_out = z[: len(z) // 2], z[len(z) // 2 :]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = discriminator(x.shape[1])
    adam = discriminator_optimiser(network, learning_rate)
    # Ending with small steps takes the noise of the last batches out of the estimate.
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, n_epochs)
    for _ in range(n_epochs):
        order = torch.randperm(len(fit), generator=generator)
        for rows in order.split(batch_size):
            joint = fit[rows]
            adam.zero_grad()
            discriminator_loss(network, joint, permuted(fit, generator)[: len(rows)]).backward()
            adam.step()
        schedule.step()
    with torch.no_grad():
        return float(network(held_out).mean())
