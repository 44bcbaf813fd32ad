// Workitems (UPS-RS): what others have ordered, and how far it is. Read from their data sets, in DICOM JSON.

import { getJson } from "./client.js";
import { h, personName, table } from "./dom.js";

const looks = { SCHEDULED: "queued", "IN PROGRESS": "running", COMPLETED: "done", CANCELED: "failed" };

/** The first value at a path of tags. */
const value = (workitem, ...tags) => tags.reduce((item, tag) => item?.[tag]?.Value?.[0], workitem);

/** "20260131093000" as "2026-01-31 09:30". */
const dateTime = (text) => (text ?? "").replace(/^(\d{4})(\d\d)(\d\d)(?:(\d\d)(\d\d))?.*$/, (_, y, m, d, hour, minute) =>
  `${y}-${m}-${d}${hour ? ` ${hour}:${minute}` : ""}`);

function how(workitem) {
  const why = value(workitem, "00741002", "00741238");
  return h("span", { class: why ? "reason" : "quiet" }, why ?? value(workitem, "00741002", "00741006") ?? "");
}

function study(workitem) {
  const uid = value(workitem, "00404021", "0020000D");
  return uid && h("a", { href: `#/studies/${uid}`, class: "uid" }, uid);
}

const columns = [
  { title: "Workitem", cell: (w) => value(w, "00741204") },
  { title: "State", cell: (w) => h("span", { class: `state ${looks[value(w, "00741000")]}` }, value(w, "00741000")?.toLowerCase()) },
  { title: "Patient", cell: (w) => personName(value(w, "00100010")?.Alphabetic) || value(w, "00100020") },
  { title: "Study", cell: study },
  { title: "Work", cell: (w) => value(w, "00404018", "00080104") ?? value(w, "00404018", "00080100") },
  { title: "For", cell: (w) => value(w, "00404025", "00080100") ?? value(w, "00404025", "00080119") },
  { title: "Start", cell: (w) => dateTime(value(w, "00404005")) },
  { title: "Priority", cell: (w) => value(w, "00741200")?.toLowerCase() },
  { title: "Progress", cell: how },
];

/** The view; `parts` are what it shares with the others: filter, pager, pageSize. */
export function worklistView({ filter, pager, pageSize }) {
  return {
    async load(_parts, query) {
      const wanted = new URLSearchParams({ limit: pageSize, offset: query.get("offset") ?? 0 });
      if (query.get("state")) wanted.set("ProcedureStepState", query.get("state"));
      return (await getJson(`dicom-web/workitems?${wanted}`)) ?? [];
    },
    draw(workitems, _parts, query) {
      return h("article", { class: "page" },
        h("div", { class: "title" }, h("h1", null, "Worklist"), filter(Object.keys(looks), query, "#/worklist")),
        workitems.length ? table("Worklist", columns, workitems) : h("p", { class: "quiet" }, "No workitem here."),
        pager(workitems.length, query, "#/worklist", ["Earlier", "Later"]));
    },
  };
}
