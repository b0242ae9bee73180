// One run and all that it goes back to: where each stage came from, its numbers, its samples and its curve.
const lifecycle = { last: null, scalar: null };

function parentOf(run) {
  return typeof run.from === "number" ? data.runs[run.from] : null;
}

// A stage's runs start from each other in no circle, but a page believes no file.
function chainOf(run) {
  const chain = [];
  for (let one = run; one && !chain.includes(one); one = parentOf(one)) chain.unshift(one);
  return chain;
}

function stageNamed(run) {
  return data.stages[run.s].name || run.name.slice(0, run.name.lastIndexOf("/")) || `#${run.n}`;
}

function originNamed(origin) {
  return typeof origin === "number" ? `${stageNamed(data.runs[origin])} #${data.runs[origin].n}` : origin;
}

function clipped(text, width) {
  return text.length <= width ? text : `${text.slice(0, width - 3)}...`;
}

function startLifecycle() {
  if (data.lifecycle === null) return;
  const section = document.getElementById("lifecycle");
  section.hidden = false;
  lifecycle.last = data.runs[data.lifecycle];
  const parents = new Set(data.runs.map(parentOf));
  const lasts = new Set([lifecycle.last, ...data.runs.filter((run) => parentOf(run) && !parents.has(run))]);
  const controls = make("div", { class: "controls" });
  const table = make("div", { class: "scroll", tabindex: 0, role: "region", "aria-labelledby": "lifecycle-title" });
  const told = make("dl");
  const pictures = make("div");
  const plot = make("div", { class: "plot", role: "img" });
  const scalars = make("div", { class: "controls" });
  const draw = canvases(plot);
  section.append(controls, table, told, pictures, scalars, plot);
  drawn.push(() => {
    const chain = chainOf(lifecycle.last);
    const options = [...lasts].slice(0, 300).map((run) => [data.runs.indexOf(run), clipped(`${stageNamed(run)} ${labelled(run)}`, 80)]);
    keepFocus(controls, [selected("up to", options, data.runs.indexOf(lifecycle.last), (value) => { lifecycle.last = data.runs[value]; changed(); })]);
    const numbers = [...new Set(chain.flatMap((run) => data.stages[run.s].numbers))].filter((number) => chain.some((run) => valueOf(run, number) !== undefined));
    table.replaceChildren(lifecycleTable(chain, numbers));
    told.replaceChildren(...protocolsOf(chain, numbers));
    pictures.replaceChildren(...lifecyclePictures(chain));
    drawLifecycle(chain, scalars, plot, draw);
  });
}

function lifecycleTable(chain, numbers) {
  const titles = ["stage", "from", "what it reads", "what varied", "step", ...numbers.map((number) => data.numbers[number].name)];
  const head = make("tr", {}, ...titles.map((title, index) => make("th", { scope: "col", class: "padded" + (index > 3 ? " number" : "") }, title)));
  const rows = chain.map((run) => {
    const reads = Object.entries(run.reads).map(([key, origin]) => `${key} ${originNamed(origin)}`).join(", ");
    const texts = [run.from === null ? "scratch" : originNamed(run.from), reads, described(run)].map((text) => make("td", { title: text }, clipped(text, 60)));
    const measured = numbers.map((number) => make("td", { class: "number", title: data.protocols[run.q[number]] ?? null }, format(valueOf(run, number))));
    const first = make("th", { scope: "row" }, make("button", { class: "pin", title: "Keep this run lit", onclick: () => pin(run) }, `${stageNamed(run)} #${run.n}`));
    return make("tr", {}, first, ...texts, make("td", { class: "number" }, stepText(run)), ...measured);
  });
  return make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows));
}

// How each number came about; numbers of one protocol together, and whose where stages differ.
function protocolsOf(chain, numbers) {
  const found = new Map();
  for (const number of numbers) {
    const all = new Set(chain.map((run) => run.q[number]).filter((one) => one !== undefined));
    for (const protocol of all) {
      const whose = all.size > 1 ? ` after ${chain.filter((run) => run.q[number] === protocol).map(stageNamed).join(", ")}` : "";
      found.set(protocol, [...(found.get(protocol) ?? []), data.numbers[number].name + whose]);
    }
  }
  return [...found].flatMap(([protocol, names]) => [make("dt", {}, names.join(", ")), make("dd", {}, data.protocols[protocol])]);
}

