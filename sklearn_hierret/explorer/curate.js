/* ---- the list of images: search, filters, order, more ---- */
const view = { node: nNodes - 1, text: "", show: "all", order: "mixed", count: 120 };
const byId = (id) => document.getElementById(id);
const isSuspect = (item) => data.issues !== null && data.issues.flagged[item];
const disagrees = (item) => data.labels !== null && data.labels[item] !== tree.name[leafOf(item)];
const filters = {
  all: () => true, suspect: isSuspect, disagree: disagrees, new: (item) => data.known[item] < 0.5, corrected: (item) => corrections.has(item),
};
const orders = {
  suspicion: (a, b) => data.issues.rank[a] - data.issues.rank[b], known: (a, b) => data.known[a] - data.known[b],
  unsure: (a, b) => data.probability[a][0] - data.probability[b][0], id: (a, b) => a - b,
};
function matches(item) {
  const text = view.text.trim().toLowerCase();
  return !text || [data.ids[item], classOf(item), tree.name[leafOf(item)]].some((name) => String(name).toLowerCase().includes(text));
}
/* One image of each class in turn, so that the first ones show all classes. */
function mixed(list) {
  const byClass = new Map();
  for (const item of list) { const key = classOf(item); if (!byClass.has(key)) byClass.set(key, []); byClass.get(key).push(item); }
  const queues = [...byClass.values()], result = [];
  for (let i = 0; result.length < list.length; i++) for (const queue of queues) if (i < queue.length) result.push(queue[i]);
  return result;
}
function listed() {
  const list = items[view.node].filter((item) => filters[view.show](item) && matches(item));
  return view.order === "mixed" ? mixed(list) : list.sort((a, b) => orders[view.order](a, b) || a - b);
}
function showList() {
  const list = listed(), count = Math.min(view.count, list.length);
  byId("node").querySelector("h2").textContent = nameOf(view.node);
  byId("count").textContent = list.length ? `${count} of ${list.length} ${list.length === 1 ? "image" : "images"}` : "No image is like that.";
  byId("node").querySelector(".grid").replaceChildren(...list.slice(0, count).map((item) => card(item)));
  byId("more").hidden = count === list.length;
}
for (const [id, name] of [["filter", "show"], ["order", "order"]]) {
  byId(id).addEventListener("change", (event) => { view[name] = event.target.value; view.count = 120; showList(); });
}
byId("find").addEventListener("input", (event) => { view.text = event.target.value; view.count = 120; showList(); });
byId("more").addEventListener("click", () => {
  const before = view.count;
  view.count += 120; showList();
  byId("node").querySelectorAll("button.open")[before].focus();
});
for (const option of document.querySelectorAll('option[value="suspect"], option[value="suspicion"]')) option.hidden = option.disabled = data.issues === null;
for (const option of document.querySelectorAll('option[value="disagree"]')) option.hidden = option.disabled = data.labels === null;

/* ---- corrected labels, and files of them ---- */
for (const name of data.classes) byId("classes").append(element("option", { value: name }));
function correct(item, label) {
  if (label === null || label === data.labels?.[item]) corrections.delete(item); else corrections.set(item, label);
  byId("done").textContent = corrections.size ? `${corrections.size} corrected` : "";
  byId("export").hidden = !corrections.size && !marks.size;
  if (query !== null) show();
  showList();
}
byId("correction").addEventListener("submit", (event) => {
  event.preventDefault();
  const box = byId("label"), name = box.value.trim();
  if (!name) return;
  correct(query, name); box.value = "";
  byId("status").textContent = `${data.ids[query]} is ${name} now.`;
});
byId("take").addEventListener("click", () => { correct(query, data.issues.suggested[query]); byId("status").textContent = `${data.ids[query]} is ${classOf(query)} now.`; });
byId("undo").addEventListener("click", () => correct(query, null));
function rowsToExport() {
  const rows = [];
  for (let item = 0; item < n; item++) {
    const label = corrections.has(item) ? corrections.get(item) : null, mark = marks.has(item) ? (marks.get(item) ? "relevant" : "irrelevant") : null;
    if (label === null && mark === null) continue;
    const place = label === null ? -1 : data.classes.indexOf(label);
    rows.push({ id: data.values[item], label: label === null ? null : place < 0 ? label : data.class_values[place], mark });
  }
  return rows;
}
const quoted = (value) => (value === null ? "" : /[",\n\r]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value));
function save(name, text, kind) {
  const link = element("a", { href: URL.createObjectURL(new Blob([text], { type: kind })), download: name });
  document.body.append(link); link.click(); link.remove();
}
byId("json").addEventListener("click", () => save("corrections.json", JSON.stringify({ format: data.format, version: 1, items: rowsToExport() }, null, 1), "application/json"));
byId("csv").addEventListener("click", () => save("corrections.csv", ["id,label,mark", ...rowsToExport().map((row) => [row.id, row.label, row.mark].map(quoted).join(","))].join("\n") + "\n", "text/csv"));

/* ---- one image, large ---- */
function enlarge(item) {
  byId("large").querySelector("img").src = data.images[item];
  byId("large").querySelector("img").alt = `image ${data.ids[item]}: ${classOf(item)}`;
  byId("large").querySelector("p").textContent = `${data.ids[item]}: ${classOf(item)}`;
  byId("large").showModal();
}
byId("large").addEventListener("click", () => byId("large").close());

/* ---- the address holds the node and the image ---- */
function remember() {
  const wanted = `#node=${view.node}${query === null ? "" : `&image=${query}`}`;
  try { if (location.hash !== wanted) history.pushState(null, "", wanted); } catch { /* a notebook's frame has no address */ }
}
function restore() {
  const state = new URLSearchParams(location.hash.slice(1)), node = Number(state.get("node") ?? nNodes - 1), item = state.get("image");
  choose(Number.isInteger(node) && node >= 0 && node < nNodes ? node : nNodes - 1, false);
  if (item !== null && Number.isInteger(Number(item)) && Number(item) >= 0 && Number(item) < n) search(Number(item), false); else close(false);
}
function close(keep = true) {
  if (query === null) return;
  const before = query;
  query = null; marks = new Map(); byId("search").hidden = true;
  if (keep) remember();
  showList();
  byId("node").querySelector(`button.open[data-item="${before}"]`)?.focus();
}
byId("close").addEventListener("click", () => close());
document.addEventListener("keydown", (event) => { if (event.key === "Escape" && !byId("large").open) close(); });
addEventListener("popstate", restore);
addEventListener("hashchange", restore);
restore();
