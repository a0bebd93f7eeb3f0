"use strict";
// Everything that comes from a job or an error is set as text, never as markup.

const byId = (id) => document.getElementById(id);
const TOKEN = "lowtide-token";
let points = [];
let seenQuarantined = null;
let readOnly = false;
let fetcherNames = new Set();
let searches = 0;
let ended = [];

function element(name, options = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(options)) node[key] = value;
  node.append(...children);
  return node;
}

const shown = (value) => (value === null || value === undefined ? "–" : String(value));
const seconds = (value) => {
  if (value === null || value === undefined) return "–";
  if (value < 100) return `${value.toFixed(1)} s`;
  return value < 6000 ? `${Math.round(value / 60)} min` : `${(value / 3600).toFixed(1)} h`;
};
const took = (value) =>
  typeof value === "number" && value < 0.1 ? `${Number((value * 1000).toPrecision(2))} ms` : seconds(value);

// A column is [heading, function of the row, class]. The function may give a node.
function fill(table, columns, rows, none) {
  const head = element("tr", {}, ...columns.map(([heading, , kind]) =>
    element("th", { className: kind || "", textContent: heading })));
  const body = rows.map((row) => element("tr", {}, ...columns.map(([, value, kind]) => {
    const content = value(row);
    const cell = element("td", { className: kind || "" });
    cell.append(content instanceof Node ? content : shown(content));
    return cell;
  })));
  if (!body.length) {
    body.push(element("tr", {}, element("td", { colSpan: columns.length, className: "none", textContent: none })));
  }
  const heads = columns.some(([heading]) => heading) ? [element("thead", {}, head)] : [];
  table.replaceChildren(...heads, element("tbody", {}, ...body));
}

// The page of a job has all of it.
const short = (text) => (text && text.length > 240 ? `${text.slice(0, 240)}…` : text);
const state = (row) => element("span", { className: row.state, textContent: row.state });
const FETCHER = [
  ["name", (row) => row.name], ["state", state], ["waits for", (row) => row.waiting_for],
  ["buffered", (row) => row.buffered, "number"], ["demand", (row) => row.demand, "number"],
  ["in flight", (row) => row.in_flight, "number"], ["retrying", (row) => row.retrying, "number"],
  ["oldest job", (row) => seconds(row.oldest_job_age_s), "number"],
  ["last poll", (row) => seconds(row.last_poll_age_s), "number"],
  ["next poll", (row) => seconds(row.next_poll_s), "number"],
  ["state since", (row) => seconds(row.state_age_s), "number"],
  ["restarts", (row) => row.restarts, "number"], ["last error", (row) => short(row.last_error), "wide"],
];
const PROCESSOR = [
  ["name", (row) => row.name], ["pid", (row) => row.pid, "number"], ["state", state],
  ["waits for", (row) => row.waiting_for], ["in flight", (row) => row.in_flight, "number"],
  ["demand", (row) => row.demand, "number"], ["done", (row) => row.done, "number"],
  ["failed", (row) => row.failed, "number"], ["restarts", (row) => row.restarts, "number"],
];
// Few jobs say how far they are.
const PROGRESS = ["progress", (row) => element("div", {}, ...(row.progress || []).map(progressLine)), "wide"];
const percent = (value) => (value === null ? "" : `${Math.floor(value * 100)}%`);
const progressLine = (it) => {
  // A step's jobs are in no journal: there is nothing to open.
  const link = !fetcherNames.has(it.taken_from) ? idShown(it.id) :
    element("a", { href: jobLink({ fetcher: it.taken_from, id: it.id }), textContent: idShown(it.id) });
  const more = it.jobs > 1 ? ` (+${it.jobs - 1})` : "";
  return element("div", {}, link, `${more}: ${[percent(it.fraction), it.text].filter(Boolean).join(" ") || "?"}`);
};
const QUARANTINED = [
  ["job", (row) => element("a", { href: jobLink(row), textContent: idShown(row.id) })],
  ["fetcher", (row) => row.fetcher], ["attempts", (row) => row.attempt, "number"],
  ["error", (row) => short(row.error), "wide"],
];
const ENDED = [
  ["job", (row) => element("a", { href: jobLink(row), textContent: idShown(row.id) })],
  ["fetcher", (row) => row.fetcher], ["state", (row) => row.state], ["ended at", (row) => row.ended_at],
  ["attempts", (row) => row.attempt, "number"], ["took", (row) => took(row.duration_s), "number"],
  ["result", (row) => row.result || row.error, "half"], ["payload", (row) => row.payload, "half"],
];
const EVENTS = [
  ["", (row) => row.at.slice(11, 19)],
  ["", (row) => element("span", { className: row.level, textContent: row.event })],
  ["", (row) => row.text, "wide"],
];
const HISTORY = [
  ["when", (row) => row.at], ["what", (row) => row.event], ["attempt", (row) => row.attempt, "number"],
  ["processor", (row) => row.processor], ["error", (row) => row.error, "wide"],
];

