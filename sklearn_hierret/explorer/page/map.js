/* The map: a point for each image, chosen by a click or a lasso. */
import { data, issues, known, labelOf, n, unpackShares } from "./data.js";
import { byId } from "./elements.js";
import { go, list, onChange, render, state } from "./state.js";

const [xs, ys] = data.places.map(unpackShares);
const canvas = byId("points"), MARGIN = 12, REACH = 12;
let lasso = null;
const hues = new Map();
/* Hues far apart for classes one after another. */
function hueOf(name) {
  if (!hues.has(name)) hues.set(name, (hues.size * 137.508) % 360);
  return hues.get(name);
}
const isDark = () => matchMedia("(prefers-color-scheme: dark)").matches;
/* What gives an image its colour. */
function palette() {
  const by = byId("colour").value, light = isDark() ? 62 : 44;
  if (by === "class") return (item) => `hsl(${hueOf(labelOf(item))} 65% ${light}%)`;
  const share = by === "known" ? (item) => 1 - known[item] : (item) => issues.probability[item];
  const steps = Array.from({ length: 21 }, (_, i) => `hsl(${210 - 10 * i} ${25 + 3 * i}% ${light}%)`);
  return (item) => steps[Math.round(20 * share(item))];
}
function place(item, box) {
  return [MARGIN + xs[item] * (box.width - 2 * MARGIN), MARGIN + (1 - ys[item]) * (box.height - 2 * MARGIN)];
}
function draw() {
  const box = canvas.getBoundingClientRect(), scale = devicePixelRatio || 1, pen = canvas.getContext("2d");
  canvas.width = box.width * scale;
  canvas.height = box.height * scale;
  pen.scale(scale, scale);
  const chosen = list.area === null ? null : new Set(list.area), colourOf = palette(), radius = n > 2000 ? 2.5 : 4;
  for (let item = 0; item < n; item++) {
    const [x, y] = place(item, box);
    pen.globalAlpha = chosen === null || chosen.has(item) ? 0.9 : 0.15;
    pen.fillStyle = colourOf(item);
    const r = item === state.image ? 2 * radius : radius;
    if (n > 2000) {
      pen.fillRect(x - r, y - r, 2 * r, 2 * r); // Circles are slower.
      continue;
    }
    pen.beginPath();
    pen.arc(x, y, r, 0, 2 * Math.PI);
    pen.fill();
  }
  pen.globalAlpha = 1;
  if (!lasso) return;
  pen.strokeStyle = isDark() ? "#fff" : "#000";
  pen.beginPath();
  for (const [x, y] of lasso) pen.lineTo(x, y);
  pen.stroke();
}
/* Whether a point lies inside a polygon: a ray to the right crosses its sides an odd number of times. */
function inside([x, y], polygon) {
  let is = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
    const [x1, y1] = polygon[i], [x2, y2] = polygon[j];
    if (y1 > y !== y2 > y && x < ((x2 - x1) * (y - y1)) / (y2 - y1) + x1) is = !is;
  }
  return is;
}
function nearest(x, y) {
  const box = canvas.getBoundingClientRect();
  let best = null, least = REACH ** 2;
  for (let item = 0; item < n; item++) {
    const [px, py] = place(item, box), distance = (px - x) ** 2 + (py - y) ** 2;
    if (distance < least) [best, least] = [item, distance];
  }
  return best;
}
function at(event) {
  const box = canvas.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}
canvas.addEventListener("pointerdown", (event) => {
  lasso = [at(event)];
  try { canvas.setPointerCapture(event.pointerId); } catch { /* A pointer of a script is not there. */ }
});
canvas.addEventListener("pointermove", (event) => {
  if (lasso) {
    lasso.push(at(event));
    draw();
    return;
  }
  const item = nearest(...at(event)), hint = byId("hint");
  hint.hidden = item === null;
  if (item === null) return;
  hint.querySelector("img").src = data.images[item];
  hint.querySelector("span").textContent = `${data.ids[item]}: ${labelOf(item)}`;
  const [x, y] = place(item, canvas.getBoundingClientRect());
  hint.style.left = `${Math.min(x + 14, canvas.clientWidth - 150)}px`;
  hint.style.top = `${y + 14}px`;
});
canvas.addEventListener("pointerleave", () => { byId("hint").hidden = true; });
canvas.addEventListener("pointerup", () => {
  const shape = lasso;
  lasso = null;
  if (!shape) return;
  if (shape.length < 4) {
    const item = nearest(...shape[0]);
    if (item !== null) go({ image: item });
    return;
  }
  const box = canvas.getBoundingClientRect();
  choose(Array.from({ length: n }, (_, item) => item).filter((item) => inside(place(item, box), shape)));
});
function choose(items) {
  list.area = items;
  list.count = 120;
  byId("whole").hidden = items === null;
  render();
}
byId("whole").addEventListener("click", () => choose(null));
byId("colour").addEventListener("change", draw);
for (const option of byId("colour").options) option.disabled = option.hidden = option.value === "suspicion" && issues === null;
addEventListener("resize", () => { if (state.view === "map") draw(); });
onChange(() => {
  if (state.view !== "map") return;
  byId("whole").hidden = list.area === null;
  draw();
});
