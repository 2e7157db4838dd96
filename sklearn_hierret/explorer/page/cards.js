/* A card for an image, and grids of cards with one tab stop each. */
import { corrections, data, isSuspect, issues, labelOf } from "./data.js";
import { button, element, picture } from "./elements.js";
import { go, state } from "./state.js";
import { mark, marks } from "./search.js";

const note = (item) => (corrections.has(item) ? "corrected" : isSuspect(item) ? `perhaps ${issues.suggested[item]}` : "");
export function card(item, { parts = null, info = "" } = {}) {
  const open = button(undefined, () => go({ image: item }), { class: "open", "data-item": item, tabindex: "-1", title: `${data.ids[item]}: ${labelOf(item)}` });
  open.append(picture(item), element("span", { class: "label", text: labelOf(item) }), element("span", { class: "id", text: data.ids[item] }));
  if (note(item)) open.append(element("span", { class: corrections.has(item) ? "fixed" : "suspect", text: note(item) }));
  if (parts) open.append(element("span", { class: "parts", text: `visual ${parts.visual.toFixed(2)} + tree ${parts.tree.toFixed(2)}` }));
  if (info) open.append(element("span", { class: "parts", text: info }));
  const box = element("div", { class: "card", role: "listitem", "data-item": item }, open);
  if (!parts) return box;
  if (item !== state.image) box.classList.add(labelOf(item) === labelOf(state.image) ? "right" : "wrong");
  const buttons = element("div", { class: "marks" });
  for (const [kind, sign, relevant] of [["yes", "✓", true], ["no", "✗", false]]) {
    buttons.append(button(sign, () => mark(item, relevant), {
      class: kind, tabindex: "-1", "aria-pressed": String(marks.get(item) === relevant),
      "aria-label": `${relevant ? "relevant" : "irrelevant"}: image ${data.ids[item]}`,
    }));
  }
  box.append(buttons);
  return box;
}
/* Fill a grid; its first card, or the one that was left, is the tab stop. */
export function fill(grid, cards) {
  grid.replaceChildren(...cards);
  const stop = grid.querySelector(`button.open[data-item="${grid.dataset.stop}"]`) ?? grid.querySelector("button.open");
  stop?.setAttribute("tabindex", "0");
}
function beside(all, at, key) {
  if (key === "ArrowRight") return all[at + 1];
  if (key === "ArrowLeft") return all[at - 1];
  if (key === "Home") return all[0];
  if (key === "End") return all.at(-1);
  const here = all[at].getBoundingClientRect(), down = key === "ArrowDown";
  const rows = all.filter((e) => (down ? e.getBoundingClientRect().top > here.bottom - 1 : e.getBoundingClientRect().bottom < here.top + 1));
  const column = (e) => Math.abs(e.getBoundingClientRect().left - here.left) < 2;
  return down ? rows.find(column) : rows.reverse().find(column);
}
document.addEventListener("keydown", (event) => {
  const box = event.target.closest?.(".grid .card");
  if (!box || event.ctrlKey || event.metaKey || event.altKey) return;
  const open = box.querySelector("button.open"), item = Number(box.dataset.item);
  const all = [...box.closest(".grid").querySelectorAll("button.open")];
  if ((event.key === "r" || event.key === "x") && state.image !== null && box.querySelector(".marks")) mark(item, event.key === "r");
  else if (/^(Arrow|Home$|End$)/.test(event.key)) beside(all, all.indexOf(open), event.key)?.focus();
  else return;
  event.preventDefault();
});
document.addEventListener("focusin", (event) => {
  const open = event.target.closest?.(".grid button.open");
  if (!open) return;
  const grid = open.closest(".grid");
  for (const other of grid.querySelectorAll('button.open[tabindex="0"]')) other.setAttribute("tabindex", "-1");
  open.setAttribute("tabindex", "0");
  grid.dataset.stop = open.dataset.item;
});
