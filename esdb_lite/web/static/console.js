// What pages do by themselves: parts that are fetched again, events as they come, keys. Everything can be read without.
"use strict";

const policy = window.trustedTypes
  ? trustedTypes.createPolicy("console", {createHTML: (text) => text})
  : {createHTML: (text) => text};

// --- parts of a page that are fetched again every few seconds ---

function isInUse(part) {
  const focus = document.activeElement;
  return part.querySelector("details[open]") || (part.contains(focus) && focus.matches("input, textarea, select"));
}

async function refresh() {
  const answer = await fetch(location.href, {headers: {accept: "text/html"}, redirect: "error"});
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(policy.createHTML(await answer.text()), "text/html");
  for (const part of document.querySelectorAll("[data-live]")) {
    const fresh = page.getElementById(part.id);
    if (!fresh || isInUse(part) || part.isEqualNode(fresh)) continue;
    const focused = [...part.querySelectorAll("a, button")].indexOf(document.activeElement);
    part.replaceWith(document.importNode(fresh, true));
    if (focused >= 0) document.getElementById(fresh.id).querySelectorAll("a, button")[focused]?.focus();
  }
}

function refreshAgain(seconds) {
  setTimeout(async () => {
    if (!document.hidden) await refresh().catch(() => {});
    refreshAgain(seconds);
  }, seconds * 1000);
}

// --- events as they are appended ---

class LiveRows {
  constructor(section) {
    this.section = section;
    this.rows = section.querySelector("[data-rows]");
    this.template = section.querySelector("template[data-row]");
    this.state = section.querySelector("[data-state]");
    this.button = section.querySelector("[data-pause]");
    this.most = Number(section.dataset.most);
    this.waiting = [];
    this.paused = false;
    this.count = 0;
    this.skipped = 0;
    this.button.hidden = false;
    this.button.addEventListener("click", () => this.pause(!this.paused));
    this.follow();
  }

  follow() {
    const source = new EventSource(this.section.dataset.events);
    source.addEventListener("ready", () => this.say("live"));
    source.addEventListener("row", (event) => this.take(JSON.parse(event.data)));
    source.addEventListener("skipped", (event) => { this.skipped += JSON.parse(event.data).count; });
    source.addEventListener("fault", (event) => { source.close(); this.say(JSON.parse(event.data).text, "bad"); });
    source.onerror = () => this.say(source.readyState === EventSource.CLOSED ? "ended" : "connecting …", "bad");
    this.say("connecting …", "fair");
  }

  take(row) {
    this.count += 1;
    if (this.paused) {
      this.waiting.push(row);
      this.waiting.splice(0, this.waiting.length - this.most);
      this.button.textContent = `Resume (${this.waiting.length})`;
    } else {
      this.show(row);
    }
    this.say("live");
  }

  show({texts, links}) {
    const made = this.template.content.cloneNode(true);
    for (const place of made.querySelectorAll("[data-text]")) place.textContent = texts[place.dataset.text];
    for (const place of made.querySelectorAll("[data-link]")) place.href = links[place.dataset.link];
    this.rows.prepend(made);
    while (this.rows.children.length > this.most) this.rows.lastElementChild.remove();
    this.section.querySelector("[data-empty]")?.remove();
  }

  pause(paused) {
    this.paused = paused;
    this.button.textContent = paused ? "Resume" : "Pause";
    if (!paused) this.waiting.splice(0).forEach((row) => this.show(row));
    this.say("live");
  }

  say(text, kind = "good") {
    const more = this.count ? `, ${this.count.toLocaleString("en")} new` : "";
    const skipped = this.skipped ? `, ${this.skipped.toLocaleString("en")} not shown` : "";
    this.state.textContent = text === "live" ? (this.paused ? "paused" : "live") + more + skipped : text;
    this.state.className = `state ${kind}`;
  }
}

// --- keys and buttons ---

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, textarea, select")) return;
  const links = [...document.querySelectorAll("main td.at a, main td:first-child a, main .names a")];
  const step = {j: 1, k: -1}[event.key];
  if (event.key === "/") {
    document.getElementById("q")?.focus();
    event.preventDefault();
  } else if (step && links.length) {
    const now = links.indexOf(document.activeElement);
    links[Math.min(links.length - 1, Math.max(0, now + step))].focus();
  } else if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
    document.querySelector(`main a[rel=${event.key === "ArrowLeft" ? "prev" : "next"}]`)?.click();
  }
}

async function copied(event) {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(button.closest("section").querySelector("pre").textContent);
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

document.querySelector(".side [aria-current]")?.scrollIntoView({block: "nearest", inline: "center"});
document.addEventListener("keydown", pressed);
document.addEventListener("click", copied);
for (const section of document.querySelectorAll("[data-events]")) new LiveRows(section);
const every = Number(document.querySelector("main")?.dataset.every);
if (every) refreshAgain(every);
