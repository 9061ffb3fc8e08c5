// How a run looks: colour, marker, line; the same in every panel, table and list.

const NUM_LOOKS = 8;
const NUM_SHAPES = 6;

/** The outline of a marker around a point, as lists of corners; a circle has none. */
const CORNERS = [
  null,
  [[-1, -1], [1, -1], [1, 1], [-1, 1]],
  [[0, -1.25], [1.15, 0.85], [-1.15, 0.85]],
  [[0, -1.35], [1.35, 0], [0, 1.35], [-1.35, 0]],
  [[0, 1.25], [1.15, -0.85], [-1.15, -0.85]],
  [[-0.4, -1.3], [0.4, -1.3], [0.4, -0.4], [1.3, -0.4], [1.3, 0.4], [0.4, 0.4], [0.4, 1.3], [-0.4, 1.3], [-0.4, 0.4], [-1.3, 0.4], [-1.3, -0.4], [-0.4, -0.4]],
];

const isPrediction = (run) => run.role === "prediction";

/** Dashes of a run's line: a prediction's are long, those of what was measured afterwards short. */
const dashes = (run) => (isPrediction(run) ? [7, 5] : run.role === "afterwards" ? [2, 4] : []);

/** An element with attributes and children; text goes in as text. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function toggleButton(text, pressed, title, act) {
  const button = element("button", { type: "button", class: "tool", "aria-pressed": String(pressed), title }, text);
  button.addEventListener("click", () => {
    const now = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(now));
    act(now);
  });
  return button;
}

/** The colour of a run as the style sheet knows it: one of a few, or a place on the ramp where there are many. */
const styleColour = (run) => (run.shade == null ? `var(--series-${run.look % NUM_LOOKS})` : `color-mix(in oklch, var(--ramp-low), var(--ramp-high) ${(100 * run.shade).toFixed(1)}%)`);

/** Line and marker of a run, as in the panels. */
function swatch(run) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const shape = (tag, attributes) => {
    const made = document.createElementNS(space, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    svg.append(made);
  };
  svg.setAttribute("width", 30);
  svg.setAttribute("height", 12);
  if (run.role === "pool") shape("path", { class: "band", d: "M0 1H30V11H0Z" });
  shape("path", { class: "line", d: "M0 6H30", "stroke-dasharray": dashes(run).map((length) => 0.7 * length).join(" ") || "none" });
  const corners = CORNERS[run.look % NUM_SHAPES];
  if (!isPrediction(run) && corners) {
    shape("polygon", { class: "mark", points: corners.map(([x, y]) => `${15 + 4 * x},${6 + 4 * y}`).join(" ") });
  } else if (!isPrediction(run)) {
    shape("circle", { class: "mark", cx: 15, cy: 6, r: 4.3 });
  }
  return svg;
}

/** Puts a run's line and marker into an element. */
function dress(span, run) {
  span.classList.add("swatch", isPrediction(run) ? "predicted" : "measured");
  span.style.setProperty("--look", styleColour(run));
  span.replaceChildren(swatch(run));
  return span;
}

const swatchElement = (run) => dress(element("span", { "aria-hidden": "true" }), run);
