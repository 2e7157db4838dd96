"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const n = data.images.length, tree = data.tree, nNodes = tree.parent.length, nClasses = tree.n_classes;
const perQuery = data.lists.visual.items.length / n, nShown = 24, rule = data.feedback, errorRate = rule.error_rate;
const children = Array.from({ length: nNodes }, () => []);
for (let node = nNodes - 2; node >= 0; node--) children[tree.parent[node]].push(node);
// Inner nodes before classes, by name.
for (const list of children) list.sort((a, b) => (a < nClasses) - (b < nClasses) || tree.name[a].localeCompare(tree.name[b]));

/* ---- features and leaves ---- */
const raw = Uint8Array.from(atob(data.features), (c) => c.charCodeAt(0));
const numbers = new Int16Array(raw.buffer), d = data.n_dimensions;
const feature = (item) => { const v = new Float64Array(d); for (let j = 0; j < d; j++) v[j] = numbers[item * d + j] * data.scale; return v; };
const dot = (a, b) => { let s = 0; for (let j = 0; j < d; j++) s += a[j] * b[j]; return s; };
const unit = (v) => { const l = Math.sqrt(dot(v, v)); return l > 1e-12 ? v.map((x) => x / l) : v; };
const units = Array.from({ length: n }, (_, item) => unit(feature(item)));
const leafOf = (item) => data.leaf[item][0];
const corrections = new Map();
const classOf = (item) => corrections.get(item) ?? (data.labels ? data.labels[item] : tree.name[leafOf(item)]);

/* ---- nodes: sizes, depths, items ---- */
const sizes = new Array(nNodes).fill(0), depths = new Array(nNodes).fill(0), items = Array.from({ length: nNodes }, () => []);
for (let c = 0; c < nClasses; c++) sizes[c] = 1;
for (let node = 0; node < nNodes - 1; node++) sizes[tree.parent[node]] += sizes[node];
for (let node = nNodes - 2; node >= 0; node--) depths[node] = depths[tree.parent[node]] + 1;
for (let item = 0; item < n; item++) for (let node = leafOf(item); node !== -1; node = tree.parent[node]) items[node].push(item);
function masses(item) {
  const m = new Float64Array(nNodes);
  data.leaf[item].forEach((c, i) => { for (let node = c; node !== -1; node = tree.parent[node]) m[node] += data.probability[item][i]; });
  return m;
}

/* ---- what is meant: see NodeBelief in the package ---- */
let query = null, marks = new Map();
function belief() {
  const logs = new Float64Array(nNodes + 1), prior = new Float64Array(nNodes), own = masses(query);
  for (let c = 0; c < nClasses; c++) for (let node = c; node !== -1; node = tree.parent[node]) prior[node] += 1 / Math.max(depths[c], 1);
  prior[nNodes - 1] = 0;
  for (let node = 0; node < nNodes; node++) prior[node] = (prior[node] + 1e-12) * ((1 - errorRate) * own[node] / sizes[node] + errorRate / nClasses);
  // The last is that no node is meant: then any mark is as likely as not.
  const sum = prior.reduce((a, b) => a + b, 0), some = (1 - errorRate) * data.known[query] ** rule.power;
  for (let node = 0; node < nNodes; node++) logs[node] = Math.log(some * prior[node] / sum + 1e-300);
  logs[nNodes] = Math.log(1 - some);
  for (const [item, relevant] of marks) {
    const m = masses(item), k = data.known[item];
    for (let node = 0; node < nNodes; node++) {
      const yes = k * (errorRate + (1 - 2 * errorRate) * Math.min(m[node], 1)) + (1 - k) / 2;
      logs[node] += Math.log(relevant ? yes : 1 - yes);
    }
    logs[nNodes] += Math.log(0.5);
  }
  const top = Math.max(...logs), p = logs.map((x) => Math.exp(x - top)), total = p.reduce((a, b) => a + b, 0);
  return p.map((x) => x / total);
}
function expectedDistances(p) {
  const below = Float64Array.from(p), distance = new Float64Array(nNodes);
  for (let node = 0; node < nNodes - 1; node++) below[tree.parent[node]] += below[node];
  for (let node = nNodes - 2; node >= 0; node--) {
    const above = tree.parent[node], height = data.stem + (1 - data.stem) * tree.height[above];
    distance[node] = distance[above] + height * (below[above] - below[node] - p[above]);
  }
  return distance;
}
function classDistances(p) {
  // Where no node is meant, the distance is that of the query's own leaf, as far as it is known.
  const leaf = new Float64Array(nNodes), k = data.known[query] ** rule.power_of_leaf;
  let left = 1;
  data.leaf[query].forEach((c, i) => { leaf[c] += k * data.probability[query][i]; left -= k * data.probability[query][i]; });
  const own = expectedDistances(leaf), none = p[nNodes], distances = expectedDistances(p.slice(0, nNodes));
  return distances.map((x, node) => x + none * (own[node] + left));
}
function rankedByMarks() {
  const first = units[query], moved = Float64Array.from(first);
  for (const [weight, wanted] of [[rule.beta, true], [-rule.gamma, false]]) {
    const chosen = [...marks].filter(([, r]) => r === wanted).map(([item]) => units[item]);
    for (const v of chosen) for (let j = 0; j < d; j++) moved[j] += weight * v[j] / chosen.length;
  }
  const q = unit(moved), p = belief(), distances = classDistances(p);
  const near = [first, ...[...marks].filter(([, r]) => r).map(([item]) => units[item])];
  const far = [...marks].filter(([, r]) => !r).map(([item]) => units[item]);
  const weight = far.length ? rule.mark_weight * marks.size / (marks.size + rule.half_weight) : 0;
  const found = [];
  for (let item = 0; item < n; item++) {
    if (item === query || marks.has(item)) continue;
    const v = units[item];
    let affinity = 0;
    data.leaf[item].forEach((c, i) => { affinity += data.probability[item][i] * (1 - distances[c]); });
    const visual = 1 - dot(v, q), byTree = 1 - affinity;
    let total = visual + rule.alpha * byTree;
    if (weight) {
      const a = Math.max(0, 1 - Math.max(...near.map((w) => dot(v, w)))), b = Math.max(0, 1 - Math.max(...far.map((w) => dot(v, w))));
      total += weight * a / Math.max(a + b, 1e-12);
    }
    found.push({ item, visual, tree: byTree, total });
  }
  found.sort((a, b) => a.total - b.total || a.item - b.item);
  return { p, found: found.slice(0, nShown) };
}

