// Requests to the gateway: JSON, the version that was seen, and what went wrong in words.

export class Refused extends Error {
  constructor(words, status, problem) {
    super(words);
    this.status = status;
    this.problem = problem;
  }
}

const MEANWHILE = "Somebody else has changed it: look again.";
const UNKNOWN = "No answer came: it is not known whether it was changed. Look at what is shown, then try again.";

// Returns the body, and under which tag it was seen.
export async function read(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw await refusal(answer);
  return { body: await answer.json(), tag: answer.headers.get("ETag") };
}

// Sends a change of what was seen under `tag`. A request that is repeated with its key is not done twice.
export async function send(method, path, body, { tag = null, key = null } = {}) {
  const headers = { "Content-Type": "application/json" };
  if (tag !== null) headers["If-Match"] = tag;
  if (key !== null) headers["Idempotency-Key"] = key;
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: JSON.stringify(body) });
  } catch {
    throw new Refused(UNKNOWN, 0, {});
  }
  if (!answer.ok) throw await refusal(answer);
  return answer.json();
}

// `crypto.randomUUID` is there on https only.
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function refusal(answer) {
  let problem = {};
  try {
    problem = await answer.json();
  } catch {
    // It is not of the gateway, but of something before it.
  }
  const words = answer.status === 412 ? MEANWHILE : problem.detail || `the gateway answers ${answer.status}`;
  return new Refused(words, answer.status, problem);
}
