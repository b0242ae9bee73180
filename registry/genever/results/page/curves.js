// Learning curves of one scalar.
const curves = { scalar: 0, log: null, whole: false, points: [] };
const EDGE = { left: 58, right: 14, top: 10, bottom: 36 };

function startCurves() {
  const section = document.getElementById("curves");
  if (!data.scalars.length) {
    section.append(make("p", { class: "note" }, "No run has written a scalar yet."));
    return;
  }
  curves.controls = make("div", { class: "controls" });
  curves.plot = make("div", { class: "plot", tabindex: 0, role: "img", onkeydown: walkCurves, onblur: () => { showTip(null); light(null); } });
  curves.tip = make("div", { class: "tip", hidden: true });
  curves.legend = make("div", { class: "legend" });
  curves.said = make("p", { class: "note", "aria-live": "polite" });
  curves.canvas = canvases(curves.plot);
  curves.plot.append(curves.tip);
  curves.plot.addEventListener("pointermove", pointAtCurve);
  curves.plot.addEventListener("pointerleave", () => { showTip(null); light(null); });
  curves.plot.addEventListener("click", () => state.lit && pin(state.lit));
  const help = "Point at a curve to see its run, click to keep it lit. Keys: up and down change the run, left and right the step, Enter keeps it lit.";
  section.append(curves.controls, curves.plot, curves.legend, curves.said, make("p", { class: "note" }, help));
  if (data.notes.curves) section.append(make("p", { class: "note left-out" }, data.notes.curves));
  drawn.push(drawCurves);
  lighting.push(lightCurves);
}

function scalarsOfStage() {
  const found = new Set(runsOfStage().flatMap((run) => run.c.map(([scalar]) => scalar)));
  return data.scalars.map((name, index) => [index, name]).filter(([index]) => found.has(index));
}

function curvesShown() {
  const found = [];
  for (const run of orderedRuns()) {
    const curve = run.c.find(([scalar]) => scalar === curves.scalar);
    if (curve) found.push({ run, steps: curve[1], values: curve[2] });
  }
  return found;
}

function drawCurves() {
  const scalars = scalarsOfStage();
  if (scalars.length && !scalars.some(([index]) => index === curves.scalar)) curves.scalar = scalars[0][0];
  const shown = curvesShown();
  const all = shown.flatMap((curve) => curve.values).filter((value) => value !== null);
  const values = curves.whole ? all : healthy(shown, all);
  const canBeLog = values.length > 0 && values.every((value) => value > 0);
  const isLog = canBeLog && (curves.log ?? isStretched(values));
  const box = ticked("logarithmic", isLog, (on) => { curves.log = on; changed(); });
  box.firstChild.disabled = !canBeLog;
  const choose = (value) => { curves.scalar = Number(value); curves.log = null; changed(); };
  const whole = ticked("failed runs to their ends", curves.whole, (on) => { curves.whole = on; changed(); });
  const isCut = curves.whole || values.length < all.length;
  keepFocus(curves.controls, [selected("scalar", scalars, curves.scalar, choose), box, ...(isCut ? [whole] : [])]);
  const edge = values.length < all.length ? [make("span", {}, "(along the edge where they leave the plot)")] : [];
  curves.legend.replaceChildren(...colours.legend.map((one) => one.cloneNode(true)), ...edge);
  const [width, height] = [curves.plot.clientWidth, curves.plot.clientWidth < 560 ? 260 : 360];
  const [base, over] = curves.canvas(width, height);
  curves.over = over;
  const x = scaled(...(spread(shown.flatMap((curve) => curve.steps)) ?? [0, 1]), false);
  const y = scaled(...widened(spread(values) ?? [0, 1], isLog), isLog);
  const across = width - EDGE.left - EDGE.right;
  const up = height - EDGE.top - EDGE.bottom;
  const place = (step, value) => [EDGE.left + x.at(step) * across, height - EDGE.bottom - Math.min(Math.max(y.at(value), 0), 1) * up];
  drawFrame(base, width, height, x, y, place);
  curves.points = shown.map((curve) => ({ ...curve, places: curve.steps.map((step, index) => (curve.values[index] === null ? null : place(step, curve.values[index]))) }));
  const held = curves.at && curves.points.find((curve) => curve.run === curves.at.curve.run);
  curves.at = held ? { curve: held, index: Math.min(curves.at.index, held.steps.length - 1) } : null;
  curves.tip.hidden = curves.at === null;
  base.globalAlpha = shown.length > 150 ? 0.45 : shown.length > 40 ? 0.7 : 0.9;
  for (const curve of [...curves.points].reverse()) drawCurve(base, curve, 1.4);
  base.globalAlpha = 1;
  curves.plot.setAttribute("aria-label", `${data.scalars[curves.scalar]} by step, ${shown.length} runs. The table says the same in numbers.`);
}

// The values that the axis is for: those of failed runs count as far as they lie among those of the others.
function healthy(shown, all) {
  const ends = spread(shown.filter(({ run }) => !BAD.has(run.kind)).flatMap(({ values }) => values.filter((value) => value !== null)));
  if (!ends) return all;
  const room = (ends[1] - ends[0]) * 0.3;
  return all.filter((value) => value >= ends[0] - room && value <= ends[1] + room);
}

