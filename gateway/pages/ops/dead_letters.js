// The dead letters: why each died, and what to do with it.

import { ask } from "./dialog.js";
import { newKey, read, send } from "./requests.js";
import { count, element, fill, make, moment, say } from "./words.js";

const PATH = "admin/dead";
const HOME = element("dead-title");
const letters = (number) => (number === 1 ? "1 letter" : `${count(number)} letters`);
let shown = "";

export async function showDead(after) {
  const { queues, letters: found } = (await read(PATH)).body;
  const now = JSON.stringify([queues, found]);
  if (now === shown) return;
  shown = now;
  const all = queues.reduce((sum, queue) => sum + queue.count, 0);
  const more = all > found.length ? ` The oldest ${count(found.length)} are shown.` : "";
  say(element("dead-state"), all ? `${letters(all)}.${more}` : "There are none.", all > 0);
  const full = queues.filter((queue) => queue.count > 0);
  element("dead-queues").replaceChildren(
    ...full.map(({ queue, count: number }) =>
      button(`Replay all of ${queue} (${count(number)})…`, null, () => askReplay(queue, null, number, after)),
    ),
  );
  fill(element("dead"), found.map((letter) => row(letter, after)));
}

function row(letter, after) {
  const { id, queue, order_id, tries, died_at, reason, body } = letter;
  const name = order_id ?? id;
  return make(
    "tr",
    {},
    make("td", { textContent: queue }),
    make("th", { scope: "row" }, name, make("details", {}, make("summary", { textContent: "body" }), make("pre", { textContent: body }))),
    make("td", { className: "number", textContent: count(tries) }),
    make("td", { className: "moment", textContent: moment(died_at) }),
    make("td", { textContent: reason || "–" }),
    make(
      "td",
      { className: "change" },
      make(
        "div",
        { className: "buttons" },
        button("Replay…", name, () => askReplay(queue, [id], 1, after)),
        button("Drop…", name, () => askDrop(queue, id, name, after)),
      ),
    ),
  );
}

function button(words, of, work) {
  const made = make("button", { type: "button", className: "change", textContent: words });
  if (of) made.setAttribute("aria-label", `${words.replace("…", "")}: ${of}`);
  made.addEventListener("click", work);
  return made;
}

function post(how, queue, ids, reason, key) {
  const which = ids === null ? { all: true } : { ids };
  return send("POST", `${PATH}/${how}`, { queue, ...which, reason }, { key });
}

function askReplay(queue, ids, number, after) {
  const key = newKey();
  const again = queue === "orders" ? "decided again by the drain, in its turn" : `done again by ${queue}`;
  ask({
    title: ids === null ? `Replay all of ${queue}` : "Replay a dead letter",
    words: () =>
      `${letters(number)} of ${queue} will go back to the queue, and be ${again}. What was done before is not done twice. If the cause is still there, they come back here.`,
    action: "Replay",
    send: async ({ reason }) => {
      const done = await post("replay", queue, ids, reason, key);
      return done.count ? `${letters(done.count)} replayed.` : "Nothing was replayed: somebody else was faster.";
    },
    home: HOME,
    after,
  });
}

function askDrop(queue, id, name, after) {
  const key = newKey();
  ask({
    title: "Drop a dead letter",
    words: () => `The letter ${name} of ${queue} is deleted for good. Its order stays failed. There is no way back.`,
    action: "Drop",
    send: async ({ reason }) => {
      const done = await post("drop", queue, [id], reason, key);
      return done.count ? "1 letter dropped." : "Nothing was dropped: somebody else was faster.";
    },
    home: HOME,
    after,
  });
}
