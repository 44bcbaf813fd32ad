// The page: which view is shown, keeping it fresh, and taking files that are dropped on it.

import { follow } from "./changes.js";
import { request, store } from "./client.js";
import { h, plural, say } from "./dom.js";
import { views } from "./views.js";

const pollMs = 2500; /* where events are not to be had */
const glanceMs = 30000; /* for what they do not tell: uptime, disk, models */
const burstMs = 150;
const parallelUploads = 4;
const titles = { studies: "Studies", worklist: "Worklist", jobs: "Jobs", deliveries: "Deliveries", models: "Models", system: "System" };
const main = document.getElementById("main");

let drawn = ""; // what is on the screen, so that nothing is drawn again for the same data
let generation = 0;

/** A part of the address, as it stands where it is not encoded as one. */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function where() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, ...parts] = path.split("/").map(decoded);
  return { name: Object.hasOwn(views, name) ? name : "studies", parts, query: new URLSearchParams(query) };
}

function drawNavigation(current) {
  document.getElementById("nav").replaceChildren(...Object.entries(titles).map(([name, title]) =>
    h("a", { href: `#/${name}`, "aria-current": name === current ? "page" : null }, title)));
}

/** Draws anew without losing where the user is: the focus, and what was unfolded. */
function replace(node) {
  const focused = document.activeElement?.dataset?.key;
  const open = [...main.querySelectorAll("details[open]")].map((element) => element.dataset.key);
  main.replaceChildren(node);
  for (const key of open) main.querySelector(`details[data-key="${CSS.escape(key)}"]`)?.setAttribute("open", "");
  if (focused) main.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

async function drawHealth() {
  const response = await request("readyz").catch(() => null);
  const ready = response?.ok;
  const why = ready ? "" : response ? (await response.json().catch(() => ({}))).detail : "the server does not answer";
  document.getElementById("health").replaceChildren(
    h("span", { class: `state ${ready ? "done" : "failed"}` }, ready ? "ready" : `not ready: ${why ?? "unknown"}`));
}

async function refresh() {
  const mine = ++generation;
  const { name, parts, query } = where();
  const view = views[name];
  let data, failure;
  try {
    data = await view.load(parts.filter(Boolean), query);
  } catch (problem) {
    failure = problem;
  }
  if (mine !== generation) return; /* the user went elsewhere meanwhile */
  const key = JSON.stringify([location.hash, data ?? failure.message]);
  if (key !== drawn) {
    drawn = key;
    replace(failure ? h("p", { class: "empty reason" }, failure.message) : view.draw(data, parts, query));
  }
}

let following = false, looked = 0, due = null;

function look() {
  looked = Date.now();
  refresh();
  drawHealth();
}

/** Looks once at what changed in a burst. */
function lookSoon() {
  due ??= setTimeout(() => { due = null; look(); }, burstMs);
}

function keepFresh() {
  look();
  follow(lookSoon, (connected) => { following = connected; });
  setInterval(() => {
    if (!document.hidden && Date.now() - looked >= (following ? glanceMs : pollMs)) look();
  }, pollMs);
}

function go() {
  const { name } = where();
  document.title = `${titles[name]} · Lamina`;
  drawNavigation(name);
}

// ---- files ----

async function addFiles(files) {
  const waiting = [...files];
  const total = waiting.length;
  if (!total) return;
  let stored = 0, refused = 0, reason = "";
  const progress = say(`Storing ${plural(total, "file")}…`);
  const sender = async () => {
    for (let file = waiting.pop(); file; file = waiting.pop()) {
      try {
        const outcome = await store(file);
        if (outcome.stored) stored++;
        else { refused++; reason ||= outcome.reason; }
      } catch (problem) { refused++; reason ||= problem.message; }
      progress.textContent = `Storing files: ${stored + refused} of ${total}`;
    }
  };
  await Promise.all(Array.from({ length: parallelUploads }, sender));
  progress.remove();
  if (stored) say(`${plural(stored, "file")} stored`, "good");
  if (refused) say(`${plural(refused, "file")} refused: ${reason}`, "bad");
  refresh();
}

function chooseFiles() {
  const input = h("input", { type: "file", multiple: true });
  input.addEventListener("change", () => addFiles(input.files));
  input.click();
}

addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
});
addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("dropping"); });
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  addFiles(event.dataTransfer.files);
});
addEventListener("lamina-add-files", chooseFiles);
addEventListener("lamina-refresh", refresh);
addEventListener("hashchange", () => { go(); refresh(); main.focus({ preventScroll: true }); });

go();
keepFresh();
