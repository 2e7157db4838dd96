/* One image: what it is, what is found for it, and what marks mean. */
import { children, corrections, data, disagrees, given, isSuspect, issues, known, labelOf, leafOf, nNodes, predicted, root, sureness, titleOf, tree, unpack, unpackShares } from "./data.js";
import { byId, button, element, percent, picture } from "./elements.js";
import { belief, rankedByMarks } from "./ranking.js";
import { card, fill } from "./cards.js";
import { go, onChange, state } from "./state.js";

const N_SHOWN = 24, N_NODES = 3, N_FACETS = 6, N_EXAMPLES = 12;
const lists = Object.fromEntries(Object.entries(data.lists).map(([name, l]) => [name, { items: unpack(l.items), visual: unpackShares(l.visual), tree: unpackShares(l.tree) }]));
function listOf(name) {
  const { items, visual, tree: byTree } = lists[name], k = data.n_neighbors, found = [];
  for (let r = state.image * k; r < (state.image + 1) * k; r++) found.push({ item: items[r], visual: 2 * visual[r], tree: byTree[r] });
  return found;
}
export const marks = new Map();
let searched = null;
export function mark(item, relevant) {
  if (marks.get(item) === relevant) marks.delete(item);
  else marks.set(item, relevant);
  show();
}
export function closeSearch() {
  const before = state.image;
  if (before === null) return;
  go({ image: null });
  document.querySelector(`main section:not([hidden]) button.open[data-item="${before}"]`)?.focus();
}
/* What has the focus keeps it, and its place on the screen, though everything is made anew. */
function keepingFocus(change) {
  const active = document.activeElement, box = active.closest("#search .card"), kind = active.classList[0];
  const before = box && { grid: box.closest(".grid"), item: box.dataset.item, top: active.getBoundingClientRect().top };
  change();
  if (!before) return;
  const wanted = `.card[data-item="${before.item}"] .${kind}`, again = before.grid.querySelector(wanted) ?? document.querySelector(`#lists ${wanted}`);
  if (!again) return;
  again.focus({ preventScroll: true });
  scrollBy(0, again.getBoundingClientRect().top - before.top);
}
function show() {
  byId("search").hidden = state.image === null;
  if (state.image !== searched) marks.clear();
  byId("export").hidden = !corrections.size && !marks.size;
  if (state.image !== null) keepingFocus(showSearch);
  if (state.image !== searched && state.image !== null) byId("search").scrollIntoView({ block: "start" });
  searched = state.image;
}
function showSearch() {
  showFacts();
  showReasons();
  for (const [i, name] of ["visual", "combined"].entries()) {
    const found = listOf(name), box = byId("lists").children[i];
    box.querySelector("h3").textContent = `${name === "visual" ? "By looks" : "By looks and tree"}${tally(found)}`;
    fill(box.querySelector(".grid"), found.map((f) => card(f.item, { parts: f })));
  }
  byId("meant").hidden = !marks.size;
  byId("facets").querySelector("div").replaceChildren(...facets(marks.size ? showMeaning() : listOf("combined")));
}
function tally(found) {
  if (data.labels === null) return "";
  return `: ${found.filter((f) => labelOf(f.item) === labelOf(state.image)).length} of ${found.length} right`;
}
function showFacts() {
  const item = state.image, facts = element("dl"), rows = [["image", data.ids[item]], ["given label", given(item) ?? "none"]];
  rows.push(["predicted", `${predicted(item)} (${percent(sureness(item))})`]);
  if (issues) rows.push(["suspicion", `${percent(issues.probability[item])} that this label is wrong; perhaps ${issues.suggested[item]}`]);
  if (known[item] < 1) rows.push(["known", `${percent(known[item])} that the class was there at fit`]);
  if (corrections.has(item)) rows.push(["corrected", corrections.get(item)]);
  for (const [name, text] of rows) facts.append(element("dt", { text: name }), element("dd", { text }));
  const large = button(undefined, () => enlarge(item), { class: "large", "aria-label": `show image ${data.ids[item]} large` });
  large.append(picture(item));
  byId("query").replaceChildren(large, facts);
  byId("undo").hidden = !corrections.has(item);
  const suggestion = issues ? issues.suggested[item] : "";
  byId("take").hidden = !suggestion || suggestion === labelOf(item) || !(isSuspect(item) || disagrees(item));
  byId("take").textContent = `It is ${suggestion}`;
}
/* The nearest images with the given label, and with the label that is suggested. */
function showReasons() {
  const box = byId("reasons"), item = state.image;
  box.replaceChildren();
  box.hidden = !issues || !(isSuspect(item) || disagrees(item));
  if (box.hidden) return;
  for (const [title, items] of [[`for ${given(item)}`, issues.supporting[item]], [`for ${issues.suggested[item]}`, issues.contradicting[item]]]) {
    box.append(element("div", {}, element("span", { text: title }), items.length ? thumbs(items) : element("span", { text: "none nearby" })));
  }
}
function thumbs(items) {
  const row = element("div", { class: "row" });
  for (const item of items) {
    const b = button(undefined, () => go({ image: item }), { title: `${data.ids[item]}: ${labelOf(item)}`, "aria-label": `search for image ${data.ids[item]}` });
    b.append(picture(item));
    row.append(b);
  }
  return row;
}
/* Say what the marks mean, and why perhaps nothing. */
function showMeaning() {
  const { p, found } = rankedByMarks(state.image, marks, N_SHOWN), box = byId("meant");
  const order = [...p.keys()].slice(0, nNodes).sort((a, b) => p[b] - p[a]).slice(0, N_NODES);
  const lines = order.map((node) => element("li", { text: `${titleOf(node)}: ${(100 * p[node]).toFixed(0)} %` }));
  lines.push(element("li", { text: `none of these: ${(100 * p[nNodes]).toFixed(0)} %` }));
  box.querySelector("ol").replaceChildren(...lines);
  byId("why").textContent = p[nNodes] > 0.5 ? reasonForNone() : "";
  byId("marked").replaceChildren(...[...marks].map(([item, relevant]) => {
    const b = button(undefined, () => mark(item, relevant), { class: relevant ? "yes" : "no", title: `${data.ids[item]}: ${labelOf(item)}`, "aria-label": `take back: image ${data.ids[item]} is ${relevant ? "relevant" : "irrelevant"}` });
    b.append(picture(item), element("span", { text: relevant ? "✓" : "✗" }));
    return b;
  }));
  fill(box.querySelector(".grid"), found.map((f) => card(f.item, { parts: f })));
  return found;
}
function reasonForNone() {
  const before = belief(state.image, new Map())[nNodes];
  if (before > 0.5) return `This image itself looks like no class of the fit (known: ${percent(known[state.image])}), so the ranking goes by looks and by single marks.`;
  const unknown = [...marks.keys()].filter((item) => known[item] < 0.5).length;
  if (unknown * 2 > marks.size) return "Most of the marked images look like no class of the fit, so the ranking goes by looks and by single marks.";
  return "No node of the tree holds what is relevant without what is not, so the ranking goes by looks and by single marks.";
}
function facets(found) {
  const below = new Map(), held = (node) => (below.get(node) ?? []).length;
  for (const { item } of found) for (let node = leafOf(item); node !== -1; node = tree.parent[node]) below.set(node, [...(below.get(node) ?? []), item]);
  let nodes = [root];
  for (;;) {
    const divisible = nodes.map((node) => [node, children[node].filter(held)]).filter(([, c]) => c.length && nodes.length - 1 + c.length <= N_FACETS);
    if (!divisible.length) break;
    const [node, inner] = divisible.sort((a, b) => held(b[0]) - held(a[0]))[0];
    nodes = nodes.filter((other) => other !== node).concat(inner);
  }
  return nodes.sort((a, b) => held(b) - held(a)).map((node) => {
    const name = button(`${titleOf(node)} (${held(node)})`, () => go({ view: "images", node }), { class: "name" });
    return element("div", { class: "facet" }, name, thumbs(below.get(node).slice(0, N_EXAMPLES)));
  });
}
function enlarge(item) {
  const image = byId("large").querySelector("img");
  image.src = data.images[item];
  image.alt = `image ${data.ids[item]}: ${labelOf(item)}`;
  byId("large").querySelector("p").textContent = `${data.ids[item]}: ${labelOf(item)}`;
  byId("large").showModal();
}
byId("large").addEventListener("click", () => byId("large").close());
byId("forget").addEventListener("click", () => { marks.clear(); show(); });
byId("close").addEventListener("click", closeSearch);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !byId("large").open) closeSearch();
});
onChange(show);
