// The table: sortable, one row for each run or for runs that differ in their seeds alone.
function tableColumns() {
  const columns = [{ name: "#", of: (run) => run.n, number: true }];
  for (const key of keysOfStage()) {
    const of = (run) => (Number.isFinite(numeric(run.v[key])) ? numeric(run.v[key]) : run.v[key]);
    columns.push({ name: titleOf(key), title: data.keys[key].full, key, of, text: (run) => run.v[key] ?? "" });
  }
  const measured = (number) => ({ name: data.numbers[number].name, title: data.numbers[number].full, of: (run) => valueOf(run, number), number: true, metric: number, text: (run) => format(valueOf(run, number)) });
  if (state.metric !== null) columns.push(measured(state.metric));
  columns.push({ name: "is", of: (run) => run.kind, kind: true });
  columns.push({ name: "step", of: (run) => run.step, number: true, text: stepText });
  columns.push(...data.stages[state.stage].numbers.filter((one) => one !== state.metric).map(measured));
  const isOne = data.stages[state.stage].experiments === 1;
  columns.push({ name: "run", of: (run) => (isOne ? run.name.slice(run.name.lastIndexOf("/") + 1) : run.name), soft: true });
  return columns;
}

function stepText(run) {
  if (run.step === null) return "";
  return run.total && run.kind !== "finished" ? `${run.step}/${run.total}` : String(run.step);
}

// Numbers before texts before nothing, whichever way the rest is turned.
function compared(a, b, descending) {
  const rank = (value) => (value === null || value === undefined || value === "" || Number.isNaN(value) ? 2 : typeof value === "number" ? 0 : 1);
  const difference = rank(a) - rank(b);
  if (difference || rank(a) === 2) return rank(a) === 2 || rank(b) === 2 ? difference : (descending ? -1 : 1) * difference;
  const order = typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true });
  return descending ? -order : order;
}

function isBrushed(run) {
  for (const [axis, [top, bottom]] of state.brushes) {
    const place = parallel.place(axis, run);
    if (place === null || place < top || place > bottom) return false;
  }
  return true;
}

function chosenRuns() {
  return runsOfStage().filter(isBrushed);
}

function orderedRuns() {
  const runs = chosenRuns().sort(better);
  const column = state.sort && tableColumns().find((one) => one.name === state.sort.column);
  return column ? runs.sort((a, b) => compared(column.of(a), column.of(b), state.sort.descending)) : runs;
}

const rowOf = new Map();

function drawTable() {
  const place = document.getElementById("table");
  const columns = tableColumns();
  const head = make("thead", {}, make("tr", {}, ...columns.filter((column) => !state.bySeed || !isHiddenBySeed(column)).map(header)));
  const body = make("tbody");
  rowOf.clear();
  const rows = state.bySeed ? groupedRows(columns) : orderedRuns().map((run) => () => runRow(run, columns));
  for (const row of rows.slice(0, state.most)) body.append(row());
  place.replaceChildren(make("table", {}, head, body));
  const [all, chosen] = [runsOfStage().length, chosenRuns().length];
  const status = document.getElementById("chosen");
  const more = rows.length > state.most ? make("button", { class: "plain", onclick: () => { state.most += 1000; changed(); } }, `show ${Math.min(1000, rows.length - state.most)} more`) : null;
  const clear = state.brushes.size ? make("button", { class: "plain", onclick: () => { state.brushes.clear(); changed(); } }, "clear brushes") : null;
  const shown = more ? `The first ${state.most} rows of ${rows.length}. ` : "";
  const what = chosen < all ? `${chosen} of ${all} runs are chosen by brushes. ` : "";
  const how = state.bySeed ? "Mean ± standard deviation over the seeds that finished. " : "";
  status.replaceChildren(shown + what + how + (data.notes.runs ?? ""), ...[more, clear].filter(Boolean));
}

function header(column) {
  const isSorted = state.sort?.column === column.name;
  const isBest = !state.sort && column.metric !== undefined && column.metric === state.metric;
  const descending = isSorted ? state.sort.descending : state.highest;
  const sort = isSorted || isBest ? (descending ? "descending" : "ascending") : "none";
  const choose = () => {
    state.sort = isSorted && state.sort.descending ? null : { column: column.name, descending: isSorted };
    changed();
  };
  const title = column.title ? `${column.title}. Sort by it.` : "Sort by it.";
  return make("th", { scope: "col", "aria-sort": sort, class: column.number && "number" }, make("button", { title, onclick: choose }, column.name));
}

