// The plot: bars of CPU relative to the JS passthrough, on a logarithmic scale since LiteLLM needs fifty times the floor.

import { digits } from "./report.mjs";
import { ratio } from "./stats.mjs";

const panels = [
  { figure: "json-c16 cpu", title: "CPU per request", note: "short JSON, 16 connections" },
  { figure: "sse-paced cpu", title: "CPU per streamed chunk", note: "16 streams, a chunk each 5 ms" },
  { figure: "sse-burst cpu", title: "CPU per streamed chunk", note: "4 streams, all chunks at once" },
];
const own = /^sluice/;
const row = 24;
const left = 172;
const width = 800;
const right = 70;
const floor = "floor-js";

export function plot({ targets, values, when }) {
  const shown = panels
    .map((panel) => ({ ...panel, bars: bars(panel.figure, targets, values) }))
    .filter(({ bars }) => bars.length > 0);
  const every = shown.flatMap(({ bars }) => bars.map(({ value }) => value));
  // Whole decades would waste the plot; the ends are the nearest of 1, 2, 5 outside the values.
  const low = Math.min(0.5, ...every.map((value) => nice(value, false)));
  const high = Math.max(5, ...every.map((value) => nice(value * 1.01, true)));
  const x = (value) => left + ((Math.log(value) - Math.log(low)) / (Math.log(high) - Math.log(low))) * (width - left - right);
  const parts = [];
  let top = 56;
  for (const panel of shown) {
    parts.push(text(16, top, `${panel.title} <tspan class="quiet">${panel.note}</tspan>`, "title"));
    const [from, to] = [top + 12, top + 12 + panel.bars.length * row];
    for (const tick of ticks(low, high)) {
      parts.push(`<line class="${tick === 1 ? "floor" : "grid"}" x1="${at(x(tick))}" x2="${at(x(tick))}" y1="${from}" y2="${to}"/>`);
      parts.push(text(x(tick), to + 14, `${tick}×`, "tick"));
    }
    panel.bars.forEach((bar, index) => {
      const y = from + index * row + 4;
      const [start, stop] = [Math.min(x(bar.value), x(1)), Math.max(x(bar.value), x(1))];
      parts.push(text(left - 10, y + 12, bar.title, "name"));
      parts.push(`<rect class="${own.test(bar.id) ? "own" : "bar"}" x="${at(start)}" y="${y}" width="${at(Math.max(stop - start, 2))}" height="${row - 8}" rx="2"/>`);
      parts.push(text(stop + 6, y + 12, `${digits(bar.value)}×`, "value"));
    });
    top = to + 52;
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${top - 20}" width="${width}" height="${top - 20}" font-family="system-ui, sans-serif" font-size="12" role="img">
<title>CPU relative to a JS passthrough Worker</title>
<style>
  .paper { fill: #ffffff } text { fill: #1f2933 } .head { font-size: 15px; font-weight: 600 } .title { font-size: 13px; font-weight: 600 }
  .quiet { font-weight: 400; fill: #66737f } .name { text-anchor: end } .tick { text-anchor: middle; fill: #66737f; font-size: 11px }
  .value { font-size: 11px } .grid { stroke: #e4e8ec } .floor { stroke: #66737f; stroke-dasharray: 3 3 } .bar { fill: #9fb3c8 } .own { fill: #0b7285 }
</style>
<rect class="paper" width="100%" height="100%"/>
${text(16, 26, `CPU relative to a JS passthrough Worker, which is 1 <tspan class="quiet">less is better · logarithmic · ${when.slice(0, 10)}</tspan>`, "head")}
${parts.join("\n")}
</svg>
`;
}

function bars(figure, targets, values) {
  const of = values[figure] ?? {};
  if (!of[floor]) return [];
  return targets
    .filter(({ id }) => of[id] && id !== floor)
    .map(({ id, title }) => ({ id, title: title.replaceAll("`", ""), value: ratio(of[id], of[floor]) }))
    .filter(({ value }) => Number.isFinite(value) && value > 0)
    .sort((a, b) => a.value - b.value);
}

function ticks(low, high) {
  const all = [];
  for (let decade = 10 ** Math.floor(Math.log10(low)); decade <= high; decade *= 10) {
    all.push(...[1, 2, 5].map((step) => Number((step * decade).toPrecision(1))));
  }
  return all.filter((value) => value >= low * 0.999 && value <= high * 1.001);
}

function nice(value, up) {
  const all = ticks(1e-4, 1e6);
  return up ? all.find((tick) => tick >= value) : all.findLast((tick) => tick <= value);
}

const at = (value) => value.toFixed(1);
const text = (x, y, content, kind) => `<text class="${kind}" x="${at(x)}" y="${at(y)}">${content}</text>`;
