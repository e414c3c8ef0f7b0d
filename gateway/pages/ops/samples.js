// The samples of the sale, second by second, and the limits in force.

const KEPT_SECONDS = 900;

export const samples = [];
export const limits = { drain_rate: 0, backlog_limit: 0, paused: false, role: "viewer" };
export const column = (name) => samples.map((sample) => sample[name]);
export const latest = () => samples[samples.length - 1];

// Fetches the samples since the last time.
export async function fetchSamples() {
  const answer = await fetch(`ops/samples?after=${latest()?.at ?? 0}`);
  if (!answer.ok) throw new Error(`the gateway answers ${answer.status}`);
  const { fields, samples: rows, ...now } = await answer.json();
  Object.assign(limits, now);
  for (const row of rows) {
    samples.push(Object.fromEntries(fields.map((name, index) => [name, row[index]])));
  }
  samples.splice(0, Math.max(0, samples.length - KEPT_SECONDS));
}
