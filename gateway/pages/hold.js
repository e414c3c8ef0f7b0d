// What the shopper's page says of an order that is held or in line, and the countdown of a hold.

const SPOKEN_SECONDS = [60, 10];
const TICK_MS = 250;
const LATE_SECONDS = 3;
const ordinals = new Intl.PluralRules("en", { type: "ordinal" });
const ENDINGS = { one: "st", two: "nd", few: "rd", other: "th" };
const MONEY_BACK = " If you have paid for it, you get your money back.";

export const TIME_IS_UP = "Time is up: we are checking whether your payment came";

// Count down to `ends`, a moment of performance.now(): the clock of a phone may be wrong. `show` gets the
// time that is left whenever its text changes, `speak` what a screen reader is to read out, and `over` is
// called at the end. Return a function that stops it.
export function countDown(ends, { show, speak, over }) {
  let before = Infinity;
  const tick = () => {
    const left = Math.max(0, Math.ceil((ends - performance.now()) / 1000));
    if (left === before) return;
    show(clock(left));
    const passed = SPOKEN_SECONDS.findLast((seconds) => left <= seconds && seconds < before);
    // Timers of a page in the background come late.
    const spoken = left < passed - LATE_SECONDS ? left : passed;
    if (before !== Infinity && left && passed) speak(`${inWords(spoken)} left to pay.`);
    before = left;
    if (left) return;
    clearInterval(timer);
    over();
  };
  const timer = setInterval(tick, TICK_MS);
  tick();
  return () => clearInterval(timer);
}

// Return seconds as a clock shows them: 9:58, or 1:09:58.
function clock(left) {
  const two = (part) => String(part).padStart(2, "0");
  const [hours, minutes, seconds] = [Math.floor(left / 3600), Math.floor(left / 60) % 60, left % 60];
  return hours ? `${hours}:${two(minutes)}:${two(seconds)}` : `${minutes}:${two(seconds)}`;
}

// Return seconds in words, and never more minutes than there are, but for the time of an answer.
export function inWords(seconds) {
  const minutes = Math.floor((seconds + LATE_SECONDS) / 60);
  if (!minutes) return `${seconds} seconds`;
  return minutes === 1 ? "1 minute" : `${minutes} minutes`;
}

export function ordinal(number) {
  return `${number}${ENDINGS[ordinals.select(number)]}`;
}

// The headline and the details of orders that are over without an item.
export const OVER = {
  expired: ["The time to pay is over", "No payment came in time, so the next one may have it. If you paid in the"
    + " last moment, you get the item if it is still there, and your money back if not."],
  cancelled: ["Your order was cancelled", `You may order again.${MONEY_BACK}`],
  by_customer: ["You cancelled your order", `Nothing is held for you any more.${MONEY_BACK}`],
  by_operator: ["The shop cancelled your order", `You may order again.${MONEY_BACK}`],
  replaced: ["You ordered again", `Your newer order has taken the place of this one.${MONEY_BACK}`],
};

// What a shopper is asked before an order is cancelled, by its state: the button, the question, what
// happens, yes and no.
const LEAVE = ["Leave the line", "Leave the line?", "You lose your place.", "Leave the line", "Stay in line"];
export const CANCEL = {
  queued: LEAVE,
  waitlisted: LEAVE,
  held: ["Cancel the order", "Cancel the order?", "The next one gets the item.", "Cancel it", "Keep it"],
  confirmed: [
    "Cancel the order",
    "Cancel the order?",
    "The next one gets the item, and you get your money back.",
    "Cancel it",
    "Keep it",
  ],
};

export const TROUBLE = {
  "not-cancellable": "This order can't be cancelled any more.",
  "order-over": "This order was over already.",
  "not-held": "It is too late to keep it longer.",
  "not-extendable": "This can't be kept longer.",
  "extended-already": "You have kept it longer once. That is all there is.",
};
