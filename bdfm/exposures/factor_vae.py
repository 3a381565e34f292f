"""FactorVAE: an autoencoder of daily returns whose latents are pushed to be independent."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from bdfm import _checks, _sealed
from bdfm._optional import optional
from bdfm._reading import counted
from bdfm._strict import strict, strict_fields
from bdfm.errors import DataError
from bdfm.exposures.choices import GAMMA, N_LATENTS
from bdfm.exposures.data import ExposureData
from bdfm.exposures.networks import (
    discriminator,
    discriminator_loss,
    discriminator_optimiser,
    encoded,
    give_weights,
    in_double,
    jacobian,
    log_sd_of,
    networks_of,
    permuted,
    weights_of,
)
from bdfm.exposures.pca import latents_given_factors
from bdfm.exposures.refits import check_complete, known_days
from bdfm.exposures.result import FACTOR_MAP, Exposures
from bdfm.names import ASSET, FACTOR

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
_KIND: Final = "factor_vae"


@strict_fields
@dataclass(frozen=True)
class FactorVAE:
    """Exposures as the slopes of a trained decoder, day by day (eq. E14 to E19).

    The loss of a day is the negative ELBO of a decoder of standardised returns, plus ``gamma`` times the
    total correlation of the latents, which a discriminator estimates from latents permuted over the batch
    (Kim and Mnih, ICML 2018, algorithm 2). Training stops when the validation loss has not improved for
    ``patience_epochs``; the weights of the best epoch are kept.

    What keeps latents alive: a decoder whose noise is as small as each asset's own (eq. E14), a KL term that
    comes in slowly (eq. E15a), and nats that each latent has free (eq. E15b). With unit noise
    a latent must explain as much as the noise of all assets hides, and most of them explain nothing.

    The exposure of asset i
    to latent k on day t is the derivative of the decoded return at the encoded mean of the day; its standard
    deviation is over the latents that the encoder holds possible on that day, at fixed weights.

    Attributes
    ----------
    n_latents
        K.
    gamma
        Weight of the total correlation; 0 is a plain VAE.
    learned_noise
        The noise sd of each asset is learned; False: unit noise on standardised returns, as Kim and Mnih.
    warm_up_epochs
        Epochs over which the weight of the KL term rises from near 0 to 1, at most half of ``max_epochs``; 0:
        it is 1 throughout. The best epoch is sought after them.
    free_bits
        Nats of KL that each latent has free (Kingma et al., NeurIPS 2016), on average over a batch.
    hidden_units
        Width of the encoder's hidden layers, the decoder's in reverse.
    learning_rate, batch_size, max_epochs, patience_epochs
        Of the training by Adam, both networks.
    n_sd_draws
        Draws of a day's latents from which exposure standard deviations are computed.
    smoothed
        Exposures of the days of the training and validation parts too, which could not know the networks.
    """

    n_latents: int = N_LATENTS
    gamma: float = GAMMA
    learned_noise: bool = True
    warm_up_epochs: int = 20
    free_bits: float = 0.25
    hidden_units: tuple[int, ...] = (128, 64)
    learning_rate: float = 1e-3
    batch_size: int = 32
    max_epochs: int = 200
    patience_epochs: int = 20
    n_sd_draws: int = 16
    smoothed: bool = False

    def __post_init__(self) -> None:
        where = self.name
        least = {"n_latents": 1, "max_epochs": 1, "patience_epochs": 1, "batch_size": 2, "n_sd_draws": 2}
        for what, minimum in {**least, "warm_up_epochs": 0}.items():
            _checks.at_least(getattr(self, what), minimum, what=what, where=where)
        _checks.positive(self.learning_rate, what="learning_rate", where=where)
        for what in ("gamma", "free_bits"):
            value = _checks.finite(getattr(self, what), what=what, where=where)
            if value < 0:
                raise DataError(f"{where}: {what} must not be negative, got {value:g}.")
        if not self.hidden_units or min(self.hidden_units) < 1:
            raise DataError(f"{where}: hidden_units must be widths of 1 or more, got {self.hidden_units}.")

    @property
    def name(self) -> str:
        """Short name for tables and files."""
        return "factor_vae_smoothed" if self.smoothed else "factor_vae"

    def check(self, data: ExposureData) -> None:
        """Raise what ``train`` would, ``DataError`` say, before anything is fitted."""
        optional("torch", what="FactorVAE")
        check_complete(data, self.name)
        if data.n_training < self.batch_size:
            raise DataError(
                f"{self.name}: {data.n_training} training days are fewer than one batch of {self.batch_size}."
                " Give a longer history or a smaller batch."
            )

    def fit(self, data: ExposureData, *, seed: int = 0, progress: bool = False) -> Exposures:
        """Exposures to the latents, with standard deviations: ``train``, then ``exposures``. Needs torch."""
        return self.train(data, seed=seed, progress=progress).exposures(data)

    def train(self, data: ExposureData, *, seed: int = 0, progress: bool = False) -> TrainedFactorVAE:
        """Trained model; equal seeds give equal weights on one machine and thread count. Needs torch.

        Raises
        ------
        DataError
            Fewer training days than one batch, or a loss that is no longer finite.
        MissingDependencyError
            torch is not installed.
        """
        torch = optional("torch", what="FactorVAE")
        begun = time.perf_counter()
        self.check(data)
        x = torch.from_numpy(data.standardised.astype(np.float32))
        fit, held_out = x[data.days_of("training")], x[data.days_of("validation")]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            networks = self._networks(len(data.assets))
            judge = discriminator(self.n_latents)
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn((len(held_out), self.n_latents), generator=generator)  # the same in every epoch
        parameters = [p for network in networks.values() for p in network.parameters()]
        adam = torch.optim.Adam(parameters, lr=self.learning_rate)
        judge_adam = discriminator_optimiser(judge, self.learning_rate)
        warm_up = min(self.warm_up_epochs, self.max_epochs // 2)
        rows: list[dict[str, float]] = []
        best, best_loss, best_epoch = weights_of(networks), np.inf, 0
        columns = (
            TextColumn("FactorVAE"),
            BarColumn(),
            TextColumn("{task.fields[loss]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, disable=not progress, transient=True) as bar:
            task = bar.add_task("", total=self.max_epochs, loss="")
            for epoch in range(1, self.max_epochs + 1):
                weight = min(1.0, epoch / (warm_up + 1))
                training = self._epoch(networks, judge, adam, judge_adam, fit, generator, weight)
                validation = self._validate(networks, judge, held_out, noise)
                rows.append(
                    {"epoch": epoch}
                    | {f"training_{k}": v for k, v in training.items()}
                    | {f"validation_{k}": v for k, v in validation.items()}
                )
                loss = validation["loss"]
                if not np.isfinite(loss):
                    raise DataError(
                        f"{self.name}: the loss is not finite in epoch {epoch}. Lower the learning"
                        " rate or gamma."
                    )
                bar.update(task, completed=epoch, loss=f"validation loss {loss:.2f}")
                if epoch <= warm_up:
                    continue
                if loss < best_loss:
                    best, best_loss, best_epoch = weights_of(networks), loss, epoch
                elif epoch - best_epoch >= self.patience_epochs:
                    break
        return TrainedFactorVAE(
            self,
            seed,
            best,
            data.assets,
            data.mean,
            data.sd,
            pd.DataFrame(rows).set_index("epoch"),
            best_epoch,
            time.perf_counter() - begun,
        )

    def _networks(self, n_assets: int) -> dict[str, Any]:
        """Networks of these settings, with new weights."""
        return networks_of(n_assets, self.n_latents, self.hidden_units, learned_noise=self.learned_noise)

    def _losses(
        self,
        networks: Mapping[str, Any],
        judge: Any,
        x: Any,
        noise: Any,
        kl_weight: float = 1.0,
        free_bits: float = 0.0,
    ) -> tuple[Any, dict[str, Any]]:
        """Latents drawn for the days, and the parts of the loss (eq. E15 to E16), means over days."""
        torch = optional("torch", what="FactorVAE")
        mean, log_variance = encoded(networks, x)
        z = mean + torch.exp(0.5 * log_variance) * noise
        error = networks["decoder"](z) - x
        if "noise" in networks:
            log_sd = log_sd_of(networks["noise"])
            reconstruction = (0.5 * (error * torch.exp(-log_sd)).square() + log_sd).sum(dim=1).mean()
        else:
            reconstruction = 0.5 * error.square().sum(dim=1).mean()
        by_latent = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean(dim=0)
        tc = judge(z).mean()
        return z, {
            "loss": reconstruction + kl_weight * by_latent.clamp(min=free_bits).sum() + self.gamma * tc,
            "reconstruction": reconstruction,
            "kl": by_latent.sum(),
            "total_correlation": tc,
        }

    def _epoch(
        self,
        networks: Mapping[str, Any],
        judge: Any,
        adam: Any,
        judge_adam: Any,
        x: Any,
        generator: Any,
        kl_weight: float,
    ) -> dict[str, float]:
        """One pass over the training days: two batches a step, as the latents to permute must be others."""
        torch = optional("torch", what="FactorVAE")
        for network in networks.values():
            network.train()
        first, second = (torch.randperm(len(x), generator=generator) for _ in range(2))
        n_batches = len(x) // self.batch_size  # the days left over come in another epoch's batches
        totals: dict[str, float] = {}
        for b in range(n_batches):
            rows = slice(b * self.batch_size, (b + 1) * self.batch_size)
            noise = torch.randn((2, self.batch_size, self.n_latents), generator=generator)
            z, losses = self._losses(networks, judge, x[first[rows]], noise[0], kl_weight, self.free_bits)
            adam.zero_grad()
            losses["loss"].backward()
            adam.step()
            with torch.no_grad():
                mean, log_variance = encoded(networks, x[second[rows]])
                other = permuted(mean + torch.exp(0.5 * log_variance) * noise[1], generator)
            losses["discriminator"] = discriminator_loss(judge, z.detach(), other)
            judge_adam.zero_grad()
            losses["discriminator"].backward()
            judge_adam.step()
            for name, value in losses.items():
                totals[name] = totals.get(name, 0.0) + float(value.detach()) / n_batches
        return totals

    def _validate(self, networks: Mapping[str, Any], judge: Any, x: Any, noise: Any) -> dict[str, float]:
        """Parts of the loss at a KL weight of 1 and without free nats, by which epochs are compared."""
        torch = optional("torch", what="FactorVAE")
        for network in networks.values():
            network.eval()
        with torch.no_grad():
            _, losses = self._losses(networks, judge, x, noise)
        return {name: float(value) for name, value in losses.items()}


@dataclass(frozen=True, eq=False, repr=False)
class TrainedFactorVAE:
    """Trained FactorVAE: encodes, decodes, gives exposures; saved without pickle.

    Attributes
    ----------
    settings, seed
        What it was trained with.
    weights
        Arrays by name, of encoder, decoder and, where it is learned, the noise.
    assets
        Symbols, in the order of the inputs.
    mean, sd
        (asset,) of the standardisation, decimals.
    history
        (epoch) parts of the loss: reconstruction (negative log likelihood of standardised returns summed over
        assets, but for its constant), kl,
        total_correlation and their weighted sum, of both parts of the data, and the discriminator's.
    best_epoch
        The epoch whose weights these are.
    seconds
        Of the training.
    """

    settings: FactorVAE
    seed: int
    weights: Mapping[str, NDArray[Any]]
    assets: tuple[str, ...]
    mean: Floats
    sd: Floats
    history: pd.DataFrame
    best_epoch: int
    seconds: float

    @property
    def latent_names(self) -> tuple[str, ...]:
        """Labels z1, z2, ... of the latents."""
        return tuple(f"z{k}" for k in range(1, self.settings.n_latents + 1))

    def encode(self, returns: ArrayLike) -> tuple[Floats, Floats]:
        """Means and sds (day, latent) of the latents given daily log returns (day, asset).

        Raises ``DataError`` for returns of other assets or shape than those of training.
        """
        torch, networks = self._load()
        values = np.asarray(returns, dtype=np.float64)
        if values.ndim != 2 or values.shape[1] != len(self.assets):
            raise DataError(
                f"FactorVAE: returns of shape {values.shape}, expected (day, {len(self.assets)} assets)"
                " in the order of .assets."
            )
        x = torch.from_numpy(((values - self.mean) / self.sd).astype(np.float32))
        with torch.no_grad():
            mean, log_variance = encoded(networks, x)
        return in_double(mean), np.exp(0.5 * in_double(log_variance))

    def decode(self, latents: ArrayLike) -> Floats:
        """Expected log returns (day, asset), decimals, given latents (day, latent)."""
        torch, networks = self._load()
        z = torch.from_numpy(np.asarray(latents, dtype=np.float32))
        with torch.no_grad():
            return self.mean + self.sd * in_double(networks["decoder"](z))

    @property
    def noise_sd(self) -> Floats:
        """Noise sd (asset,) of the decoder, decimal log returns per day (eq. E14)."""
        if not self.settings.learned_noise:
            return self.sd.copy()
        _, networks = self._load()
        return np.asarray(self.sd * np.exp(in_double(log_sd_of(networks["noise"]))))

    def slopes(self, latents: ArrayLike) -> Floats:
        """Derivatives (day, asset, latent) of the decoded log returns at latents (day, latent) (eq. E18)."""
        torch, networks = self._load()
        z = torch.from_numpy(np.asarray(latents, dtype=np.float32))
        with torch.no_grad():
            values = torch.cat([jacobian(networks["decoder"], part) for part in z.split(512)])
        return np.asarray(self.sd[:, None] * in_double(values))

    @strict
    def exposures(self, data: ExposureData) -> Exposures:
        """Exposures to the latents on all days of the data, with standard deviations (eq. E18, E19).

        Raises
        ------
        DataError
            Data of other assets, or in another order.
        """
        if data.assets != self.assets:
            raise DataError(
                f"FactorVAE: trained on {counted(len(self.assets), 'asset')}"
                f" ({_checks.first(self.assets)}), the data"
                f" have {len(data.assets)} ({_checks.first(data.assets)}). Give the same, in the same order."
            )
        begun = time.perf_counter()
        mean, sd = self.encode(data.returns)
        slopes = self.slopes(mean)
        first, second = np.zeros(slopes.shape), np.zeros(slopes.shape)
        n = self.settings.n_sd_draws
        for i in range(n):
            # A stream for each draw, day by day: how many days follow changes none before them.
            noise = np.random.default_rng((self.seed, i)).standard_normal(mean.shape)
            # Around the exposure itself: a difference of large squares would lose the small spread.
            change = self.slopes(mean + sd * noise) - slopes
            first += change / n
            second += change**2 / n
        spread = np.sqrt(np.maximum(second - first**2, 0) * n / (n - 1))
        given, factor_map = latents_given_factors(mean, data, self.latent_names)
        part = data.days_of("training")
        # The validation part stops the training: nothing before its end can know the networks.
        known = 1 if self.settings.smoothed else data.n_training + data.n_validation
        kl = 0.5 * (mean**2 + sd**2 - 1 - 2 * np.log(sd))[part].mean(axis=0)
        return Exposures.from_arrays(
            self.settings.name,
            data,
            known_days(data, slopes, known),
            known_days(data, self.decode(mean) - np.einsum("tik,tk->ti", slopes, mean), known),
            exposure_sd=known_days(data, spread, known),
            factor_values=mean,
            factors_given=given,
            factor_labels=self.latent_names,
            parameters=xr.Dataset({FACTOR_MAP: factor_map, "kl": (FACTOR, kl)}),
            details={
                **{k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self.settings).items()},
                "seed": self.seed,
                "best_epoch": self.best_epoch,
                "epochs": len(self.history),
                "seconds": self.seconds + time.perf_counter() - begun,
            },
        )

    def plot_history(self) -> Figure:
        """Training and validation loss by epoch, and its parts."""
        from bdfm.exposures import plots

        return plots.training_history(self.history, self.best_epoch)

    def save(self, path: str | Path) -> Path:
        """Write weights, settings and history to one NetCDF file without pickle, whole or not at all."""
        weights = {
            f"weight {name}": ([f"{name} {i}" for i in range(value.ndim)], value)
            for name, value in self.weights.items()
        }
        dataset = xr.Dataset(
            {**weights, "mean": (ASSET, self.mean), "sd": (ASSET, self.sd)}, coords={ASSET: list(self.assets)}
        )
        dataset["history"] = xr.DataArray(
            self.history.to_numpy(),
            dims=("epoch", "loss"),
            coords={"epoch": self.history.index.to_numpy(), "loss": list(self.history.columns)},
        )
        dataset.attrs = {
            "settings": json.dumps(asdict(self.settings)),
            "seed": self.seed,
            "best_epoch": self.best_epoch,
        }
        return _sealed.save_dataset(dataset, path, kind=_KIND)

    @classmethod
    def load(cls, path: str | Path) -> TrainedFactorVAE:
        """Model of a file made by ``save``; ``FileError`` where it is missing, damaged or of another kind."""
        stored = _sealed.load_dataset(path, kind=_KIND)
        settings = json.loads(stored.attrs["settings"])
        settings["hidden_units"] = tuple(settings["hidden_units"])
        prefix = "weight "
        return cls(
            FactorVAE(**settings),
            int(stored.attrs["seed"]),
            {str(k).removeprefix(prefix): v.values for k, v in stored.items() if str(k).startswith(prefix)},
            tuple(str(a) for a in stored[ASSET].values),
            stored["mean"].values,
            stored["sd"].values,
            pd.DataFrame(stored["history"].to_pandas()).rename_axis(columns=None),
            int(stored.attrs["best_epoch"]),
            float(stored.attrs.get("seconds", 0.0)),  # not written: equal runs give equal files,
        )

    def _load(self) -> tuple[Any, dict[str, Any]]:
        """Module torch, and the networks with the trained weights, ready to evaluate."""
        torch = optional("torch", what="FactorVAE")
        with torch.random.fork_rng(devices=[]):  # initial weights are replaced: leave the caller's seed alone
            networks = self.settings._networks(len(self.assets))
        give_weights(networks, self.weights)
        return torch, networks

    def __repr__(self) -> str:
        s = self.settings
        return (
            f"TrainedFactorVAE: {s.n_latents} latents of {len(self.assets)} assets, gamma {s.gamma:g}, best"
            f" epoch {self.best_epoch} of {len(self.history)}, seed {self.seed}"
        )
