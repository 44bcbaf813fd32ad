// What a model found: one card a result.

import { download, picture } from "./client.js";
import { h, say, table, time } from "./dom.js";

const percent = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 1 });
const volume = new Intl.NumberFormat(undefined, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const coordinate = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });

function codeText(code) {
  return code ? h("span", { class: "quiet", title: `${code.scheme} ${code.value}` }, code.meaning) : "";
}

function segments(result) {
  return table("Segments", [
    { title: "Segment", cell: (s) => s.label },
    { title: "Volume, ml", number: true, cell: (s) => volume.format(s.volume_ml) },
    { title: "Voxels", number: true, cell: (s) => whole.format(s.voxels) },
    { title: "Code", cell: (s) => codeText(s.code) },
  ], result.segments);
}

function classes(result) {
  const sorted = [...result.classification.classes].sort((a, b) => b.probability - a.probability);
  return table("Classes", [
    { title: "Class", cell: (c) => c.label },
    { title: "Probability", number: true, cell: (c) => percent.format(c.probability) + (c.deviation ? ` ± ${percent.format(c.deviation)}` : "") },
    { spoken: "Probability as a bar", cell: (c) => h("meter", { min: 0, max: 1, value: c.probability, "aria-label": `probability of ${c.label}` }) },
    { title: "Code", cell: (c) => codeText(c.code) },
  ], sorted);
}

function detections(result) {
  if (!result.detections.length) return h("p", { class: "quiet" }, "Nothing detected.");
  return table("Detections", [
    { title: "Finding", cell: (d) => d.label },
    { title: "Score", number: true, cell: (d) => percent.format(d.score) },
    { title: "Centre, mm (LPS)", cell: (d) => d.centre_mm?.map((v) => coordinate.format(v)).join(", ") },
    { title: "Box, pixels", cell: (d) => d.box &&
      `${whole.format(d.box.width)} × ${whole.format(d.box.height)} at ${whole.format(d.box.x)}, ${whole.format(d.box.y)}` },
  ], result.detections);
}

function measurements(result) {
  return table("Measurements", [
    { title: "Measurement", cell: (m) => m.label },
    { title: "Value", number: true, cell: (m) => `${volume.format(m.value)} ${m.unit}` },
    { title: "Code", cell: (m) => codeText(m.code) },
  ], result.measurements);
}

function enlarge(url, text) {
  const image = document.getElementById("picture-image");
  image.src = url;
  image.alt = text;
  document.getElementById("picture").showModal();
}

function pictures(result) {
  return (result.pictures ?? []).map(({ name }) => {
    const text = name === "heat" ? "heat: where the network looked; warm speaks for the answer, cold against it" : result.segments?.length
      ? `${name}: slices with ${result.segments.map((s) => s.label).join(", ")} drawn on them` : name;
    const image = h("img", { alt: text });
    const figure = h("figure", null,
      h("button", { type: "button", "data-key": `picture-${result.job}-${name}`, title: "Enlarge",
        onclick: () => enlarge(image.src, text) }, image),
      h("figcaption", null, text));
    picture(`api/v1/jobs/${result.job}/pictures/${encodeURIComponent(name)}`)
      .then((url) => { image.src = url; }, () => figure.remove());
    return figure;
  });
}

function objects(study, result) {
  return (result.objects ?? []).map((object) => {
    const path = `dicom-web/studies/${study}/series/${object.series_uid}/instances/${object.sop_uid}`;
    return h("button", { type: "button", class: "small", "data-key": object.sop_uid, title: object.sop_uid,
      onclick: () => download(path, `${object.type}-${object.sop_uid}.dcm`).catch((e) => say(e.message, "bad")) },
      `Save ${object.type}`);
  });
}

function facts(result) {
  const timings = Object.entries(result.timings_ms ?? {});
  const pairs = [
    ["Series", h("span", { class: "uid" }, result.series_uid)],
    ["Weights", h("span", { class: "uid" }, (result.model.weights_sha256 ?? "").slice(0, 16))],
    ["Created", time(result.created)],
    ["Timings", timings.map(([stage, ms]) => `${stage.replaceAll("_", " ")} ${whole.format(ms)} ms`).join(", ")],
  ];
  return h("dl", null, pairs.map(([name, value]) => value ? [h("dt", null, name), h("dd", null, value)] : []));
}

/** What the model's gate says of images that are unlike its training data. */
function caution(result) {
  return result.gate?.accepted === false && h("p", { class: "reason", role: "note" },
    `These images are unlike those the model was trained on (distance ${volume.format(result.gate.score)}, at most ${volume.format(result.gate.threshold)} is usual): what follows means nothing.`);
}

export function resultCard(study, result) {
  const findings = [result.segments && segments(result), result.classification && classes(result),
    result.detections && detections(result), result.measurements?.length && measurements(result)].filter(Boolean);
  const shown = pictures(result);
  return h("section", { class: "finding", "aria-label": `Result of ${result.model.name}` },
    h("div", { class: "title" },
      h("h3", null, `${result.model.name} ${result.model.version}`),
      h("span", { class: "quiet" }, result.task),
      h("div", { class: "buttons" }, objects(study, result))),
    h("div", { class: "finding-body" },
      h("div", null, caution(result), findings, facts(result),
        result.unexplained && h("p", { class: "quiet" }, `No map of where the network looked: ${result.unexplained}`)),
      shown.length ? h("div", null, shown) : null));
}
