// Finding studies by QIDO-RS: a patient's name or ID, as the words are typed.

import { request } from "./client.js";

const text = (set, tag) => set[tag]?.Value?.[0];

function studyOf(set) {
  return {
    study_uid: text(set, "0020000D"), patient_name: text(set, "00100010")?.Alphabetic, patient_id: text(set, "00100020"),
    description: text(set, "00081030"), study_date: text(set, "00080020"), instances: text(set, "00201208"),
  };
}

async function find(key, value, limit) {
  const query = new URLSearchParams({ [key]: value, fuzzymatching: "true", includefield: "00081030", limit });
  const response = await request(`dicom-web/studies?${query}`, { headers: { Accept: "application/dicom+json" } });
  return response.status === 200 ? (await response.json()).map(studyOf) : [];
}

/** Studies whose patient has these words in the name, or this ID, each once. */
export async function searchStudies(words, limit) {
  const found = await Promise.all([find("PatientName", words, limit), find("PatientID", words, limit)]);
  return [...new Map(found.flat().map((study) => [study.study_uid, study])).values()].slice(0, limit);
}
