"use strict";

// Tables: a click on a column's head sorts by the cells' `data-v`, numbers before words.
function sortTable(head) {
  const table = head.closest("table");
  const body = table.tBodies[0];
  const index = [...head.parentElement.children].indexOf(head);
  const descending = head.getAttribute("aria-sort") !== "descending";
  for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const key = (row) => row.cells[index]?.dataset.v ?? row.cells[index]?.textContent ?? "";
  const compare = (a, b) => {
    const x = Number(key(a)), y = Number(key(b));
    if (key(a) === "" || key(b) === "") return key(a) === key(b) ? 0 : key(a) === "" ? 1 : -1;
    const by = Number.isNaN(x) || Number.isNaN(y) ? key(a).localeCompare(key(b)) : x - y;
    return descending ? -by : by;
  };
  const rows = [...body.rows].sort(compare);
  body.append(...rows);
}

for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => sortTable(button.closest("th")));
}

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    const text = button.parentElement.querySelector("pre").textContent;
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "copied";
    } catch {
      getSelection().selectAllChildren(button.parentElement.querySelector("pre"));
      button.textContent = "selected";
    }
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  });
}

// The browser of pairs. Everything that came from a dataset or a judge is put on the page as text.
const PAGE = 50;
const PREFERENCES = ["first", "second", "tie"];
const ORDERS = ["as is", "swapped"];
const SETTINGS = ["with ties", "without ties"];