// Whether a few values lie so far above the rest that the rest would be one line.
function isStretched(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.at(-1) > 20 * sorted[Math.floor(sorted.length / 2)];
}

function drawFrame(context, width, height, x, y, place) {
  const [line, soft] = [colours.named("--line"), colours.named("--soft")];
  context.strokeStyle = line;
  context.fillStyle = soft;
  context.lineWidth = 1;
  for (const tick of y.ticks) {
    const at = Math.round(place(0, tick)[1]) + 0.5;
    context.beginPath();
    context.moveTo(EDGE.left, at);
    context.lineTo(width - EDGE.right, at);
    context.stroke();
    context.textAlign = "right";
    context.textBaseline = "middle";
    context.fillText(format(tick), EDGE.left - 6, at);
  }
  context.textAlign = "center";
  context.textBaseline = "top";
  for (const tick of x.ticks) context.fillText(String(tick), Math.min(place(tick, y.ticks[0])[0], width - 22), height - EDGE.bottom + 6);
  context.fillText("step", (EDGE.left + width - EDGE.right) / 2, height - 12);
}

function drawCurve(context, { run, places }, width) {
  const isBad = BAD.has(run.kind);
  context.strokeStyle = context.fillStyle = colours.of(run);
  context.lineWidth = width;
  context.setLineDash(isBad ? [5, 3] : []);
  context.beginPath();
  let isDown = false;
  for (const at of places) {
    if (at) isDown ? context.lineTo(...at) : context.moveTo(...at);
    isDown = at !== null;
  }
  context.stroke();
  context.setLineDash([]);
  const last = places.findLast((at) => at !== null);
  if (!last) return;
  if (isBad) cross(context, last);
  else if (places.filter(Boolean).length === 1) dot(context, last, 2.5);
}

function cross(context, [x, y]) {
  context.beginPath();
  context.moveTo(x - 4, y - 4);
  context.lineTo(x + 4, y + 4);
  context.moveTo(x + 4, y - 4);
  context.lineTo(x - 4, y + 4);
  context.stroke();
}

function dot(context, [x, y], size) {
  context.beginPath();
  context.arc(x, y, size, 0, 7);
  context.fill();
}

function lightCurves() {
  const over = curves.over;
  over.clearRect(0, 0, over.canvas.width, over.canvas.height);
  const lit = curves.points.filter((curve) => shownUp().includes(curve.run));
  curves.plot.classList.toggle("dimmed", lit.length > 0);
  for (const curve of lit) drawCurve(over, curve, 2.6);
  const at = curves.at;
  if (at && at.curve.places[at.index]) dot(over, at.curve.places[at.index], 4);
}

function pointAtCurve(event) {
  const box = curves.plot.getBoundingClientRect();
  const [x, y] = [event.clientX - box.left, event.clientY - box.top];
  let [best, least] = [null, 28 ** 2];
  for (const curve of curves.points) {
    for (let index = 0; index < curve.places.length; index++) {
      const place = curve.places[index];
      if (!place) continue;
      const distance = (place[0] - x) ** 2 + (place[1] - y) ** 2;
      if (distance < least) [best, least] = [{ curve, index }, distance];
    }
  }
  showTip(best);
  light(best ? best.curve.run : null);
}

function showTip(at) {
  curves.at = at;
  curves.tip.hidden = at === null;
  if (at === null) {
    lightCurves();
    return;
  }
  const { run, steps, values, places } = at.curve;
  const said = `step ${steps[at.index]}: ${data.scalars[curves.scalar]} ${values[at.index] === null ? "not finite" : format(values[at.index])}`;
  curves.tip.replaceChildren(make("strong", {}, `#${run.n}`), ` ${described(run)}`, make("br"), said, make("br"), run.kind);
  curves.said.textContent = document.activeElement === curves.plot ? `${labelled(run)}. ${said}` : "";
  const [x, y] = places[at.index] ?? [EDGE.left, EDGE.top];
  const isRight = x > curves.plot.clientWidth / 2;
  curves.tip.style.left = isRight ? "" : `${x + 14}px`;
  curves.tip.style.right = isRight ? `${curves.plot.clientWidth - x + 14}px` : "";
  curves.tip.style.top = `${Math.max(0, Math.min(y - 20, curves.plot.clientHeight - 80))}px`;
  lightCurves();
}

function walkCurves(event) {
  const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
  if (event.key === "Enter" && state.lit) pin(state.lit);
  if (event.key === "Escape") { showTip(null); light(null); }
  if (!move || !curves.points.length) return;
  event.preventDefault();
  const isNew = !curves.at;
  const number = isNew ? 0 : (curves.points.findIndex((curve) => curve.run === curves.at.curve.run) + move[0] + curves.points.length) % curves.points.length;
  const curve = curves.points[number];
  const last = curve.steps.length - 1;
  const index = isNew || move[0] ? last : Math.min(Math.max(curves.at.index + move[1], 0), last);
  showTip({ curve, index });
  light(curve.run);
}

// Replaces controls without taking the keyboard away from the one that was just used.
function keepFocus(place, controls) {
  const number = [...place.querySelectorAll("select, input, button")].indexOf(document.activeElement);
  place.replaceChildren(...controls);
  if (number >= 0) place.querySelectorAll("select, input, button")[number]?.focus();
}
