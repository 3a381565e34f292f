"use strict";
// Arithmetic of "What if": draws of a page reweighted by views, as Forecast.with_views does it in Python.
// Evidence multiplies weights by its likelihood; constraints take the weights of minimum relative entropy
// (entropy.js). A view is a table of a run file: kind, semantics, and its fields. Draws are stored asset by
// asset.
const WhatIf = (function () {
  const { dot, sum, scaled, moments, minimumRelativeEntropy, tilt } =
    typeof Entropy === "undefined" ? require("./entropy.js") : Entropy; // a page has all scripts in one
  const FIFTHS = 5;
  const SIGN = { equal: 0, at_least: 1, at_most: -1 };
  const WORDS = { equal: "", at_least: "at least ", at_most: "at most " };
  const RETURNS = ["absolute", "relative"];

  function effectiveNumber(weights) {
    return 1 / dot(weights, weights);
  }

  // -- draws ---------------------------------------------------------------------------------------------

  function bytes(text) {
    const raw = atob(text);
    const found = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) found[i] = raw.charCodeAt(i);
    return new DataView(found.buffer);
  }

  // Draws of the page's data: returns in single precision (asset, draw), weights (draw), ranks.
  function read(data) {
    const n = data.assets.length;
    const m = data.n_draws;
    const steps = bytes(data.draws);
    const returns = [];
    for (let a = 0; a < n; a++) {
      const column = new Float32Array(m);
      for (let d = 0; d < m; d++) column[d] = data.low[a] + data.step[a] * steps.getUint16(2 * (a * m + d), true);
      returns.push(column);
    }
    const raw = bytes(data.weights);
    const weights = new Float64Array(m);
    for (let d = 0; d < m; d++) weights[d] = raw.getFloat64(8 * d, true);
    const place = new Map(data.assets.map((symbol, a) => [symbol, a]));
    const least = Math.min(data.min_effective_draws, data.min_effective_share * effectiveNumber(weights));
    const ranked = ranks(returns, n, m);
    return { assets: data.assets, n, m, returns, weights, place, least, largest: data.largest, ...ranked };
  }

  // Floats as whole numbers in the same order, -0 as 0.
  function ordered(column) {
    const bits = new Int32Array(Float32Array.from(column, (x) => x + 0).buffer);
    return Float64Array.from(bits, (b) => (b < 0 ? 2147483648 - (b >>> 0) : b));
  }

  // First and last position of each asset among those that tie with it (asset, draw), and draws in order of
  // return (asset, draw). Value and place are packed into one number, which sorts without a comparison.
  function ranks(returns, n, m) {
    const keys = returns.map(ordered);
    const start = returns.map(() => new Uint32Array(m));
    const stop = returns.map(() => new Uint32Array(m));
    const row = new Float64Array(n);
    for (let d = 0; d < m; d++) {
      for (let a = 0; a < n; a++) row[a] = keys[a][d] * n + a;
      row.sort();
      for (let first = 0; first < n; ) {
        const value = Math.floor(row[first] / n);
        let last = first + 1;
        while (last < n && Math.floor(row[last] / n) === value) last++;
        for (let i = first; i < last; i++) {
          const a = row[i] - value * n;
          start[a][d] = first;
          stop[a][d] = last;
        }
        first = last;
      }
    }
    const order = keys.map((key) => {
      const packed = key.map((value, d) => value * m + d).sort();
      return Uint32Array.from(packed, (x) => x - Math.floor(x / m) * m);
    });
    return { start, stop, order };
  }

  function shareOfFifth(sample, a, d, fifth) {
    const first = sample.start[a][d];
    const last = sample.stop[a][d];
    const low = Math.max(first * FIFTHS, (fifth - 1) * sample.n);
    const high = Math.min(last * FIFTHS, fifth * sample.n);
    return Math.max(high - low, 0) / ((last - first) * FIFTHS);
  }

  // -- what weights say ----------------------------------------------------------------------------------

  // Probability (asset, fifth) that an asset ranks in each fifth, lowest first.
  function fifths(sample, weights) {
    const whole = sample.n % FIFTHS === 0; // then an asset that ties with none lies in one fifth
    return sample.returns.map((_, a) => {
      const found = new Float64Array(FIFTHS);
      const first = sample.start[a];
      const last = sample.stop[a];
      for (let d = 0; d < sample.m; d++) {
        const weight = weights[d];
        if (weight === 0) continue;
        if (whole && last[d] === first[d] + 1) {
          found[Math.floor((first[d] * FIFTHS) / sample.n)] += weight;
          continue;
        }
        let fifth = Math.floor((first[d] * FIFTHS) / sample.n) + 1;
        for (; fifth <= FIFTHS && (fifth - 1) * sample.n < last[d] * FIFTHS; fifth++)
          found[fifth - 1] += weight * shareOfFifth(sample, a, d, fifth);
      }
      return found;
    });
  }

  // Least value of x (draw) up to which there is a share of the weights; order sorts x.
  function quantile(x, order, share, weights) {
    let total = 0;
    for (let i = 0; i < order.length; i++) {
      total += weights[order[i]];
      if (total >= share * (1 - 1e-12)) return x[order[i]];
    }
    return x[order[order.length - 1]];
  }

  function assetQuantile(sample, a, share, weights) {
    return quantile(sample.returns[a], sample.order[a], share, weights);
  }

  // Return (draw) of a portfolio of weights (asset).
  function portfolio(sample, held) {
    const x = new Float64Array(sample.m);
    held.forEach((weight, a) => {
      if (weight !== 0) for (let d = 0; d < sample.m; d++) x[d] += weight * sample.returns[a][d];
    });
    return x;
  }

  // Risk of a book of returns x (draw), losses positive.
  function risk(x, weights, level) {
    const order = Uint32Array.from(x.keys()).sort((i, j) => x[i] - x[j]);
    const { mean, sd } = moments(x, weights);
    const atRisk = -quantile(x, order, 1 - level, weights);
    let excess = 0;
    let loss = 0;
    for (let d = 0; d < x.length; d++) {
      excess += weights[d] * Math.max(-x[d] - atRisk, 0);
      if (x[d] < 0) loss += weights[d];
    }
    return {
      mean,
      volatility: sd,
      value_at_risk: atRisk,
      expected_shortfall: atRisk + excess / (1 - level),
      probability_of_loss: loss,
    };
  }

  // -- views ---------------------------------------------------------------------------------------------

  function symbols(view) {
    if (view.kind === "ordering") return [view.above, view.below];
    return view.kind === "relative" ? [view.asset, view.over] : [view.asset];
  }

  // What a view is about (draw): a return, or the share to which an event happens.
  function feature(sample, view) {
    const [one, other] = symbols(view).map((symbol) => sample.place.get(symbol));
    const x = sample.returns[one];
    const y = sample.returns[other];
    const of = {
      absolute: (d) => x[d],
      relative: (d) => x[d] - y[d],
      ordering: (d) => (x[d] === y[d] ? 0.5 : x[d] > y[d] ? 1 : 0),
      quantile: (d) => shareOfFifth(sample, one, d, view.quantile),
    }[view.kind];
    return Float64Array.from({ length: sample.m }, (_, d) => of(d));
  }

  function logLikelihood(view, x) {
    if (RETURNS.includes(view.kind)) return x.map((value) => -0.5 * ((value - view.mean) / view.sd) ** 2);
    const base = view.kind === "ordering" ? 0.5 : 1 / FIFTHS;
    const happens = view.probability / base;
    const not = (1 - view.probability) / (1 - base);
    return x.map((share) => Math.log(share * happens + (1 - share) * not));
  }

  // Constraints: expectations first; then standard deviations about the means that these gave, which are held.
  function pooled(sample, views, prior) {
    const rows = views.map((view) => ({
      feature: feature(sample, view),
      target: RETURNS.includes(view.kind) ? view.mean : view.probability,
      sign: SIGN[view.sense || "equal"],
    }));
    const first = tilt(rows, prior);
    if (first === null || views.every((view) => view.sd === undefined)) return first;
    const more = [];
    views.forEach((view, k) => {
      if (view.sd === undefined) return;
      const x = rows[k].feature;
      const { mean } = moments(x, first);
      if (rows[k].sign !== 0) rows[k] = { feature: x, target: mean, sign: 0 };
      more.push({ feature: x.map((value) => (value - mean) ** 2), target: view.sd ** 2, sign: 0 });
    });
    return tilt(rows.concat(more), prior);
  }

  // Weights under which all views hold, however few draws are left; null where there are none.
  function attempt(sample, views) {
    let weights = sample.weights;
    const evidence = views.filter((view) => view.semantics === "evidence");
    if (evidence.length) {
      const log = weights.map(Math.log);
      for (const view of evidence) logLikelihood(view, feature(sample, view)).forEach((y, d) => (log[d] += y));
      const top = log.reduce((x, y) => Math.max(x, y));
      const raw = log.map((y) => Math.exp(y - top));
      weights = scaled(raw, sum(raw));
    }
    const constraints = views.filter((view) => view.semantics === "constraint");
    return constraints.length ? pooled(sample, constraints, weights) : weights;
  }

  function good(sample, weights) {
    return weights !== null && effectiveNumber(weights) >= sample.least;
  }

  function percent(x) {
    return `${Number((100 * x).toPrecision(4))} %`;
  }

  // The statement in a few words.
  function text(view) {
    const bound = WORDS[view.sense || "equal"];
    if (RETURNS.includes(view.kind)) {
      const start = view.kind === "absolute" ? `${view.asset} returns` : `${view.asset} beats ${view.over} by`;
      return `${start} ${bound}${percent(view.mean)}` + (view.sd === undefined ? "" : ` ± ${percent(view.sd)}`);
    }
    const { kind, above, below, asset, quantile: fifth } = view;
    const start = kind === "ordering" ? `${above} above ${below}` : `${asset} in quantile ${fifth} of ${FIFTHS}`;
    return `${start} with probability ${bound}${view.probability}`;
  }

  function confidence(view) {
    return view.confidence === undefined ? 1 : view.confidence;
  }

  // What is wrong with a view by itself, "" where nothing is.
  function ownFault(sample, view) {
    const named = symbols(view);
    if (named.length === 2 && named[0] === named[1]) return "name two different assets";
    const isReturn = RETURNS.includes(view.kind);
    const numbers = [isReturn ? view.mean : view.probability, confidence(view)];
    if (view.sd !== undefined || (isReturn && view.semantics === "evidence")) numbers.push(view.sd);
    if (!numbers.every(Number.isFinite)) return "a number is missing";
    if (confidence(view) < 0 || confidence(view) > 1) return "its confidence is from 0 to 100 %";
    if (isReturn && !(view.mean > -1 && view.mean <= sample.largest))
      return `a return is above -100 % and at most ${percent(sample.largest)}`;
    if (view.sd !== undefined && !(view.sd > 0 && view.sd <= sample.largest))
      return `its error is above 0 and at most ${percent(sample.largest)}`;
    if (!isReturn && !(view.probability >= 0 && view.probability <= 1)) return "a probability is from 0 to 100 %";
    if (!isReturn && view.semantics === "evidence" && (view.probability === 0 || view.probability === 1))
      return "evidence cannot be certain; give a probability between 0 and 100 %, or say that it holds";
    const fixed = named.every((symbol) => {
      const a = sample.place.get(symbol);
      return assetQuantile(sample, a, 0, sample.weights) === sample.returns[a][sample.order[a][sample.m - 1]];
    });
    return fixed ? "its return is the same in every draw; no weighting moves it" : "";
  }

  // What a view bounds: [what it is about, 1 from below or -1 from above or 0, the bound].
  function claim(view) {
    const named = symbols(view);
    const isReturn = RETURNS.includes(view.kind);
    const about = { ordering: "ordering", quantile: `fifth ${view.quantile}` }[view.kind] || "return";
    const subject = JSON.stringify([about, ...named.slice().sort()]);
    const value = isReturn ? view.mean : view.probability;
    const sign = SIGN[view.sense || "equal"];
    if (named.length === 1 || named[0] < named[1]) return [subject, sign, value];
    return [subject, -sign, isReturn ? -value : 1 - value];
  }

  // Why two views on one subject cannot stand together, "" where they are a band.
  function bandFault(view, other) {
    const [, sign, value] = claim(view);
    const [, itsSign, itsValue] = claim(other);
    if (sign * itsSign !== -1 || (view.sd !== undefined && other.sd !== undefined))
      return `View ${text(view)}: on the same subject as ${text(other)}. Keep one of them.`;
    if (sign * (value - itsValue) > 1e-9 * Math.max(Math.abs(value), Math.abs(itsValue)))
      return `View ${text(view)}: contradicts ${text(other)}. Exchange the bounds, or drop one of them.`;
    return "";
  }

  // A circle of orders that evidence says are more likely than not, "" where there is none.
  function circle(views) {
    const below = new Map();
    for (const { kind, semantics, above: x, below: y, probability: p } of views) {
      if (kind !== "ordering" || semantics !== "evidence" || p === 0.5) continue;
      const [high, low] = p > 0.5 ? [x, y] : [y, x];
      below.set(high, [...(below.get(high) || []), low]);
    }
    const done = new Set();
    const from = function (path) {
      const node = path[path.length - 1];
      if (path.indexOf(node) < path.length - 1) return path.slice(path.indexOf(node)).join(" above ");
      if (done.has(node)) return "";
      const found = (below.get(node) || []).reduce((why, next) => why || from([...path, next]), "");
      done.add(node);
      return found;
    };
    return [...below.keys()].reduce((why, node) => why || from([node]), "");
  }

  // Why views cannot be used, null where they can be.
  function fault(sample, views) {
    const seen = new Map();
    for (const view of views) {
      const strange = symbols(view).find((symbol) => !sample.place.has(symbol));
      if (strange !== undefined) return `There is no asset ${strange}.`;
      const wrong = ownFault(sample, view);
      if (wrong) return `View on ${symbols(view).join(" and ")}: ${wrong}.`;
      const [subject] = claim(view);
      const others = seen.get(subject) || [];
      const twice = others.map((other) => bandFault(view, other)).find((why) => why);
      if (twice) return twice;
      seen.set(subject, [...others, view]);
    }
    const around = circle(views);
    return around ? `Evidence on orders goes in a circle: ${around}. Drop one of them, or turn it round.` : null;
  }

  function refusal(sample, views) {
    const count = views.findIndex((_, k) => !good(sample, attempt(sample, views.slice(0, k + 1)))) + 1;
    const view = views[count - 1];
    const weights = attempt(sample, views.slice(0, count));
    const beside = count > 1 ? "together with those before it " : "";
    const left = (number) => Math.round(number).toLocaleString("en");
    if (weights !== null)
      return (
        `View ${text(view)}: ${beside}it leaves ${left(effectiveNumber(weights))} effective of ${left(sample.m)}` +
        ` draws, at least ${left(sample.least)} are needed. Weaken it, or drop it.`
      );
    const x = feature(sample, view);
    const ends = [x.reduce((y, z) => Math.min(y, z)), x.reduce((y, z) => Math.max(y, z))];
    const alone = count === 1 && RETURNS.includes(view.kind);
    const reach = alone ? `; they run from ${percent(ends[0])} to ${percent(ends[1])}` : "";
    return `View ${text(view)}: ${beside}no weighting of the draws satisfies it${reach}. Weaken it, or drop it.`;
  }

  // Weights (draw) after views, {weights, effective, refusal}; refused views leave the weights as they were.
  function reweigh(sample, views) {
    const wrong = fault(sample, views);
    const none = (why) => ({ weights: sample.weights, effective: effectiveNumber(sample.weights), refusal: why });
    if (wrong !== null) return none(wrong);
    const levels = [...new Set(views.map(confidence).filter((c) => c > 0))].sort((x, y) => x - y);
    if (!levels.length) return none(null);
    let total = sample.weights.map((weight) => (1 - levels[levels.length - 1]) * weight);
    for (let k = 0; k < levels.length; k++) {
      const some = views.filter((view) => confidence(view) >= levels[k]);
      const weights = attempt(sample, some);
      if (!good(sample, weights)) return none(refusal(sample, some));
      const share = levels[k] - (k ? levels[k - 1] : 0);
      total = total.map((weight, d) => weight + share * weights[d]);
    }
    const weights = scaled(total, sum(total));
    return { weights, effective: effectiveNumber(weights), refusal: null };
  }

  // -- the run file --------------------------------------------------------------------------------------

  function tomlValue(value) {
    if (typeof value === "number") return Number.isInteger(value) ? `${value}.0` : String(value);
    return JSON.stringify(value).replace(/\u007f/g, "\\u007f");
  }

  // Views as tables [[views]] of a run file.
  function toml(views) {
    const table = (view) =>
      Object.entries(view)
        .filter(([, value]) => value !== undefined)
        .map(([key, value]) => `${key} = ${key === "quantile" ? value : tomlValue(value)}`);
    return views.map((view) => ["[[views]]", ...table(view)].join("\n") + "\n").join("\n");
  }

  const views = { toml, text, symbols, feature, reweigh };
  const arithmetic = { fifths, assetQuantile, moments, quantile, portfolio, risk, effectiveNumber };
  return { read, minimumRelativeEntropy, ...arithmetic, ...views };
})();
if (typeof module !== "undefined") module.exports = WhatIf;
