// Parallel coordinates: an axis for everything that varied, the last one for the number that ranks. Brushes choose runs.
const parallel = { axes: [], lines: [], height: 350 };
const ROOM = { side: 70, top: 38, bottom: 50 };

// Where a run stands on an axis, from the top; null = it has nothing there.
parallel.place = (key, run) => {
  const axis = parallel.axes.find((one) => one.key === key);
  const share = axis ? axis.of(run) : null;
  return share === null ? null : 1 - share;
};

function startParallel() {
  parallel.plot = make("div", { class: "plot" });
  parallel.wide = make("div", { class: "wide" }, parallel.plot);
  parallel.handles = make("div");
  parallel.legend = make("div", { class: "legend" });
  parallel.said = make("p", { class: "note", "aria-live": "polite" });
  parallel.canvas = canvases(parallel.plot);
  parallel.plot.append(parallel.handles);
  parallel.plot.addEventListener("pointermove", pointAtLine);
  parallel.plot.addEventListener("pointerleave", () => light(null));
  parallel.plot.addEventListener("click", (event) => state.lit && !event.target.classList.contains("axis") && pin(state.lit));
  const help = "Drag along an axis to choose runs: table, curves and samples follow. Keys on an axis: Enter sets a brush, up and down move it, with Shift they resize it, Escape clears it.";
  document.getElementById("parallel").append(parallel.wide, parallel.legend, parallel.said, make("p", { class: "note" }, help));
  if (data.notes.axes) document.getElementById("parallel").append(make("p", { class: "note left-out" }, data.notes.axes));
  drawn.unshift(prepareAxes);
  drawn.push(drawParallel);
  lighting.push(lightParallel);
}

// Before anything else is drawn: whether a run is chosen depends on the axes.
function prepareAxes() {
  const runs = runsOfStage();
  const varied = keysOfStage().filter((key) => new Set(runs.map((run) => run.v[key])).size > 1);
  parallel.axes = [...varied.slice(0, data.limits.axes).map((key) => keyAxis(key, runs)), metricAxis(runs)];
  for (const key of state.brushes.keys()) if (!parallel.axes.some((axis) => axis.key === key)) state.brushes.delete(key);
}

function drawParallel() {
  const { axes } = parallel;
  const width = Math.max(parallel.wide.clientWidth, axes.length * 96 + ROOM.side);
  parallel.plot.style.width = `${width}px`;
  const [base, over] = parallel.canvas(width, parallel.height);
  parallel.over = over;
  const step = axes.length > 1 ? (width - 2 * ROOM.side) / (axes.length - 1) : 0;
  const low = parallel.height - ROOM.bottom;
  axes.forEach((axis, index) => { axis.x = ROOM.side + index * step; });
  const ordered = runsOfStage().sort(better).reverse();
  const aside = axes.map((axis) => fanned(axis, ordered));
  const y = (axis, run) => { const share = axis.of(run); return share === null ? low + 20 : low - share * (low - ROOM.top); };
  parallel.lines = ordered.map((run) => ({ run, isChosen: isBrushed(run), places: axes.map((axis, index) => [axis.x, y(axis, run) + aside[index](run)]) }));
  const isAll = parallel.lines.every((line) => line.isChosen);
  for (const line of parallel.lines.filter((one) => !one.isChosen)) drawLine(base, line, 1, 0.1);
  const alpha = parallel.lines.length > 2000 ? 0.12 : parallel.lines.length > 200 ? 0.35 : 0.75;
  for (const line of parallel.lines.filter((one) => one.isChosen)) drawLine(base, line, 1.5, isAll && !BAD.has(line.run.kind) ? alpha : Math.max(alpha, 0.5));
  const hasNone = parallel.lines.some(({ run }) => axes.some((axis) => axis.of(run) === null));
  for (const axis of axes) drawAxis(base, axis, low, hasNone);
  parallel.legend.replaceChildren(...colours.legend.map((one) => one.cloneNode(true)));
  placeHandles(low);
}

// Pixels by which runs with the same value lie beside each other, the best on top, so that each can be followed.
function fanned(axis, runs) {
  const together = new Map();
  for (const run of runs) {
    const value = axis.of(run);
    if (together.has(value)) together.get(value).push(run);
    else together.set(value, [run]);
  }
  if (axis.key === "metric" || together.size > 12) return () => 0;
  const most = Math.min(12, 90 / together.size);
  const place = new Map();
  for (const those of together.values()) those.forEach((run, index) => place.set(run, those.length > 1 ? most * (1 - (2 * index) / (those.length - 1)) : 0));
  return (run) => place.get(run);
}

function drawLine(context, { run, places }, width, alpha) {
  context.strokeStyle = colours.of(run);
  context.lineWidth = width;
  context.globalAlpha = alpha;
  context.setLineDash(BAD.has(run.kind) ? [5, 3] : []);
  context.beginPath();
  places.forEach((at, index) => (index ? context.lineTo(...at) : context.moveTo(...at)));
  if (places.length === 1) context.arc(...places[0], 3, 0, 7);
  context.stroke();
  context.setLineDash([]);
  context.globalAlpha = 1;
}

