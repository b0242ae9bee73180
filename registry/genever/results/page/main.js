// The header, the samples, the failures, and the start of everything.
function startHeader() {
  const counts = new Map();
  for (const run of data.runs) counts.set(run.kind, (counts.get(run.kind) ?? 0) + 1);
  const chips = [...counts].sort((a, b) => b[1] - a[1]).map(([kind, num]) => make("li", { class: BAD.has(kind) ? "bad" : LIVE.has(kind) ? "live" : kind }, `${num} ${kind}`));
  const facts = make("dl");
  for (const [name, text] of data.facts) facts.append(make("dt", {}, name), make("dd", {}, text));
  const best = make("p", { class: "best" });
  const header = document.getElementById("header");
  header.append(make("h1", {}, data.title), make("p", { class: "note" }, data.subtitle), make("ul", { class: "chips" }, ...chips), best, facts);
  if (data.file) header.append(make("details", {}, make("summary", {}, "the sweep file, as it was submitted"), make("pre", {}, data.file)));
  drawn.push(() => {
    const first = runsOfStage().sort(better)[0];
    best.hidden = !first || score(first) === null;
    if (!best.hidden) best.replaceChildren(make("strong", {}, `${state.highest ? "Highest" : "Lowest"} ${data.numbers[state.metric].name} ${format(score(first))}`), `: #${first.n} ${described(first)}`);
  });
}

function useStage(stage) {
  state.stage = Number(stage);
  const { metric, highest } = data.stages[state.stage];
  Object.assign(state, { metric, highest, colour: "metric", sort: null, lit: null });
  state.pinned.clear();
  state.brushes.clear();
  changed();
}

function rankBy(number) {
  state.metric = Number(number);
  const end = data.numbers[state.metric].better;
  if (end) state.highest = end === "higher";
  state.sort = null;
  changed();
}

function drawControls() {
  const numbers = new Set(runsOfStage().flatMap((run) => Object.keys(run.r).map(Number)));
  const measured = data.numbers.map((number, index) => [index, number.name]).filter(([index]) => numbers.has(index));
  const keys = keysOfStage().filter((key) => new Set(runsOfStage().map((run) => run.v[key])).size > 1);
  const controls = [];
  if (data.stages.length > 1) controls.push(selected("stage", data.stages.map((stage, index) => [index, stage.name]), state.stage, useStage));
  if (measured.length) {
    controls.push(selected("ranked by", measured, state.metric, rankBy));
    controls.push(selected("best is the", [["lowest", "lowest"], ["highest", "highest"]], state.highest ? "highest" : "lowest", (value) => { state.highest = value === "highest"; changed(); }));
  }
  const options = [["metric", state.metric === null ? "nothing" : `rank by ${data.numbers[state.metric].name}`], ...keys.map((key) => [key, titleOf(key)])];
  controls.push(selected("colours show", options, state.colour, (value) => { state.colour = value; changed(); }));
  if (keysOfStage().some((key) => data.keys[key].seed)) controls.push(ticked("mean over seeds", state.bySeed, (on) => { state.bySeed = on; state.sort = null; changed(); }));
  keepFocus(document.getElementById("controls"), controls);
}

const cardOf = new Map();
const imageOf = new Map(); // Decoded once.

function startPictures() {
  const section = document.getElementById("pictures");
  const hasAny = data.runs.some((run) => run.p);
  const cards = make("div", { class: "cards" });
  const size = make("input", { type: "range", min: 8, max: 40, value: 16, oninput: () => cards.style.setProperty("--card", `${size.value}rem`) });
  cards.style.setProperty("--card", "16rem");
  if (hasAny) section.append(make("div", { class: "controls" }, make("label", {}, "size", size)), cards);
  const none = make("p", { class: "note" });
  section.append(none);
  if (data.notes.pictures) section.append(make("p", { class: "note left-out" }, data.notes.pictures));
  drawn.push(() => {
    cardOf.clear();
    const runs = orderedRuns().filter((run) => run.p);
    cards.replaceChildren(...runs.map(card));
    none.hidden = runs.length > 0;
    none.textContent = hasAny ? "None of the chosen runs has a grid here." : "No run has drawn a grid of samples yet.";
  });
  lighting.push(() => {
    for (const [run, figure] of cardOf) {
      figure.classList.toggle("lit", run === state.lit);
      figure.classList.toggle("pinned", state.pinned.has(run));
    }
  });
}

function card(run) {
  const { source, step, weights, width, height, isShrunk } = run.p;
  const value = score(run) === null ? "" : ` · ${data.numbers[state.metric].name} ${format(score(run))}`;
  if (!imageOf.has(run)) imageOf.set(run, make("img", { src: source, width, height, class: isShrunk && "photo", alt: `Samples of run ${run.n} at step ${step}` }));
  const said = make("figcaption", {}, make("span", { class: "swatch", style: `background:${colours.of(run)}` }), make("strong", {}, `#${run.n}`), ` ${described(run)}`, make("br"), make("span", { class: "note" }, `step ${step}, ${weights}${value}`));
  const figure = make("figure", { onpointerenter: () => light(run), onpointerleave: () => light(null) }, imageOf.get(run), said);
  cardOf.set(run, figure);
  return figure;
}

function startFailures() {
  const section = document.getElementById("failures");
  if (!data.failures.length) {
    section.append(make("p", { class: "note" }, "Nothing failed."));
    return;
  }
  const byIndex = (index) => data.runs[index];
  for (const failure of data.failures) {
    const runs = failure.runs.map(byIndex).filter(Boolean);
    const names = runs.slice(0, 8).map((run) => `${labelled(run)}${run.step === null ? "" : `, step ${run.step}`}`);
    if (failure.num > names.length) names.push(`and ${failure.num - names.length} more`);
    section.append(make("div", { class: "failure" }, ...names.map((name) => make("h3", {}, name)), make("p", {}, `${failure.kind}: ${failure.reason || "no reason was given"}`)));
  }
  if (data.notes.failures) section.append(make("p", { class: "note left-out" }, data.notes.failures));
  section.append(make("p", {}, "To try again what failed:"), make("pre", {}, data.retry.join("\n")));
}

function start() {
  Object.assign(state, { metric: data.stages[state.stage].metric, highest: data.stages[state.stage].highest });
  startHeader();
  startLifecycle();
  drawn.push(drawControls, drawTable);
  lighting.push(lightTable);
  startCurves();
  startParallel();
  startPictures();
  startFailures();
  document.getElementById("footer").textContent = data.made;
  colours.prepare();
  for (const draw of drawn) draw();
  for (const one of lighting) one();
  let width = document.body.clientWidth;
  new ResizeObserver(() => { if (width !== (width = document.body.clientWidth)) changed(); }).observe(document.body);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
}

start();
