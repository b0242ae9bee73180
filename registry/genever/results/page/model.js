// What the page knows, and what a reader chose. Everything that came from files is text, never markup.
const data = JSON.parse(document.getElementById("data").textContent);
const BAD = new Set(["failed", "lost"]);
const LIVE = new Set(["queued", "starting", "running", "queued again"]);

const state = {
  stage: data.stages.length - 1,
  metric: null, // index of data.numbers
  highest: false,
  colour: "metric", // or the index of data.keys
  sort: null, // { column, descending }; null = best first
  bySeed: false,
  most: 300, // rows that are in the page
  brushes: new Map(), // axis -> [top, bottom], as shares of its height
  lit: null, // the run that the pointer or the keyboard is at
  pinned: new Set(),
};

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

function format(value) {
  if (value === null || value === undefined) return "";
  if (Number.isNaN(value)) return "not finite";
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e5 || size < 1e-3)) return value.toExponential(2).replace(/\.?0+e/, "e");
  return String(Number(value.toPrecision(4)));
}

// A number of a run: undefined = it has none, NaN = it was not finite.
function valueOf(run, number) {
  const value = run.r[number];
  return value === undefined ? undefined : value === "nan" ? NaN : value;
}

function score(run) {
  const value = state.metric === null ? undefined : valueOf(run, state.metric);
  return Number.isFinite(value) ? value : null;
}

// The number that a binding's text says, or NaN.
function numeric(text) {
  return text !== null && /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(text) ? Number(text) : NaN;
}

function runsOfStage() {
  return data.runs.filter((run) => run.s === state.stage);
}

function keysOfStage() {
  return data.stages[state.stage].keys;
}

// Best first; what has not finished after what has, what was not measured last.
function better(a, b) {
  const [first, second] = [score(a), score(b)];
  return (
    (a.kind !== "finished") - (b.kind !== "finished") ||
    (first === null) - (second === null) ||
    (state.highest ? -1 : 1) * ((first ?? 0) - (second ?? 0)) ||
    a.n - b.n
  );
}

// What a stage calls a binding: as short as its own table allows.
function titleOf(key, stage = state.stage) {
  const { keys, titles } = data.stages[stage];
  return titles[keys.indexOf(key)];
}

function described(run) {
  const { keys } = data.stages[run.s];
  const parts = keys.filter((key) => run.v[key] !== null).map((key) => `${titleOf(key, run.s)} ${run.v[key]}`);
  return parts.join(", ") || run.name || "no run yet";
}

function labelled(run) {
  return `#${run.n} ${described(run)}`;
}

// Whoever draws something says so here; choosing draws everything anew, looking at a run only what shows it.
const drawn = [];
const lighting = [];
let waiting = false;

function changed() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    colours.prepare();
    for (const draw of drawn) draw();
    for (const light of lighting) light();
  });
}

function light(run) {
  if (state.lit === run) return;
  state.lit = run;
  for (const one of lighting) one();
}

function pin(run) {
  if (!state.pinned.delete(run)) state.pinned.add(run);
  for (const one of lighting) one();
}

function shownUp() {
  const runs = new Set(state.pinned);
  if (state.lit) runs.add(state.lit);
  return [...runs].filter((run) => run.s === state.stage);
}

function selected(label, options, value, choose) {
  const select = make("select", { onchange: () => choose(select.value) });
  for (const [key, text] of options) select.append(make("option", { value: key, selected: String(key) === String(value) }, text));
  return make("label", {}, label, select);
}

function ticked(label, value, choose) {
  const box = make("input", { type: "checkbox", onchange: () => choose(box.checked) });
  box.checked = value;
  return make("label", {}, box, label);
}
