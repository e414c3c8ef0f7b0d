/*
The client of a flash sale for browsers: an ES module without dependencies.

  import { SaleClient, newOrder } from ".../client.js";  // at the address of the gateway

  const client = new SaleClient();
  const seen = await client.buy(newOrder({ sku: "tv-55", customer: "c-123" }));
  // seen.status: "confirmed", "rejected" (with seen.reason), "failed", "expired" or "cancelled"

All attempts at one order have the same Idempotency-Key: however often it is sent, it is one order.
*/

const POLL_MS = 2000;
const ATTEMPT_MS = 15000;
const WAIT_SECONDS = 20;
const PATIENCE_SECONDS = 300;
const CHANGE_SECONDS = 30;
// Pauses of attempts that are told no Retry-After.
const FIRST_PAUSE_SECONDS = 2;
const LONGEST_PAUSE_SECONDS = 10;
const LONGEST_TIMER_MS = 2 ** 31 - 1;
// An outcome that may change is looked at again, ever more seldom. Most of the refused orders for
// which there may be an earlier attempt have none, so that this ends after a few minutes.
const LOOK_AGAIN_MS = 2000;
const LOOK_AGAIN_SLOWER = 1.5;
const LOOK_AGAIN_LONGEST_MS = 60000;
const LOOKS_FOR_AN_EARLIER_ATTEMPT = 10;
const LOOKS_FOR_A_LATE_PAYMENT = 10;

// Orders whose state changes by itself. Any other state is a last one.
const OPEN = new Set(["queued", "held", "waitlisted"]);

const SALE_REFUSALS = { "sold-out": "sold_out", "sale-closed": "sale_closed", "sale-not-open": "sale_not_open" };

// An error of `buy`, `sale` and `sales`. `kind` is the end of the problem's type, such as
// "unknown-sku"; or, once the patience is over, "not-taken", "outcome-unknown" or "undecided"; or
// "no-answer" if what answered was no gateway. `problem` is the problem document, if there is one.
export class SaleError extends Error {
  constructor(kind, { problem = null, status = 0, orderId = null } = {}) {
    super(problem?.detail ?? problem?.title ?? kind);
    this.name = "SaleError";
    Object.assign(this, { kind, problem, status, orderId });
  }
}

// Return a new intention to buy. It is plain data, to be stored before it is sent:
// {sku, customer, quantity, pass, key, sent, unsure, id, final}. `sent`: an answer is outstanding, or was
// lost. `unsure`: an attempt before the latest one may have been taken, though nothing is known of it.
// The customer may be left out if a token names it. A pass is sent as Purchase-Pass.
export function newOrder({ sku, customer, quantity, pass }) {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const key = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return { sku, customer, quantity, pass, key };
}

