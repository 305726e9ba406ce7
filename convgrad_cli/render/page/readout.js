// What lights up, and the fixed place where the formula is written out with its numbers.

const LISTED = 24; // terms that are written out
let lit = new Map(); // of each tensor's name: indices and boxes of parts that light up
const noMarks = () => ({lit: new Set(), at: new Set()});
let marked = noMarks(); // cells that carry each of these classes
let pointed = null; // {tensor, index}: the cell that everything on the page is about
let pinned = false;

/** Make the page about one cell: an element of a gradient or of y, or an entry of an operand. */
function point(tensor, index) {
  const number = tensor.numberOf(index);
  if (number < 0) return;
  pointed = {tensor, index};
  const formula = tensor.formulas?.[number];
  lit = formula ? boxesOf(formula) : reachOf(tensor, index);
  document.body.classList.add("pointed");
  follow();
  float(tensor, index);
  write(tensor, index, formula);
}

function release() {
  pointed = null;
  pinned = false;
  lit = new Map();
  document.body.classList.remove("pointed", "pinned");
  bubble.hidden = true;
  follow();
  tell([], "Point at a number, or move to it with the keyboard, to see where it comes from.");
}

/** Where cells are too small for digits: those of the cell that the page is about, above it. */
function float(tensor, index) {
  const cell = tensor.dense && tensor.sliceOf(index).shown ? tensor.sliceOf(index).cell(index) : null;
  bubble.hidden = !cell;
  if (!cell) return;
  const box = cell.getBoundingClientRect();
  bubble.textContent = tensor.textAt(index);
  bubble.style.left = `${box.x + scrollX + box.width / 2}px`;
  bubble.style.top = `${box.y + scrollY}px`;
}

/** The parts of operands that an element is the sum of. */
function boxesOf(formula) {
  const found = new Map();
  for (const factor of wholeProductsOf(formula).flat()) add(found, factor.name, factor.parts);
  return found;
}

/** Every element whose formula holds the entry: the same spans, read backwards. */
function reachOf(tensor, index) {
  const found = new Map();
  const asked = [[tensor.name, index]];
  for (const [name, at] of copiesOf(tensor, index)) {
    add(found, name, at.map(single));
    asked.push([name, at]);
  }
  const met = new Set([...factors.keys()].filter((number) => asked.some((entry) => isIn(factors[number], entry))));
  for (const other of Object.values(tensors)) {
    other.formulas?.forEach((formula, number) => {
      const uses = formula?.some((product) => Array.isArray(product) && product.flat().some((factor) => met.has(factor)));
      if (uses) add(found, other.name, other.indexOf(number).map(single));
    });
  }
  return found;
}

const single = (i) => [String(i), i, 1, 1];
const isIn = (factor, [name, index]) => factor.name === name && contains(factor.parts, index);

/** The copies of an entry of x in the padded input, or the entry that one of them copies. */
function copiesOf({name}, index) {
  if (!page.copies || !["input", "padded_input"].includes(name)) return [];
  const lead = index.slice(0, index.length - page.copies.length);
  const inside = index.slice(lead.length);
  if (name === "padded_input") return [["input", [...lead, ...inside.map((i, axis) => page.copies[axis][i])]]];
  const runs = page.copies.map((sources, axis) => [...sources.keys()].filter((i) => sources[i] === inside[axis]));
  return every(runs).map((at) => ["padded_input", [...lead, ...at]]);
}

function add(found, name, parts) {
  if (!found.has(name)) found.set(name, []);
  found.get(name).push(parts);
}

const isLit = (slice) =>
  (lit.get(slice.tensor.name) ?? []).some((parts) => slice.lead.every((i, axis) => holds(parts[axis], i)));

/** Mark what lights up in every tensor; where it lies in matrices out of view, the first of them comes into view. */
function follow() {
  const before = marked;
  marked = noMarks();
  for (const tensor of Object.values(tensors)) {
    const own = pointed?.tensor === tensor;
    if (!own && lit.has(tensor.name) && !tensor.slices.some((slice) => slice.shown && isLit(slice))) {
      const first = tensor.slices.find(isLit);
      if (first) {
        tensor.choose(tensor.choices.map((choice, axis) => (choice === null ? null : first.lead[axis] - tensor.start[axis])));
        continue;
      }
    }
    tensor.controls?.forEach((update) => update());
    paint(tensor);
  }
  // Only what changes is touched: thousands of cells may stay lit from one element to the next.
  for (const [name, cells] of Object.entries(before)) {
    for (const cell of cells) if (!marked[name].has(cell)) cell.classList.remove(name);
  }
}

/** Mark what lights up in the matrices of a tensor that are in view. */
function paint(tensor) {
  const shown = tensor.slices.filter((slice) => slice.shown && slice.cells);
  for (const parts of lit.get(tensor.name) ?? []) {
    for (const slice of shown) {
      if (!slice.lead.every((i, axis) => holds(parts[axis], i))) continue;
      const runs = parts.slice(slice.lead.length).map((part) => clipped(part, tensor, parts.indexOf(part)));
      for (const at of every(runs)) mark(slice.cell([...slice.lead, ...at]), "lit");
    }
  }
  if (pointed?.tensor === tensor) {
    const slice = tensor.sliceOf(pointed.index);
    if (slice.shown) mark(slice.cell(pointed.index), "at");
  }
}

