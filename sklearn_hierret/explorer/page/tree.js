/* The tree of the classes at the left. */
import { children, data, depths, itemsBelow, labelling, nNodes, root, titleOf } from "./data.js";
import { byId, element, picture } from "./elements.js";
import { differs, go, onChange, state } from "./state.js";

const FEW = 80; // So many nodes are all opened.
function treeItem(node) {
  const inner = children[node], open = depths[node] < 1 || nNodes <= FEW;
  const li = element("li", { role: "treeitem", tabindex: "-1", "data-node": node, "aria-selected": "false", id: `node-${node}` });
  if (inner.length) li.setAttribute("aria-expanded", String(open));
  const row = element("div", { title: titleOf(node) }, element("span", { class: "twist", text: inner.length ? (open ? "▾" : "▸") : "" }));
  const items = itemsBelow(node, state.by);
  if (items.length) row.append(picture(items[0]));
  row.append(element("span", { text: titleOf(node) }), element("span", { class: "count" }));
  row.addEventListener("click", (event) => {
    if (event.target.className === "twist") toggle(li);
    else go({ view: "images", node });
    focusOn(li);
  });
  li.append(row);
  if (inner.length) li.append(element("ul", { role: "group" }, ...inner.map(treeItem)));
  return li;
}
function toggle(li, open = li.getAttribute("aria-expanded") !== "true") {
  if (!li.hasAttribute("aria-expanded")) return;
  li.setAttribute("aria-expanded", String(open));
  li.querySelector(".twist").textContent = open ? "▾" : "▸";
}
function focusOn(li) {
  stopAt(li);
  li.focus();
}
function stopAt(li) {
  for (const e of document.querySelectorAll("#tree li[tabindex='0']")) e.setAttribute("tabindex", "-1");
  li.setAttribute("tabindex", "0");
}
function showTree() {
  if (differs("counts", state.by, labelling.version)) showCounts();
  if (differs("node", state.node)) showNode();
}
function showCounts() {
  for (const li of document.querySelectorAll("#tree li")) {
    li.querySelector(".count").textContent = String(itemsBelow(Number(li.dataset.node), state.by).length);
  }
}
function showNode() {
  for (const e of document.querySelectorAll('#tree [aria-selected="true"]')) e.setAttribute("aria-selected", "false");
  const li = byId(`node-${state.node}`);
  li.setAttribute("aria-selected", "true");
  for (let up = li.parentElement.closest("li"); up; up = up.parentElement.closest("li")) toggle(up, true);
  stopAt(li);
}
byId("tree").append(treeItem(root));
byId("tree").addEventListener("keydown", (event) => {
  const li = event.target.closest("li"), all = [...document.querySelectorAll("#tree li")].filter((e) => e.offsetParent !== null), at = all.indexOf(li);
  const moves = { ArrowDown: all[at + 1], ArrowUp: all[at - 1], Home: all[0], End: all.at(-1) };
  const open = li.getAttribute("aria-expanded");
  if (event.key in moves) { if (moves[event.key]) focusOn(moves[event.key]); }
  else if (event.key === "ArrowRight") { if (open === "false") toggle(li, true); else if (open && all[at + 1]) focusOn(all[at + 1]); }
  else if (event.key === "ArrowLeft") { if (open === "true") toggle(li, false); else if (li.parentElement.closest("li")) focusOn(li.parentElement.closest("li")); }
  else if (event.key === "Enter" || event.key === " ") go({ view: "images", node: Number(li.dataset.node) });
  else return;
  event.preventDefault();
});
byId("by").addEventListener("change", (event) => go({ by: event.target.value }));
byId("by").parentElement.hidden = data.labels === null;
onChange(() => { byId("by").value = state.by; });
onChange(showTree);
