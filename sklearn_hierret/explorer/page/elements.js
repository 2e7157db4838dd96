/* Elements. Text is set as text, so that no name is markup. */
import { data, labelOf } from "./data.js";

export const byId = (id) => document.getElementById(id);
export function element(tag, { text, ...attributes } = {}, ...inside) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined) e.setAttribute(name, value);
  if (text !== undefined) e.textContent = text;
  e.append(...inside);
  return e;
}
export function button(text, act, attributes = {}) {
  const b = element("button", { type: "button", text, ...attributes });
  b.addEventListener("click", act);
  return b;
}
export const picture = (item) => element("img", { src: data.images[item], alt: `image ${data.ids[item]}: ${labelOf(item)}`, loading: "lazy" });
export const percent = (p) => (p > 0.99 ? "over 99 %" : p < 0.01 ? "below 1 %" : `${(100 * p).toFixed(0)} %`);
export const say = (text) => { byId("status").textContent = text; };