function element(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

class Browser {
  constructor(root, data) {
    this.root = root;
    this.data = data;
    this.filter = { task: "", outcome: "", setting: "", run: "", source: "", query: "" };
    this.page = 0;
    this.chosen = 0;
    this.list = root.querySelector("ol");
    this.detail = root.querySelector(".detail-card");
    this.texts = new Map();
    this.readHash();
    this.bind();
    this.apply();
  }

  word(index) { return index === undefined || index === null ? "" : this.data.strings[index]; }

  bind() {
    for (const control of this.root.querySelectorAll("[data-filter]")) {
      const name = control.dataset.filter;
      if (this.filter[name]) control.value = this.filter[name];
      let timer;
      control.addEventListener("input", () => {
        clearTimeout(timer);
        timer = setTimeout(() => {
          this.filter[name] = control.value;
          this.page = 0;
          this.chosen = 0;
          this.apply();
        }, control.tagName === "INPUT" ? 150 : 0);
      });
    }
    for (const button of this.root.querySelectorAll("[data-turn]")) {
      button.addEventListener("click", () => this.turn(Number(button.dataset.turn)));
    }
    document.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = ["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName);
    if (typing) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const inside = this.root.contains(document.activeElement);
    const acts = {
      j: () => this.move(1), k: () => this.move(-1),
      n: () => this.turn(1), p: () => this.turn(-1),
      "/": () => { this.root.scrollIntoView(); this.root.querySelector("input").focus(); },
    };
    if (inside) {
      acts.ArrowDown = acts.j;
      acts.ArrowUp = acts.k;
    }
    if (acts[event.key]) {
      event.preventDefault();
      acts[event.key]();
    }
  }

  verdicts(pair) {
    const { run, setting } = this.filter;
    return pair.v.filter((v) => (run === "" || v.n === Number(run)) && (setting === "" || v.s === Number(setting)));
  }

  outcome(pair, verdict) {
    if (verdict.st !== 0) return "unread";
    if (pair.l === undefined) return "none";
    return verdict.p === pair.l ? "right" : "wrong";
  }

  outcomes(pair) {
    const verdicts = this.verdicts(pair);
    const found = new Set(verdicts.map((v) => this.outcome(pair, v)));
    const byPlace = new Map();
    for (const v of verdicts) {
      if (v.st !== 0) continue;
      const place = `${v.n}/${v.s}`;
      if (byPlace.has(place) && byPlace.get(place) !== v.p) found.add("flips");
      byPlace.set(place, v.p);
    }
    const runs = new Map();
    for (const v of verdicts) {
      if (v.st !== 0) continue;
      const place = `${v.s}/${v.o}`;
      if (runs.has(place) && runs.get(place) !== v.p) found.add("runs-differ");
      runs.set(place, v.p);
    }
    return found;
  }

  text(index) {
    if (!this.texts.has(index)) {
      const pair = this.data.pairs[index];
      const parts = [...(pair.p ?? []), ...(pair.r ?? []).flatMap((r) => r.p)];
      const words = [pair.i, this.word(pair.c), this.word(pair.s), ...(pair.r ?? []).map((r) => this.word(r.m))];
      for (const part of parts) if (typeof part === "number") words.push(this.word(part));
      for (const v of pair.v) words.push(this.word(v.ra), this.word(v.raw), this.word(v.d));
      this.texts.set(index, words.join("\n").toLowerCase());
    }
    return this.texts.get(index);
  }

  apply() {
    const { task, outcome, source, query } = this.filter;
    const words = query.toLowerCase().split(/\s+/).filter(Boolean);
    this.found = [];
    this.data.pairs.forEach((pair, index) => {
      if (task && pair.t !== task) return;
      if (source && this.word(pair.s) !== source) return;
      if (this.data.runs.length && this.verdicts(pair).length === 0) return;
      if (outcome && !this.outcomes(pair).has(outcome)) return;
      if (words.length && !words.every((word) => this.text(index).includes(word))) return;
      this.found.push(index);
    });
    this.page = Math.min(this.page, Math.max(0, Math.ceil(this.found.length / PAGE) - 1));
    this.show();
  }

  turn(by) {
    const last = Math.max(0, Math.ceil(this.found.length / PAGE) - 1);
    const page = Math.min(last, Math.max(0, this.page + by));
    if (page === this.page) return;
    this.page = page;
    this.chosen = page * PAGE;
    this.show();
  }

  move(by) {
    const chosen = Math.min(this.found.length - 1, Math.max(0, this.chosen + by));
    if (chosen === this.chosen || chosen < 0) return;
    this.chosen = chosen;
    this.page = Math.floor(chosen / PAGE);
    this.show();
    this.list.querySelector('[aria-current="true"] button')?.focus({ preventScroll: true });
  }

  // Scrolls the list, and nothing else, until the chosen pair is in it.
  reveal() {
    const current = this.list.querySelector('[aria-current="true"]');
    if (!current) return;
    const top = current.getBoundingClientRect().top - this.list.getBoundingClientRect().top + this.list.scrollTop;
    if (top < this.list.scrollTop) this.list.scrollTop = top;
    const bottom = top + current.offsetHeight - this.list.clientHeight;
    if (bottom > this.list.scrollTop) this.list.scrollTop = bottom;
  }

  show() {
    const from = this.page * PAGE;
    const visible = this.found.slice(from, from + PAGE);
    this.list.replaceChildren(...visible.map((index, offset) => this.row(index, from + offset)));
    this.reveal();
    const total = this.data.pairs.length;
    const range = this.found.length ? `${from + 1}–${from + visible.length} of ${this.found.length}` : "none";
    const rest = this.found.length === total ? "" : ` (${total} in all)`;
    for (const node of this.root.querySelectorAll("[data-count]")) node.textContent = range + rest;
    for (const button of this.root.querySelectorAll("[data-turn]")) {
      const by = Number(button.dataset.turn);
      button.disabled = by < 0 ? this.page === 0 : from + PAGE >= this.found.length;
    }
    const index = this.found[this.chosen];
    this.detail.replaceChildren(...(index === undefined ? [element("p", "empty", "No pair fits these filters.")] : this.pairNodes(this.data.pairs[index])));
    this.writeHash(index);
  }

  badge(outcome) {
    const names = { right: "✓ right", wrong: "✗ wrong", unread: "? no verdict", none: "· unlabelled" };
    return element("span", `outcome ${outcome}`, names[outcome]);
  }

  row(index, position) {
    const pair = this.data.pairs[index];
    const item = element("li");
    if (position === this.chosen) item.setAttribute("aria-current", "true");
    const button = element("button");
    button.type = "button";
    const top = element("div", "top");
    top.append(element("span", "tag", pair.t));
    const found = this.outcomes(pair);
    const worst = ["unread", "wrong", "right", "none"].find((o) => found.has(o)) ?? "none";
    if (this.data.runs.length) top.append(this.badge(worst));
    if (found.has("flips")) top.append(element("span", "", "⇄ order"));
    top.append(element("span", "id", pair.i));
    const prompt = (pair.p ?? []).find((part) => typeof part === "number");
    const words = prompt === undefined ? this.word(pair.c) || pair.i : this.word(prompt);
    button.append(top, element("div", "snippet", words.slice(0, 240)));
    button.addEventListener("click", () => {
      this.chosen = position;
      this.show();
      this.list.querySelector('[aria-current="true"] button')?.focus({ preventScroll: true });
    });
    item.append(button);
    return item;
  }

  pairNodes(pair) {
    const crumb = element("div", "crumb");
    crumb.append(element("span", "tag", pair.t), element("span", "mono", pair.i));
    if (pair.s !== undefined) crumb.append(element("span", "", this.word(pair.s)));
    if (pair.g !== undefined) crumb.append(element("span", "", `group ${this.word(pair.g)}`));
    const nodes = [crumb];
    if (pair.c !== undefined) {
      const block = element("div", "block");
      block.append(this.title("Criterion"), element("div", "words criterion", this.word(pair.c)));
      nodes.push(block);
    }
    if (pair.p === undefined) {
      nodes.push(element("p", "soft small block", "The benchmark was not at hand when this report was written, so the prompt and the responses are not shown."));
    } else {
      const block = element("div", "block");
      block.append(this.title("Prompt"), ...pair.p.map((part) => this.part(part)));
      nodes.push(block);
    }
    nodes.push(...this.sides(pair));
    if (this.data.runs.length) {
      const verdicts = element("div");
      verdicts.append(this.title("Verdicts"), ...this.verdicts(pair).map((v) => this.verdict(pair, v)));
      nodes.push(verdicts);
    }
    return nodes;
  }

  title(text) {
    const block = element("div", "block");
    const title = element("div", "title", text);
    block.style.marginBottom = "0";
    block.append(title);
    return block;
  }

  sides(pair) {
    if (!pair.r) {
      const label = pair.l === undefined ? "none" : PREFERENCES[pair.l];
      return [element("p", "block small", `Label: ${label}`)];
    }
    const sides = element("div", "sides");
    pair.r.forEach((response, index) => {
      const side = element("div", pair.l === index ? "side preferred" : "side");
      const title = element("div", "title");
      title.append(element("span", "", `Response ${index + 1}`));
      if (response.m !== undefined) title.append(element("span", "", this.word(response.m)));
      if (pair.l === index) title.append(element("span", "chosen", "✓ preferred by the label"));
      side.append(title, ...response.p.map((part) => this.part(part)));
      sides.append(side);
    });
    const nodes = [sides];
    if (pair.l === 2) nodes.push(element("p", "block small", "The label is a tie."));
    if (pair.l === undefined) nodes.push(element("p", "block small", "The pair has no label."));
    return nodes;
  }

  part(part) {
    if (typeof part === "number") return element("div", "words", this.word(part));
    const medium = element("div", "medium");
    const stored = part.m === undefined ? {} : this.data.media[part.m];
    if (stored.u?.startsWith("data:image/")) {
      const image = element("img");
      image.src = stored.u;
      image.alt = `${part.k}: ${part.n}`;
      medium.append(image);
    }
    if (stored.a?.startsWith("data:audio/")) {
      const audio = element("audio");
      audio.controls = true;
      audio.preload = "none";
      audio.src = stored.a;
      medium.append(audio);
    }
    const why = part.e ? `cannot be shown: ${part.e}` : part.x ?? stored.x;
    if (part.e) medium.classList.add("broken");
    else if (!stored.u && !stored.a) medium.classList.add("left-out");
    medium.append(element("div", "caption", why ? `${part.k} ${part.n}: ${why}` : part.n));
    return medium;
  }

  verdict(pair, v) {
    const node = element("div", "verdict");
    const line = element("div", "line");
    line.append(this.badge(this.outcome(pair, v)));
    const says = v.st === 0 ? `prefers ${PREFERENCES[v.p]}` : this.data.statuses[v.st];
    line.append(element("strong", "", says));
    if (this.data.runs.length > 1) line.append(element("span", "tag", this.data.runs[v.n]));
    line.append(element("span", "soft", `${SETTINGS[v.s]}, ${ORDERS[v.o]}`));
    if (v.sc) line.append(element("span", "mono soft", v.sc.map((s) => Number(s).toPrecision(4)).join(" : ")));
    node.append(line);
    if (v.d !== undefined) node.append(element("div", "words", this.word(v.d)));
    if (v.ra !== undefined) node.append(element("div", "words", this.word(v.ra)));
    if (v.raw !== undefined) {
      const more = element("details");
      more.append(element("summary", "", "reply as received"), element("pre", "", this.word(v.raw)));
      node.append(more);
    }
    return node;
  }

  // A link to a pair: `#pair=<id>`.
  readHash() {
    const match = location.hash.match(/^#pair=(.*)$/);
    if (!match) return;
    let id;
    try { id = decodeURIComponent(match[1]); } catch { return; }
    const index = this.data.pairs.findIndex((pair) => pair.i === id);
    if (index < 0) return;
    this.chosen = index;
    this.page = Math.floor(index / PAGE);
    requestAnimationFrame(() => this.root.scrollIntoView());
  }

  writeHash(index) {
    if (index === undefined || !this.started) { this.started = true; return; }
    history.replaceState(null, "", `#pair=${encodeURIComponent(this.data.pairs[index].i)}`);
  }
}

const island = document.getElementById("pairs");
const browserRoot = document.getElementById("pairs-section");
if (island && browserRoot) new Browser(browserRoot, JSON.parse(island.textContent));
