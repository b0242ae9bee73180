// From values to places, and the colours of runs.
function spread(values) {
  const finite = values.filter(Number.isFinite);
  return finite.length ? [finite.reduce((a, b) => Math.min(a, b)), finite.reduce((a, b) => Math.max(a, b))] : null;
}

// Values to shares from 0 to 1, with the values that are worth a label.
function scaled(low, high, isLog) {
  if (low === high) [low, high] = isLog ? [low / 2, high * 2] : [low - (Math.abs(low) || 1) / 2, high + (Math.abs(high) || 1) / 2];
  const bend = isLog ? Math.log : (value) => value;
  const [from, to] = [bend(low), bend(high)];
  return { at: (value) => (bend(value) - from) / (to - from), ticks: isLog ? logTicks(low, high) : ticks(low, high), isLog };
}

function ticks(low, high, num = 6) {
  const raw = (high - low) / num;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= raw);
  const found = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-9 && found.length < 20; n++) found.push(Number((n * step).toPrecision(12)));
  return found;
}

function logTicks(low, high) {
  const decades = Math.log10(high / low);
  const factors = decades > 3 ? [1] : decades > 1.2 ? [1, 3] : [1, 2, 3, 5, 7];
  const every = Math.max(1, Math.ceil(decades / 6));
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
    if (power % every) continue;
    for (const factor of factors) {
      const value = Number((factor * 10 ** power).toPrecision(12));
      if (value >= low * (1 - 1e-9) && value <= high * (1 + 1e-9)) found.push(value);
    }
  }
  return found.length > 1 ? found : [low, high];
}

// Whether values are better told apart by their ratios.
function looksLog(values) {
  const ends = spread(values);
  return ends !== null && ends[0] > 0 && ends[1] / ends[0] >= 20;
}

// A little room at both ends.
function widened([low, high], isLog) {
  const bend = isLog ? Math.log : (value) => value;
  const unbend = isLog ? Math.exp : (value) => value;
  const room = (bend(high) - bend(low)) * 0.03;
  return [unbend(bend(low) - room), unbend(bend(high) + room)];
}

// The axis of a binding: of numbers where every value is one, else of its values, in their order.
function keyAxis(key, runs) {
  const texts = [...new Set(runs.map((run) => run.v[key]).filter((text) => text !== null))];
  const numbers = texts.map(numeric);
  const name = titleOf(key);
  if (numbers.every(Number.isFinite) && texts.length > 1) {
    const scale = scaled(...spread(numbers), looksLog(numbers));
    const labels = numbers.length <= 6 ? numbers : scale.ticks;
    return { key, name, of: (run) => (run.v[key] === null ? null : scale.at(numeric(run.v[key]))), labels: labels.map((value) => [scale.at(value), format(value)]), isLog: scale.isLog };
  }
  const order = [...texts].sort((a, b) => a.localeCompare(b, undefined, { numeric: true }));
  const place = new Map(order.map((text, index) => [text, order.length > 1 ? index / (order.length - 1) : 0.5]));
  return { key, name, of: (run) => place.get(run.v[key]) ?? null, labels: order.map((text) => [place.get(text), text]), kinds: order };
}

function metricAxis(runs) {
  const values = runs.map(score).filter((value) => value !== null);
  const ends = spread(values) ?? [0, 1];
  const scale = scaled(...ends, looksLog(values) && isStretched(values));
  const name = state.metric === null ? "nothing measured" : data.numbers[state.metric].name;
  return { key: "metric", name, of: (run) => (score(run) === null ? null : scale.at(score(run))), labels: scale.ticks.map((value) => [scale.at(value), format(value)]), isLog: scale.isLog };
}

const colours = {
  of: () => "gray",
  legend: [],
  named(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  },
  // A colour from the scale: 0 = its first.
  along(share) {
    const stops = colours.named("--scale").split(" ");
    const place = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
    const [first, part] = [Math.min(Math.floor(place), stops.length - 2), place - Math.min(Math.floor(place), stops.length - 2)];
    const channel = (stop, index) => parseInt(stop.slice(1 + 2 * index, 3 + 2 * index), 16);
    const mixed = [0, 1, 2].map((index) => Math.round(channel(stops[first], index) * (1 - part) + channel(stops[first + 1], index) * part));
    return `rgb(${mixed.join(" ")})`;
  },
  prepare() {
    const runs = runsOfStage();
    const [none, bad] = [colours.named("--soft"), colours.named("--bad")];
    const found = state.colour === "metric" ? colours.byRank(runs) : colours.byKey(Number(state.colour), runs);
    colours.legend = found.legend;
    const failed = runs.some((run) => BAD.has(run.kind));
    if (failed) colours.legend.push(make("span", {}, make("span", { class: "swatch", style: `background:${bad}` }), "failed, dashed"));
    const known = new Map(runs.map((run) => [run, BAD.has(run.kind) ? bad : (found.of(run) ?? none)]));
    colours.of = (run) => known.get(run) ?? none;
  },
  byRank(runs) {
    const sign = state.highest ? -1 : 1;
    const ranked = runs.filter((run) => score(run) !== null && !BAD.has(run.kind)).sort((a, b) => sign * (score(a) - score(b)));
    const rank = new Map(ranked.map((run, index) => [run, ranked.length > 1 ? index / (ranked.length - 1) : 0]));
    const name = state.metric === null ? "" : data.numbers[state.metric].name;
    const ends = ranked.length ? [score(ranked[0]), score(ranked.at(-1))] : [];
    return {
      of: (run) => (rank.has(run) ? colours.along(rank.get(run)) : undefined),
      legend: ranked.length ? [colours.bar(`best ${name} ${format(ends[0])}`, `${format(ends[1])} worst, by rank`)] : [],
    };
  },
  byKey(key, runs) {
    const axis = keyAxis(key, runs);
    if (!axis.kinds) {
      const ends = spread(runs.map((run) => numeric(run.v[key])));
      return {
        of: (run) => (axis.of(run) === null ? undefined : colours.along(axis.of(run))),
        legend: [colours.bar(`${axis.name} ${format(ends[0])}`, format(ends[1]) + (axis.isLog ? ", by ratio" : ""))],
      };
    }
    const palette = colours.named("--kinds").split(" ");
    const colour = new Map(axis.kinds.map((kind, index) => [kind, palette[index]]));
    const legend = axis.kinds.slice(0, palette.length).map((kind, index) => make("span", {}, make("span", { class: "swatch", style: `background:${palette[index]}` }), `${axis.name} ${kind}`));
    if (axis.kinds.length > palette.length) legend.push(make("span", {}, `and ${axis.kinds.length - palette.length} more, gray`));
    return { of: (run) => colour.get(run.v[key]), legend };
  },
  bar(first, last) {
    const stops = colours.named("--scale").split(" ").join(", ");
    return make("span", {}, `${first} `, make("span", { class: "bar", style: `background:linear-gradient(to right, ${stops})` }), ` ${last}`);
  },
};

// Two canvases over each other, sharp on every screen: what is there, and what is pointed at.
function canvases(plot) {
  const [base, over] = ["base", "over"].map((name) => make("canvas", { class: name, "aria-hidden": true }));
  plot.append(base, over);
  return (width, height) => {
    plot.style.height = `${height}px`;
    return [base, over].map((canvas) => {
      const ratio = window.devicePixelRatio || 1;
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      const context = canvas.getContext("2d");
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      context.font = `12px ${getComputedStyle(document.body).fontFamily}`;
      context.lineJoin = "round";
      return context;
    });
  };
}
