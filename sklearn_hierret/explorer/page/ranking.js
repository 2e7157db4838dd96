/* The ranking of a session after marks. It follows NodeBelief, NodePosterior and RetrievalSession in the package, with
   the numbers of `session_numbers`; a test compares both on random sessions. */
import { data, depths, known, leafClass, leafProbability, n, nClasses, nLeaves, nNodes, root, sizes, tree, unpack } from "./data.js";

const rule = data.feedback;
const numbers = unpack(data.features);
const d = data.n_dimensions;
const LEAST = 1e-12; // Probability that no node is quite without.

function dot(a, b) {
  let sum = 0;
  for (let j = 0; j < d; j++) sum += a[j] * b[j];
  return sum;
}
function unit(v) {
  const length = Math.sqrt(dot(v, v));
  return length > 1e-12 ? v.map((x) => x / length) : v;
}
const units = Array.from({ length: n }, (_, item) => unit(Float64Array.from(numbers.subarray(item * d, (item + 1) * d), (x) => x * data.scale)));

function leaves(item) {
  return Array.from({ length: nLeaves }, (_, i) => [leafClass[item * nLeaves + i], leafProbability[item * nLeaves + i]]);
}
function masses(item) {
  const mass = new Float64Array(nNodes);
  for (const [leaf, p] of leaves(item)) for (let node = leaf; node !== -1; node = tree.parent[node]) mass[node] += p;
  return mass;
}

/* Probability of each node to be what is meant, and last that of none. */
export function belief(query, marks) {
  const prior = new Float64Array(nNodes), logs = new Float64Array(nNodes + 1), own = masses(query), e = rule.error_rate;
  // A class means each node of its path, but for the root, with the same probability.
  for (let c = 0; c < nClasses; c++) {
    for (let node = c; node !== -1; node = tree.parent[node]) prior[node] += 1 / Math.max(depths[c], 1);
  }
  prior[root] = 0;
  let sum = 0;
  for (let node = 0; node < nNodes; node++) {
    prior[node] = (prior[node] + LEAST) * ((1 - e) * own[node] / sizes[node] + e / nClasses);
    sum += prior[node];
  }
  const some = (1 - e) * known[query] ** rule.power;
  for (let node = 0; node < nNodes; node++) logs[node] = Math.log(prior[node] / sum) + Math.log(some + LEAST);
  // If no node is meant, a mark is as likely as not.
  logs[nNodes] = Math.log(1 - some);
  for (const [item, relevant] of marks) {
    const mass = masses(item), k = known[item];
    for (let node = 0; node < nNodes; node++) {
      const yes = k * (e + (1 - 2 * e) * Math.min(mass[node], 1)) + (1 - k) / 2;
      logs[node] += Math.log(relevant ? yes : 1 - yes);
    }
    logs[nNodes] += Math.log(0.5);
  }
  const top = Math.max(...logs), p = logs.map((x) => Math.exp(x - top)), total = p.reduce((a, b) => a + b, 0);
  return p.map((x) => x / total);
}

/* Expected distance of each node to one that is drawn from p. */
function expectedDistances(p) {
  const below = Float64Array.from(p), distance = new Float64Array(nNodes);
  for (let node = 0; node < root; node++) below[tree.parent[node]] += below[node];
  for (let node = root - 1; node >= 0; node--) {
    const above = tree.parent[node], height = data.stem + (1 - data.stem) * tree.height[above];
    distance[node] = distance[above] + height * (below[above] - below[node] - p[above]);
  }
  return distance;
}
function classDistances(query, p) {
  // If no node is meant, the distance is that of the query's own leaf, as far as it is known.
  const leaf = new Float64Array(nNodes), k = known[query] ** rule.power_of_leaf;
  let left = 1;
  for (const [c, share] of leaves(query)) {
    leaf[c] += k * share;
    left -= k * share;
  }
  const own = expectedDistances(leaf), distances = expectedDistances(p.slice(0, nNodes));
  return distances.map((x, node) => Math.min(1, Math.max(0, x + p[nNodes] * (own[node] + left))));
}

/* The best images that are not marked, given all marks. */
export function rankedByMarks(query, marks, nShown) {
  const first = units[query], moved = Float64Array.from(first);
  const relevant = [...marks].filter(([, is]) => is).map(([item]) => units[item]);
  const irrelevant = [...marks].filter(([, is]) => !is).map(([item]) => units[item]);
  for (const [weight, chosen] of [[rule.beta, relevant], [-rule.gamma, irrelevant]]) {
    for (const v of chosen) for (let j = 0; j < d; j++) moved[j] += weight * v[j] / chosen.length;
  }
  const target = unit(moved), p = belief(query, marks), distances = classDistances(query, p), near = [first, ...relevant];
  const weight = irrelevant.length ? rule.mark_weight * marks.size / (marks.size + rule.half_weight) : 0;
  const nearest = (v, others) => Math.max(0, 1 - Math.max(...others.map((w) => dot(v, w))));
  const found = [];
  for (let item = 0; item < n; item++) {
    if (item === query || marks.has(item)) continue;
    const v = units[item];
    let affinity = 0;
    for (let i = item * nLeaves; i < (item + 1) * nLeaves; i++) affinity += leafProbability[i] * (1 - distances[leafClass[i]]);
    const visual = 1 - dot(v, target), byTree = 1 - affinity;
    let total = visual + rule.alpha * byTree;
    if (weight) {
      const a = nearest(v, near), b = nearest(v, irrelevant);
      total += weight * a / Math.max(a + b, 1e-12);
    }
    found.push({ item, visual, tree: byTree, total });
  }
  found.sort((a, b) => a.total - b.total || a.item - b.item);
  return { p, found: found.slice(0, nShown) };
}