// The same noise and the same prompts in the same places. Grids with a column of each prompt stand below each other.
function lifecyclePictures(chain) {
  const shown = chain.filter((run) => run.p);
  if (!shown.length) return [make("p", { class: "note" }, "None of these runs has a grid here.")];
  const prompts = shown[0].p.prompts;
  const isStacked = prompts.length > 0 && shown.every((run) => JSON.stringify(run.p.prompts) === JSON.stringify(prompts));
  const heading = () => make("div", { class: "prompts" }, ...prompts.map((prompt) => make("span", {}, prompt)));
  const figures = shown.map((run) => {
    const { source, step, weights, width, height, isShrunk } = run.p;
    const image = make("img", { src: source, width, height, class: isShrunk && "photo", alt: `Samples after ${stageNamed(run)}, step ${step}` });
    const columns = !isStacked && run.p.prompts.length ? `; columns: ${run.p.prompts.join(" | ")}` : "";
    const said = make("figcaption", {}, make("strong", {}, stageNamed(run)), make("span", { class: "note" }, ` #${run.n}, step ${step}, ${weights}${columns}`));
    return make("figure", {}, ...(isStacked ? [heading()] : []), image, said);
  });
  return [make("div", { class: `stages${isStacked ? " stacked" : ""}` }, ...figures)];
}

// One scalar through all stages, whose steps follow each other.
function drawLifecycle(chain, controls, plot, draw) {
  const names = [...new Set(chain.flatMap((run) => run.c.map(([scalar]) => scalar)))].sort((a, b) => a - b);
  plot.hidden = !names.length;
  if (!names.length) return controls.replaceChildren();
  if (!names.includes(lifecycle.scalar)) lifecycle.scalar = names[0];
  keepFocus(controls, [selected("scalar", names.map((name) => [name, data.scalars[name]]), lifecycle.scalar, (value) => { lifecycle.scalar = Number(value); changed(); })]);
  const pieces = [];
  let before = 0;
  for (const run of chain) {
    const [, steps, values] = run.c.find(([scalar]) => scalar === lifecycle.scalar) ?? [0, [], []];
    const ends = before + Math.max(run.step ?? 0, ...steps);
    pieces.push({ run, before, ends, steps: steps.map((step) => before + step), values });
    before = ends;
  }
  const values = pieces.flatMap((piece) => piece.values).filter((value) => value !== null);
  const isLog = values.length > 0 && values.every((value) => value > 0) && isStretched(values);
  const [width, height] = [plot.clientWidth, 260];
  const [base] = draw(width, height);
  const x = scaled(0, before || 1, false);
  const y = scaled(...widened(spread(values) ?? [0, 1], isLog), isLog);
  const place = (step, value) => [EDGE.left + x.at(step) * (width - EDGE.left - EDGE.right), height - EDGE.bottom - y.at(value) * (height - EDGE.top - EDGE.bottom)];
  drawFrame(base, width, height, x, y, place);
  const palette = colours.named("--kinds").split(" ");
  pieces.forEach((piece, index) => {
    const [left] = place(piece.before, y.ticks[0]);
    base.strokeStyle = base.fillStyle = palette[index % palette.length];
    const isLast = left > width * 0.8;
    base.textAlign = isLast ? "right" : "left";
    base.textBaseline = "top";
    base.fillText(stageNamed(piece.run), left + (isLast ? -4 : 4), EDGE.top + 14 * (index % 3));
    base.fillRect(left, EDGE.top, 1, height - EDGE.top - EDGE.bottom);
    base.lineWidth = 1.5;
    base.beginPath();
    let isDown = false;
    piece.steps.forEach((step, at) => {
      const value = piece.values[at];
      if (value !== null) isDown ? base.lineTo(...place(step, value)) : base.moveTo(...place(step, value));
      isDown = value !== null;
    });
    base.stroke();
    if (piece.values.filter((value) => value !== null).length === 1) dot(base, place(piece.steps[0], piece.values[0]), 3);
  });
  plot.setAttribute("aria-label", `${data.scalars[lifecycle.scalar]} through ${chain.length} stages`);
}
