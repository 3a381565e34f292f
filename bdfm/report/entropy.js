"use strict";
// Weights of minimum relative entropy under constraints, as forecast.entropy finds them in Python.
const Entropy = (function () {
  const TOLERANCE = 1e-10; // of a constraint, in standard deviations of its feature: where steps end
  const HELD = 1e-8; // beyond which a constraint does not hold
  const FLAT = 1e-9; // slope along rows that depend on each other, above which it is none of rounding
  const ROUNDING = 1e-15; // of the dual's value
  const DEPENDENT = 1e-12; // share of the largest variance below which a combination has none
  const MAX_STEPS = 100;

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

  function moments(x, weights) {
    const mean = dot(x, weights);
    let variance = 0;
    for (let d = 0; d < x.length; d++) variance += weights[d] * (x[d] - mean) ** 2;
    return { mean, sd: Math.sqrt(Math.max(variance, 0)) };
  }

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

  return { dot, sum, scaled, moments, minimumRelativeEntropy, tilt };
})();
if (typeof module !== "undefined") module.exports = Entropy;