/* ---- elements; text is set as text, so that no name is markup ---- */
function element(tag, { text, ...attributes } = {}, ...inside) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined) e.setAttribute(name, value);
  if (text !== undefined) e.textContent = text;
  e.append(...inside);
  return e;
}
const picture = (item) => element("img", { src: data.images[item], alt: `image ${data.ids[item]}: ${classOf(item)}`, loading: "lazy" });
/* Nodes of learned trees have no names but those of what is below them. */
const leavesOf = Array.from({ length: nNodes }, () => []);
for (let c = 0; c < nClasses; c++) for (let node = c; node !== -1; node = tree.parent[node]) leavesOf[node].push(c);
const nodeNames = tree.name.map((name, node) => {
  if (node < nClasses || !tree.is_learned) return name;
  if (node === nNodes - 1) return "all classes";
  const below = [...leavesOf[node]].sort((a, b) => items[b].length - items[a].length || a - b);
  return below.slice(0, 2).map((c) => tree.name[c]).join(", ") + (below.length > 2 ? ` + ${below.length - 2}` : "");
});
const nameOf = (node) => nodeNames[node];
const note = (item) => corrections.has(item) ? "corrected" : isSuspect(item) ? `perhaps ${data.issues.suggested[item]}` : "";
function card(item, parts) {
  const right = query === null || item === query ? "" : classOf(item) === classOf(query) ? " right" : " wrong";
  const open = element("button", { type: "button", class: "open", "data-item": item, title: `${data.ids[item]}: ${classOf(item)}` }, picture(item), element("span", { class: "label", text: classOf(item) }), element("span", { class: "id", text: data.ids[item] }));
  if (note(item)) open.append(element("span", { class: corrections.has(item) ? "fixed" : "suspect", text: note(item) }));
  if (parts) open.append(element("span", { class: "parts", text: `visual ${parts.visual.toFixed(2)} + tree ${parts.tree.toFixed(2)}` }));
  open.addEventListener("click", () => search(item));
  const box = element("div", { class: `card${parts ? right : ""}`, role: "listitem", "data-item": item }, open);
  if (parts) {
    const buttons = element("div", { class: "marks" });
    for (const [kind, sign, relevant] of [["yes", "✓", true], ["no", "✗", false]]) {
      const b = element("button", { type: "button", class: kind, "aria-pressed": String(marks.get(item) === relevant), "aria-label": `${relevant ? "relevant" : "irrelevant"}: image ${data.ids[item]}`, text: sign });
      b.addEventListener("click", () => mark(item, relevant));
      buttons.append(b);
    }
    box.append(buttons);
  }
  return box;
}

