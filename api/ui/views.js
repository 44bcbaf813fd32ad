// The views: each says what to load and how to draw it. A view draws the same for the same data.

import { getJson, post } from "./client.js";
import { deliveriesView } from "./deliveries.js";
import { worklistView } from "./worklist.js";
import { bytes, dicomDate, duration, h, personName, plural, say, state, table, time } from "./dom.js";
import { resultCard } from "./results.js";
import { searchStudies } from "./search.js";
import { thumbnail } from "./viewer.js";

const pageSize = 50;
const studyStates = ["receiving", "queued", "running", "done", "failed", "no_model"];
const jobStates = ["queued", "running", "done", "failed", "cancelled"];

function button(text, key, path, done) {
  return h("button", { type: "button", class: "small", "data-key": key, onclick: async (event) => {
    event.target.disabled = true;
    try {
      await post(path);
      say(done, "good");
    } catch (problem) {
      say(problem.message, "bad");
    }
    dispatchEvent(new Event("lamina-refresh"));
  } }, text);
}

function jobButtons(job) {
  const waiting = job.state === "queued" || job.state === "running";
  return h("div", { class: "buttons" },
    job.state === "failed" && button("Retry", `retry-${job.job}`, `api/v1/jobs/${job.job}/retry`, `Job ${job.job} queued again`),
    waiting && button("Cancel", `cancel-${job.job}`, `api/v1/jobs/${job.job}/cancel`, `Job ${job.job} cancelled`));
}

function jobTable(jobs, withStudy) {
  const columns = [
    { title: "Job", cell: (j) => h("a", { href: `#/jobs/${j.job}` }, String(j.job)) },
    { title: "Model", cell: (j) => `${j.model?.name} ${j.model?.version}` },
    withStudy && { title: "Study", cell: (j) => h("a", { href: `#/studies/${j.study_uid}`, class: "uid" }, j.study_uid) },
    { title: "State", cell: (j) => state(j.state) },
    { title: "Attempts", number: true, cell: (j) => String(j.attempts ?? "") },
    { title: "Created", cell: (j) => time(j.created) },
    { title: "Reason", cell: (j) => j.reason && h("span", { class: j.state === "failed" ? "reason" : "quiet" }, j.reason) },
    { spoken: "Actions", cell: jobButtons },
  ].filter(Boolean);
  return table("Jobs", columns, jobs);
}

function filter(states, query, base) {
  const go = (event) => { location.hash = event.target.value ? `${base}?state=${event.target.value}` : base; };
  const options = states.map((name) => h("option", { value: name, selected: query.get("state") === name }, name.replace("_", " ")));
  return h("label", null, h("span", { class: "hidden" }, "Show "),
    h("select", { "data-key": "filter", onchange: go }, h("option", { value: "" }, "all states"), options));
}

function listPath(kind, query) {
  const path = new URLSearchParams({ limit: pageSize, offset: query.get("offset") ?? 0 });
  if (query.get("state")) path.set("state", query.get("state"));
  return `api/v1/${kind}?${path}`;
}

function pager(count, query, base, [back, on] = ["Newer", "Older"]) {
  const offset = Number(query.get("offset") ?? 0);
  const link = (text, to) => {
    const next = new URLSearchParams(query);
    next.set("offset", to);
    return h("a", { class: "button", href: `${base}?${next}` }, text);
  };
  if (!offset && count < pageSize) return null;
  return h("p", { class: "buttons" }, offset > 0 && link(back, Math.max(0, offset - pageSize)),
    count === pageSize && link(on, offset + pageSize));
}

// ---- studies ----

function studyCard(study, selected, query) {
  const suffix = query.size ? `?${query}` : "";
  return h("li", null, h("a", { class: "card", href: `#/studies/${study.study_uid}${suffix}`, "data-key": study.study_uid,
    "aria-current": study.study_uid === selected ? "true" : null },
    h("span", { class: "row" }, h("strong", null, personName(study.patient_name) || study.patient_id || "No name"), study.state && state(study.state)),
    h("small", { class: "row" },
      h("span", null, [study.description, dicomDate(study.study_date)].filter(Boolean).join(" · ") || study.study_uid),
      h("span", null, plural(study.instances ?? 0, "image")))));
}

function searchBox(query) {
  const go = (event) => {
    event.preventDefault();
    const words = new FormData(event.target).get("words").trim();
    location.hash = words ? `#/studies?${new URLSearchParams({ search: words })}` : "#/studies";
  };
  return h("form", { role: "search", class: "search", onsubmit: go },
    h("input", { type: "search", name: "words", "data-key": "search", "aria-label": "Find studies by patient name or ID",
      placeholder: "Patient name or ID", value: query.get("search") }),
    h("button", { class: "small" }, "Find"));
}

