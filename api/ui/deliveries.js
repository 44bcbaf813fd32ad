// What is on its way to other nodes, and the nodes.

import { getJson } from "./client.js";
import { h, state, table, time } from "./dom.js";

/** Columns for the destinations, with their switch. `button` makes one that posts and says what happened. */
function destinationTable(destinations, button) {
  const counts = (d) => Object.entries(d.deliveries ?? {}).map(([name, count]) => `${count} ${name}`).join(", ") || "none";
  return table("Destinations", [
    { title: "Destination", cell: (d) => d.destination },
    { title: "Kind", cell: (d) => d.kind ?? "" },
    { title: "Profile", cell: (d) => d.profile ?? "" },
    { title: "State", cell: (d) => (d.paused ? "paused" : d.active ? "active" : "no longer configured") },
    { title: "Deliveries", cell: counts },
    { spoken: "Actions", cell: (d) => d.active && button(d.paused ? "Resume" : "Pause", `pause-${d.destination}`,
      `api/v1/destinations/${encodeURIComponent(d.destination)}/${d.paused ? "resume" : "pause"}`,
      `${d.destination} ${d.paused ? "goes on" : "is paused"}`) },
  ], destinations);
}

const reason = (why, its) => why && h("span", { class: its === "failed" ? "reason" : "quiet" }, why);

function deliveryTable(deliveries, button) {
  return table("Deliveries", [
    { title: "Delivery", cell: (d) => String(d.delivery) },
    { title: "Destination", cell: (d) => d.destination },
    { title: "What", cell: (d) => d.type },
    { title: "Study", cell: (d) => d.study_uid && h("a", { href: `#/studies/${d.study_uid}`, class: "uid" }, d.study_uid) },
    { title: "State", cell: (d) => state(d.state) },
    { title: "Attempts", number: true, cell: (d) => String(d.attempts ?? "") },
    { title: "Created", cell: (d) => time(d.created) },
    { title: "Reason", cell: (d) => reason(d.last_error ?? d.warning, d.state) },
    { spoken: "Actions", cell: (d) => d.state === "failed" && button("Retry", `deliver-${d.delivery}`,
      `api/v1/deliveries/${d.delivery}/retry`, `Delivery ${d.delivery} queued again`) },
  ], deliveries);
}

export const deliveryStates = ["queued", "sending", "sent", "delivered", "failed", "superseded"];

/** The view; `parts` are what it shares with the others: button, filter, pager, listPath. */
export function deliveriesView({ button, filter, pager, listPath }) {
  return {
    async load(_parts, query) {
      const [list, nodes] = await Promise.all([getJson(listPath("deliveries", query)), getJson("api/v1/destinations")]);
      return { deliveries: list.deliveries, destinations: nodes.destinations };
    },
    draw({ deliveries, destinations }, _parts, query) {
      return h("article", { class: "page" },
        h("div", { class: "title" }, h("h1", null, "Deliveries"), filter(deliveryStates, query, "#/deliveries")),
        destinations.length ? [h("h2", null, "Destinations"), destinationTable(destinations, button)]
          : h("p", { class: "quiet" }, "No destination is configured: a [peer ...] with deliver = results is one."),
        h("h2", null, "Outbox"),
        deliveries.length ? deliveryTable(deliveries, button) : h("p", { class: "quiet" }, "No delivery here."),
        pager(deliveries.length, query, "#/deliveries"));
    },
  };
}
