// One unit: its scores, its images, what excites it, and who could stand in for it.

function drawUnit(row) {
  const inside = byId("unit").contains(document.activeElement);
  byId("unit-title").textContent = row === null ? "No unit chosen" : unitName(row);
  for (const id of ["unit-close", "unit-before", "unit-after"]) byId(id).hidden = row === null;
  const parts = row === null
    ? [element("p", { class: "note" }, "Choose a point, a row of the table, or a number.")]
    : [words(row), scores(row), ...METHODS.flatMap(({ key, name }) => methodPart(row, key, name)), ...naturalPart(row), ...meansPart(row)];
  byId("unit-body").replaceChildren(...parts);
  // What was followed is gone: who uses a keyboard goes on at the top of the unit.
  if (inside && !document.contains(document.activeElement?.closest("#unit button"))) byId("unit-title").focus({ preventScroll: true });
  byId("announced").textContent = row === null ? "" : announcement(row);
}

function announcement(row) {
  const told = states(row);
  if (UNITS.top[row] >= 0) told.push(`top class ${className(UNITS.top[row])}`);
  if (SCORES.has("selectivity")) told.push(`class selectivity ${said(score("selectivity", row))}`);
  if (SCORES.has("auc")) told.push(`AUC ${detection(row)}`);
  for (const { key, name } of METHODS) told.push(`RS by ${name} ${said(score(`rs_${key}`, row))}`);
  return `Unit ${unitName(row)}: ${told.join(", ")}.`;
}

function words(row) {
  const layer = LAYERS[UNITS.layer[row]];
  const told = element("p", { class: "note" });
  for (const word of states(row)) told.append(element("span", { class: "word" }, word), " ");
  const top = UNITS.top[row] < 0 ? "" : `, top class ${className(UNITS.top[row])}`;
  told.append(`${layer.kind}, one of ${layer.units} units${top}`);
  if (UNITS.dead[row]) told.append(". Dead: no image of the data set excites it.");
  return told;
}

function scores(row) {
  const wanted = ["selectivity", "selectivity_permuted", "auc", "ablation_loss", "ablation_loss_mean", "activation_mean", "activation_firing_rate"];
  const list = element("dl", { class: "scores" });
  for (const key of wanted.filter((one) => SCORES.has(one))) {
    list.append(element("dt", {}, scoreName(key)), element("dd", {}, key === "auc" ? detection(row) : said(score(key, row))));
  }
  return list;
}

// The AUC of the class that the unit detects best, and that class.
function detection(row) {
  const name = className(UNITS.detected[row]);
  return said(score("auc", row)) + (name === "" ? "" : ` (${name})`);
}

// The unit's images by one method, its RS, and its substitutes.
function methodPart(row, method, name) {
  const made = LAYERS[UNITS.layer[row]].methods[method];
  const target = targetOf(row, method);
  const heading = element("h3", {}, `Made by ${name}`);
  if (target < 0) return [heading, element("p", { class: "note" }, "No image: the unit is not among the targets.")];
  const images = made.seeds.map((seed, number) =>
    element(
      "figure",
      {},
      picture(made.place, number * made.units.length + target, `Image made for ${unitName(row)} by ${name}, seed ${seed}`),
      made.seeds.length > 1 ? element("figcaption", {}, `seed ${seed}`) : "",
    ),
  );
  const list = element("dl", { class: "scores" });
  for (const { key, name } of DATA.forms) {
    list.append(element("dt", {}, name), element("dd", {}, said(score(`${key}_${method}`, row))));
  }
  if (made.seeds.length > 1) {
    list.append(element("dt", {}, "seeds used"), element("dd", {}, `${score(`seeds_${method}`, row)} of ${made.seeds.length}`));
  }
  const beside = element("div", { class: "pictures made" }, ...images, list);
  return [heading, beside, ...substitutesPart(row, method, name, made, target)];
}

function substitutesPart(row, method, name, made, target) {
  const heading = element("h3", {}, `Substitutes by ${name}`);
  if (isSilent(row, method)) {
    return [heading, element("p", { class: "note" }, "Silent: it does not answer its own image, so RS is undefined and nobody is compared with it.")];
  }
  if (!isTarget(row, method)) {
    return [heading, element("p", { class: "note" }, "Not a target: the image was made because the unit is a substitute, and RS was not computed.")];
  }
  const others = made.substitutes[target];
  if (!others.length) {
    const nobody = score(`rs_${method}`, row) === 0;
    const why = nobody ? "no other unit answers this image more strongly" : "no other unit exceeds it in more than half of the seeds";
    return [heading, element("p", { class: "note" }, `None: ${why}.`)];
  }
  const cards = others.map((unit, place) => {
    const other = rowOf(UNITS.layer[row], unit);
    const own = targetOf(other, method);
    const strength = made.strength[target][place];
    const image = own < 0
      ? element("span", { class: "blank" }, "no image")
      : picture(made.place, own, `Image made for ${unitName(other)} by ${name}`);
    return element(
      "li",
      {},
      element("a", { href: address(other) }, image, element("b", {}, `Unit\u00a0${unit}`), element("span", {}, `${said(strength)}\u00a0×`)),
    );
  });
  const note = element("p", { class: "note" }, "How strongly they answer this image, relative to the unit itself.");
  return [heading, note, element("ul", { class: "pictures cards" }, ...cards)];
}

function naturalPart(row) {
  const heading = element("h3", {}, "Test images that it answers most strongly");
  if (!DATA.hasImages) return [];
  const own = LAYERS[UNITS.layer[row]].exemplars;
  const numbers = own ? own.images[UNITS.unit[row]] : [];
  if (!numbers.length) return [heading, element("p", { class: "note" }, "None: no test image excites it.")];
  const figures = numbers.map((number, place) => {
    const label = DATA.natural.labels[number];
    const name = label < 0 ? `image ${DATA.natural.rows[number]}` : className(label);
    const value = said(own.activations[UNITS.unit[row]][place]);
    return element(
      "li",
      {},
      element(
        "figure",
        {},
        picture(DATA.natural.place, number, `Test image ${place + 1}: ${name}, row ${DATA.natural.rows[number]} of the data set`),
        element("figcaption", {}, `${name}\n${value}`),
      ),
    );
  });
  return [heading, element("ol", { class: "pictures natural" }, ...figures)];
}

function meansPart(row) {
  const layer = LAYERS[UNITS.layer[row]];
  if (!layer.classMeans) return [];
  const unit = UNITS.unit[row];
  const means = layer.classMeans.means[unit];
  const largest = Math.max(...means, 0);
  const some = layer.classMeans.classes !== null;
  const lines = means.map((mean, place) => {
    const number = some ? layer.classMeans.classes[unit][place] : place;
    const bar = element("span", { class: "of" });
    bar.style.width = `${largest > 0 ? (100 * mean) / largest : 0}%`;
    const strongest = largest > 0 && number === UNITS.top[row];
    return element("li", { class: strongest ? "strongest" : null }, element("span", {}, className(number)), bar, element("span", {}, said(mean)));
  });
  const which = some ? `, the strongest ${means.length} of ${DATA.classes.length} classes` : "";
  const note = element("p", { class: "note" }, `Of positive activations on the test images${which}.`);
  return [element("h3", {}, "Mean activation by class"), note, element("ul", { class: "means" }, ...lines)];
}