function studyList(data, selected, query) {
  return h("section", { class: "list", "aria-label": "Studies" }, searchBox(query),
    h("div", { class: "list-head" }, filter(studyStates, query, "#/studies"),
      h("button", { type: "button", "data-key": "add", onclick: () => dispatchEvent(new Event("lamina-add-files")) }, "Add files…")),
    data.studies.length ? h("ul", null, data.studies.map((study) => studyCard(study, selected, query)))
      : h("p", { class: "quiet" }, "No study here."),
    !query.get("search") && pager(data.studies.length, query, "#/studies"));
}

const seriesTitle = (series) => series.description || (series.number != null ? `Series ${series.number}` : series.series_uid);

/** The segmentation that was made from a series, if any. */
function segmentationOf(series, results) {
  const objects = results.filter((result) => result.series_uid === series.series_uid).flatMap((result) => result.objects ?? []);
  return objects.find((object) => object.type === "SEG")?.sop_uid ?? null;
}

/** What each model said of a series: those that run on it, and on request why the others do not. */
function opinions(series) {
  const models = series.models ?? [], wanted = models.filter((model) => model.wanted);
  if (!models.length) return series.reason && h("span", { class: "quiet" }, series.reason);
  const line = (model) => h("li", null, h("strong", null, `${model.name} ${model.version}`),
    model.wanted ? " runs: " : " does not: ", model.reason);
  return [series.state === "failed" && series.reason && h("p", { class: "reason" }, series.reason),
    h("details", { class: "opinions" },
      h("summary", null, wanted.length ? wanted.map((model) => model.name).join(", ") : "no model applies"),
      h("ul", null, models.map(line)))];
}

function seriesTable(study, results) {
  return table("Series", [
    { title: "Series", cell: (s) => [thumbnail(study.study_uid, s.series_uid, s.modality, seriesTitle(s), segmentationOf(s, results)), seriesTitle(s)] },
    { title: "Modality", cell: (s) => s.modality ?? "" },
    { title: "Images", number: true, cell: (s) => String(s.instances ?? "") },
    { title: "State", cell: (s) => state(s.state) },
    { title: "Models", cell: opinions },
  ], study.series ?? []);
}

const withoutResults = {
  no_model: "No installed model applies to this study; see below for why.",
  failed: "The analysis failed; see below for why.",
};

function studyFacts(study) {
  return [personName(study.patient_name), study.patient_id && `ID ${study.patient_id}`, dicomDate(study.study_date),
    study.accession_number && `accession ${study.accession_number}`].filter(Boolean).join(" · ");
}

function studyPage(study, results) {
  return h("article", { class: "page" },
    h("div", { class: "title" }, h("h1", null, study.description || "Study"), state(study.state),
      h("div", { class: "buttons" },
        button("Analyze now", "analyze", `api/v1/studies/${study.study_uid}/analyze`, "Analysis queued"))),
    h("p", { class: "facts" }, studyFacts(study)),
    h("p", { class: "facts uid" }, study.study_uid),
    h("h2", null, "Results"),
    results.length ? results.map((result) => resultCard(study.study_uid, result))
      : h("p", { class: "quiet" }, withoutResults[study.state] ?? "None yet."),
    h("h2", null, "Series"), seriesTable(study, results),
    study.jobs?.length ? [h("h2", null, "Jobs"), jobTable(study.jobs, false)] : null);
}

function firstSteps(status) {
  return h("div", { class: "empty" },
    h("h1", null, "No studies yet"),
    h("p", null, "Send images to ", h("code", null, `${status.ae_title}@${status.dicom}`),
      " by DICOM C-STORE, post them to ", h("code", null, "dicom-web/studies"), " by STOW-RS, or drop files on this page."));
}

const studies = {
  async load([selected], query) {
    const words = query.get("search");
    const [list, status] = await Promise.all([
      words ? { studies: await searchStudies(words, pageSize) } : getJson(listPath("studies", query)), getJson("api/v1/status")]);
    const uid = selected ?? list.studies[0]?.study_uid;
    const [study, results] = uid
      ? await Promise.all([getJson(`api/v1/studies/${uid}`), getJson(`api/v1/studies/${uid}/results`)]) : [null, null];
    return { list, study, results: results?.results, ae_title: status.ae_title, dicom: status.dicom };
  },
  draw(data, _parts, query) {
    const nothing = !data.list.studies.length && !query.get("state") && !query.get("search");
    return h("div", { class: "columns" }, studyList(data.list, data.study?.study_uid, query),
      data.study ? studyPage(data.study, data.results) : nothing ? firstSteps(data) : h("div", { class: "empty" },
        h("h1", null, "Nothing found"), h("p", null, query.get("search") ? "No study of such a patient." : "Nothing in this state.")));
  },
};

