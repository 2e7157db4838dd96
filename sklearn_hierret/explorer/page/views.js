/* Near copies, clusters of new classes, an overview of the classes; and which view is shown. */
import { data, known, labelling, labelOf } from "./data.js";
import { byId, button, element, percent } from "./elements.js";
import { card, fill } from "./cards.js";
import { differs, go, onChange, state } from "./state.js";

const N_GROUPS = 60, N_MEMBERS = 12;
const isThere = { images: true, copies: true, new: data.clusters !== null, classes: data.overview !== null, map: true };
const count = { copies: N_GROUPS, new: N_GROUPS };

function group(title, items, infos) {
  const grid = element("div", { class: "grid", role: "list" });
  fill(grid, items.slice(0, N_MEMBERS).map((item, i) => card(item, { info: infos[i] })));
  const more = items.length > N_MEMBERS ? [element("p", { text: `and ${items.length - N_MEMBERS} more` })] : [];
  return element("div", { class: "group", role: "group", "aria-label": title }, element("h3", { text: title }), grid, ...more);
}
function groups(view, all, make, nothing) {
  const box = byId(view).querySelector(".groups");
  box.replaceChildren(...all.slice(0, count[view]).map(make));
  if (!all.length) box.append(element("p", { text: nothing }));
  if (all.length > count[view]) {
    box.append(button(`Show more of ${all.length} groups`, () => { count[view] += N_GROUPS; showCurrent(); }, { class: "more" }));
  }
}
function showCopies() {
  const across = byId("across").checked;
  const all = data.copies.filter((g) => !across || new Set(g.items.map(labelOf)).size > 1);
  const labelsOf = (g) => [...new Set(g.items.map(labelOf))];
  const what = (g) => `${g.is_exact ? "exact copies" : "near copies"}, ${labelsOf(g).length > 1 ? "with different labels: " : ""}${labelsOf(g).slice(0, 3).join(", ")}`;
  groups("copies", all, (g) => group(`${g.items.length} ${what(g)}`, g.items, g.distance.map((d) => `distance ${d.toFixed(3)}`)), "No two images are near copies.");
}
function showNew() {
  const what = (c) => `${c.name}: ${c.items.length} images`;
  groups("new", data.clusters, (c) => group(what(c), c.items, c.items.map((item) => `known ${percent(known[item])}`)), "No cluster of images looks like a new class. “Class may be new” in the list of images shows single ones.");
}
function showClasses() {
  const rows = data.overview.map((row) => {
    const place = data.classes.indexOf(row.class), name = button(row.class, () => go({ view: "images", node: place }), { class: "link" });
    const other = row.confused_with === null ? "" : `${row.confused_with} (${percent(row.confusion)})`;
    const cells = [String(row.n_samples), percent(row.accuracy), percent(row.purity), other, row.advice];
    return element("tr", {}, element("th", { scope: "row" }, name), ...cells.map((text) => element("td", { text })));
  });
  byId("classes-view").querySelector("tbody").replaceChildren(...rows);
}
const SHOW = { copies: showCopies, new: showNew, classes: showClasses };
function showCurrent() {
  for (const tab of byId("views").children) {
    if (tab.dataset.view === state.view) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  document.body.dataset.view = state.view;
  for (const view of ["copies", "new", "map"]) byId(view).hidden = state.view !== view;
  byId("classes-view").hidden = state.view !== "classes";
  if (isThere[state.view] && differs("view", state.view, byId("across").checked, count[state.view], labelling.version)) SHOW[state.view]?.();
}
for (const tab of byId("views").children) {
  tab.hidden = !isThere[tab.dataset.view];
  tab.addEventListener("click", () => go({ view: tab.dataset.view }));
}
byId("across").addEventListener("change", showCurrent);
byId("across").parentElement.hidden = data.labels === null;
onChange(showCurrent);
