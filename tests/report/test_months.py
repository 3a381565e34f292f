"""Several months at once: each whole or not at all, and a table of what came of all of them."""

from __future__ import annotations

import re

import pytest

from bdfm import _memory
from bdfm._folders import OutputFolder
from bdfm.data.sources import demo, read_universe
from bdfm.errors import DataError, FileError
from bdfm.posterior.posterior import Posterior
from bdfm.report import months
from bdfm.report.months import run_months

RUN = """
seed = 3
n_draws = 2000
model = "m6"
out = "{out}"
outputs = ["submission", "posterior"]
decision = false
{more}

[data]
prices = "prices.csv"
universe = "universe.csv"
origin = {origin}

[sampler]
draws = 20
tune = 20
chains = 2
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("months")
    prices, universe = demo()
    members = ["AAPL", "AMD", "BAC", "BBY", "CVX", "PEP"]
    prices.loc["2017":"2021-02", members].to_csv(path / "prices.csv")
    universe[universe["symbol"].isin(members)].to_csv(path / "universe.csv", index=False)
    return path


@pytest.fixture
def month(folder, tmp_path):
    """Write a run file; its results go to a folder of the test."""

    def write(name, *, origin="2020-11-20", more="", out=None):
        path = folder / f"{tmp_path.name}-{name}.toml"
        path.write_text(RUN.format(out=(tmp_path / (out or name)).as_posix(), origin=origin, more=more))
        return path

    return write


@pytest.mark.long
def test_one_that_fails_ends_no_other(month, tmp_path):
    good, bad, odd = month("good"), month("bad", origin="2030-01-01"), month("odd", more="colour = 3")
    late = month("late", origin="2020-12-18")
    seen = []
    found = run_months([good, bad, odd, late], workers=2, on_done=seen.append)
    assert [o.path for o in found] == [good, bad, odd, late]
    assert sorted(o.path for o in seen) == sorted(o.path for o in found)
    assert [bool(o.error) for o in found] == [False, True, True, False]
    assert "2030-01-01" in found[1].error
    assert "colour" in found[2].error
    assert found[0].n_assets == 6
    assert "R-hat" in found[0].verdict
    assert (tmp_path / "good" / "submission.csv").exists()
    assert (tmp_path / "late" / "posterior.nc").exists()
    assert not (tmp_path / "bad").exists()
    assert list(months.table(found)["state"]) == ["done", "failed", "failed", "done"]
    run_months([month("same")])  # in this process
    one, other = ((tmp_path / n / "submission.csv").read_bytes() for n in ("good", "same"))
    assert one == other


@pytest.mark.long
def test_a_month_waits_for_the_one_it_starts_from(month, tmp_path):
    second = month("second", origin="2020-12-18", more=f'warm_from = "{(tmp_path / "first").as_posix()}"')
    order = []
    found = run_months([second, month("first")], on_done=lambda o: order.append(o.out.name))
    assert order == ["first", "second"]
    assert not any(o.error for o in found)
    broken = month("first", origin="2030-01-01")
    # The posterior of before is still there, and is not taken; nothing is left for two workers then.
    found = run_months([second, broken], workers=2)
    assert (tmp_path / "first" / "posterior.nc").exists()
    assert f"not begun: it starts from the posterior of {broken}" in found[0].error
    circle = [
        month(a, more=f'warm_from = "{(tmp_path / b).as_posix()}"') for a, b in (("c", "d"), ("d", "c"))
    ]
    with pytest.raises(DataError, match=r"start from each other's posteriors"):
        run_months(circle)


@pytest.fixture
def evenings(month, tmp_path):
    """Run files of months that go on from the folder in which all lie, the latest first."""
    warm = f'warm_from = "{tmp_path.as_posix()}"'
    later = {"c": "2021-01-15", "b": "2020-12-18"}

    def write(**first):
        return [*(month(n, origin=o, more=warm) for n, o in later.items()), month("a", **first)]

    return write


def test_months_of_a_folder_that_they_go_on_from_are_made_in_order(evenings, tmp_path):
    """They had to be run one by one, or name each other."""
    order = []
    paths = evenings()
    found = run_months(paths, check=True, on_done=lambda o: order.append(o.out.name))
    assert [o.error for o in found] == ["", "", ""]
    assert order == ["a", "b", "c"]
    alone = run_months(paths[:1], check=True)  # without a month beside it
    assert "holds no posterior, nor a month that has one" in alone[0].error
    (tmp_path / "posterior.nc").write_bytes(b"of a month, beside which others are written")
    assert "posterior.nc" in run_months(paths, check=True)[1].error


def test_months_of_a_folder_are_begun_whatever_came_of_the_earlier_ones(evenings):
    """What is there may be enough: each says itself where it is not."""
    paths = evenings(more="colour = 3")  # of which nobody knows the origin
    third, second, first = run_months(paths, check=True)
    assert "colour" in first.error
    assert all("holds no posterior" in o.error for o in (second, third))
    paths = evenings()
    paths[2].write_text(paths[2].read_text().replace("universe.csv", "gone.csv"))
    third, second, first = run_months(paths, check=True)
    assert "gone.csv" in first.error
    assert all("holds no posterior" in o.error for o in (second, third))
    paths = evenings()
    paths[2].write_text(paths[2].read_text().replace(', "posterior"', ""))
    assert "holds no posterior" in run_months(paths, check=True)[1].error  # the first is no start


def test_months_of_a_folder_take_what_is_there_where_those_of_the_list_are_none(month, tmp_path):
    """A month of another model kept them from being begun, or from being in order."""
    assert not run_months([month("a")])[0].error
    warm = f'warm_from = "{tmp_path.as_posix()}"'
    house, later = month("house", origin="2020-12-18"), month("later", origin="2021-01-15", more=warm)
    text = house.read_text().replace('"m6"', '"house"')
    house.write_text(text)
    assert [o.error for o in run_months([house, later], check=True)] == ["", ""]
    house.write_text(text.replace("universe.csv", "gone.csv"))
    for check in (True, False):
        first, second = run_months([house, later], check=check)
        assert "gone.csv" in first.error
        assert not second.error
    assert Posterior.load(tmp_path / "later").attrs["warm_from"] == "2020-11-20"
    house.write_text(text.replace(f"{tmp_path.as_posix()}/house", f"{tmp_path.as_posix()}/a"))
    named = month("named", origin="2021-01-15", more=f'warm_from = "{tmp_path.as_posix()}/a"')
    (tmp_path / "later" / "posterior.nc").unlink()
    first, *others = run_months([house, later, named], check=True)  # over the only one that there is
    assert not first.error
    assert all("is of model 'house' with other settings" in o.error for o in others)


@pytest.mark.long
@pytest.mark.parametrize("folder_of_months", [True, False])
def test_a_list_is_given_again_with_more_months_after_some_are_there(folder_of_months, month, tmp_path):
    """Months that a ledger holds are refused, and those that start from them are not."""
    book = tmp_path / "book"
    book.mkdir()
    more, paths = f'ledger = "{book.as_posix()}"', []
    for name, origin in {"a": "2020-11-20", "b": "2020-12-18", "c": "2021-01-15"}.items():
        source = book if folder_of_months or not paths else book / "ab"[len(paths) - 1]
        warm = f'\nwarm_from = "{source.as_posix()}"' if paths else ""
        paths.append(month(name, origin=origin, out=f"book/{name}", more=more + warm))
    assert not any(o.error for o in run_months(paths[:2]))
    for check in (True, False):
        *there, last = run_months(paths, check=check)
        assert all("holds a month already" in o.error and o.there for o in there)
        assert not last.error
    assert Posterior.load(book / "c").attrs["warm_from"] == "2020-12-18"
    (book / "b" / "posterior.nc").unlink()
    if not folder_of_months:
        fourth = month("d", origin="2021-02-12", more=f'warm_from = "{(book / "b").as_posix()}"')
        assert f"the posterior of {paths[1]}, which failed" in run_months([paths[1], fourth])[1].error


def test_a_run_that_was_killed_is_settled_before_it_is_seen_where_months_start(evenings, tmp_path):
    """The folder is a month of its own, whose files were taking their names."""
    left = tmp_path / ".bdfm-01234567"
    left.mkdir()
    (left / "posterior.nc").write_bytes(b"of a month, beside which others are written")
    (left / ".whole").touch()
    assert "posterior.nc" in run_months(evenings(), check=True)[1].error


def test_a_check_of_a_month_of_a_folder_passes_over_other_models(evenings):
    """As its run does: the nearest of those of its own model."""
    paths = evenings()
    paths[1].write_text(paths[1].read_text().replace('"m6"', '"house"').replace("warm_from", "#"))
    assert [o.error for o in run_months(paths, check=True)] == ["", "", ""]
    paths[2].write_text(paths[2].read_text().replace('"m6"', '"momentum"'))
    assert "is of model 'house' with other settings" in run_months(paths, check=True)[0].error  # the latest


@pytest.mark.long
def test_months_of_a_folder_go_on_from_the_nearest(evenings, tmp_path):
    paths = evenings()
    for _ in range(2):  # and once more, where all are there
        assert not any(o.error for o in run_months(paths, workers=2))
        warm = {n: Posterior.load(tmp_path / n).attrs.get("warm_from") for n in "abc"}
        assert warm == {"a": None, "b": "2020-11-20", "c": "2020-12-18"}


def test_what_would_overwrite_or_is_not_there_is_refused_before_the_first(month, tmp_path):
    with pytest.raises(DataError, match=r"1 folder of results given more than once .*folder of its own"):
        run_months([month("a", out="same"), month("b", out="same")])
    one = month("a")
    with pytest.raises(DataError, match=r"1 run file given more than once"):
        run_months([one, one])
    with pytest.raises(FileError, match=r"nowhere.toml"):
        run_months([one, tmp_path / "nowhere.toml"])
    with pytest.raises(DataError, match="workers"):
        run_months([one, month("b")], workers=0)
    assert not (tmp_path / "a").exists()


@pytest.fixture
def budgets(monkeypatch):
    """Budget of each month, none of which is run."""
    given = []

    def outcome(job, task):
        given.append(job.memory)
        return months.Outcome(task.path, task.out)

    monkeypatch.setattr(months, "spread", lambda work, job, wave, **_: [outcome(job, t) for t in wave])
    return given


def test_a_budget_too_small_for_the_workers_is_refused(month, budgets):
    """Each had taken 200 MB, whatever all of them were to keep to."""
    paths = [month("a"), month("b")]
    with pytest.raises(DataError, match=r"350 MB for 2 workers .* Give at least 400 MB, or fewer workers"):
        run_months(paths, workers=2, memory="350MB")
    run_months(paths, workers=2, memory="400MB")
    run_months(paths, memory="350MB")
    run_months(paths, workers=2, memory="350MB", check=True)
    assert budgets == [200e6] * 2 + [350e6] * 2 + [200e6] * 2


def test_the_budget_is_that_of_months_that_work_at_once(month, evenings, tmp_path, budgets):
    """Months that follow each other had a part of it each, and so had those that keep to one of their own."""
    own = [month(n, more='memory = "1GB"') for n in "xy"]
    run_months(evenings(), workers=4, memory="350MB")
    run_months(own, workers=2, memory="350MB")
    run_months([*own, month("z")], workers=3, memory="350MB")
    assert {*budgets} == {350e6}
    budgets.clear()
    run_months([*evenings(), month("z"), month("w")], workers=4, memory="6GB")
    assert {*budgets} == {2e9}


def test_workers_share_the_budget(month, monkeypatch, budgets):
    run_months([month("a"), month("b"), month("c")], workers=2, memory="6GB")
    run_months([month("a")], workers=4, memory="6GB")
    monkeypatch.setattr(_memory, "total", lambda: 16_000_000_000)
    run_months([month("a"), month("b")], workers=2)
    run_months([month("a"), month("b")], scheduler="tcp://somewhere:1", memory="6GB")
    run_months([month("a"), month("b")], scheduler="tcp://somewhere:1")
    assert budgets == [3e9] * 3 + [6e9] + [4e9] * 2 + [6e9] * 2 + [None] * 2


@pytest.mark.slow
def test_on_a_scheduler(month, tmp_path):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        found = run_months([month("a"), month("b", origin="2030-01-01")], scheduler=cluster.scheduler_address)
    assert [bool(o.error) for o in found] == [False, True]
    assert (tmp_path / "a" / "submission.csv").exists()


def test_the_command_tells_of_all_and_fails_where_one_did(month, bdfm_command, tmp_path):
    good, bad = month("good"), month("bad", origin="2030-01-01")
    code, out, err = bdfm_command("run", good, bad, "--check")
    text = " ".join(out.split())
    assert code == 2
    assert "1 of 2 months are in order." in text
    assert {"in", "order,", "nothing", "fitted"} <= set(text.split())  # in lines of a narrow column
    assert "2030-01-01" in " ".join(err.split())
    assert not (tmp_path / "good").exists()
    code, out, _ = bdfm_command("run", good, month("more"), "--memory", "2GB")
    assert code == 0
    assert "2 of 2 months are done." in " ".join(out.split())
    code, _, err = bdfm_command("run", good, month("more"), "--memory", "plenty")
    assert code == 2
    assert "memory: 'plenty' is no size of memory" in " ".join(err.split())


def test_a_month_of_the_same_call_that_is_entered_already_is_done(month, tmp_path):
    (tmp_path / "book").mkdir()
    path = month("a", out="book/a", more=f'ledger = "{(tmp_path / "book").as_posix()}"')
    task, job = months._task(path), months._Job(check=False, memory=None)
    first = months._outcome(job, task)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "book" / "a").iterdir()}
    again = months._outcome(job, task)  # by another worker, since the first died before it could tell
    assert again.error == ""
    assert (again.n_assets, again.converged) == (first.n_assets, first.converged) == (6, False)
    assert again.verdict.startswith("not converged: worst R-hat ")
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "book" / "a").iterdir()} == before
    assert "holds a month already" in months._outcome(job, months._task(path)).error  # of a later call
    path.write_text(path.read_text().replace("seed = 3", "seed = 4"))
    assert "holds a month already" in months._outcome(job, task).error  # of another run file


def test_a_folder_that_another_run_holds_is_waited_for(month, tmp_path, monkeypatch):
    task, tries = months._task(month("a")), []
    read = months.read_month
    monkeypatch.setattr(months, "read_month", lambda path, **_: tries.append(1) or read(path))
    held = OutputFolder(task.out).__enter__()
    monkeypatch.setattr(months.time, "sleep", lambda _: held.__exit__(OSError, None, None))
    assert not months._outcome(months._Job(False, None, 60.0), task).error
    assert len(tries) == 2
    with OutputFolder(task.out):
        assert (
            "another run is writing to this folder" in months._outcome(months._Job(False, None), task).error
        )
    assert len(tries) == 3
    jobs = []
    monkeypatch.setattr(months, "spread", lambda work, job, wave, **_: jobs.append(job) or [])
    for settings in ({}, {"workers": 2}, {"scheduler": "tcp://a:1"}, {"workers": 2, "check": True}):
        with pytest.raises(KeyError):  # of outcomes, of which there are none
            run_months([task.path], **settings)
    assert [j.patience for j in jobs] == [0.0, months.PATIENCE, months.PATIENCE, 0.0]


def test_paths_are_those_of_the_caller_on_a_scheduler(month, tmp_path, monkeypatch):
    path = month("a")
    monkeypatch.chdir(path.parent)
    done = []

    def elsewhere(work, job, wave, **_):
        monkeypatch.chdir(tmp_path)  # as a worker that was started there
        done.extend(work(job, task) for task in wave)
        monkeypatch.chdir(path.parent)
        return done

    monkeypatch.setattr(months, "spread", elsewhere)
    (outcome,) = run_months([path.name], scheduler="tcp://a:1", check=True)
    assert (outcome.error, f"{outcome.path}") == ("", path.name)


def chain(month, tmp_path, *changes, outputs=None):
    """Run files of months, each of which starts from the one before; ``changes``: of each but the first."""
    paths, origins = [month("m0")], ["2020-12-18", "2021-01-15"]
    for k, (origin, change) in enumerate(zip(origins, changes, strict=False), 1):
        before = (tmp_path / f"m{k - 1}").as_posix()
        paths.append(month(f"m{k}", origin=origin, more=f'warm_from = "{before}"'))
        for old, new in change.items():
            paths[-1].write_text(paths[-1].read_text().replace(old, new))
    if outputs is not None:
        paths[0].write_text(paths[0].read_text().replace('["submission", "posterior"]', outputs))
    return paths


def test_a_chain_of_months_that_are_not_there_is_in_order(month, tmp_path):
    paths = chain(month, tmp_path, {}, {"2021-01-15": "2020-12-31"})
    for order in (paths, paths[::-1]):
        assert [o.error for o in run_months(order, check=True)] == ["", "", ""]
    assert not list(tmp_path.iterdir())
    (alone,) = run_months(paths[1:2], check=True)  # that is what a run of it alone would say
    assert "does not exist" in alone.error


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"2020-12-18": "2020-10-23"}, "knows all up to 2020-11-20, after the origin 2020-10-23"),
        ({'"m6"': '"house"'}, "is of model 'm6' with other settings than those of model 'house'"),
        ({"universe.csv": "others.csv"}, "has none of the assets here"),
        ({"[sampler]": '[sampler]\nengine = "nuts"'}, "only the Gibbs sampler goes on"),
    ],
)
def test_what_a_chain_would_refuse_later_is_refused_by_a_check(change, said, folder, month, tmp_path):
    prices, universe = demo()
    others = universe[~universe["symbol"].isin(read_universe(folder / "universe.csv")["symbol"])]
    others[others["symbol"].isin(["PFE", "JPM", "UNH"])].to_csv(folder / "others.csv", index=False)
    prices.loc["2017":"2020"].to_csv(folder / "all.csv")
    change |= {"prices.csv": "all.csv"}
    first, second = run_months(chain(month, tmp_path, change), check=True)
    assert not first.error
    assert re.search(said, second.error), second.error


@pytest.mark.parametrize("workers", [1, 2])  # two have nothing to do once the second is not begun
def test_a_month_without_a_posterior_is_no_start(workers, month, tmp_path):
    paths = chain(month, tmp_path, {}, outputs='["submission"]')
    found = run_months(paths, check=True, workers=workers)
    assert not found[0].error
    assert 'which writes none. Add "posterior" to the outputs there' in found[1].error


def test_a_month_does_not_start_from_itself(month, tmp_path):
    itself = month("self", more=f'warm_from = "{(tmp_path / "self").as_posix()}"')
    other = month("other")
    found = run_months([itself, other], check=True)
    assert "is the folder of the results too" in found[0].error
    assert not found[1].error