// ---- jobs ----

function attempts(job) {
  return table("Attempts", [
    { title: "Attempt", cell: (a) => String(a.number) },
    { title: "Outcome", cell: (a) => a.outcome ?? "running" },
    { title: "Started", cell: (a) => time(a.started) },
    { title: "Finished", cell: (a) => time(a.finished) },
    { title: "Stages", cell: (a) => Object.entries(a.timings_ms ?? {}).map(([stage, ms]) => `${stage} ${Math.round(ms)} ms`).join(", ") },
    { title: "Reason", cell: (a) => a.reason && h("span", { class: "reason" }, a.reason) },
  ], job.attempts_made ?? []);
}

const jobs = {
  async load([number], query) {
    return number ? { job: await getJson(`api/v1/jobs/${number}`) } : { list: await getJson(listPath("jobs", query)) };
  },
  draw(data, _parts, query) {
    if (data.job)
      return h("article", { class: "page" },
        h("div", { class: "title" }, h("h1", null, `Job ${data.job.job}`), state(data.job.state), jobButtons(data.job)),
        h("p", { class: "facts" }, `${data.job.model?.name} ${data.job.model?.version} on study `,
          h("a", { class: "uid", href: `#/studies/${data.job.study_uid}` }, data.job.study_uid)),
        data.job.reason && h("p", { class: "reason" }, data.job.reason),
        h("h2", null, "Attempts"), attempts(data.job));
    return h("article", { class: "page" }, h("div", { class: "title" }, h("h1", null, "Jobs"), filter(jobStates, query, "#/jobs")),
      h("p"), data.list.jobs.length ? jobTable(data.list.jobs, true) : h("p", { class: "quiet" }, "No job here."),
      pager(data.list.jobs.length, query, "#/jobs"));
  },
};

// ---- models ----

const models = {
  async load([name]) {
    return name ? { model: await getJson(`api/v1/models/${encodeURIComponent(name)}`) } : await getJson("api/v1/models");
  },
  draw(data) {
    if (data.model)
      return h("article", { class: "page" },
        h("h1", null, `${data.model.title ?? data.model.name} ${data.model.version ?? ""}`),
        h("p", { class: "facts" }, [data.model.task, data.model.licence].filter(Boolean).join(" · ")),
        h("p", { class: "facts uid" }, data.model.weights_sha256 ?? ""),
        data.model.card && [h("h2", null, "Card"), h("pre", null, data.model.card)],
        data.model.manifest && h("details", { "data-key": "manifest" }, h("summary", null, "Manifest"),
          h("pre", null, JSON.stringify(data.model.manifest, null, 2))));
    return h("article", { class: "page" }, h("h1", null, "Models"), h("p"),
      data.models.length ? table("Models", [
        { title: "Model", cell: (m) => h("a", { href: `#/models/${m.name}` }, m.title ?? m.name) },
        { title: "Version", cell: (m) => m.version ?? "" },
        { title: "Task", cell: (m) => m.task ?? "" },
        { title: "Licence", cell: (m) => m.licence ?? "" },
        { title: "Weights", cell: (m) => h("span", { class: "uid" }, (m.weights_sha256 ?? "").slice(0, 16)) },
      ], data.models) : h("p", { class: "quiet" }, "No model is installed in models_dir."));
  },
};

// ---- system ----

function tile(name, value) {
  return h("div", { class: "tile" }, h("b", null, value), h("span", null, name));
}

const deliveries = deliveriesView({ button, filter, pager, listPath });
const worklist = worklistView({ filter, pager, pageSize });

const system = {
  async load() {
    const status = await getJson("api/v1/status");
    return { ...status, uptime_s: Math.floor(status.uptime_s / 60) * 60 };
  },
  draw(status) {
    const counts = (object) => Object.entries(object ?? {}).map(([name, count]) => `${count} ${name.replace("_", " ")}`).join(", ") || "none";
    const text = (value) => (typeof value === "string" ? value : JSON.stringify(value));
    return h("article", { class: "page" }, h("h1", null, "System"), h("div", { class: "tiles" },
      tile("version", status.version), tile("running for", duration(status.uptime_s)), tile("AE title", status.ae_title),
      tile("DICOM", text(status.dicom)), tile("HTTP", text(status.http)), tile("free for objects", bytes(status.disk_free_bytes)),
      tile("studies", counts(status.studies)), tile("jobs", counts(status.jobs)), tile("workers", String(status.workers?.length ?? 0))),
      h("p", { class: "facts" }, h("a", { href: "api/v1/openapi.json" }, "OpenAPI document"), " · ", h("a", { href: "metrics" }, "Metrics")));
  },
};

export const views = { studies, worklist, jobs, deliveries, models, system };
