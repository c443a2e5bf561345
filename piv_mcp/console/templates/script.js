const main = document.getElementById("main"), closing = document.getElementById("closing"), texts = document.body.dataset;
let sent = false, closed = false, changedAt = Date.now(), shownAt = changedAt;
document.documentElement.classList.add("scripted");

// The buttons that decide rest for a moment after each change: a click may have been meant for what was in their place.
const tick = () => {
  const rests = Date.now() - changedAt < Number(main.dataset.rest) * 1000;
  for (const timer of main.querySelectorAll("[role=timer]")) {
    const left = Math.max(0, Math.ceil(Number(timer.dataset.left) - (Date.now() - shownAt) / 1000));
    const time = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
    if (!sent) timer.textContent = left ? texts.left.replace("{time}", time) : texts.expired;
    for (const button of timer.parentElement.querySelectorAll("button")) {
      const off = closed || rests || !left;
      if (button.disabled !== off) button.disabled = off;
    }
  }
};
setInterval(tick, 250);
tick();

document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

// How long ago things were goes on by itself.
const ages = new Intl.RelativeTimeFormat(document.documentElement.lang, { numeric: "always" });
const units = [["second", 1, 90], ["minute", 60, 5400], ["hour", 3600, 129600]];
const grow = () => {
  for (const time of main.querySelectorAll("time[data-age]")) {
    const age = Math.max(1, Number(time.dataset.age) + (Date.now() - shownAt) / 1000);
    const [unit, size] = units.find(([, , most]) => age < most) ?? [];
    if (!unit) continue;  // days do not go by while one looks
    const text = ages.format(-Math.round(age / size), unit);
    if (time.textContent !== text) time.textContent = text;
  }
};
setInterval(grow, 1000);
grow();

// Makes an element like a fresh one, and keeps what has not changed: what has the focus, and what is being typed.
const patch = (old, fresh) => {
  if (old.isEqualNode(fresh)) return;
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  if (old.open !== undefined && old.dataset.opened) old.open = true;
  const named = new Map([...old.children].filter((child) => child.id).map((child) => [child.id, child]));
  let next = old.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    while (next && next.id && next.id !== wanted.id && !fresh.querySelector(`:scope > #${CSS.escape(next.id)}`)) {
      const gone = next;
      next = next.nextSibling;
      gone.remove();
    }
    const same = wanted.id ? named.get(wanted.id) : next && !next.id && next.nodeName === wanted.nodeName ? next : null;
    if (same && same.nodeName === wanted.nodeName) {
      if (same === next) next = next.nextSibling;
      else old.insertBefore(same, next);
      if (same.nodeType === Node.ELEMENT_NODE) patch(same, wanted);
      else if (same.nodeValue !== wanted.nodeValue) same.nodeValue = wanted.nodeValue;
    } else old.insertBefore(wanted, next);
  }
  while (next) {
    const gone = next;
    next = next.nextSibling;
    gone.remove();
  }
};

const renew = async () => {
  const answer = await fetch(location.href.split("#")[0]).catch(() => null);
  if (sent) return;
  if (!answer?.ok) return leave(answer);
  const html = (await answer.text()).replace(/<style[^]*?<\/style>/, "");  // its nonce is not this page's
  const fresh = new DOMParser().parseFromString(html, "text/html");
  const focused = document.activeElement;
  for (const id of ["main", "tabs", "closing"]) {
    const old = document.getElementById(id), other = fresh.getElementById(id);
    if (old && other) patch(old, other);
  }
  if (focused && !focused.isConnected) main.focus({ preventScroll: true });
  document.title = fresh.title;
  changedAt = shownAt = Date.now();
  tick();
  grow();
};

// An open page follows changes. Hidden ones let go of their connection, since a browser has only a few for each server.
let source = null, renewal = Promise.resolve();
const watch = () => {
  if (source || sent || !main.dataset.live || (document.hidden && main.dataset.follows !== "hidden")) return;
  source = new EventSource(`${main.dataset.live}&seen=${main.dataset.seen}`);
  source.addEventListener("change", (event) => {
    const shown = () => event.data === main.dataset.seen ? null : renew();
    renewal = renewal.then(shown, shown);  // one after the other: a late answer must not take the place of a newer one
  });
  source.addEventListener("gone", () => location.reload());
  source.addEventListener("closed", () => { source.close(); end(); });
  let failures = 0;
  source.addEventListener("open", () => { if (closed) location.reload(); failures = 0; });
  source.addEventListener("error", () => {
    if (source?.readyState === EventSource.CLOSED) return fetch(location.href).catch(() => null).then(leave);
    if (++failures > 1) end();
  });
};
// Shows another page in place of this one, but not that the server or its store is out of reach for now: that page would
// follow nothing. What could not be shown is told again, to whoever asks with what is shown.
const leave = (answer) => {
  if (answer && answer.status < 500) return location.reload();
  source?.close();
  source = null;
  setTimeout(watch, 2000);
};
const end = () => {
  if (sent) return;
  closed = true;
  closing.textContent = texts.closed;
  tick();
};
watch();
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) watch();
  else if (source && main.dataset.follows !== "hidden") {
    source.close();
    source = null;
  }
});

main.addEventListener("submit", (event) => {
  const timer = event.target.parentElement.querySelector("[role=timer]");
  if (!timer) return;
  if (sent) event.preventDefault();
  sent = true;
  timer.textContent = texts.sending;
});
main.addEventListener("toggle", (event) => { event.target.dataset.opened = event.target.open ? "yes" : ""; }, true);
main.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(button.dataset.copy);
  const told = document.getElementById("told");
  told.textContent = "";
  told.textContent = texts.copied;
  button.textContent = texts.copied;
  setTimeout(() => { button.textContent = button.dataset.label; }, 1500);
});

// Whoever signs out leaves: the page is not to be shown anew when it learns of that.
document.querySelector(".who>form")?.addEventListener("submit", () => source?.close());

// The browser restored the page from its cache: what it shows may have changed since.
window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