/* ---- the tree ---- */
function treeItem(node) {
  const inner = children[node], open = depths[node] < 1 || nNodes <= 80;
  const li = element("li", { role: "treeitem", tabindex: "-1", "data-node": node, "aria-selected": "false", id: `node-${node}` });
  if (inner.length) li.setAttribute("aria-expanded", String(open));
  const row = element("div", {}, element("span", { class: "twist", text: inner.length ? (open ? "▾" : "▸") : "" }));
  if (items[node].length) row.append(picture(items[node][0]));
  row.append(element("span", { text: nameOf(node) }), element("span", { class: "count", text: String(items[node].length) }));
  row.addEventListener("click", (event) => {
    if (event.target.className === "twist") toggle(li); else choose(node);
    li.focus();
  });
  li.append(row);
  if (inner.length) li.append(element("ul", { role: "group" }, ...inner.map(treeItem)));
  return li;
}
function toggle(li, open) {
  if (!li.hasAttribute("aria-expanded")) return;
  const now = open === undefined ? li.getAttribute("aria-expanded") !== "true" : open;
  li.setAttribute("aria-expanded", String(now));
  li.querySelector(".twist").textContent = now ? "▾" : "▸";
}
function choose(node, keep = true) {
  document.querySelectorAll('#tree [aria-selected="true"]').forEach((e) => e.setAttribute("aria-selected", "false"));
  const li = document.getElementById(`node-${node}`);
  li.setAttribute("aria-selected", "true");
  for (let up = li.parentElement.closest("li"); up; up = up.parentElement.closest("li")) toggle(up, true);
  view.node = node; view.count = 120;
  showList();
  if (keep) remember();
}
document.getElementById("tree").addEventListener("keydown", (event) => {
  const li = event.target.closest("li"), all = [...document.querySelectorAll("#tree li")].filter((e) => e.offsetParent !== null), at = all.indexOf(li);
  const moves = { ArrowDown: all[at + 1], ArrowUp: all[at - 1], Home: all[0], End: all[all.length - 1] };
  if (event.key in moves) { if (moves[event.key]) focusOn(moves[event.key]); }
  else if (event.key === "ArrowRight") { if (li.getAttribute("aria-expanded") === "false") toggle(li, true); else if (all[at + 1]) focusOn(all[at + 1]); }
  else if (event.key === "ArrowLeft") { if (li.getAttribute("aria-expanded") === "true") toggle(li, false); else { const up = li.parentElement.closest("li"); if (up) focusOn(up); } }
  else if (event.key === "Enter" || event.key === " ") choose(Number(li.dataset.node));
  else return;
  event.preventDefault();
});
function focusOn(li) { document.querySelectorAll("#tree li[tabindex='0']").forEach((e) => e.setAttribute("tabindex", "-1")); li.setAttribute("tabindex", "0"); li.focus(); }

