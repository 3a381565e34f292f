"use strict";
// Arithmetic of "What if": draws of a page reweighted by views, as Forecast.with_views does it in Python.
// Evidence multiplies weights by its likelihood; constraints take the weights of minimum relative entropy.
// A view is a table of a run file: kind, semantics, and its fields. Draws are stored asset by asset.
const WhatIf = (function () {
  const FIFTHS = 5;
  const TOLERANCE = 1e-10; // of a constraint, in standard deviations of its feature: where steps end
  const HELD = 1e-8; // beyond which a constraint does not hold
  const FLAT = 1e-9; // slope along rows that depend on each other, above which it is none of rounding
  const ROUNDING = 1e-15; // of the dual's value
  const DEPENDENT = 1e-12; // share of the largest variance below which a combination has none
  const MAX_STEPS = 100;
  const SIGN = { equal: 0, at_least: 1, at_most: -1 };
  const WORDS = { equal: "", at_least: "at least ", at_most: "at most " };
  const RETURNS = ["absolute", "relative"];

  function dot(x, y) {
    let total = 0;
    for (let i = 0; i < x.length; i++) total += x[i] * y[i];
    return total;
  }

  function scaled(x, total) {
    return x.map((value) => value / total);
  }

  function sum(x) {
    let total = 0;
    for (let i = 0; i < x.length; i++) total += x[i];
    return total;
  }

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

  function moments(x, weights) {
    const mean = dot(x, weights);
    let variance = 0;
    for (let d = 0; d < x.length; d++) variance += weights[d] * (x[d] - mean) ** 2;
    return { mean, sd: Math.sqrt(Math.max(variance, 0)) };
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

  // -- minimum relative entropy --------------------------------------------------------------------------

  // Newton's step by Jacobi's rotations, and the steepest descent where rows depend on each other.
  function directions(matrix, right) {
    const k = right.length;
    const a = matrix.map((row) => Float64Array.from(row));
    const v = a.map((_, i) => Float64Array.from({ length: k }, (_x, j) => (i === j ? 1 : 0)));
    for (let sweep = 0; sweep < 60; sweep++) {
      let off = 0;
      let on = 0;
      for (let i = 0; i < k; i++) for (let j = 0; j < k; j++) i === j ? (on += a[i][j] ** 2) : (off += a[i][j] ** 2);
      if (off <= 1e-32 * on) break;
      for (let p = 0; p < k; p++)
        for (let q = p + 1; q < k; q++) {
          if (a[p][q] === 0) continue;
          const theta = (a[q][q] - a[p][p]) / (2 * a[p][q]);
          const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
          const c = 1 / Math.sqrt(t * t + 1);
          const s = t * c;
          for (let i = 0; i < k; i++) [a[i][p], a[i][q]] = [c * a[i][p] - s * a[i][q], s * a[i][p] + c * a[i][q]];
          for (let i = 0; i < k; i++) [a[p][i], a[q][i]] = [c * a[p][i] - s * a[q][i], s * a[p][i] + c * a[q][i]];
          for (let i = 0; i < k; i++) [v[i][p], v[i][q]] = [c * v[i][p] - s * v[i][q], s * v[i][p] + c * v[i][q]];
        }
    }
    const largest = Math.max(...a.map((row, i) => Math.abs(row[i])));
    const newton = new Float64Array(k);
    const flat = new Float64Array(k);
    for (let p = 0; p < k; p++) {
      const curved = Math.abs(a[p][p]) > DEPENDENT * largest;
      let part = 0;
      for (let i = 0; i < k; i++) part += v[i][p] * right[i];
      for (let i = 0; i < k; i++) (curved ? newton : flat)[i] -= (v[i][p] * part) / (curved ? a[p][p] : 1);
    }
    return { newton, flat };
  }

  // Step to the minimum of the dual's quadratic form within the bounds, by active sets: bounds that depend on
  // each other would be released and met again without end, one at a time.
  function withinBounds(g, q, gradient, x, bounded) {
    const moved = g.map((row, k) => row.map((y) => y - gradient[k]));
    const hessian = moved.map((one) => moved.map((other) => dot(one.map((y, d) => y * q[d]), other)));
    const held = bounded.map((is, k) => is && x[k] === 0);
    const step = new Float64Array(g.length);
    const slopes = () => gradient.map((y, k) => y + dot(hessian[k], step));
    for (let turn = 0; turn < MAX_STEPS; turn++) {
      let slope = slopes();
      const free = [...g.keys()].filter((k) => !held[k]);
      const inner = free.map((k) => free.map((j) => hessian[k][j]));
      const more = directions(inner, free.map((k) => slope[k])).newton;
      let [size, first] = [1, -1];
      free.forEach((k, i) => {
        const room = bounded[k] && more[i] < 0 ? (x[k] + step[k]) / -more[i] : Infinity;
        if (room < size) [size, first] = [room, k];
      });
      free.forEach((k, i) => (step[k] += size * more[i]));
      if (first >= 0) {
        step[first] = -x[first];
        held[first] = true;
        continue;
      }
      slope = slopes();
      const release = [...g.keys()].filter((k) => held[k] && slope[k] < -TOLERANCE);
      if (!release.length) break;
      held[release.reduce((a, b) => (slope[a] <= slope[b] ? a : b))] = false;
    }
    return step;
  }

  // Weights nearest to prior under rows {feature, target, sign}, or null: Newton's method on the dual.
  function minimumRelativeEntropy(rows, prior) {
    const used = [];
    prior.forEach((weight, d) => weight > 0 && used.push(d));
    const weight = Float64Array.from(used, (d) => prior[d]);
    const log = weight.map(Math.log);
    const limit = -log.reduce((x, y) => Math.min(x, y));
    const g = [];
    const bounded = [];
    for (const { feature, target, sign } of rows) {
      const row = Float64Array.from(used, (d) => feature[d] - target);
      const { mean, sd } = moments(row, weight);
      const small = 1e-12 * (1 + Math.abs(target));
      if (sd <= small) {
        if (sign === 0 ? Math.abs(mean) > small : sign * mean < -1e-12) return null;
        continue;
      }
      const unit = (sign < 0 ? -1 : 1) / sd;
      g.push(row.map((x) => x * unit));
      bounded.push(sign !== 0);
    }
    const weigh = function (x) {
      const exponent = Float64Array.from(log);
      g.forEach((row, k) => {
        if (x[k] !== 0) for (let d = 0; d < row.length; d++) exponent[d] += x[k] * row[d];
      });
      const top = exponent.reduce((y, z) => Math.max(y, z));
      const q = exponent.map((y) => Math.exp(y - top));
      const total = sum(q);
      return { value: top + Math.log(total), q: scaled(q, total) };
    };
    let x = new Float64Array(g.length);
    let { value, q } = weigh(x);
    for (let step = 0; step < MAX_STEPS; step++) {
      const gradient = g.map((row) => dot(row, q));
      const free = [];
      g.forEach((_, k) => (!bounded[k] || x[k] > 0 || gradient[k] < 0) && free.push(k));
      if (free.every((k) => Math.abs(gradient[k]) <= TOLERANCE)) break;
      const moved = free.map((k) => g[k].map((y) => y - gradient[k]));
      const hessian = moved.map((one) => moved.map((other) => dot(one.map((y, d) => y * q[d]), other)));
      const { newton, flat } = directions(hessian, free.map((k) => gradient[k]));
      let [way, size] = [newton, 1];
      if (flat.some((y) => Math.abs(y) > FLAT)) {
        let far = (limit + value + 1) / dot(flat, flat);
        free.forEach((k, i) => bounded[k] && flat[i] < 0 && (far = Math.min(far, x[k] / -flat[i])));
        if (far > 0) [way, size] = [flat, far];
      }
      if (way === newton && free.some((k, i) => bounded[k] && x[k] === 0 && way[i] < 0)) {
        const step = withinBounds(g, q, gradient, x, bounded);
        free.splice(0, free.length, ...g.keys());
        way = step;
      }
      let improved = false;
      for (; size > 1e-12; size /= 2) {
        const trial = Float64Array.from(x);
        free.forEach((k, i) => (trial[k] += size * way[i]));
        const least = 1e-14 * trial.reduce((y, z) => Math.max(y, Math.abs(z)), 0);
        bounded.forEach((is, k) => is && trial[k] < least && (trial[k] = 0));
        const next = weigh(trial);
        const slope = gradient.reduce((total, y, k) => total + y * (trial[k] - x[k]), 0);
        if (next.value <= value + 1e-4 * slope + ROUNDING * (1 + Math.abs(value))) {
          improved = trial.some((y, k) => y !== x[k]);
          x = trial;
          ({ value, q } = next);
          break;
        }
      }
      if (!improved || -value > limit) break;
    }
    const held = g.map((row, k) => {
      const gap = dot(row, q);
      return bounded[k] ? Math.min(gap, 0) + Math.min(x[k], gap) : gap;
    });
    if (-value > limit || !held.every((y) => Math.abs(y) <= HELD)) return null;
    const weights = new Float64Array(prior.length);
    used.forEach((d, i) => (weights[d] = q[i]));
    return weights;
  }

  // The same; probabilities of 0 and 1 exclude draws.
  function tilt(rows, prior) {
    let weights = prior;
    const open = [];
    for (const row of rows) {
      const low = row.feature.reduce((x, y) => Math.min(x, y));
      const high = row.feature.reduce((x, y) => Math.max(x, y));
      const edge = row.target === low ? low : row.target === high ? high : null;
      if (edge === null || low === high || row.sign === (edge === low ? 1 : -1)) open.push(row);
      else weights = weights.map((weight, d) => (row.feature[d] === edge ? weight : 0));
    }
    if (weights !== prior) {
      const total = sum(weights);
      if (!(total > 0)) return null;
      weights = scaled(weights, total);
    }
    return open.length ? minimumRelativeEntropy(open, weights) : weights;
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