function show(status) {
  const lost = "error" in status;
  byId("state").textContent = lost ? "no answer" : status.state;
  byId("state").className = `pill ${lost ? "lost" : status.state}`;
  byId("why").textContent = lost ? status.error : status.why;
  if (lost) return;
  document.title = `${status.state} – lowtide`;
  byId("account").replaceChildren(...Object.entries(status.accounting).map(([name, count]) =>
    element("div", { id: `count-${name}` }, element("b", { textContent: count }),
      element("span", { textContent: name.replace("_", " ") }))));
  fetcherNames = new Set(status.fetchers.map((row) => row.name));
  fill(byId("fetchers"), FETCHER, status.fetchers, "none");
  const tell = status.processors.some((row) => row.progress && row.progress.length);
  fill(byId("processors"), tell ? [...PROCESSOR, PROGRESS] : PROCESSOR, status.processors, "none: attach adds one");
  fill(byId("events"), EVENTS, status.events.slice().reverse(), "none yet");
  draw(status);
  if (status.accounting.quarantined !== seenQuarantined) {
    seenQuarantined = status.accounting.quarantined;
    listQuarantined();
  }
}

function draw(status) {
  const now = Date.now() / 1000;
  const demand = status.fetchers.reduce((sum, row) => sum + row.demand, 0);
  const point = { at: now, demand, buffered: status.accounting.buffered, done: status.accounting.done };
  if (points.length > 1 && now - points[points.length - 2].at < 5) points.pop();
  points.push(point);
  points = points.filter((each) => now - each.at <= 3600);
  for (const name of ["buffered", "demand"]) {
    byId(`now-${name}`).textContent = point[name];
    plot(byId(`plot-${name}`), points.map((each) => ({ at: each.at, value: each[name] })), name);
  }
  const rate = rates(points);
  byId("now-rate").textContent = rate[rate.length - 1].value;
  plot(byId("plot-rate"), rate, "done a minute");
}

async function json(path) {
  const answer = await fetch(path);
  return answer.json();
}

async function listQuarantined() {
  const jobs = await json("jobs.json");
  fill(byId("quarantined"), QUARANTINED, Array.isArray(jobs) ? jobs : [], "none");
}

async function searchEnded(before) {
  const mine = ++searches;
  const words = Object.fromEntries([...new FormData(byId("search"))].filter(([, word]) => word));
  if (before) words.before = `${before}`;
  // An expression is for those who have the token.
  const answer = words.where ? await ask({ verb: "ended", ...words }) :
    await fetch(`ended.json?${new URLSearchParams(words)}`);
  const found = await answer.json().catch(() => ({ error: "no answer" }));
  if (mine !== searches) return; // it is asked for something else by now
  if (answer.status === 403 && sessionStorage.getItem(TOKEN)) lock();
  ended = [...(before ? ended : []), ...(found.jobs || [])];
  byId("found").textContent = found.error || `${ended.length} found${found.more ? ", perhaps more" : ""}`;
  byId("found").className = found.error ? "error" : "";
  byId("further").hidden = !found.before;
  byId("further").onclick = () => searchEnded(found.before);
  fill(byId("ended"), ENDED, ended, "none");
}

// 17 and "17" are two jobs: in quotes it is the text.
const jobLink = (job) =>
  `#job?${new URLSearchParams({ fetcher: job.fetcher, id: JSON.stringify(job.id) })}`;
const idShown = (id) => (typeof id === "string" && /^-?\d+$/.test(id) ? JSON.stringify(id) : shown(id));

