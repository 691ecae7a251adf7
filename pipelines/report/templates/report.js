"use strict";
// Search, filters, keys, token probabilities, theme. Without this script the page shows everything.
const find = (id) => document.getElementById(id);
const [controls, search, count, tip, keys] = ["controls", "search", "count", "tip", "keys"].map(find);
const choices = ["flips", "category"].map(find).filter(Boolean);
const prompts = [...document.querySelectorAll("details.prompt")].map((element) => ({
  element,
  tags: element.dataset.tags.split(" "),
}));

function textOf(prompt) {
  prompt.text ??= prompt.element.textContent.toLowerCase();
  return prompt.text;
}

// Answers are shown by pages of so many; `page` counts from 0 among the prompts that match.
const PAGE = 20;
let page = 0;

function matching() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const wanted = choices.map((choice) => choice.value).filter(Boolean);
  return prompts.filter(
    (prompt) =>
      wanted.every((tag) => prompt.tags.includes(tag)) && words.every((word) => textOf(prompt).includes(word)),
  );
}

function show(first = 0) {
  const found = matching();
  page = Math.floor(first / PAGE);
  const here = new Set(found.slice(page * PAGE, (page + 1) * PAGE));
  for (const prompt of prompts) prompt.element.hidden = !here.has(prompt);
  for (const section of document.querySelectorAll(".prompts")) {
    section.hidden = !section.querySelector("details.prompt:not([hidden])");
  }
  const of = found.length === prompts.length ? "" : ` of ${prompts.length}`;
  const range = found.length > PAGE ? `${page * PAGE + 1} to ${page * PAGE + here.size} of ` : "";
  count.textContent = `${range}${found.length}${of} prompts`;
  find("pages").hidden = found.length <= PAGE;
  find("previous").disabled = page === 0;
  find("next").disabled = (page + 1) * PAGE >= found.length;
}

function turn(by) {
  show((page + by) * PAGE);
  find("answers").scrollIntoView();
}

function openTarget() {
  const target = location.hash && find(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) {
    const place = matching().findIndex(({ element }) => element === target);
    if (place >= 0) show(place);
    target.hidden = false;
    target.open = true;
    target.scrollIntoView();
  }
}

function toggleAll(button, elements, closed, opened) {
  const open = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", String(open));
  button.textContent = open ? opened : closed;
  for (const element of elements) element.open = open;
}

// The prompt that has the focus, else the first one that is not above the window.
function currentIndex(shown) {
  const focused = shown.findIndex(({ element }) => element.contains(document.activeElement));
  if (focused >= 0) return { index: focused, isFocused: true };
  const below = shown.findIndex(({ element }) => element.getBoundingClientRect().top > -8);
  return { index: below < 0 ? shown.length - 1 : below, isFocused: false };
}

function step(by) {
  const shown = prompts.filter(({ element }) => !element.hidden);
  if (!shown.length) return;
  const { index, isFocused } = currentIndex(shown);
  const next = Math.max(0, Math.min(shown.length - 1, isFocused ? index + by : index));
  const summary = shown[next].element.querySelector("summary");
  summary.focus({ preventScroll: true });
  summary.scrollIntoView({ block: "nearest" });
}

function toggleDiff() {
  const shown = prompts.filter(({ element }) => !element.hidden);
  if (!shown.length) return;
  const { element } = shown[currentIndex(shown).index];
  const diffs = [...element.querySelectorAll("details.diff")];
  const open = !(element.open && diffs.some((diff) => diff.open));
  element.open = element.open || open;
  for (const diff of diffs) diff.open = open;
}

const actions = {
  j: () => step(1),
  k: () => step(-1),
  d: toggleDiff,
  "/": () => search.focus(),
  "?": () => keys.showModal(),
};

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || keys.open) return;
  const target = event.target;
  if (event.key === "Escape") {
    hideTip();
    if (target === search) {
      search.value = "";
      show();
      search.blur();
    }
    return;
  }
  if (target.closest("input, select, textarea") || !find("keys-on").checked) return;
  const action = actions[event.key];
  if (action) {
    event.preventDefault();
    action();
  }
}

let shownToken = null;

function line(tag, text, className) {
  const element = document.createElement(tag);
  element.textContent = text;
  if (className) element.className = className;
  return element;
}

function showTip(token) {
  if (token === shownToken) return;
  const [text, probability, ...others] = token.dataset.token.split("\t");
  const list = document.createElement("dl");
  for (let i = 0; i < others.length; i += 2) list.append(line("dt", others[i]), line("dd", others[i + 1]));
  tip.replaceChildren(line("b", text), line("span", ` ${probability}`));
  if (others.length) tip.append(line("p", "Likeliest here:"), list);
  hideTip();
  shownToken = token;
  token.setAttribute("aria-describedby", "tip");
  tip.hidden = false;
  const box = token.getClientRects()[0];
  const left = Math.min(box.left, document.documentElement.clientWidth - tip.offsetWidth - 8);
  const fitsBelow = box.bottom + tip.offsetHeight + 6 <= innerHeight;
  tip.style.left = `${scrollX + Math.max(8, left)}px`;
  tip.style.top = `${scrollY + (fitsBelow ? box.bottom + 2 : box.top - tip.offsetHeight - 2)}px`;
}

function hideTip() {
  shownToken?.removeAttribute("aria-describedby");
  shownToken = null;
  tip.hidden = true;
}

function moveToken(event) {
  if (event.key === "Escape") hideTip();
  const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  const token = by && event.target.closest(".token");
  if (!token) return;
  const next = by > 0 ? token.nextElementSibling : token.previousElementSibling;
  event.preventDefault();
  if (!next) return;
  token.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
}

function connectTokens() {
  const over = (event) => event.target.closest?.(".token");
  addEventListener("pointerover", (event) => {
    const token = over(event);
    if (token) showTip(token);
    else if (shownToken && !tip.contains(event.target) && shownToken !== document.activeElement) hideTip();
  });
  addEventListener("focusin", (event) => (over(event) ? showTip(over(event)) : hideTip()));
  addEventListener("click", (event) => (over(event) ? showTip(over(event)) : tip.contains(event.target) || hideTip()));
  addEventListener("keydown", moveToken);
}

// Storage is refused to pages opened from disk in some browsers; the choice then lasts as long as the page.
function remembered(value) {
  try {
    if (value !== undefined) localStorage.setItem("base2instruct-theme", value);
    return localStorage.getItem("base2instruct-theme");
  } catch {
    return null;
  }
}

function connectTheme() {
  const button = find("theme");
  const themes = ["system", "light", "dark"];
  const apply = (theme) => {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
  };
  let theme = themes.includes(remembered()) ? remembered() : "system";
  button.addEventListener("click", () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    remembered(theme);
    apply(theme);
  });
  button.hidden = false;
  apply(theme);
}

connectTheme();
connectTokens();
if (prompts.length) {
  let waiting;
  search.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => show(), 80);
  });
  for (const choice of choices) choice.addEventListener("change", () => show());
  find("previous").addEventListener("click", () => turn(-1));
  find("next").addEventListener("click", () => turn(1));
  const elements = prompts.map(({ element }) => element);
  find("open-all").addEventListener("click", (event) => toggleAll(event.target, elements, "Open all", "Close all"));
  find("diff-all").addEventListener("click", (event) =>
    toggleAll(event.target, document.querySelectorAll("details.diff"), "Show differences", "Hide differences"),
  );
  find("show-keys").addEventListener("click", () => keys.showModal());
  addEventListener("keydown", onKey);
  controls.hidden = false;
  show();
  openTarget();
  addEventListener("hashchange", openTarget);
}
