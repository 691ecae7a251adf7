"use strict";
// Search and filter. Without this script the page shows everything.
const controls = document.getElementById("controls");
const search = document.getElementById("search");
const count = document.getElementById("count");
const toggle = document.getElementById("toggle");
const prompts = [...document.querySelectorAll("details.prompt")].map((element) => ({
  element,
  text: element.textContent.toLowerCase(),
  tags: (element.dataset.tags || "").split(" "),
}));

function show() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const tag = controls.querySelector("input[name=filter]:checked").value;
  let shown = 0;
  for (const { element, text, tags } of prompts) {
    const matches = (!tag || tags.includes(tag)) && words.every((word) => text.includes(word));
    element.hidden = !matches;
    shown += matches;
  }
  for (const section of document.querySelectorAll(".prompts")) {
    section.hidden = !section.querySelector("details.prompt:not([hidden])");
  }
  count.textContent = `${shown} of ${prompts.length} prompts`;
}

function openTarget() {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (target instanceof HTMLDetailsElement) {
    target.open = true;
    target.scrollIntoView();
  }
}

if (controls && prompts.length) {
  let waiting;
  search.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(show, 80);
  });
  search.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      search.value = "";
      show();
    }
  });
  controls.addEventListener("change", show);
  toggle.addEventListener("click", () => {
    const open = toggle.getAttribute("aria-pressed") !== "true";
    toggle.setAttribute("aria-pressed", String(open));
    toggle.textContent = open ? "Close all" : "Open all";
    for (const { element } of prompts) element.open = open;
  });
  controls.hidden = false;
  show();
  openTarget();
  addEventListener("hashchange", openTarget);
}
