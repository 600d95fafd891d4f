"use strict";
(() => {
  const all = JSON.parse(document.getElementById("data").textContent);
  const CARDS = 12; // a page of samples

  // Colours: what the system says, unless the reader chose. A page from a file may have no storage.
  const root = document.documentElement, theme = document.getElementById("theme");
  const remembered = { get() { try { return localStorage.getItem("theme") || ""; } catch { return ""; } },
    set(value) { try { localStorage.setItem("theme", value); } catch { /* it lasts as long as the page */ } } };
  const paint = (value) => { if (value) root.dataset.theme = value; else delete root.dataset.theme; };
  theme.value = remembered.get();
  paint(theme.value);
  theme.addEventListener("change", () => { paint(theme.value); remembered.set(theme.value); });

  const element = (name, className, ...content) => {
    const made = document.createElement(name);
    if (className) made.className = className;
    made.append(...content);
    return made;
  };

  // Tables: sorted by a column, numbers by size and before words; empty cells last.
  const order = (one, other) => {
    if (one === "" || other === "") return one === other ? 0 : one === "" ? Infinity : -Infinity;
    const numbers = [Number(one), Number(other)];
    if (numbers.every(Number.isFinite)) return numbers[0] - numbers[1];
    return one.localeCompare(other, undefined, { numeric: true });
  };
  const sortable = (table) => table.querySelectorAll(".sort").forEach((button) => button.addEventListener("click", () => {
    const head = button.closest("th"), body = table.tBodies[0], column = Number(button.dataset.column);
    const key = (row) => row.cells[column].dataset.sort, now = head.getAttribute("aria-sort");
    const words = [...body.rows].some((row) => Number.isNaN(Number(key(row))));
    const up = now === "none" ? words : now === "descending"; // numbers begin with the largest
    table.querySelectorAll("th[aria-sort]").forEach((other) => other.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const compare = (a, b) => { const by = order(key(a), key(b)); return Math.abs(by) === Infinity ? by : up ? by : -by; };
    body.append(...[...body.rows].sort(compare));
  }));

  const copied = async (text) => {
    try { await navigator.clipboard.writeText(text); return true; } catch { /* not allowed: the older way */ }
    const area = element("textarea", "hidden");
    area.value = text;
    document.body.append(area);
    area.select();
    const worked = document.execCommand("copy");
    area.remove();
    return worked;
  };
  const exported = (figure, tables) => {
    const form = figure.querySelector("[data-form]"), save = figure.querySelector("[data-save]"), done = figure.querySelector(".done");
    const copy = figure.querySelector("[data-copy]");
    const text = () => tables[figure.dataset.table][form.value];
    copy.addEventListener("click", async () => {
      const worked = await copied(text());
      copy.focus();
      done.textContent = worked ? "copied" : "the browser does not let a page copy; download it";
    });
    save.addEventListener("click", () => {
      const link = element("a");
      link.href = URL.createObjectURL(new Blob([text()], { type: "text/plain" }));
      link.download = `${save.dataset.save}.${form.value}`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
      done.textContent = link.download;
    });
  };

  // Samples.
  const marked = (text, word) => {
    const found = element("span"), lower = text.toLowerCase();
    let from = 0;
    for (let at; word && lower.length === text.length && (at = lower.indexOf(word, from)) >= 0; from = at + word.length) {
      found.append(text.slice(from, at), element("mark", "", text.slice(at, at + word.length)));
    }
    found.append(text.slice(from));
    return found;
  };
  const percent = (fraction) => `${Number((100 * fraction).toPrecision(6))} %`;
  const shown = (score, verdicts) => verdicts.length ? verdicts[Number(score > 0)] : score.toFixed(1);

  const samplesOf = (part, samples, chosen, glyphs) => {
    const box = part.querySelector(".samples"), cards = box.querySelector(".cards"), more = box.querySelector(".more");
    const search = box.querySelector("[data-search]"), fraction = box.querySelector("[data-fraction]");
    const sorting = box.querySelector("[data-order]"), full = box.querySelector("[data-full]");
    const fractions = [...new Set(samples.pictures.flatMap((picture) => picture.said.map((said) => said[1])))].sort((a, b) => a - b);
    const below = fractions.filter((value) => value < 1);
    fraction.append(...[...(below.length ? below : [1]), "any"].map((value) =>
      new Option(value === "any" ? "any part" : percent(value), String(value))));
    fraction.value = String(below.length ? below[Math.floor((below.length - 1) / 2)] : 1);
    full.closest("label").hidden = !below.length || !fractions.includes(1);
    let pages = 1;
    const words = samples.words;
    const beside = words.verdicts.length ? "." : `; ${words.head} of each image beside its ${words.text}.`;

    const rowsOf = (picture) => picture.said.filter(([method, kept]) => {
      if (kept === 1 && below.length) return full.checked && (chosen(method) || samples.methods[method].split(" ").includes("full"));
      return chosen(method) && (fraction.value === "any" || kept === Number(fraction.value));
    });
    const sorted = (found) => {
      const mean = (rows) => rows.reduce((sum, row) => sum + row[3], 0) / Math.max(1, rows.length);
      const spread = (rows) => rows.length ? Math.max(...rows.map((row) => row[3])) - Math.min(...rows.map((row) => row[3])) : 0;
      const keys = { split: () => 0, spread: ({ rows }) => -spread(rows), low: ({ rows }) => mean(rows), high: ({ rows }) => -mean(rows) };
      const key = keys[sorting.value];
      return found.map((one) => [key(one), one]).sort((a, b) => a[0] - b[0]).map((pair) => pair[1]);
    };
    const cardOf = ({ picture, rows }, word) => {
      const head = element("div", "head");
      if (picture.src !== null) {
        const image = element("img");
        image.src = all.pictures[picture.src];
        image.alt = picture.human[0] || `image ${picture.id}`;
        head.append(image);
      }
      const beside = element("div", "", element("h5", "", `image ${picture.id}`));
      if (picture.human.length) beside.append(element("ul", "human", ...picture.human.map((text) => element("li", "", marked(text, word)))));
      head.append(beside);
      const body = element("tbody");
      for (const [method, kept, text, score] of [...rows].sort((a, b) => a[1] - b[1] || b[3] - a[3])) {
        const name = element("th", "", glyphs[method] ? glyphs[method].cloneNode(true) : "", samples.methods[method] +
          (fraction.value === "any" && kept < 1 ? `, ${percent(kept)}` : ""));
        name.scope = "row";
        body.append(element("tr", kept === 1 ? "full" : "", name, element("td", "", marked(samples.texts[text] || "(no words)", word)),
          element("td", "number", shown(score, words.verdicts))));
      }
      const heads = ["method", words.text, words.verdicts.length ? "" : words.score].map((title) => { const made = element("th", "", title); made.scope = "col"; return made; });
      const table = element("table", "", element("thead", "", element("tr", "", ...heads)), body);
      return element("article", "card", head, rows.length ? table : element("p", "note", `No chosen method has a ${words.text} here.`));
    };
    const draw = () => {
      const word = search.value.trim().toLowerCase();
      const has = ({ picture, rows }) => !word || [...picture.human, ...rows.map((row) => samples.texts[row[2]])].some((text) => text.toLowerCase().includes(word));
      const found = sorted(samples.pictures.map((picture) => ({ picture, rows: rowsOf(picture) })).filter(has));
      cards.replaceChildren(...found.slice(0, pages * CARDS).map((one) => cardOf(one, word)));
      more.hidden = found.length <= pages * CARDS;
      box.querySelector(".count").textContent =
        `${Math.min(found.length, pages * CARDS)} of ${found.length} pictures` + (word ? ` with “${word}”` : "") + beside;
    };
    const afresh = () => { pages = 1; draw(); };
    for (const control of [search, fraction, sorting, full]) control.addEventListener("input", afresh);
    box.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
    more.addEventListener("click", () => {
      pages += 1;
      draw();
      if (more.hidden) search.focus();
    });
    draw();
    return draw;
  };

  // Parts: which methods are shown, in charts and samples.
  for (const part of document.querySelectorAll(".part")) {
    const { tables, samples } = all.parts[part.dataset.part];
    part.querySelectorAll("figure.table").forEach((figure) => { sortable(figure.querySelector("table")); exported(figure, tables); });

    const boxes = [...part.querySelectorAll("input[data-method]")];
    const names = boxes.map((box) => box.closest("label").textContent.trim());
    const chosen = (method) => !boxes.length || boxes[method].checked;
    part.querySelectorAll("svg [data-series]").forEach((group) => {
      const name = document.createElementNS("http://www.w3.org/2000/svg", "title");
      name.textContent = names[Number(group.dataset.series)] || "";
      group.prepend(name);
    });
    const glyphs = boxes.map((box) => box.closest("label").querySelector("svg"));
    const draw = samples ? samplesOf(part, samples, chosen, glyphs) : () => {};
    const show = () => {
      part.querySelectorAll("svg [data-series]").forEach((group) => { group.style.display = chosen(Number(group.dataset.series)) ? "" : "none"; });
      const status = part.querySelector(".methods .shown");
      if (status) status.textContent = `${boxes.filter((box) => box.checked).length} of ${boxes.length}`;
      draw();
    };
    boxes.forEach((box) => box.addEventListener("change", show));
    const quick = { all: () => true, none: () => false, reset: (box) => "first" in box.dataset };
    for (const [name, rule] of Object.entries(quick)) {
      part.querySelectorAll(`[data-${name}]`).forEach((button) => button.addEventListener("click", () => {
        boxes.forEach((box) => { box.checked = rule(box); });
        show();
      }));
    }
    part.querySelectorAll(".choice input").forEach((radio) => radio.addEventListener("change", () => {
      radio.closest("figure").querySelectorAll(".panel").forEach((panel, place) => { panel.hidden = place !== Number(radio.value); });
    }));
    show();
  }
})();