/* ---- searching ---- */
function listOf(name) {
  const list = data.lists[name], found = [];
  for (let r = query * perQuery; r < (query + 1) * perQuery; r++) found.push({ item: list.items[r], visual: list.visual[r], tree: list.tree[r] });
  return found;
}
function search(item, keep = true) {
  query = item; marks = new Map(); show();
  if (keep) remember();
  document.getElementById("search").scrollIntoView({ block: "start" });
}
function mark(item, relevant) { if (marks.get(item) === relevant) marks.delete(item); else marks.set(item, relevant); show(); }
function show() {
  // What has the focus keeps it, and its place on the screen, though everything is made anew.
  const active = document.activeElement, within = active.closest("#search .card"), kind = active.classList[0];
  const place = within ? { list: within.closest(".grid"), item: within.dataset.item, top: active.getBoundingClientRect().top } : null;
  document.getElementById("search").hidden = false;
  showFacts();
  const grids = document.querySelectorAll("#lists .grid"), combined = listOf("combined");
  const titles = document.querySelectorAll("#lists h3"), visual = listOf("visual");
  titles[0].textContent = `By looks${tally(visual)}`; titles[1].textContent = `By looks and tree${tally(combined)}`;
  grids[0].replaceChildren(...visual.map((f) => card(f.item, f)));
  grids[1].replaceChildren(...combined.map((f) => card(f.item, f)));
  const meant = document.getElementById("meant");
  meant.hidden = !marks.size;
  let found = combined;
  if (marks.size) {
    const result = rankedByMarks(), order = [...result.p.keys()].slice(0, nNodes).sort((a, b) => result.p[b] - result.p[a]).slice(0, 3);
    found = result.found;
    const lines = order.map((node) => element("li", { text: `${nameOf(node)}: ${(100 * result.p[node]).toFixed(0)} %` }));
    lines.push(element("li", { text: `none of these: ${(100 * result.p[nNodes]).toFixed(0)} %` }));
    meant.querySelector("ol").replaceChildren(...lines);
    meant.querySelector(".grid").replaceChildren(...found.map((f) => card(f.item, f)));
  }
  document.querySelector("#facets div").replaceChildren(...facets(found.map((f) => f.item)));
  document.getElementById("export").hidden = !corrections.size && !marks.size;
  if (place) {
    const wanted = `.card[data-item="${place.item}"] .${kind}`, again = place.list.querySelector(wanted) ?? document.querySelector(`#lists ${wanted}`);
    if (again) { again.focus({ preventScroll: true }); scrollBy(0, again.getBoundingClientRect().top - place.top); }
  }
}
const percent = (p) => (p > 0.99 ? "over 99 %" : p < 0.01 ? "below 1 %" : `${(100 * p).toFixed(0)} %`);
function showFacts() {
  const facts = element("dl"), rows = [["image", data.ids[query]], ["given label", data.labels ? data.labels[query] : "none"], ["predicted", `${tree.name[leafOf(query)]} (${data.probability[query][0].toFixed(2)})`]];
  if (data.issues) rows.push(["suspicion", `${percent(data.issues.probability[query])} that this label is wrong; perhaps ${data.issues.suggested[query]}`]);
  if (data.known[query] < 1) rows.push(["known", `${percent(data.known[query])} that the class was there at fit`]);
  if (corrections.has(query)) rows.push(["corrected", corrections.get(query)]);
  for (const [name, text] of rows) facts.append(element("dt", { text: name }), element("dd", { text }));
  const large = element("button", { type: "button", class: "large", "aria-label": `show image ${data.ids[query]} large` }, picture(query));
  large.addEventListener("click", () => enlarge(query));
  document.getElementById("query").replaceChildren(large, facts);
  document.getElementById("undo").hidden = !corrections.has(query);
  const take = document.getElementById("take"), suggestion = data.issues ? data.issues.suggested[query] : "";
  take.hidden = !suggestion || suggestion === classOf(query) || !(isSuspect(query) || disagrees(query));
  take.textContent = `It is ${suggestion}`;
}
function tally(list) {
  if (!data.labels) return "";
  const right = list.filter((f) => classOf(f.item) === classOf(query)).length;
  return `: ${right} of ${list.length} right`;
}
function facets(found) {
  let nodes = [nNodes - 1];
  const below = new Map();
  for (const item of found) for (let node = leafOf(item); node !== -1; node = tree.parent[node]) below.set(node, [...(below.get(node) ?? []), item]);
  const held = (node) => (below.get(node) ?? []).length;
  for (;;) {
    const next = nodes.map((node) => [node, children[node].filter(held)]).filter(([, c]) => c.length && nodes.length - 1 + c.length <= 6).sort((a, b) => held(b[0]) - held(a[0]))[0];
    if (!next) break;
    nodes = nodes.filter((node) => node !== next[0]).concat(next[1]);
  }
  return nodes.sort((a, b) => held(b) - held(a)).map((node) => {
    const row = element("div", { class: "row" });
    for (const item of below.get(node).slice(0, 12)) {
      const b = element("button", { type: "button", title: classOf(item), "aria-label": `search for image ${data.ids[item]}` }, picture(item));
      b.addEventListener("click", () => search(item));
      row.append(b);
    }
    const name = element("button", { type: "button", class: "name", text: `${nameOf(node)} (${held(node)})` });
    name.addEventListener("click", () => choose(node));
    return element("div", { class: "facet" }, name, row);
  });
}
document.addEventListener("keydown", (event) => {
  const open = event.target.closest && event.target.closest("button.open");
  if (!open) return;
  const item = Number(open.dataset.item), all = [...open.closest(".grid").querySelectorAll("button.open")], at = all.indexOf(open);
  if ((event.key === "r" || event.key === "i") && query !== null && item !== query) mark(item, event.key === "r");
  else if (event.key === "ArrowRight" && all[at + 1]) all[at + 1].focus();
  else if (event.key === "ArrowLeft" && all[at - 1]) all[at - 1].focus();
  else return;
  event.preventDefault();
});
document.getElementById("forget").addEventListener("click", () => { marks = new Map(); show(); });
document.querySelector("h1").textContent = data.title;
if (Math.max(...data.size) <= 32) document.body.classList.add("pixels");
document.getElementById("tree").append(treeItem(nNodes - 1));
document.querySelector("#tree li").setAttribute("tabindex", "0");
