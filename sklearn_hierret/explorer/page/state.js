/* What is shown, and the address, which holds it: back, forward, reload and a copied link work. */
import { data, n, nNodes, root } from "./data.js";

const START = { view: "images", node: root, image: null, show: "all", order: "mixed", by: "label", text: "" };
const CHOICES = {
  view: ["images", "copies", "new", "classes", "map"],
  show: ["all", "suspect", "disagree", "new", "corrected"],
  order: ["mixed", "suspicion", "known", "unsure", "id"],
  by: ["label", "predicted"],
};
export const state = { ...START };
/* How many images of the list are shown, and which were chosen on the map: the address does not hold these. */
export const list = { count: 120, area: null };
const renderers = [];
export const onChange = (renderer) => renderers.push(renderer);
export function render() {
  for (const each of renderers) each();
}
export function go(changes, { adds = true } = {}) {
  Object.assign(state, changes);
  if (["node", "show", "order", "by", "text"].some((name) => name in changes)) list.count = 120;
  const parts = Object.entries(state).filter(([name, value]) => value !== START[name]);
  const address = `#${new URLSearchParams(parts)}`;
  try {
    if (address !== (location.hash || "#")) history[adds ? "pushState" : "replaceState"](null, "", address);
  } catch { /* A notebook's frame has no address. */ }
  render();
}
/* Whether values differ from those of the last call under this name: then something has to be drawn anew. */
const last = new Map();
export function differs(name, ...values) {
  const before = last.get(name);
  last.set(name, values);
  return before === undefined || values.some((value, i) => value !== before[i]);
}
const numberIn = (text, end) => (/^\d+$/.test(text ?? "") && Number(text) < end ? Number(text) : null);
export function restore() {
  const given = new URLSearchParams(location.hash.slice(1));
  Object.assign(state, START);
  for (const [name, choices] of Object.entries(CHOICES)) if (choices.includes(given.get(name))) state[name] = given.get(name);
  if (data.issues === null && (state.show === "suspect" || state.order === "suspicion")) Object.assign(state, { show: "all", order: "mixed" });
  state.node = numberIn(given.get("node"), nNodes) ?? root;
  state.image = numberIn(given.get("image"), n);
  state.text = given.get("text") ?? "";
  render();
}
addEventListener("popstate", restore);