export class SaleClient {
  // `gateway` is the address of the sale: by default the place of this module. With a `token`, which is
  // sent as a bearer token, orders are followed by long polls, as event streams can't carry one.
  constructor({ gateway = new URL(".", import.meta.url), token = null } = {}) {
    this.gateway = String(gateway).replace(/\/*$/, "/");
    this.token = token;
  }

  // Return all sales.
  async sales() {
    return (await this.#told("sales")).sales;
  }

  // Return one sale. Throws a SaleError of the kind "unknown-sku" if there is none.
  sale(sku) {
    return this.#told(`sales/${encodeURIComponent(sku)}`);
  }

  // Call `hear(sale)` now and after each change, and `missing()` if there is no such sale. Return a
  // function that ends it.
  watchSale(sku, hear, missing = () => {}) {
    let timer = null;
    let over = false;
    const poll = async () => {
      try {
        const sale = await this.sale(sku);
        if (!over) hear(sale);
      } catch (error) {
        if (error.status === 404) return over || missing();
      }
      if (!over) timer = setTimeout(poll, POLL_MS);
    };
    const stop = listen(`${this.gateway}sales/${encodeURIComponent(sku)}/events`, { sale: hear }, poll);
    return () => {
      over = true;
      clearTimeout(timer);
      stop();
    };
  }

  // Return the state of an order now. Throws a SaleError, as of the kind "unknown-order".
  async look(orderId, { signal } = {}) {
    return received(await this.#told(orderPath(orderId), { signal }), this.gateway);
  }

  // Cancel an order, and return its state. Throws a SaleError: "not-cancellable", "order-over",
  // "unknown-order", or "no-answer" once the patience is over. To cancel it again is safe.
  cancel(orderId, options) {
    return this.#change(orderId, "cancel", options);
  }

  // Let a hold end later, and return its state. Throws a SaleError: "not-held", "not-extendable",
  // "extended-already", "unknown-order" or "no-answer".
  extend(orderId, options) {
    return this.#change(orderId, "extend", options);
  }

  // Send an order until it is taken or refused, and follow it. Return its last state:
  // {status: "confirmed" | "rejected" | "failed" | "expired" | "cancelled", reason, ...}; a refusal is
  // "rejected", with the gateway's `problem`. The options, none of which is needed:
  // keep(order)     stores the order, which changes on the way. A stored order goes on where it was.
  // tell(state)     shows what happens: {status: "retrying", at, known, problem}, with `at` the moment
  //                 of the next attempt in ms and `known` whether no attempt was taken so far;
  //                 {status: "queued", position, eta_seconds}; {status: "held", ends, pay_url, ...}, with
  //                 the end of the hold by performance.now(); {status: "waitlisted", position}; or a last
  //                 state, with `checking` while an earlier attempt is looked for, and `again` if it was
  //                 told before.
  // signal          an AbortSignal; what is thrown is its reason.
  // patience        seconds; then a SaleError of the kind "not-taken", "outcome-unknown" or
  //                 "undecided" is thrown. To buy the same order again is safe. The patience of an
  //                 order that is held or in line does not run out.
  // replays         go on after "failed", as the shop may try such an order again, and for some minutes
  //                 after "expired", as a payment may come late.
  async buy(order, { keep, tell, signal, patience = PATIENCE_SECONDS, replays = false } = {}) {
    return new Purchase(this, order, { keep, tell, signal, patience, replays }).run();
  }

  // Send a request. Return {status, body, retryAfter}: the status is 0 if no answer came.
  async request(path, { method = "GET", headers = {}, body, signal, timeout = ATTEMPT_MS } = {}) {
    signal?.throwIfAborted();
    const attempt = new AbortController();
    const abort = () => attempt.abort();
    const timer = setTimeout(abort, timeout);
    signal?.addEventListener("abort", abort);
    const identity = this.token ? { Authorization: `Bearer ${this.token}` } : {};
    try {
      const answer = await fetch(this.gateway + path, {
        method, body, headers: { ...identity, ...headers }, signal: attempt.signal,
      });
      const text = await answer.text();
      const retryAfter = secondsUntil(answer.headers.get("Retry-After"));
      return { status: answer.status, body: parsed(text), retryAfter };
    } catch {
      signal?.throwIfAborted();
      return { status: 0, body: {}, retryAfter: null };
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    }
  }

  async #told(path, options) {
    const { status, body } = await this.request(path, options);
    if (status === 200) return body;
    throw refused(status, body);
  }

  async #change(orderId, action, { signal, patience = CHANGE_SECONDS } = {}) {
    const until = Date.now() + patience * 1000;
    for (let attempt = 0; ; attempt += 1) {
      const path = `${orderPath(orderId)}/${action}`;
      const { status, body, retryAfter } = await this.request(path, { method: "POST", signal });
      if (status === 200 && body.status) return received(body, this.gateway);
      const error = refused(status, body);
      // An earlier attempt, whose answer was lost, may have done it.
      if (attempt && error.kind === "extended-already") return this.look(orderId, { signal });
      const final = error.problem && status < 500 && ![408, 425, 429].includes(status);
      const pause = (retryAfter ?? FIRST_PAUSE_SECONDS) * 1000;
      if (final || Date.now() + pause >= until) throw error;
      await sleep(pause, signal);
    }
  }
}

// One order on its way to the last word.
class Purchase {
  #client;
  #order;
  #options;
  #until;

  constructor(client, order, options) {
    this.#client = client;
    this.#order = order;
    this.#options = options;
    this.#until = Date.now() + options.patience * 1000;
  }

  async run() {
    let again = Boolean(this.#order.final);
    let looked = !again;
    for (;;) {
      const final = this.#order.final ?? await this.#decision();
      const checking = Boolean(final.status === "rejected" && this.#order.unsure && this.#order.id);
      this.#tell({ ...final, checking, again });
      const replay = this.#options.replays && ["failed", "expired"].includes(final.status) && this.#order.id;
      if (!checking && !replay) return final;
      const seen = await this.#lookAgain(looked ? LOOK_AGAIN_MS : 0);
      if (!seen && final.status === "expired") return final;
      // Nothing was found of an earlier attempt.
      if (!seen) this.#keep({ unsure: false });
      else this.#keep({ unsure: false, final: OPEN.has(seen.status) ? null : seen });
      again = !seen;
      looked = true;
    }
  }

  async #decision() {
    let taken = Boolean(this.#order.id);
    for (;;) {
      const final = taken ? await this.#follow() : await this.#place();
      if (final) {
        this.#keep({ final });
        return final;
      }
      // No gateway knows an order that was taken: it is sent again. The same key makes it the same one.
      if (taken) this.#keep({ unsure: true });
      taken = !taken;
    }
  }

  // Return null once the order is taken, and a last state if it is refused.
  async #place() {
    for (let attempt = 0; ; attempt += 1) {
      const { sku, customer, quantity, pass, key } = this.#order;
      this.#keep({ sent: true, unsure: Boolean(this.#order.unsure || this.#order.sent) });
      const { status, body, retryAfter } = await this.#request("orders", {
        method: "POST",
        headers: {
          "Content-Type": "application/json",
          "Idempotency-Key": key,
          ...(pass ? { "Purchase-Pass": pass } : {}),
        },
        body: JSON.stringify({ sku, customer_id: customer, quantity }),
      });
      if (status === 202 && body.order_id) {
        this.#keep({ sent: false, unsure: false, id: body.order_id });
        return null;
      }
      const unsure = Boolean(this.#order.unsure || body.earlier_attempt === "unknown");
      // Whatever else answers, such as a proxy, does not know what became of the order.
      const problem = problemIn(status, body);
      if (problem && status < 500 && ![408, 425, 429].includes(status)) {
        const orderId = problem.order_id ?? this.#order.id;
        // The same body was refused before, too, and a reused key is another order's.
        const sure = [400, 413, 415, 422].includes(status) || !unsure;
        if (!sure && ([401, 403].includes(status) || !orderId)) {
          throw new SaleError("outcome-unknown", { problem, status, orderId });
        }
        this.#keep({ sent: false, unsure: !sure, id: orderId });
        const { detail, title } = problem;
        return { status: "rejected", reason: SALE_REFUSALS[kindOf(problem)], detail: detail ?? title, problem };
      }
      const notTaken = status === 429 || ["queue-full", "intake-paused"].includes(kindOf(problem));
      if (notTaken) this.#keep({ sent: false, unsure });
      const own = Math.min(FIRST_PAUSE_SECONDS * 1.5 ** attempt, LONGEST_PAUSE_SECONDS);
      // Wait a random time longer than asked, so that the clients do not come back as one wave.
      const pause = (retryAfter ?? own) * 1000 * (1 + Math.random() / 2);
      const known = !this.#order.sent && !this.#order.unsure;
      this.#requirePatience(pause, known ? "not-taken" : "outcome-unknown", problem, status);
      this.#tell({ status: "retrying", at: Date.now() + pause, known, problem, answered: status });
      await this.#sleep(pause);
    }
  }

  // Return the decision; null if no gateway knows the order.
  async #follow() {
    const path = `orders/${this.#order.id}`;
    const seen = this.#client.token ? null : await this.#stream(`${path}/events`);
    if (seen) return seen;
    let known = "queued";
    for (;;) {
      const { status, body, retryAfter } = await this.#request(path, {
        // If the order has another state by now, it is told at once.
        headers: { Prefer: `wait=${WAIT_SECONDS}; seen=${known}` },
        timeout: WAIT_SECONDS * 1000 + ATTEMPT_MS,
      });
      const problem = problemIn(status, body);
      if (status === 200 && body.status && !OPEN.has(body.status)) return body;
      if (status === 200 && body.status) {
        known = body.status;
        this.#tellOpen(body);
      }
      if (status === 401 || status === 403) {
        if (problem) throw new SaleError(kindOf(problem), { problem, status, orderId: this.#order.id });
      }
      const pause = Math.max((retryAfter ?? 0) * 1000, POLL_MS) * (1 + Math.random() / 2);
      this.#requirePatience(pause, "undecided", problem, status);
      await this.#sleep(pause);
      if (status === 404) return null;
    }
  }

  // Hear the stream of the order until the decision; null if the stream is lost for good.
  #stream(path) {
    const { signal } = this.#options;
    return new Promise((resolve, reject) => {
      let ticket = null;
      let stop = () => {};
      const end = (settle, value) => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
        stop();
        settle(value);
      };
      const abort = () => end(reject, signal.reason);
      const ended = (seen) => end(resolve, seen);
      const overdue = () => end(reject, new SaleError("undecided", { orderId: this.#order.id }));
      const left = this.#until - Date.now();
      const timer = left < LONGEST_TIMER_MS ? setTimeout(overdue, left) : undefined;
      const open = (seen) => {
        clearTimeout(timer);
        this.#tellOpen(seen);
      };
      signal?.addEventListener("abort", abort);
      stop = listen(this.#client.gateway + path, {
        queued: (seen) => {
          ticket = seen.number;
          this.#tell(seen);
        },
        progress: ({ served, drained_per_second: speed, paused }) => {
          if (ticket === null) return;
          const position = Math.max(1, ticket - served);
          const eta = speed === null ? null : position / speed;
          this.#tell({ status: "queued", position, eta_seconds: eta, paused });
        },
        held: open,
        waitlisted: open,
        confirmed: ended,
        rejected: ended,
        failed: ended,
        expired: ended,
        cancelled: ended,
      }, () => ended(null));
    });
  }

  // What was told may not be the last word. A failed order may be tried again by the shop, a payment may
  // come after the end of a hold, and an order that was refused may have been taken at an earlier attempt,
  // whose answer was lost. Return what is seen then; null if nothing was found.
  async #lookAgain(wait) {
    const { id, final } = this.#order;
    for (let looks = 1; ; looks += 1) {
      this.#requirePatience(wait, "outcome-unknown", final.problem ?? null, 0);
      await this.#sleep(wait);
      const { status, body } = await this.#request(`orders/${id}`);
      const seen = status === 200 && body.status ? body : null;
      if (seen && (final.status === "rejected" || seen.status !== final.status)) return seen;
      if (final.status === "rejected" && looks >= LOOKS_FOR_AN_EARLIER_ATTEMPT) return null;
      if (final.status === "expired" && looks >= LOOKS_FOR_A_LATE_PAYMENT) return null;
      wait = Math.min(Math.max(wait, LOOK_AGAIN_MS) * LOOK_AGAIN_SLOWER, LOOK_AGAIN_LONGEST_MS);
    }
  }

  #request(path, options) {
    const left = Math.max(this.#until - Date.now(), 1);
    const timeout = Math.min(options?.timeout ?? ATTEMPT_MS, left);
    return this.#client.request(path, { ...options, timeout, signal: this.#options.signal });
  }

  #requirePatience(pause, kind, problem, status) {
    if (Date.now() + pause < this.#until) return;
    throw new SaleError(kind, { problem, status, orderId: this.#order.id ?? problem?.order_id ?? null });
  }

  #sleep(ms) {
    return sleep(ms, this.#options.signal);
  }

  #keep(changes) {
    this.#order = { ...this.#order, ...changes };
    this.#options.keep?.(this.#order);
  }

  #tellOpen(seen) {
    if (seen.status !== "queued") this.#until = Infinity;
    this.#tell(received(seen, this.#client.gateway));
  }

  #tell(state) {
    if (!this.#options.signal?.aborted) this.#options.tell?.(state);
  }
}

// Hear the events of a stream until the returned function is called, or the stream is lost for good. A
// browser opens few connections to a site for all of its tabs, so a hidden page holds none.
function listen(url, hear, lost) {
  let stream = null;
  const stop = () => {
    document.removeEventListener("visibilitychange", turn);
    stream?.close();
  };
  const turn = () => {
    stream?.close();
    if (document.hidden) return;
    const opened = stream = new EventSource(url);
    for (const [name, heard] of Object.entries(hear)) {
      opened.addEventListener(name, (event) => heard(JSON.parse(event.data)));
    }
    opened.onerror = () => {
      if (opened !== stream || opened.readyState !== EventSource.CLOSED) return;
      stop();
      lost();
    };
  };
  document.addEventListener("visibilitychange", turn);
  turn();
  return stop;
}

// Return what a gateway told of an order as it is passed on. The clock of this machine may be wrong, or be
// set; performance.now() is not. The page for the payment may be the gateway's own.
function received(seen, gateway) {
  if (seen.status !== "held") return seen;
  const ends = performance.now() + seen.expires_in_seconds * 1000;
  return { ...seen, ends, ...(seen.pay_url && { pay_url: new URL(seen.pay_url, gateway).href }) };
}

function orderPath(orderId) {
  return `orders/${encodeURIComponent(orderId)}`;
}

function sleep(ms, signal) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const abort = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, Math.min(ms, LONGEST_TIMER_MS));
    signal?.addEventListener("abort", abort, { once: true });
  });
}

function refused(status, body) {
  const problem = problemIn(status, body);
  return new SaleError(problem ? kindOf(problem) : "no-answer", { status, problem });
}

function problemIn(status, body) {
  const ours = status >= 400 && String(body?.type).startsWith("/problems/");
  return ours ? body : null;
}

function kindOf(problem) {
  return problem?.type.slice("/problems/".length);
}

function parsed(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}

// Return the seconds that a Retry-After asks for, a number or a date; null if it asks for nothing.
function secondsUntil(header) {
  if (header === null) return null;
  const seconds = header.trim() === "" ? NaN : Number(header);
  if (Number.isFinite(seconds)) return Math.max(seconds, 0.1);
  const at = Date.parse(header);
  return Number.isNaN(at) ? null : Math.max((at - Date.now()) / 1000, 0.1);
}
