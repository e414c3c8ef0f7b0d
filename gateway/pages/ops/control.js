// A control with a version, the drain or the intake: shows its state, and asks before it is changed.

import { ask } from "./dialog.js";
import { read, send } from "./requests.js";
import { element, say } from "./words.js";

export function control(name, describe) {
  const path = `admin/${name}`;
  const home = element(`${name}-title`);
  const pause = element(`${name}-pause`);
  let seen = null;

  // Reads what is set now, shows it, and returns it.
  async function show() {
    seen = await read(path);
    const { paused } = seen.body;
    say(element(`${name}-state`), describe(seen.body), paused);
    pause.textContent = paused ? `Resume the ${name}…` : `Pause the ${name}…`;
    pause.disabled = false;
    return seen.body;
  }

  // Asks before a change of what was shown. `change` returns its fields from those of the dialog, and
  // `words` and `done` say what will happen and what has happened.
  function propose({ title, action = title, words, fields, change, done, after }) {
    const { tag, body } = seen;
    ask({
      title,
      action,
      words: (given) => words(given, body),
      fields,
      send: async (given) => {
        await send("PATCH", path, { reason: given.reason, ...change(given) }, { tag });
        return done(given);
      },
      home,
      after,
    });
  }

  // Calls one of these when the button of the pause is pressed.
  function connect(askPause, askResume) {
    pause.addEventListener("click", () => (seen.body.paused ? askResume() : askPause()));
  }

  return { show, propose, connect };
}
