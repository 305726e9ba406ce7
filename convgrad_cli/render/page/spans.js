// Formulas as the page holds them: which parts of which operands an element is made of, expanded to entries.
// A part is [text, start, count, step]. Python wrote where everything lies; nothing here knows what a convolution is.

const page = JSON.parse(document.getElementById("data").textContent);
const NAMES = {x: "input", xp: "padded_input", w: "weight", b: "bias", y: "output", g: "grad_output"};

// Of each factor its letter, its tensor, its parts and the dimensions that run backwards.
const factors = page.factors.map(([letter, flip, ...parts]) => ({
  letter, name: NAMES[letter], flip, parts: parts.map((part) => page.parts[part]),
}));

/** The products of a coded formula, each a list of factors, without those that are all ones. */
const productsOf = (formula) => productsIn(formula, (product) => product.filter((factor) => !Array.isArray(factor)));

/** The same with them. */
const wholeProductsOf = (formula) => productsIn(formula, (product) => product.flat());

function productsIn(formula, numbersOf) {
  return formula.filter(Array.isArray).map((product) => numbersOf(product).map((factor) => factors[factor]));
}

/** Why nothing meets the element, or "". */
function reasonOf(formula) {
  const last = formula[formula.length - 1];
  return typeof last === "string" ? last : "";
}

const isSpan = ([text]) => text.includes(":");
const holds = ([, start, count, step], i) => i >= start && (i - start) % step === 0 && (i - start) / step < count;
const contains = (parts, index) => parts.every((part, axis) => holds(part, index[axis]));
const countOf = (product) => product[0].parts.reduce((count, part) => count * part[2], 1);

/** The factor as Python writes it: w[0,:,0:2,0:2].flip(1,2). */
function factorText({letter, parts, flip}) {
  const texts = parts.map(([text]) => text);
  while (texts[texts.length - 1] === ":") texts.pop();
  return `${letter}[${texts.join(",")}]${flip.length ? `.flip(${flip.join(",")})` : ""}`;
}

/** The entries of a factor in the order in which a product meets them, at most `limit`. */
function entriesOf({parts, flip}, limit) {
  const dimensions = parts.map((part, axis) => parts.slice(0, axis).filter(isSpan).length);
  const runs = parts.map(([, start, count, step], axis) => {
    const run = Array.from({length: Math.min(count, Math.max(limit, 1))}, (_, k) => k);
    const backwards = isSpan(parts[axis]) && flip.includes(dimensions[axis]);
    return run.map((k) => start + (backwards ? count - 1 - k : k) * step);
  });
  let entries = [[]];
  for (let axis = runs.length - 1; axis >= 0; axis--) {
    entries = runs[axis].flatMap((i) => entries.map((rest) => [i, ...rest])).slice(0, limit);
  }
  return entries;
}

/** The products of two lists of indices, as an array of arrays. */
function every(runs) {
  return runs.reduce((found, run) => found.flatMap((head) => run.map((i) => [...head, i])), [[]]);
}
