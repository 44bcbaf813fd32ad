// Talking to the server: /api/v1 and STOW-RS, with the access token where one is needed.

const tokenKey = "lamina-token";
let asking = null;

/** What the server said went wrong (RFC 9457). */
export class Problem extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

function askForToken() {
  const dialog = document.getElementById("sign-in");
  asking ??= new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      sessionStorage.setItem(tokenKey, document.getElementById("token").value.trim());
      document.getElementById("token").value = "";
      asking = null;
      resolve();
    }, { once: true });
    dialog.showModal();
  });
  return asking;
}

/** fetch with the token; asks for one on 401 and tries again. Throws Problem. */
export async function request(path, options = {}) {
  for (;;) {
    const headers = new Headers(options.headers);
    const token = sessionStorage.getItem(tokenKey);
    if (token) headers.set("Authorization", `Bearer ${token}`);
    let response;
    try {
      response = await fetch(path, { ...options, headers, cache: "no-store" });
    } catch {
      throw new Problem(0, "The server does not answer.");
    }
    if (response.status === 401) {
      await askForToken();
      continue;
    }
    return response;
  }
}

async function problemOf(response) {
  const problem = await response.json().catch(() => ({}));
  return new Problem(response.status, problem.detail ?? problem.title ?? `HTTP ${response.status}`);
}

export async function getJson(path) {
  const response = await request(path);
  if (!response.ok) throw await problemOf(response);
  return response.status === 204 ? null : response.json();
}

export async function post(path) {
  const response = await request(path, { method: "POST" });
  if (!response.ok) throw await problemOf(response);
  return response.json();
}

const pictures = new Map(); // the one that was looked at last is the last
const picturesKept = 500; // some 100 kB each

/** A picture as an object URL, fetched once for as long as it is among those looked at lately: an <img> cannot send a token. */
export function picture(path) {
  const known = pictures.get(path);
  const loading = known ?? request(path).then(async (response) => {
    if (!response.ok) throw await problemOf(response);
    return URL.createObjectURL(await response.blob());
  });
  if (!known) loading.catch(() => pictures.delete(path));
  pictures.delete(path);
  pictures.set(path, loading);
  if (pictures.size > picturesKept) {
    const [oldest, old] = pictures.entries().next().value;
    pictures.delete(oldest);
    old.then(URL.revokeObjectURL, () => {}); /* an <img> that shows it keeps it */
  }
  return loading;
}

/** Saves an object as a file. */
export async function download(path, name) {
  const response = await request(path, { headers: { Accept: "application/dicom" } });
  if (!response.ok) throw await problemOf(response);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await response.blob());
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

/** Stores one file by STOW-RS. Gives back whether it was stored, and the server's words when not. */
export async function store(file) {
  const response = await request("dicom-web/studies", {
    method: "POST", body: file, headers: { "Content-Type": "application/dicom", Accept: "application/dicom+json" },
  });
  if (response.ok) return { stored: true };
  const warning = response.headers.get("Warning")?.match(/not stored: (.*)"$/)?.[1];
  if (response.status === 409 || response.status === 507) return { stored: false, reason: warning ?? "refused" };
  throw await problemOf(response);
}
