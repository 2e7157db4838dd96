/* Corrected labels, and the files that read_corrections reads. */
import { correct, corrections, data, issues, labelOf, n } from "./data.js";
import { byId, element, say } from "./elements.js";
import { marks } from "./search.js";
import { onChange, render, state } from "./state.js";

function relabel(item, label) {
  correct(item, label);
  render();
  say(`${data.ids[item]} is ${labelOf(item)} now.`);
}
for (const name of data.classes) byId("classes").append(element("option", { value: name }));
byId("correction").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = byId("label").value.trim();
  if (!name) return;
  byId("label").value = "";
  relabel(state.image, name);
});
byId("take").addEventListener("click", () => relabel(state.image, issues.suggested[state.image]));
byId("undo").addEventListener("click", () => relabel(state.image, null));
onChange(() => { byId("done").textContent = corrections.size ? `${corrections.size} corrected` : ""; });

function rowsToExport() {
  const rows = [];
  for (let item = 0; item < n; item++) {
    if (!corrections.has(item) && !marks.has(item)) continue;
    const name = corrections.get(item) ?? null, place = data.classes.indexOf(name);
    const label = place < 0 ? name : data.class_values[place];
    rows.push({ id: data.values[item], label, mark: marks.has(item) ? (marks.get(item) ? "relevant" : "irrelevant") : null });
  }
  return rows;
}
function quoted(value) {
  const text = value === null ? "" : String(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
function save(name, text, kind) {
  const link = element("a", { href: URL.createObjectURL(new Blob([text], { type: kind })), download: name });
  document.body.append(link);
  link.click();
  link.remove();
}
byId("json").addEventListener("click", () => {
  save("corrections.json", JSON.stringify({ format: data.format, version: 1, items: rowsToExport() }, null, 1), "application/json");
});
byId("csv").addEventListener("click", () => {
  const lines = rowsToExport().map((row) => [row.id, row.label, row.mark].map(quoted).join(","));
  save("corrections.csv", `${["id,label,mark", ...lines].join("\n")}\n`, "text/csv");
});