async function showJob(query) {
  const place = byId("job");
  const job = await json(`job.json?${query}`);
  if (job.error && !job.state) {
    place.replaceChildren(element("p", { textContent: job.error }));
    return;
  }
  const facts = [["fetcher", job.fetcher], ["state", job.state], ["attempts", job.attempt],
    ["crashes", job.crashes], ["fetched at", job.fetched_at], ["ended at", job.ended_at],
    ["last processor", job.processor]];
  const history = element("table");
  fill(history, HISTORY, job.history, "nothing yet");
  const traces = job.history.map((each) => each.trace).filter(Boolean);
  place.replaceChildren(
    element("p", {}, element("a", { href: "#", textContent: "back to the overview" })),
    element("h2", { textContent: `Job ${idShown(job.id)}` }),
    element("dl", {}, ...facts.flatMap(([name, value]) =>
      [element("dt", { textContent: name }), element("dd", { textContent: shown(value) })])),
    decisions(job),
    element("h2", { textContent: "Payload" }),
    element("pre", { id: "payload", textContent: JSON.stringify(job.payload, null, 2) }),
    element("h2", { textContent: "Result" }),
    element("pre", { id: "result", textContent: job.result === null ? "–" : JSON.stringify(job.result, null, 2) }),
    element("h2", { textContent: "Error" }),
    element("pre", { id: "error", textContent: traces[traces.length - 1] || shown(job.error) }),
    element("h2", { textContent: "History" }), element("div", { className: "scroll" }, history),
  );
}

function decisions(job) {
  const decide = (action, label, kind, states, question) => {
    const button = element("button", { id: action, textContent: label, className: kind });
    button.disabled = !states.includes(job.state) || readOnly || !sessionStorage.getItem(TOKEN);
    button.title = button.disabled ? `for jobs that are ${states.join(" or ")}, once the page is unlocked` : "";
    button.onclick = async () => {
      if (question && !confirm(question)) return;
      await act({ verb: "jobs", action, keys: { [job.fetcher]: [job.key] } });
      await showJob(location.hash.split("?")[1]);
    };
    return button;
  };
  return element("div", { className: "row" }, decide("retry", "Retry", "", ["quarantined"]),
    decide("discard", "Discard", "irreversible", ["quarantined"], `Discard job ${job.id}? Nothing brings it back.`),
    decide("cancel", "Cancel", "", ["ready", "leased", "retrying"],
      `Cancel job ${job.id}? What it has begun is lost; it is set aside.`));
}

const ask = (command) => fetch("act", {
  method: "POST",
  headers: { "Content-Type": "application/json", "X-Lowtide-Token": sessionStorage.getItem(TOKEN) || "" },
  body: JSON.stringify(command),
});

async function act(command) {
  const answer = await ask(command);
  const said = await answer.json();
  if (answer.status === 403 || answer.status === 429) lock();
  seenQuarantined = null;
  const text = said.error || Object.entries(said).map(([word, what]) => `${word} ${what}`).join(", ");
  byId("message").textContent = text;
  byId("message").className = said.error ? "" : "good";
  byId("message").hidden = false;
}

function lock() {
  sessionStorage.removeItem(TOKEN);
  showLock();
}

function showLock() {
  const open = Boolean(sessionStorage.getItem(TOKEN)) && !readOnly;
  byId("actions").hidden = !open;
  byId("unlock").hidden = open || readOnly;
  byId("read-only").hidden = !readOnly;
  const where = byId("search").elements.where;
  where.disabled = !open;
  where.title = open ? "an expression in JMESPath" : "for those who have the token";
}

function route() {
  const [page, query] = location.hash.slice(1).split("?");
  byId("overview").hidden = page === "job";
  byId("job").hidden = page !== "job";
  if (page === "job") showJob(query);
}

byId("unlock").onsubmit = (event) => {
  event.preventDefault();
  // A header holds bytes only.
  const token = byId("token").value;
  if (/^[\x21-\x7e]+$/.test(token)) sessionStorage.setItem(TOKEN, token);
  byId("token").value = "";
  showLock();
  route();
};
byId("search").onsubmit = (event) => {
  event.preventDefault();
  searchEnded();
};
byId("forget").onclick = () => { lock(); route(); };
for (const button of document.querySelectorAll("[data-verb]")) {
  button.onclick = () => act({ verb: button.dataset.verb });
}
window.onhashchange = route;

async function start() {
  readOnly = (await json("access.json").catch(() => ({}))).actions === false;
  showLock();
  route();
  searchEnded();
  points = await json("history.json").catch(() => []);
  const events = new EventSource("events");
  events.onmessage = (event) => show(JSON.parse(event.data));
  events.onerror = () => show({ error: "the system has ended, or does not answer" });
}
start();
