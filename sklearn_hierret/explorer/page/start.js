/* Show what the address asks for. */
import { data } from "./data.js";
import { restore } from "./state.js";

document.querySelector("h1").textContent = data.title;
document.body.classList.toggle("pixels", data.are_small);
document.getElementById("alpha").textContent = data.alpha;
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // The address holds the state.
  const first = document.querySelector("#content > section:not([hidden]) button.open[tabindex='0']");
  (first ?? document.getElementById("content")).focus();
});
restore();
