// A series as pictures: a thumbnail in the list, and its slices one by one with the segmentation on or off.

import { getJson, picture } from "./client.js";
import { h, say } from "./dom.js";

const pictureSize = 640;
const withoutPictures = new Set(["SR", "PR", "KO", "DOC", "RTSTRUCT", "RTPLAN", "ECG", "REG", "PLAN", "AU"]);

const seriesPath = (study, series) => `dicom-web/studies/${study}/series/${series}`;
const number = (dataSet, tag) => Number(dataSet[tag]?.Value?.[0] ?? 0);

/** The frames of a series in the order of their numbers: {path, label}. */
async function loadFrames(study, series) {
  const instances = await getJson(`${seriesPath(study, series)}/instances`);
  instances.sort((a, b) => number(a, "00200013") - number(b, "00200013"));
  return instances.flatMap((instance) => {
    const path = `${seriesPath(study, series)}/instances/${instance["00080018"].Value[0]}`;
    const frames = Math.max(1, number(instance, "00280008"));
    return Array.from({ length: frames }, (_, index) => ({ path: `${path}/frames/${index + 1}/rendered`, label: String(number(instance, "00200013")) }));
  });
}

const keyOf = (series) => `series-${series}`;

/** Opens the slices of a series; `overlay` is the UID of a segmentation of it, or null. */
export async function openViewer(study, series, title, overlay) {
  let frames;
  try {
    frames = await loadFrames(study, series);
  } catch (problem) {
    say(problem.message, "bad");
    return;
  }
  const image = h("img", { alt: "" });
  const place = h("output", { class: "quiet" });
  const slider = h("input", { type: "range", min: 1, max: frames.length, value: Math.ceil(frames.length / 2), "aria-label": "Slice" });
  const drawn = h("input", { type: "checkbox", checked: overlay != null });
  const dialog = h("dialog", { class: "viewer", "aria-label": title },
    h("form", { method: "dialog", class: "title" }, h("h2", null, title), h("button", null, "Close")), image,
    h("div", { class: "row" }, slider, place, overlay && h("label", null, drawn, " Segmentation")));
  let wanted = 0;
  const show = async () => {
    const mine = ++wanted, at = slider.valueAsNumber - 1;
    const query = `viewport=${pictureSize},${pictureSize}${overlay && drawn.checked ? `&overlay=${overlay}` : ""}`;
    place.textContent = `${at + 1} of ${frames.length}`;
    try {
      const source = await picture(`${frames[at].path}?${query}`);
      if (mine === wanted) image.src = source;
      image.alt = `${title}, image ${frames[at].label}`;
    } catch (problem) {
      if (mine === wanted) place.textContent = problem.message;
    }
  };
  slider.addEventListener("input", show);
  drawn.addEventListener("change", show);
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (document.activeElement === document.body) /* the list behind was drawn anew, so the browser cannot give the focus back */
      document.querySelector(`[data-key="${keyOf(series)}"]`)?.focus();
  });
  dialog.addEventListener("wheel", (event) => {
    event.preventDefault();
    slider.valueAsNumber += Math.sign(event.deltaY);
    show();
  }, { passive: false });
  document.body.append(dialog);
  dialog.showModal();
  slider.focus();
  show();
}

/** A button with a small picture of the series, which opens its slices; null for a modality that has none. */
export function thumbnail(study, series, modality, title, overlay) {
  if (withoutPictures.has(modality)) return null;
  const image = h("img", { alt: "" });
  const opener = h("button", { type: "button", class: "thumbnail", "data-key": keyOf(series), "aria-label": `Look at ${title}`,
    onclick: () => openViewer(study, series, title, overlay) }, image);
  picture(`${seriesPath(study, series)}/thumbnail`).then((source) => {
    image.src = source;
  }, () => { opener.hidden = true; }); /* no images in it */
  return opener;
}
