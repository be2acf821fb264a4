"use strict";
// The page contains the rows as JSON. Text is set through textContent alone, so markup in it stays text.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const rows = data.rows, PAGE = 100;
  const byId = (id) => document.getElementById(id);
  const [search, state, tier, layout, reason, review] = ["search", "state", "tier", "layout", "reason", "review"].map(byId);
  const body = document.querySelector("#rows tbody");
  let found = rows, shown = 0;

  for (const row of rows) {
    row.text = [row.id, row.title, ...(row.who || []), ...row.raw.map((piece) => piece[1]), row.reason]
      .filter(Boolean).join(" ").toLowerCase();
  }
  const options = (select, values, label = (value) => value) => {
    const counts = new Map();
    for (const value of values) if (value !== undefined) counts.set(value, (counts.get(value) || 0) + 1);
    for (const [value, count] of [...counts].sort((one, other) => other[1] - one[1])) {
      const option = document.createElement("option");
      option.value = String(value);
      option.textContent = `${label(value)} (${count.toLocaleString("en")})`;
      select.append(option);
    }
  };
  options(state, rows.map((row) => row.state));
  options(tier, rows.map((row) => row.tier));
  options(layout, rows.map((row) => row.layout), (number) => data.layouts[number]);
  options(reason, rows.map((row) => row.review), (word) => word.replaceAll("_", " "));

  const element = (name, text, className) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  };
  const block = (text, className) => {  // in Arabic or Hebrew, it runs from right to left
    const made = element("div", text, className);
    made.dir = "auto";
    return made;
  };
  const marked = (pieces, parent) => {
    const tags = { k: "span", c: "del", n: "mark", p: "span" };
    for (const [kind, text] of pieces) parent.append(element(tags[kind], text));
    return parent;
  };
  const quote = (text) => (/^[\w.,:@%+\/-][\w.,:=@%+\/-]*$/.test(text) ? text : `'${text.replaceAll("'", `'"'"'`)}'`);
  const command = (verb, ids, ...options) =>  // an id may begin with a dash, so ids come after `--`
    ["titlecard", "review", verb, ...options, "--project", quote(data.project), "--", ...ids.map(quote)].join(" ");
  const copyButton = (label, text) => {
    const button = element("button", label);
    button.type = "button";
    button.dataset.copy = text;
    button.title = text;
    return button;
  };
  const cell = (line, label) => {
    const made = line.insertCell();
    made.dataset.label = label;
    return made;
  };
  const add = (row) => {
    const line = body.insertRow();
    const before = cell(line, "Came in");
    before.append(marked(row.raw, block()));
    if (row.about) before.append(marked(row.about, block(undefined, "about")));
    const id = element("div", undefined, "id");
    if (row.url) {
      const link = element("a", row.id);
      link.href = row.url;
      link.rel = "noopener noreferrer";
      id.append(link);
    } else id.textContent = row.id;
    before.append(id);
    const after = cell(line, "Came out");
    if (row.title === undefined) after.append(element("span", row.reason ? `${row.state}: ${row.reason}` : row.state, "flag"));
    else after.append(block(row.title));
    const who = cell(line, "Presenters");
    if (row.title !== undefined) who.append(block((row.who || []).join(", ") || "nobody"));
    cell(line, "Tier").textContent = row.tier === undefined ? "" : `${row.tier}, ${row.sure.toFixed(2)}`;
    const look = cell(line, "Review");
    if (row.review) {
      look.append(element("div", row.review.replaceAll("_", " "), "flag"));
      const names = (row.who || []).flatMap((name) => ["--presenter", quote(name)]);
      look.append(copyButton("Copy accept", command("accept", [row.id])), " ",
        copyButton("Copy set", command("set", [row.id], "--title", quote(row.title), ...(names.length ? names : ["--nobody"]))));
    }
  };
  const more = () => {
    for (const row of found.slice(shown, shown + PAGE)) add(row);
    shown = Math.min(shown + PAGE, found.length);
    byId("more").hidden = shown >= found.length;
    byId("count").textContent = `${found.length.toLocaleString("en")} of ${rows.length.toLocaleString("en")} rows, ${shown.toLocaleString("en")} shown`;
  };
  const filter = () => {
    const began = performance.now();
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    found = rows.filter((row) =>
      (!state.value || row.state === state.value) && (!tier.value || row.tier === tier.value) &&
      (!layout.value || String(row.layout) === layout.value) && (!reason.value || row.review === reason.value) &&
      (!review.checked || row.review) && words.every((word) => row.text.includes(word)));
    shown = 0;
    body.replaceChildren();
    more();
    byId("group").hidden = !found.some((row) => row.review);
    document.body.dataset.filterMs = String(performance.now() - began);
  };
  const copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {  // a page that was opened from a file may have no clipboard
      const area = element("textarea", text);
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    byId("copied").textContent = "Copied.";
    setTimeout(() => { byId("copied").textContent = ""; }, 2000);
  };
  byId("filters").addEventListener("input", filter);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("filters").addEventListener("reset", () => setTimeout(filter));
  byId("more").addEventListener("click", more);
  byId("accept").addEventListener("click", () =>
    copy(command("accept", found.filter((row) => row.review).map((row) => row.id))));
  document.addEventListener("click", (event) => {
    const text = event.target.dataset && event.target.dataset.copy;
    if (text) copy(text);
  });
  filter();
  document.body.dataset.ready = "true";
})();
