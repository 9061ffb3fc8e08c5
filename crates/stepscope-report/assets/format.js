// Numbers as text, by the rules of number.rs: three significant digits, errors to two.

const SUPERSCRIPTS = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };

/** The power of ten of a value once it is rounded to so many digits. */
const exponentOf = (value, digits) => Number(Math.abs(value).toExponential(digits - 1).split("e")[1]);

const decimalsFor = (exponent, digits) => Math.max(0, digits - 1 - exponent);

const isPlain = (exponent) => exponent >= -4 && exponent < 6;

function significant(value) {
  if (value === 0) return "0";
  const exponent = exponentOf(value, 3);
  return isPlain(exponent) ? value.toFixed(decimalsFor(exponent, 3)) : value.toExponential(2).replace("+", "");
}

function withError(value, error) {
  if (error <= 1e-6 * Math.abs(value)) return significant(value);
  const exponent = exponentOf(Math.max(Math.abs(value), error), 3);
  const scale = isPlain(exponent) ? 1 : 10 ** exponent;
  const decimals = Math.min(6, decimalsFor(exponentOf(error / scale, 2), 2));
  const text = `${(value / scale).toFixed(decimals)} ± ${(error / scale).toFixed(decimals)}`;
  return scale === 1 ? text : `(${text})e${exponent}`;
}

/** A value with the ends of its error: ± where they are as far below as above, unless they are ends of an interval. */
function reading(panel, value, low, high, isInterval = false) {
  const factor = panel.percent ? 100 : 1;
  const one = panel.percent ? (number) => (100 * number).toFixed(1) : significant;
  const suffix = panel.percent ? " %" : panel.suffix;
  if (low == null || high == null) return one(value) + suffix;
  const error = (high - low) / 2;
  if (isInterval || Math.abs(high + low - 2 * value) > 1e-3 * (high - low)) return `${one(value)} (${one(low)} to ${one(high)})${suffix}`;
  if (panel.percent) return `${one(value)} ± ${(factor * error).toFixed(1)}${suffix}`;
  return withError(value, error) + suffix;
}

function power(exponent) {
  return "10" + String(exponent).replace(/[-\d]/g, (digit) => SUPERSCRIPTS[digit]);
}

/** A tick of a logarithmic axis: powers of ten where plain digits would be long. */
function logTick(value) {
  const exponent = Math.floor(Math.log10(value) + 1e-9);
  if (exponent >= -3 && exponent <= 4) return String(Number(value.toPrecision(3)));
  const mantissa = Number((value / 10 ** exponent).toPrecision(3));
  return mantissa === 1 ? power(exponent) : `${mantissa}×${power(exponent)}`;
}

/** A tick of a linear axis, with the digits that its increment needs. */
function linearTick(value, increment) {
  if (value === 0) return "0";
  if (Math.abs(value) >= 1e6 || increment < 1e-4) return String(Number(value.toPrecision(4))).replace("e+", "e");
  const decimals = [0, 1, 2, 3, 4, 5, 6].find((digits) => Math.abs(increment * 10 ** digits - Math.round(increment * 10 ** digits)) < 1e-6) ?? 6;
  return value.toFixed(decimals);
}

/** Round positions between two ends on a linear axis. */
function linearTicks(low, high, most) {
  const rough = (high - low) / most;
  const base = 10 ** Math.floor(Math.log10(rough));
  const increment = base * ([1, 2, 2.5, 5, 10].find((factor) => factor * base >= rough) ?? 10);
  const first = Math.ceil(low / increment - 1e-9);
  const last = Math.floor(high / increment + 1e-9);
  const ticks = Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => (first + index) * increment);
  return { ticks, increment };
}

/** Positions between two positive ends on a logarithmic axis: decades, or parts of one where there are few. */
function logTicks(low, high, most) {
  const first = Math.floor(Math.log10(low));
  const last = Math.ceil(Math.log10(high));
  const every = Math.max(1, Math.ceil((last - first) / most));
  let ticks = [];
  for (const factors of [[1], [1, 3], [1, 2, 5], [1, 2, 3, 4, 5, 6, 7, 8, 9]]) {
    const finer = [];
    for (let exponent = first; exponent <= last; exponent += every) {
      for (const factor of factors) {
        const tick = Number(`${factor}e${exponent}`);
        if (tick >= low && tick <= high) finer.push(tick);
      }
    }
    if (finer.length > most) break;
    ticks = finer;
    if (ticks.length >= 4 || every > 1) break;
  }
  return ticks.length >= 2 ? ticks : linearTicks(low, high, most).ticks.filter((tick) => tick > 0);
}
