// Small helpers: elements, and values as people read them. Text always goes in as text, never as markup.

/** An element: h("p", {class: "x", onclick: f}, "text", child, …). null and false children are left out. */
export function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child != null && child !== false));
  return element;
}

/** A table with a caption for screen readers. Columns: {title, number?, cell(row)}, or {spoken, cell(row)} where the cells show what
 *  they are; the first one heads its row. */
export function table(caption, columns, rows) {
  const head = columns.map((column) => h("th", { scope: "col", class: column.number ? "number" : null },
    column.title ?? h("span", { class: "hidden" }, column.spoken)));
  const body = rows.map((row) => h("tr", null, columns.map((column, index) =>
    h(index ? "td" : "th", { scope: index ? null : "row", class: column.number ? "number" : null }, column.cell(row) ?? ""))));
  return h("div", { class: "scroll", role: "region", "aria-label": caption, tabindex: 0, "data-key": caption }, h("table", null, h("caption", { class: "hidden" }, caption),
    h("thead", null, h("tr", null, head)), h("tbody", null, body)));
}

const stateNames = { no_model: "no model", result: "result" };

export function state(name) {
  return h("span", { class: `state ${name}` }, stateNames[name] ?? name ?? "");
}

/** "Doe^Jane^^Dr" as "Doe, Jane". */
export function personName(name) {
  const [family, given] = (name ?? "").split("=")[0].split("^");
  return [family, given].filter(Boolean).join(", ");
}

/** "20260131" as "2026-01-31". */
export function dicomDate(date) {
  return /^\d{8}$/.test(date ?? "") ? `${date.slice(0, 4)}-${date.slice(4, 6)}-${date.slice(6)}` : date ?? "";
}

/** An ISO time as a <time>, in the viewer's zone; today's without the date. */
export function time(iso) {
  const date = new Date(iso);
  if (!iso || Number.isNaN(date.getTime())) return "";
  const today = date.toDateString() === new Date().toDateString();
  const options = today ? { timeStyle: "medium", hourCycle: "h23" } : { dateStyle: "medium", timeStyle: "short", hourCycle: "h23" };
  return h("time", { datetime: iso, title: iso }, new Intl.DateTimeFormat(undefined, options).format(date));
}

export function duration(seconds) {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

export function bytes(count) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  for (; count >= 1000 && unit < units.length - 1; unit++) count /= 1000;
  return `${count.toFixed(unit && count < 100 ? 1 : 0)} ${units[unit]}`;
}

export function plural(count, word) {
  return `${count} ${word}${count === 1 ? "" : "s"}`;
}

/** A short message at the corner, read out by screen readers. */
export function say(text, kind = "") {
  const message = h("p", { class: kind }, text);
  document.getElementById("messages").append(message);
  setTimeout(() => message.remove(), kind === "bad" ? 12000 : 5000);
  return message;
}