function drawAxis(context, axis, low, hasNone) {
  context.strokeStyle = colours.named("--soft");
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(axis.x, ROOM.top);
  context.lineTo(axis.x, low);
  context.stroke();
  const isLast = axis.key === "metric";
  const limit = isLast ? 64 : 84;
  context.textBaseline = "middle";
  context.textAlign = "left";
  const every = Math.ceil(axis.labels.length / 18);
  axis.labels.forEach(([share, text], index) => {
    if (index % every) return;
    label(context, clip(context, text, limit), axis.x + 6, low - share * (low - ROOM.top));
  });
  if (hasNone && isLast) label(context, "none", axis.x + 6, low + 20);
  context.textAlign = "center";
  context.font = context.font.replace(/^/, "600 ");
  label(context, clip(context, axis.name, 120), axis.x, 10);
  context.font = context.font.replace("600 ", "");
  const goal = state.highest ? "higher is better" : "lower is better";
  if (axis.isLog || isLast) label(context, isLast ? `${goal}${axis.isLog ? ", log" : ""}` : "log", axis.x, parallel.height - 8, "--soft");
}

// Text that stays readable above lines.
function label(context, text, x, y, colour = "--ink") {
  context.strokeStyle = colours.named("--paper");
  context.lineWidth = 3;
  context.strokeText(text, x, y);
  context.fillStyle = colours.named(colour);
  context.fillText(text, x, y);
}

function clip(context, text, width) {
  let kept = text;
  while (kept.length > 1 && context.measureText(kept === text ? kept : `${kept}…`).width > width) kept = kept.slice(0, -1);
  return kept === text ? text : `${kept}…`;
}

function placeHandles(low) {
  const isHeld = [...parallel.handles.children].findIndex((handle) => handle === document.activeElement);
  const isStale = parallel.handles.children.length !== parallel.axes.length;
  if (isStale) parallel.handles.replaceChildren(...parallel.axes.map(() => make("div", { class: "axis", tabindex: 0, role: "slider", "aria-orientation": "vertical", "aria-valuemin": 0, "aria-valuemax": 100 })));
  parallel.axes.forEach((axis, index) => {
    const handle = parallel.handles.children[index];
    handle.style.cssText = `left:${axis.x}px; top:${ROOM.top}px; height:${low - ROOM.top}px`;
    const brush = state.brushes.get(axis.key);
    handle.setAttribute("aria-label", `Brush of ${axis.name}`);
    handle.setAttribute("aria-valuenow", brush ? Math.round(100 - 50 * (brush[0] + brush[1])) : 50);
    handle.setAttribute("aria-valuetext", brush ? `${chosenRuns().length} of ${runsOfStage().length} runs are chosen` : "no brush");
    handle.replaceChildren(...(brush ? [make("div", { class: "brush", style: `top:${brush[0] * 100}%; height:${(brush[1] - brush[0]) * 100}%` })] : []));
    handle.onpointerdown = (event) => dragBrush(event, axis, handle);
    handle.onkeydown = (event) => moveBrush(event, axis);
  });
  if (isStale && isHeld >= 0) parallel.handles.children[isHeld]?.focus();
}

function dragBrush(event, axis, handle) {
  const share = (moved) => { const box = handle.getBoundingClientRect(); return Math.min(Math.max((moved.clientY - box.top) / box.height, 0), 1); };
  const from = share(event);
  handle.setPointerCapture(event.pointerId);
  state.brushes.delete(axis.key);
  handle.onpointermove = (moved) => {
    const to = share(moved);
    if (Math.abs(to - from) > 0.015) setBrush(axis, Math.min(from, to), Math.max(from, to));
  };
  handle.onpointerup = handle.onpointercancel = () => { handle.onpointermove = handle.onpointerup = handle.onpointercancel = null; say(); };
  changed();
}

// The ends reach a little over, so that what stands at the very end of an axis is caught.
function setBrush(axis, top, bottom) {
  state.brushes.set(axis.key, [top <= 0.01 ? -0.001 : top, bottom >= 0.99 ? 1.001 : bottom]);
  changed();
}

function moveBrush(event, axis) {
  const brush = state.brushes.get(axis.key);
  const step = { ArrowUp: -0.05, ArrowDown: 0.05 }[event.key];
  if (event.key === "Escape" || event.key === "Delete") state.brushes.delete(axis.key);
  else if (event.key === "Enter" || (step && !brush)) setBrush(axis, 1 / 3, 2 / 3);
  else if (step && event.shiftKey) setBrush(axis, Math.max(0, brush[0] + step / 2), Math.min(1, Math.max(brush[1] - step / 2, brush[0] + 0.04)));
  else if (step) { const size = brush[1] - brush[0]; const top = Math.min(Math.max(brush[0] + step, 0), 1 - size); setBrush(axis, top, top + size); }
  else return;
  event.preventDefault();
  changed();
  requestAnimationFrame(say);
}

function say() {
  parallel.said.textContent = state.brushes.size ? `${chosenRuns().length} of ${runsOfStage().length} runs are chosen.` : "";
}

function lightParallel() {
  const over = parallel.over;
  over.clearRect(0, 0, over.canvas.width, over.canvas.height);
  const lit = shownUp();
  parallel.plot.classList.toggle("dimmed", lit.length > 0);
  for (const line of parallel.lines.filter((one) => lit.includes(one.run))) drawLine(over, line, 3, 1);
  if (lit.length) for (const axis of parallel.axes) drawAxis(over, axis, parallel.height - ROOM.bottom, false);
}

function pointAtLine(event) {
  const box = parallel.plot.getBoundingClientRect();
  const [x, y] = [event.clientX - box.left, event.clientY - box.top];
  let [best, least] = [null, 14];
  for (const { run, places, isChosen } of parallel.lines) {
    const right = places.findIndex((place) => place[0] >= x);
    if (right < 1 || !isChosen) continue;
    const [[x0, y0], [x1, y1]] = [places[right - 1], places[right]];
    const distance = Math.abs(y0 + ((x - x0) / (x1 - x0)) * (y1 - y0) - y);
    if (distance < least) [best, least] = [run, distance];
  }
  light(best);
  parallel.plot.title = best ? labelled(best) : "";
}
