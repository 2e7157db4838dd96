/* The list of images: search, filters, order, more. */
import { corrections, data, disagrees, isSuspect, issues, itemsBelow, known, labelling, labelOf, leafOf, predicted, sureness, titleOf } from "./data.js";
import { byId } from "./elements.js";
import { card, fill } from "./cards.js";
import { differs, go, list, onChange, state } from "./state.js";

const FILTERS = {
  all: () => true, suspect: isSuspect, disagree: disagrees,
  new: (item) => known[item] < 0.5, corrected: (item) => corrections.has(item),
};
const ORDERS = {
  suspicion: (a, b) => issues.rank[a] - issues.rank[b], known: (a, b) => known[a] - known[b],
  unsure: (a, b) => sureness(a) - sureness(b), id: (a, b) => a - b,
};
function matcher() {
  const text = state.text.trim().toLowerCase();
  if (!text) return () => true;
  // A class is found by the names of the nodes above it, too.
  const above = data.classes.map((_, c) => {
    const names = [];
    for (let node = c; node !== -1; node = data.tree.parent[node]) names.push(node < data.classes.length ? titleOf(node) : data.tree.name[node]);
    return names.join("\n").toLowerCase();
  });
  return (item) => above[leafOf(item)].includes(text) || [data.ids[item], labelOf(item)].some((name) => name.toLowerCase().includes(text));
}
/* One image of each class in turn, so that the first ones show all classes. */
function mixed(found) {
  const byClass = new Map();
  for (const item of found) {
    if (!byClass.has(labelOf(item))) byClass.set(labelOf(item), []);
    byClass.get(labelOf(item)).push(item);
  }
  const queues = [...byClass.values()], result = [];
  for (let i = 0; result.length < found.length; i++) for (const queue of queues) if (i < queue.length) result.push(queue[i]);
  return result;
}
function listed() {
  const inside = list.area ?? itemsBelow(state.node, data.labels === null ? "predicted" : state.by), matches = matcher();
  const found = inside.filter((item) => FILTERS[state.show](item) && matches(item));
  return state.order === "mixed" ? mixed(found) : found.sort((a, b) => ORDERS[state.order](a, b) || a - b);
}
function details(item) {
  if (state.order === "known" || state.show === "new") return `known ${(100 * known[item]).toFixed(0)} %`;
  if (state.show === "disagree") return `predicted ${predicted(item)}`;
  return state.order === "unsure" ? `${predicted(item)} ${(100 * sureness(item)).toFixed(0)} %` : "";
}
function showList() {
  const isShown = state.view === "images" || state.view === "map";
  byId("node").hidden = !isShown;
  if (!isShown) return;
  if (state.view === "images") list.area = null;
  if (!differs("list", state.view, state.node, state.show, state.order, state.by, state.text, list.count, list.area, labelling.version)) return;
  const found = listed(), count = Math.min(list.count, found.length);
  byId("node").querySelector("h2").textContent = list.area === null ? titleOf(state.node) : "Chosen on the map";
  byId("count").textContent = found.length ? `${count} of ${found.length} ${found.length === 1 ? "image" : "images"}` : "No image is like that.";
  fill(byId("node").querySelector(".grid"), found.slice(0, count).map((item) => card(item, { info: details(item) })));
  byId("more").hidden = count === found.length;
  for (const [id, name] of [["filter", "show"], ["order", "order"]]) byId(id).value = state[name];
  if (byId("find").value !== state.text) byId("find").value = state.text;
}
for (const [id, name] of [["filter", "show"], ["order", "order"]]) byId(id).addEventListener("change", (event) => go({ [name]: event.target.value }));
byId("find").addEventListener("input", (event) => go({ text: event.target.value }, { adds: false }));
byId("more").addEventListener("click", () => {
  const before = list.count;
  list.count += 120;
  showList();
  byId("node").querySelectorAll("button.open")[before].focus();
});
for (const option of document.querySelectorAll('option[value="suspect"], option[value="suspicion"]')) option.hidden = option.disabled = issues === null;
for (const option of document.querySelectorAll('option[value="disagree"]')) option.hidden = option.disabled = data.labels === null;
onChange(showList);