function runRow(run, columns) {
  const cells = columns.slice(1).map((column) => {
    const kind = column.kind ? (BAD.has(run.kind) ? "bad" : LIVE.has(run.kind) ? "live" : "") : "";
    const isNumber = column.number || typeof column.of(run) === "number";
    const title = column.kind ? run.why : null;
    return make("td", { class: [isNumber && "number", kind, column.soft && "soft"].filter(Boolean).join(" "), title }, String((column.text ?? column.of)(run) ?? ""));
  });
  const button = make("button", { class: "pin", "aria-pressed": "false", title: "Keep this run lit", onclick: () => pin(run) }, `${run.n}`);
  const first = make("th", { scope: "row", class: "number" }, make("span", { class: "swatch", style: `background:${colours.of(run)}` }), button);
  const row = make("tr", { onpointerenter: () => light(run), onpointerleave: () => light(null), onfocusin: () => light(run) }, first, ...cells);
  rowOf.set(run, row);
  return row;
}

function isHiddenBySeed(column) {
  return column.name === "run" || column.name === "step" || (column.key !== undefined && data.keys[column.key].seed);
}

function groupedRows(columns) {
  const groups = new Map();
  for (const run of orderedRuns()) {
    const name = JSON.stringify(keysOfStage().filter((key) => !data.keys[key].seed).map((key) => run.v[key]));
    if (groups.has(name)) groups.get(name).push(run);
    else groups.set(name, [run]);
  }
  const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
  const rows = [...groups.values()].map((runs) => {
    const finished = runs.filter((run) => run.kind === "finished");
    const values = (column) => finished.map(column.of).filter(Number.isFinite);
    return { runs, finished, values, score: state.metric === null ? [] : finished.map(score).filter((value) => value !== null) };
  });
  const sign = state.highest ? -1 : 1;
  // A mean of those seeds that did not diverge comes after means of all that finished.
  const isPartial = (row) => row.score.length < row.finished.length;
  if (!state.sort) rows.sort((a, b) => !a.score.length - !b.score.length || isPartial(a) - isPartial(b) || sign * (a.score.length && b.score.length ? mean(a.score) - mean(b.score) : 0));
  const measured = state.sort && columns.find((one) => one.name === state.sort.column && one.metric !== undefined);
  const middle = (row) => (row.values(measured).length ? mean(row.values(measured)) : null);
  if (measured) rows.sort((a, b) => compared(middle(a), middle(b), state.sort.descending));
  return rows.map((row) => () => groupRow(row, columns.filter((column) => !isHiddenBySeed(column)), mean));
}

function groupRow({ runs, finished, values }, columns, mean) {
  const cells = columns.slice(1).map((column) => {
    if (column.kind) return make("td", {}, `${finished.length} of ${runs.length} finished`);
    if (column.metric === undefined) return make("td", { class: typeof column.of(runs[0]) === "number" ? "number" : "" }, String((column.text ?? column.of)(runs[0]) ?? ""));
    const found = values(column);
    const middle = found.length ? mean(found) : null;
    const deviation = found.length > 1 ? ` ± ${Number(Math.sqrt(found.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (found.length - 1)).toPrecision(2))}` : "";
    const share = found.length && found.length < finished.length ? ` (${found.length} of ${finished.length})` : "";
    return make("td", { class: "number" }, format(middle) + deviation + share);
  });
  return make("tr", { onpointerenter: () => light(runs[0]), onpointerleave: () => light(null) }, make("th", { scope: "row", class: "number" }, runs.map((run) => run.n).join(" ")), ...cells);
}

function lightTable() {
  for (const [run, row] of rowOf) {
    row.classList.toggle("lit", run === state.lit);
    row.classList.toggle("pinned", state.pinned.has(run));
    row.querySelector(".pin").setAttribute("aria-pressed", String(state.pinned.has(run)));
  }
}
