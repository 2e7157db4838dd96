/* What the page knows, and what follows from it. Nothing here touches the document but its data. */
export const data = JSON.parse(document.getElementById("data").textContent);
const ARRAYS = { u1: Uint8Array, u2: Uint16Array, i2: Int16Array, i4: Int32Array };
export function unpack({ dtype, data: text }) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return new ARRAYS[dtype](bytes.buffer);
}
/* Numbers from 0 to 1 come in 16 bits. */
export const unpackShares = (packed) => Float32Array.from(unpack(packed), (x) => x / 65535);

export const n = data.images.length;
export const tree = data.tree;
export const nNodes = tree.parent.length;
export const nClasses = tree.n_classes;
export const root = nNodes - 1;

export const children = Array.from({ length: nNodes }, () => []);
for (let node = root - 1; node >= 0; node--) children[tree.parent[node]].push(node);
// Inner nodes come before classes, by name.
for (const list of children) {
  list.sort((a, b) => (a < nClasses) - (b < nClasses) || tree.title[a].localeCompare(tree.title[b]));
}
export const sizes = new Array(nNodes).fill(0);
export const depths = new Array(nNodes).fill(0);
sizes.fill(1, 0, nClasses);
for (let node = 0; node < root; node++) sizes[tree.parent[node]] += sizes[node];
for (let node = root - 1; node >= 0; node--) depths[node] = depths[tree.parent[node]] + 1;

/* ---- leaves: the likeliest classes of each image ---- */
export const nLeaves = data.n_leaves;
export const leafClass = unpack(data.leaf);
export const leafProbability = unpackShares(data.probability);
export const known = unpackShares(data.known);
export const leafOf = (item) => leafClass[item * nLeaves];
export const sureness = (item) => leafProbability[item * nLeaves];
export const titleOf = (node) => tree.title[node];
export const predicted = (item) => tree.title[leafOf(item)];

/* ---- labels, given and corrected ---- */
export const corrections = new Map();
export const labelling = { version: 0 };
export const given = (item) => (data.labels === null ? null : data.labels[item]);
export const labelOf = (item) => corrections.get(item) ?? given(item) ?? predicted(item);
const codes = data.codes === null ? null : unpack(data.codes);
function classOf(item) {
  if (corrections.has(item)) return data.classes.indexOf(corrections.get(item));
  return codes === null ? leafOf(item) : codes[item];
}
export function correct(item, label) {
  const before = classOf(item);
  if (label === null || label === given(item)) corrections.delete(item);
  else corrections.set(item, label);
  labelling.version++;
  if (below.label === null) return;
  for (const at of path(before)) below.label[at].splice(below.label[at].indexOf(item), 1);
  for (const at of path(classOf(item))) below.label[at].push(item);
}
/* A class and the nodes above it; a label that the tree lacks is below the root. */
function path(leaf) {
  const nodes = leaf < 0 ? [root] : [];
  for (let at = leaf; at >= 0; at = tree.parent[at]) nodes.push(at);
  return nodes;
}

/* ---- the images below each node, by label or by prediction ---- */
const below = { label: null, predicted: null };
export function itemsBelow(node, by) {
  if (below[by] === null) {
    const lists = Array.from({ length: nNodes }, () => []);
    for (let item = 0; item < n; item++) {
      for (const at of path(by === "label" ? classOf(item) : leafOf(item))) lists[at].push(item);
    }
    below[by] = lists;
  }
  return below[by][node];
}

/* ---- how suspicious labels are ---- */
export const issues = data.issues && {
  rank: unpack(data.issues.rank),
  probability: unpackShares(data.issues.probability),
  flagged: unpack(data.issues.flagged),
  suggested: data.issues.suggested,
  supporting: data.issues.supporting,
  contradicting: data.issues.contradicting,
};
export const isSuspect = (item) => issues !== null && issues.flagged[item] === 1;
export const disagrees = (item) => data.labels !== null && given(item) !== predicted(item);
