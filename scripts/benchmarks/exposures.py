"""Time-varying exposures: all methods on 100 stocks, sweeps, latents, regimes, and a simulation; a report.

    python scripts/benchmarks/exposures.py --prices FILE --sectors FILE --factors FILE --out FOLDER
        [--assets 100] [--seeds 3] [--replicates 10] [--seed 1] [--end 2022-02-04] [--part errors ...]
        [--docs docs]

``--prices``: daily adjusted closes; ``--sectors``: CSV with columns symbol and gics_sector; ``--factors``:
daily Fama-French factors in percent. ``--part``: errors, latents, sweeps or simulation, repeatable; all
without it, and those of earlier runs into the same folder stay. ``--docs``: folder whose exposures_study.json
and tables in exposures.md are made anew. Writes report.md, results.json and pictures. Needs the extras
exposures and torch. The study that it repeats is Rajpal and Singh, Journal of Financial Risk Management 14
(2025), 285-303, doi 10.4236/jfrm.2025.143016.
"""

import json
import platform
import resource
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import pandas as pd
import typer
from page_tables import write_table

import bdfm
from bdfm import exposures as ex
from bdfm._figures import new_figure
from bdfm._statistics import long_run_variance

FACTORS = ["Mkt-RF", "SMB", "HML"]
WHOLE_DECODER: Final = "Prediction by the whole decoder at the latents that the factors imply, standardised"
PAGE: Final = (  # what the page tells
    "data",
    "knowing nothing",
    "Test errors",
    "Prediction against constant betas",
    "Model confidence set of predictions, 10 %",
    "Model confidence set of reconstructions, 10 %",
    "Living latents",
    WHOLE_DECODER,
    "Sweep of gamma at K = 10",
    "Sweep of K at gamma = 6",
    "Moving betas: delay in days, error of the market beta",
    "Disentanglement score on simulated sectors",
)
GAMMAS = (2.0, 4.0, 6.0, 8.0, 10.0)
LATENTS = (6, 8, 10, 12, 14)
PUBLISHED = {"factor_vae": 0.00082, "kalman": 0.00110, "dcc_garch": 0.00125, "rolling_ols": 0.00147}
# As the paper has it: unit noise, the KL term in full from the start, few epochs
AS_PUBLISHED = {
    "learned_noise": False,
    "warm_up_epochs": 0,
    "free_bits": 0.0,
    "max_epochs": 10,
    "patience_epochs": 3,
}