/** The indices of a part that lie in the window. */
function clipped([, start, count, step], tensor, axis) {
  const found = [];
  const [low, high] = [tensor.start[axis], tensor.start[axis] + tensor.size[axis]];
  for (let k = 0; k < count; k++) if (start + k * step >= low && start + k * step < high) found.push(start + k * step);
  return found;
}

function mark(cell, name) {
  if (!cell) return;
  cell.classList.add(name);
  marked[name].add(cell);
}

/** Write out what the page is about. */
function write(tensor, index, formula) {
  const name = `${tensor.letter}[${index.join(",")}]`;
  const value = tensor.textAt(index);
  const wrong = tensor.wrong?.[tensor.numberOf(index)];
  const head = line("value", "", [role(tensor.letter, name), wrong ? ` is ${value}, and should be ${wrong[0]} =` : ` = ${value}`]);
  if (!formula) {
    tell([head], reachText(tensor, index, name));
    return;
  }
  const products = productsOf(formula);
  const reason = reasonOf(formula);
  const count = products.reduce((sum, each) => sum + countOf(each), 0);
  const sum = line("sum", "", products.length ? joined(products.map(productNodes), " + ") : ["0"]);
  const is = wrong ? `${name} is ${value}, and should be ${wrong[0]}` : `${name} is ${value}`;
  const sentence = products.length || !reason ? `${is}: ${saidOf(products, count, wholeProductsOf(formula))}.` : `${is}: ${reason}.`;
  tell([head, sum, line("terms", "", termNodes(products, count))], wrong ? `${sentence} It is off by ${wrong[1]}.` : sentence);
}

/** Fill the fixed place; the sentence stays one element, so that it is read out when it changes. */
function tell(lines, sentence) {
  readout.querySelector(".formula").replaceChildren(...lines);
  readout.querySelector(".said").textContent = sentence;
}

function productNodes(factors) {
  const nodes = joined(factors.map((factor) => [role(factor.letter, factorText(factor))]), " * ");
  if (!factors[0].parts.some(isSpan)) return nodes;
  return factors.length > 1 ? ["(", ...nodes, ").sum()"] : [...nodes, ".sum()"];
}

/** The numbers that are multiplied and added, each in the colour of its operand. */
function termNodes(products, count) {
  const terms = [];
  for (const factors of products) {
    if (terms.length >= LISTED) break;
    const entries = factors.map((factor) => entriesOf(factor, LISTED - terms.length));
    entries[0].forEach((_, k) => {
      const numbers = factors.map((factor, f) => {
        const text = tensors[factor.name]?.textAt(entries[f][k]) || `${factor.letter}[${entries[f][k].join(",")}]`;
        return [role(factor.letter, f && text.startsWith("-") ? `(${minus(text)})` : minus(text))];
      });
      const sign = terms.length && numbers[0][0].textContent.startsWith(MINUS) ? " − " : terms.length ? " + " : "";
      if (sign === " − ") numbers[0][0].textContent = numbers[0][0].textContent.slice(1);
      terms.push([sign, ...joined(numbers, " × ")]);
    });
  }
  const nodes = terms.flat();
  return count > terms.length ? [...nodes, ` + … ${manyOf(count - terms.length, "more term")}`] : nodes;
}

function saidOf(products, count, whole) {
  const letters = [...new Set(products.flat().map((factor) => factor.letter))];
  const terms = count === 1 ? "one term" : manyOf(count, "term");
  const ones = whole.flat().find(({letter}) => !letters.includes(letter));
  return `${terms} of ${letters.join(" and ")}${ones ? `, each times a 1 of ${ones.letter}` : ""}`;
}

function reachText(tensor, index, name) {
  const found = [...lit].filter(([other]) => tensors[other]?.formulas);
  const parts = found.map(([other, boxes]) => {
    const part = product(tensors[other].size) < product(tensors[other].shape) ? "what is drawn of " : "";
    return `${boxes.length.toLocaleString("en")} of ${part}${tensors[other].letter}`;
  });
  return parts.length ? `${name} takes part in ${parts.join(", ")}.` : `${name} takes part in nothing that is shown here.`;
}

const manyOf = (count, what) => `${count.toLocaleString("en")} ${what}${count === 1 ? "" : "s"}`;

const MINUS = "−";
const minus = (text) => text.replace(/^-/, MINUS);

function role(letter, text) {
  return Object.assign(document.createElement("span"), {className: letter.split(".")[0], textContent: text});
}

function line(name, text, nodes = [text]) {
  const p = Object.assign(document.createElement("p"), {className: name});
  p.append(...nodes);
  return p;
}

function joined(groups, between) {
  return groups.flatMap((group, k) => (k ? [between, ...group] : group));
}
