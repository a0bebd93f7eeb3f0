"use strict";
// Plots of the last hour as SVG. Points are {at: seconds, value}, oldest first.

const SHORTEST = 300, LONGEST = 3600, WIDTH = 400, HEIGHT = 110, LEFT = 30, BOTTOM = 16, TOP = 6;

function svg(name, attributes, text) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

// The next 1, 2 or 5 times a power of ten, so that the scale rarely changes.
function ceiling(value) {
  if (value <= 1) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value);
}

function plot(place, points, label) {
  const now = points.length ? points[points.length - 1].at : 0;
  const age = points.length ? now - points[0].at : 0;
  const span = Math.min(LONGEST, Math.max(SHORTEST, age));
  const top = ceiling(Math.max(0, ...points.map((point) => point.value)));
  const x = (at) => LEFT + (WIDTH - LEFT) * Math.max(0, 1 - (now - at) / span);
  const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top);
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label });
  // What is counted has no halves.
  for (const value of [0, top / 2, top].filter(Number.isInteger)) {
    picture.append(svg("line", { class: "grid", x1: LEFT, x2: WIDTH, y1: y(value), y2: y(value) }));
    picture.append(svg("text", { x: LEFT - 5, y: y(value) + 3, "text-anchor": "end" }, String(value)));
  }
  for (const [share, anchor] of [[1, "start"], [0.5, "middle"], [0, "end"]]) {
    const minutes = (share * span) / 60;
    const text = share ? `${minutes < 10 ? minutes.toFixed(1) : Math.round(minutes)} min ago` : "now";
    picture.append(svg("text", { x: x(now - share * span), y: HEIGHT - 3, "text-anchor": anchor }, text));
  }
  if (points.length > 1) {
    const line = points.map((point) => `${x(point.at).toFixed(1)},${y(point.value).toFixed(1)}`);
    const ends = [`${x(points[0].at).toFixed(1)},${y(0)}`, `${x(now)},${y(0)}`];
    picture.append(svg("polygon", { class: "area", points: [ends[0], ...line, ends[1]].join(" ") }));
    picture.append(svg("polyline", { class: "curve", points: line.join(" ") }));
  }
  place.replaceChildren(picture);
}

// Jobs done a minute at each point, over the half minute before it.
function rates(points) {
  let from = 0;
  return points.map((point) => {
    while (from < points.length && point.at - points[from].at > 30) from += 1;
    const first = points[from] || point;
    const seconds = point.at - first.at;
    const value = seconds >= 5 ? Math.max(0, ((point.done - first.done) * 60) / seconds) : 0;
    return { at: point.at, value: Math.round(value * 10) / 10 };
  });
}