class Report:
    """Markdown report and the numbers behind it, written as they come."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        before = folder / "results.json"
        self.numbers: dict[str, Any] = (
            json.loads(before.read_text(encoding="utf-8")) if before.exists() else {}
        )
        self._lines: list[str] = []
        self._begun = time.perf_counter()
        folder.mkdir(parents=True, exist_ok=True)

    def say(self, text: str) -> None:
        """Add a paragraph, print it, and write both files."""
        self._lines.append(text + "\n")
        print(f"[{time.perf_counter() - self._begun:6.0f} s] {text}", flush=True)
        (self.folder / "report.md").write_text("\n".join(self._lines), encoding="utf-8")
        (self.folder / "results.json").write_text(json.dumps(self.numbers, indent=1) + "\n", encoding="utf-8")

    def table(self, name: str, table: pd.DataFrame, digits: int = 4) -> None:
        """Add a table, and keep its numbers."""
        flat = table.copy()
        flat.columns = [" ".join(map(str, c)) if isinstance(c, tuple) else str(c) for c in table.columns]
        self.numbers[name] = json.loads(flat.reset_index().to_json(orient="records", date_format="iso"))
        shown = flat.reset_index()
        rows = [[_cell(x, digits) for x in row] for row in shown.itertuples(index=False)]
        widths = [max(map(len, column)) for column in zip(list(map(str, shown.columns)), *rows, strict=True)]
        lines = [
            "| " + " | ".join(x.ljust(w) for x, w in zip(row, widths, strict=True)) + " |"
            for row in [list(map(str, shown.columns)), ["-" * w for w in widths], *rows]
        ]
        self.say(f"### {name}\n\n" + "\n".join(lines))

    def picture(self, name: str, figure: Any) -> None:
        """Write a picture beside the report."""
        figure.savefig(self.folder / f"{name}.png", dpi=110)
        self.say(f"![{name}]({name}.png)")

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._begun


def _cell(value: Any, digits: int) -> str:
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d}"
    if not isinstance(value, float):
        return str(value)
    return f"{value:.2e}" if 0 < abs(value) < 10.0 ** (1 - digits) else f"{value:.{digits}f}"


def trained(
    data: ex.ExposureData, seeds: Sequence[int], **settings: Any
) -> tuple[list[ex.TrainedFactorVAE], list[ex.Exposures]]:
    """FactorVAE of some settings, one for each seed, and its exposures."""
    models = [ex.FactorVAE(**settings).train(data, seed=s) for s in seeds]
    return models, [m.exposures(data) for m in models]


def life_of(
    models: Sequence[ex.TrainedFactorVAE], results: Sequence[ex.Exposures], data: ex.ExposureData
) -> dict[str, Any]:
    """Whether the latents say anything of the day: means over seeds.

    In the training part: ``active``, latents whose KL is at least 0.1 nats a day; ``active units``, those
    whose encoded mean has a variance above 0.01 over days (Burda, Grosse and Salakhutdinov 2016); the KL of
    the least and of the most informative latent, and of all. In the test part: ``used``, latents without
    which (at 0 in the decoder) the reconstruction is worse, by more than two Newey-West errors.
    """
    kl = np.array([np.sort(r.parameters["kl"].to_numpy()) for r in results])
    span = data.days_of("training")
    spread = np.array([r.dataset["factor_values"].to_numpy()[span].var(axis=0) for r in results])
    of_latents = [ex.LatentAnalysis(r, data, "training").disentanglement() for r in results]
    return {
        "latents": kl.shape[1],
        "active": float(np.mean([d.n_active for d in of_latents])),
        "active units": float((spread > 0.01).sum(axis=1).mean()),
        "least KL": float(kl[:, 0].mean()),
        "most KL": float(kl[:, -1].mean()),
        "all KL": float(kl.sum(axis=1).mean()),
        "largest correlation": float(np.mean([d.largest_correlation for d in of_latents])),
        "used": float(np.mean([n_used(m, data) for m in models])),
    }


def n_used(model: ex.TrainedFactorVAE, data: ex.ExposureData) -> int:
    """Latents without which the test days are reconstructed worse, by more than two errors of the mean."""
    returns = np.asarray(data.returns)[data.days_of("test")]
    means = model.encode(returns)[0]

    def loss(z: np.ndarray) -> np.ndarray:
        return np.square((model.decode(z) - returns) / data.sd).mean(axis=1)

    whole, n = loss(means), 0
    for k in range(means.shape[1]):
        without = means.copy()
        without[:, k] = 0.0
        gap = loss(without) - whole
        n += gap.mean() > 2 * np.sqrt(long_run_variance(gap, 5) / (len(gap) - 1))
    return n


def sweep(
    report: Report,
    data: ex.ExposureData,
    seeds: Sequence[int],
    name: str,
    values: Sequence[Any],
    setting: str,
) -> None:
    """Test errors of the FactorVAE over one setting, as published and with our settings, and PCA for K."""
    rows, figure_rows = [], []
    for value in values:
        for training, extra in (("as published", AS_PUBLISHED), ("ours", {})):
            if training == "ours" and value not in (values[0], values[len(values) // 2], values[-1]):
                continue
            models, results = trained(data, seeds, **{setting: value}, **extra)
            table = ex.compare({"vae": results}, data).table().loc["vae"]
            spread = [ex.LatentAnalysis(r, data, "training").disentanglement() for r in results]
            row = {
                setting: value,
                "training": training,
                "reconstruction": table["reconstruction_standardised"],
                "seed sd": table["reconstruction_seed_sd"],
                "prediction": table["prediction_standardised"],
                "active latents": float(np.mean([d.n_active for d in spread])),
                "largest correlation": float(np.mean([d.largest_correlation for d in spread])),
                "epochs": float(np.mean([len(m.history) for m in models])),
            }
            if setting == "n_latents":
                pca = ex.compare({"pca": ex.PrincipalComponents(value).fit(data)}, data).table().loc["pca"]
                row["PCA of equal dimension"] = pca["reconstruction_standardised"]
            rows.append(row)
            figure_rows.append(row)
    table = pd.DataFrame(rows)
    report.table(name, table.set_index(setting))
    figure, axes = new_figure(figsize=(6, 3.2))
    for training, part in table.groupby("training"):
        axes[0, 0].errorbar(
            part[setting], part["reconstruction"], yerr=part["seed sd"], marker="o", capsize=3, label=training
        )
    if "PCA of equal dimension" in table:
        one = table.drop_duplicates(setting)
        axes[0, 0].plot(one[setting], one["PCA of equal dimension"], marker="s", color="black", label="PCA")
    axes[0, 0].set_xlabel(setting)
    axes[0, 0].set_ylabel("test reconstruction error")
    axes[0, 0].legend(fontsize=8)
    report.picture(f"sweep_{setting}", figure)


def methods_on_data(
    report: Report, data: ex.ExposureData, seeds: Sequence[int]
) -> tuple[dict[str, Any], ex.TrainedFactorVAE]:
    """The main table."""
    results: dict[str, Any] = {}
    for method in (
        ex.ConstantBetas(),
        ex.RollingOLS(),
        ex.KalmanBetas(),
        ex.DCCGarch(),
        ex.BayesianRandomWalk(),
        ex.PrincipalComponents(10),
    ):
        results[method.name] = method.fit(data, seed=seeds[0])
        report.say(f"{method.name}: {results[method.name].details['seconds']:.0f} s")
    decoded: dict[str, list[np.ndarray]] = {}
    living: dict[str, dict[str, Any]] = {}
    first: ex.TrainedFactorVAE | None = None
    for label, extra in (
        ("factor_vae", {}),
        ("factor_vae, as published", AS_PUBLISHED),
        ("vae (gamma 0)", {"gamma": 0.0}),
    ):
        models, results[label] = trained(data, seeds, **extra)
        decoded[label] = [
            m.decode(r.dataset["factors_given"]) for m, r in zip(models, results[label], strict=True)
        ]
        first = first or models[0]
        living[label] = life_of(models, results[label], data)
        epochs = ", ".join(f"{m.best_epoch} of {len(m.history)}" for m in models)
        report.say(
            f"{label}: best epochs {epochs}; {sum(m.seconds for m in models):.0f} s for {len(seeds)} seeds"
        )
    assert first is not None
    comparison = ex.compare(results, data)
    report.table("Living latents", pd.DataFrame(living).T.rename_axis("method"), digits=3)
    report.table("Test errors", comparison.table(), digits=5)
    report.picture("errors", comparison.plot())
    report.table("Prediction against constant betas", comparison.against("constant"))
    report.table("Model confidence set of predictions, 10 %", comparison.confidence_set("prediction"))
    report.table("Model confidence set of reconstructions, 10 %", comparison.confidence_set("reconstruction"))
    span = data.days_of("test")
    actual = np.asarray(data.returns)[span]
    charitable = {
        label: float(np.mean([np.square((d[span] - actual) / data.sd).mean() for d in members]))
        for label, members in decoded.items()
    }
    report.table(
        WHOLE_DECODER,
        pd.DataFrame({"prediction": charitable}).rename_axis("method"),
    )
    raw = comparison.table()["reconstruction_raw"]
    report.table(
        "The paper's errors beside ours",
        pd.DataFrame({"published": PUBLISHED, "ours, raw": raw.loc[list(PUBLISHED)]})
        .assign(**{"nothing known, raw": float(comparison.total["raw"].mean())})
        .rename_axis("method"),
        digits=5,
    )
    report.numbers["knowing nothing"] = {k: float(v.mean()) for k, v in comparison.total.items()}
    nothing = {scale: float(losses.mean()) for scale, losses in comparison.total.items()}
    report.say(
        "Knowing nothing (each asset's training mean) has a test error of"
        f" {nothing['raw']:.6f} raw and {nothing['standardised']:.4f} standardised."
    )
    return results, first


def pictures(
    report: Report, data: ex.ExposureData, results: dict[str, Any], model: ex.TrainedFactorVAE
) -> None:
    """Figures and tables of the latents, and regimes."""
    report.picture("training", model.plot_history())
    for label in ("factor_vae", "factor_vae, as published"):
        result = results[label][0]
        short = "" if label == "factor_vae" else "_as_published"
        analysis = ex.LatentAnalysis(result, data)
        report.say(f"## Latents, {label}")
        report.say(str(analysis.disentanglement()))
        report.table(f"KL of each latent, {label}", result.parameters["kl"].to_dataframe()[["kl"]])
        report.table(f"Latents and factors, {label}", analysis.regressions())
        report.table(f"Most correlated stocks, {label}", analysis.top_assets(2).set_index("latent"))
        for name, figure in {
            "latents": analysis.plot_paths(),
            "correlations": analysis.plot_correlations(),
            "sectors": analysis.plot_sectors(),
            "plane": analysis.plot_plane(),
        }.items():
            report.picture(f"{name}{short}", figure)
        smb = analysis.regressions(["SMB"])["correlation"].abs()
        report.picture(f"smb{short}", analysis.plot_against(smb.idxmax()[0], results["rolling_ols"], "SMB"))
    for name, regimes in {
        "volatility": ex.Regimes.from_volatility(data, seed=0),
        "latents": ex.Regimes.from_latents(results["factor_vae"][0], data, seed=0),
    }.items():
        report.picture(f"regimes_{name}", regimes.plot())
        report.table(f"Regimes by {name}", regimes.summary())
        report.table(f"Spells of 15 days or more, by {name}", regimes.spells(15).set_index("start"))
    regressions = {k: results[k] for k in ("rolling_ols", "kalman", "dcc_garch", "bayes_random_walk")}
    symbol = data.assets[0]
    from bdfm.exposures import plots

    report.picture("paths", plots.exposure_paths(regressions, symbol))
    report.picture("map", results["kalman"].plot_map("Mkt-RF"))


def simulated(report: Report, n_replicates: int, seed: int) -> None:
    """Delay and error of each method, and the disentanglement score, where the truth is known."""
    methods = [
        ex.ConstantBetas(),
        ex.RollingOLS(),
        ex.KalmanBetas(),
        ex.DCCGarch(),
        ex.BayesianRandomWalk(),
        ex.PrincipalComponents(3),
        ex.FactorVAE(n_latents=3, max_epochs=100, patience_epochs=10),
    ]
    study = ex.MovingBetasStudy.run(methods, n_replicates=n_replicates, seed=seed)
    report.table("Moving betas: delay in days, error of the market beta", study.table(), digits=2)
    report.picture("moving_betas", study.plot())
    rows = {}
    for gamma in (0.0, 6.0):
        scores = [blocks_score(gamma, s) for s in range(3)]
        rows[gamma] = {"mean": float(np.mean(scores)), "least": min(scores), "greatest": max(scores)}
    report.table(
        "Disentanglement score on simulated sectors", pd.DataFrame(rows).T.rename_axis("gamma"), digits=3
    )


def blocks_score(gamma: float, seed: int, n_factors: int = 5, block: int = 8) -> float:
    """Kim and Mnih's score of a FactorVAE on returns with one independent factor for each block of assets."""
    rng = np.random.default_rng(100 + seed)
    loadings = np.kron(np.eye(n_factors), np.ones((block, 1))) * np.linspace(0.7, 1.3, n_factors)

    def decode(factors: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        noise = generator.standard_normal((len(factors), len(loadings)))
        return 0.01 * (factors @ loadings.T + 0.5 * noise)

    factors = rng.standard_normal((3000, n_factors))
    data = ex.ExposureData.from_arrays(decode(factors, rng), 0.01 * factors)
    model = ex.FactorVAE(n_latents=n_factors, gamma=gamma, max_epochs=80, patience_epochs=10).train(
        data, seed=seed
    )
    return ex.disentanglement_score(lambda r: model.encode(r)[0], decode, n_factors, seed=seed).accuracy


NAMES: Final = {
    "constant": "constant betas",
    "rolling_ols": "rolling least squares",
    "kalman": "Kalman filter",
    "dcc_garch": "DCC-GARCH",
    "bayes_random_walk": "Bayesian random walk",
    "pca": "10 principal components",
    "factor_vae": "FactorVAE",
    "factor_vae, as published": "FactorVAE as published",
    "vae (gamma 0)": "VAE (γ = 0)",
}


def error_lines(numbers: dict[str, Any]) -> str:
    """Markdown of the errors of all methods, predictions beside constant betas, and the confidence set."""
    against = {row["method"]: row for row in numbers["Prediction against constant betas"]}
    inside = {row["method"]: row for row in numbers["Model confidence set of predictions, 10 %"]}
    lines = [
        "| method | reconstruction | prediction | against constant betas | in the 90 % set |",
        "|---|---|---|---|---|",
    ]
    for row in numbers["Test errors"]:
        name = row["method"]
        seeds = [
            f" ± {row[f'{k}_seed_sd']:.3f}" if row[f"{k}_seed_sd"] is not None else ""
            for k in ("reconstruction", "prediction")
        ]
        apart = against.get(name)
        lines.append(
            f"| {NAMES[name]} | {row['reconstruction_standardised']:.3f}{seeds[0]} |"
            f" {row['prediction_standardised']:.3f}{seeds[1]} |"
            + ("" if apart is None else f" {apart['difference']:+.3f} ± {apart['standard_error']:.3f}")
            + f" | {'yes' if inside[name]['included'] else 'no'} |"
        )
    return "\n".join(lines)


def life_lines(numbers: dict[str, Any]) -> str:
    """Markdown of the living latents, with the prediction by the whole decoder."""
    whole = {row["method"]: row["prediction"] for row in numbers[WHOLE_DECODER]}
    lines = [
        "| network | alive, of 10 | active units | used | KL of the least and the most alive | KL of all |"
        " prediction by the whole decoder |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in numbers["Living latents"]:
        lines.append(
            f"| {NAMES[row['method']]} | {row['active']:.1f} | {row['active units']:.1f} |"
            f" {row['used']:.1f} |"
            f" {row['least KL']:.3f}, {row['most KL']:.2f} | {row['all KL']:.2f} |"
            f" {whole[row['method']]:.3f} |"
        )
    return "\n".join(lines)


def write_docs(folder: Path, numbers: dict[str, Any]) -> None:
    """Write the figures, and the tables of the page that are made of them."""
    kept = {name: numbers[name] for name in PAGE if name in numbers}
    text = json.dumps(kept, indent=1, sort_keys=True)
    (folder / "exposures_study.json").write_text(text + "\n", encoding="utf-8")
    write_table(folder / "exposures.md", "errors", error_lines(numbers))
    write_table(folder / "exposures.md", "living latents", life_lines(numbers))


def main(
    prices: Annotated[Path, typer.Option()],
    sectors: Annotated[Path, typer.Option()],
    factors: Annotated[Path, typer.Option()],
    out: Annotated[Path, typer.Option()],
    assets: int = 100,
    seeds: int = 3,
    replicates: int = 10,
    seed: int = 1,
    end: str | None = None,
    part: Annotated[list[str] | None, typer.Option()] = None,
    docs: Path | None = None,
) -> None:
    """Run the study."""
    parts = part or ["errors", "latents", "sweeps", "simulation"]
    report = Report(out)
    table = bdfm.read_prices(prices)
    groups = pd.read_csv(sectors, keep_default_na=False).set_index("symbol")["gics_sector"]
    groups = groups[groups.index.isin(table.columns)]
    chosen = ex.choose_assets(groups, assets, seed=seed)
    data = ex.ExposureData.from_prices(
        table[chosen].loc[:end], ex.read_factors(factors, unit="percent")[FACTORS], sectors=groups
    )
    report.say("# Time-varying exposures")
    report.say(repr(data))
    report.say(
        f"Python {platform.python_version()}, bdfm {bdfm.__version__}, stocks by seed {seed}:"
        f" {', '.join(chosen)}"
    )
    several = list(range(1, seeds + 1))
    report.numbers["data"] = {
        name: [f"{data.days[data.days_of(name)][k]:%Y-%m-%d}" for k in (0, -1)]
        + [len(data.days[data.days_of(name)])]
        for name in ("training", "validation", "test")
    } | {"assets": len(data.assets), "seeds": seeds, "seed": seed}
    if "errors" in parts or "latents" in parts:
        results, model = methods_on_data(report, data, several)
        if "latents" in parts:
            pictures(report, data, results, model)
    if "sweeps" in parts:
        report.say("## Sweeps")
        sweep(report, data, several, "Sweep of gamma at K = 10", GAMMAS, "gamma")
        sweep(report, data, several, "Sweep of K at gamma = 6", LATENTS, "n_latents")
    if "simulation" in parts:
        report.say("## Simulation")
        simulated(report, replicates, seed)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # kilobytes on Linux
    cpu = time.process_time()
    report.numbers |= {"seconds": report.seconds, "cpu_seconds": cpu, "peak_gib": peak}
    if docs is not None:
        write_docs(docs, report.numbers)
    report.say(f"{report.seconds / 60:.1f} minutes ({cpu / 60:.1f} of one CPU), {peak:.2f} GiB at most.")


if __name__ == "__main__":
    typer.run(main)
