"use strict";
// What the page knows, and how it is said. A unit is known by its row in the table of units.

const DATA = JSON.parse(document.getElementById("data").textContent);
const UNITS = DATA.units;
const LAYERS = DATA.layers;
const METHODS = DATA.methods;
const MINUS = "\u2212";

// The first row of each layer.
const FIRST = LAYERS.map((_, layer) => UNITS.layer.indexOf(layer));
const SCORES = new Map(DATA.scores.map((score) => [score.key, score]));

function byId(id) {
  return document.getElementById(id);
}

// A new element; texts become text, never markup.
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function score(key, row) {
  const column = UNITS.scores[key];
  return column === undefined ? null : column[row];
}

function scoreName(key) {
  return SCORES.get(key).name;
}

// A number as people read it; null is what is undefined.
function said(value, digits = 3) {
  if (value === null || value === undefined) return "undefined";
  if (value === 0) return "0";
  const size = Math.abs(value);
  let text;
  if (Number.isInteger(value) && size < 1e6) text = String(value);
  else if (size >= 1e6 || size < 5e-4) text = powerOfTen(value, digits);
  else text = String(Number(value.toPrecision(digits)));
  return text.replaceAll("-", MINUS);
}

function powerOfTen(value, digits) {
  const [head, power] = value.toExponential(digits - 1).split("e");
  const raised = [...power.replace("+", "")].map((mark) => (mark === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[mark])).join("");
  return `${Number(head)} × 10${raised}`;
}

// The same in a column, where the decimal points shall stand below each other; a plain 0 is exactly that.
function inColumn(value) {
  const size = Math.abs(value ?? 0);
  if (size < 5e-4 || size >= 1000 || Number.isInteger(value)) return said(value, 2);
  return value.toFixed(3).replace("-", MINUS);
}

function className(number) {
  return number < 0 ? "" : DATA.classes[number];
}

function layerName(row) {
  return LAYERS[UNITS.layer[row]].name;
}

function unitName(row) {
  return `${layerName(row)} / ${UNITS.unit[row]}`;
}

function address(row) {
  return `#${encodeURIComponent(layerName(row))}/${UNITS.unit[row]}`;
}

// The row of a layer and unit number, or -1.
function rowOf(layer, unit) {
  const known = layer >= 0 && Number.isInteger(unit) && unit >= 0 && unit < LAYERS[layer].units;
  return known ? FIRST[layer] + unit : -1;
}

// Where a unit stands among those that a method made images for, or -1.
function targetOf(row, method) {
  const made = LAYERS[UNITS.layer[row]].methods[method];
  return made === undefined ? -1 : made.units.indexOf(UNITS.unit[row]);
}

// A substitute may have an image without being a target: RS was not computed for it.
function isTarget(row, method) {
  const target = targetOf(row, method);
  return target >= 0 && target < LAYERS[UNITS.layer[row]].methods[method].targets;
}

function isSilent(row, method) {
  return isTarget(row, method) && score(`seeds_${method}`, row) === 0;
}

// The words for what is out of the ordinary with a unit.
function states(row) {
  const words = UNITS.dead[row] ? ["dead"] : [];
  const silent = METHODS.filter(({ key }) => isSilent(row, key));
  const all = silent.length === METHODS.length ? "" : ` (${silent.map(({ name }) => name).join(", ")})`;
  if (silent.length) words.push(`silent${all}`);
  if (METHODS.length && METHODS.every(({ key }) => targetOf(row, key) < 0)) words.push("no image");
  return words;
}

// The correlation of two scores within a layer, whichever is across; undefined where it was not computed.
const CORRELATIONS = new Map(DATA.correlations.map((one) => [`${one.layer}\n${one.x}\n${one.y}`, one]));
function correlation(layer, x, y) {
  const name = LAYERS[layer].name;
  return CORRELATIONS.get(`${name}\n${x}\n${y}`) ?? CORRELATIONS.get(`${name}\n${y}\n${x}`);
}

function interval(found) {
  return found.low === null || found.high === null ? "no interval" : `${said(found.low, 2)} to ${said(found.high, 2)}`;
}
